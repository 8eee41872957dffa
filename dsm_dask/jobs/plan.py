"""What a job will take, and cost, before it is run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dsm_dask.dataset.refs import Ref
from dsm_dask.dataset.version import is_dataset, open_data, open_dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import JobSpecError, NotFound, UsageError, nearest
from dsm_dask.jobs.estimate import CORE_BYTES, Estimate, estimate, source_files
from dsm_dask.jobs.plain_yaml import plain_yaml
from dsm_dask.jobs.secrets import path_of
from dsm_dask.jobs.spec import Job
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import Table


class Prices(BaseModel):
    """What things cost, in one currency. All have to be given that are not free."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    currency: str = "USD"
    per_1000_get: float = Field(0.0, ge=0)
    per_1000_put: float = Field(0.0, ge=0)
    per_gb_read: float = Field(0.0, ge=0, description="From the store to the workers.")
    per_gb_written: float = Field(0.0, ge=0)
    per_core_hour: float = Field(0.0, ge=0)
    core_mb_per_second: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="Stored MB a core gets through, by verb or method."
    )

    @field_validator("core_mb_per_second")
    @classmethod
    def _are_known(cls, rates: dict[str, float]) -> dict[str, float]:
        for name in rates.keys() - CORE_BYTES.keys():
            raise ValueError(f"{name!r} is no verb or method. {nearest(name, CORE_BYTES)}")
        return rates


def read_prices(path: str | Path) -> Prices:
    """Prices from a YAML file. Raises NotFound, UsageError."""
    try:
        return Prices.model_validate(plain_yaml(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise NotFound(f"There is no file of prices {path}.", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{path} is not a file of prices: {first['msg'].removeprefix('Value error, ')}.",
            where=f"{path}: {path_of(first['loc'])}",
            valid=f"Known: {', '.join(Prices.model_fields)}.",
        ) from None
    except ValueError as error:  # no YAML, or no text
        raise UsageError(f"{path} is not a file of prices: {error}.", where=str(path)) from error


def plan_job(job: Job, *, engine: Engine, prices: Prices | None = None) -> dict[str, Any]:
    """What running a job would take: for each step an :class:`~dsm_dask.jobs.estimate.Estimate`.

    Reads footers and metadata only; writes nothing.
    """
    table: Table | None = None
    if is_dataset(Ref.parse(job.dataset).uri):
        table = open_dataset(job.dataset)
    steps: list[tuple[str, Estimate]] = []
    made = 0  # bytes that earlier steps add to the dataset
    copies = False
    for index, step in enumerate(job.steps):
        args, before = step.arguments, None if step.verb == "create" else table
        if before is None and step.verb != "create":
            raise JobSpecError(
                f"steps[{index}].{step.verb}: there is no dataset at {job.dataset} yet.",
                where=job.dataset,
                valid="Begin the job with a create step.",
            )
        subject = before
        if step.verb in ("create", "append"):
            subject = open_parquet(args.sources, map_=engine.map)
            table = subject if before is None else Together.of(before, subject)
        elif step.verb == "score_answers" and args.data:
            subject = open_data(args.data, engine.map)
        assert subject is not None
        copies = copies or (step.verb == "create" and args.copy_rows)
        known = before if step.verb == "append" else None
        found = estimate(step, subject, known=known, copies=copies)
        if step.verb == "verify":
            found = dataclasses.replace(found, bytes_read=found.bytes_read + made)
        elif step.verb in ADDING:
            made += found.bytes_written
        steps.append((step.verb, _priced_rate(step, found, prices)))
    total = summed([one for _, one in steps])
    told = [{"verb": verb, **_told(one, prices)} for verb, one in steps]
    return {
        "job": job.name, "dataset": job.dataset, "dry_run": True, "steps": told,
        "total": _told(total, prices),
    }  # fmt: skip


ADDING = ("create", "append", "score", "update", "drop")
"""Verbs of which all that they write is part of the dataset."""


@dataclasses.dataclass(frozen=True)
class Together:
    """A table, and the rows that a step appends to it: for estimates, not for reading."""

    uri: str
    schema: Any
    rows: int
    _partitions: tuple[Any, ...]
    _sizes: dict[str, int]

    @classmethod
    def of(cls, table: Table, more: Table) -> Together:
        """Without ``more`` where the table has all of its files."""
        new = (more,) if source_files(more) - source_files(table) else ()
        sizes = table.column_sizes()
        for one in new:
            sizes = {
                name: sizes.get(name, 0) + one.column_sizes().get(name, 0)
                for name in table.schema.names
            }
        parts = [part for one in (table, *new) for part in one.partitions()]
        rows = sum(one.rows for one in (table, *new))
        return cls(table.uri, table.schema, rows, tuple(parts), sizes)

    def partitions(self) -> tuple[Any, ...]:
        return self._partitions

    def column_sizes(self) -> dict[str, int]:
        return self._sizes


def summed(estimates: list[Estimate]) -> Estimate:
    """Of all steps; memory is that of the greediest."""
    fields = [
        f.name for f in dataclasses.fields(Estimate) if f.name not in ("worker_memory", "rows")
    ]
    sums = {name: sum(getattr(one, name) for one in estimates) for name in fields}
    most = {
        name: max((getattr(one, name) for one in estimates), default=0)
        for name in ("worker_memory", "rows")
    }
    return Estimate(**sums, **most)


def money(found: Estimate, prices: Prices) -> float:
    """The price of what is estimated: requests, bytes, and hours of cores."""
    return (
        found.gets / 1000 * prices.per_1000_get
        + found.puts / 1000 * prices.per_1000_put
        + found.bytes_read / 1e9 * prices.per_gb_read
        + found.bytes_written / 1e9 * prices.per_gb_written
        + found.core_seconds / 3600 * prices.per_core_hour
    )


def _told(found: Estimate, prices: Prices | None) -> dict[str, Any]:
    told = found.to_dict()
    if prices is not None:
        told |= {"cost": round(money(found, prices), 6), "currency": prices.currency}
    return told


def _priced_rate(step: Any, found: Estimate, prices: Prices | None) -> Estimate:
    kind = step.arguments.method if step.verb == "dedup" else step.verb
    given = (prices.core_mb_per_second if prices else {}).get(kind)
    if not given:
        return found
    faster = CORE_BYTES[kind] / (given * 1e6)
    return dataclasses.replace(found, core_seconds=found.core_seconds * faster)
