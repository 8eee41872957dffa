"""What a run of deduplication begins and ends with: whether it may be, and what becomes of what it
finds: nothing, a table of decisions, a commit without the duplicates, or columns about them."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import storage
from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.commit import Change, ObjectRecord, change_key, found_before
from dsm_dask.dataset.drop import drop_rows
from dsm_dask.dataset.version import Dataset, changes_of, properties, refuse_overtaken
from dsm_dask.duplicates.clusters import Clusters, name_of
from dsm_dask.duplicates.decisions import ChooseListed, DecisionWriter, listed_between
from dsm_dask.duplicates.edges import MOST_TABLES
from dsm_dask.duplicates.places import (
    Places,
    check_empty,
    check_written,
    decisions_folder,
    places,
)
from dsm_dask.duplicates.result import Deduplicated
from dsm_dask.duplicates.rule import Rule
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.table import ROW_ID, Table

COLUMNS = pa.schema(
    [
        pa.field("duplicate_of", pa.uint64()),
        pa.field("duplicate_role", pa.string()),
        pa.field("duplicate_similarity", pa.float32()),
    ]
)
"""What ``--columns`` writes: the row id of the row that is kept (null for a row in no cluster, or
when the kept row is in another table), ``kept``, ``duplicate`` or null, and the similarity of the
strongest of the pairs that connect the row to its cluster."""

Search = Callable[[Places, str, str | None], tuple[Deduplicated, Clusters]]
"""Finds the duplicates, from places, the name of the run, and the folder of decisions."""


@dataclasses.dataclass(frozen=True)
class Ends:
    """What becomes of what is found."""

    drop: bool = False
    columns: bool = False
    out: str | None = None
    scratch: str | None = None
    message: str = ""
    dry_run: bool = False

    @property
    def writes(self) -> bool:
        return self.drop or self.columns


def check_ends(tables: Sequence[Table], rule: Rule, ends: Ends) -> None:
    """Raise UsageError, UnknownColumn or SchemaError for what cannot be, before any work."""
    data, others = tables[0], len(tables) - 1
    rule.check(data)
    if others > MOST_TABLES:
        raise UsageError(
            f"{others} tables to hold against are too many.", valid=f"Up to {MOST_TABLES}."
        )
    if ends.drop and ends.columns:
        raise UsageError(
            "Rows that are dropped have no columns.", valid="Give --drop or --columns."
        )
    if ends.writes:
        check_written(data)
    for name in COLUMNS.names if ends.columns else ():
        if name in data.schema.names:
            raise SchemaError(
                f"{data.uri} has a column {name!r} already.",
                where=data.uri,
                valid="An earlier `dsm dedup --columns` may have written it: branch from a version "
                "before that, or use --out.",
            )


def carry_out(
    tables: Sequence[Table], spec: dict[str, Any], search: Search, ends: Ends, engine: Engine
) -> Deduplicated:
    """Search for duplicates in ``tables[0]``, unless the same was done before, and end as asked.

    ``spec`` tells two runs apart: ``on`` (one column), ``method``, its parameters. Raises
    UsageError before any work when a commit would come too late, or when decisions of another run
    are where these are to go.
    """
    data = tables[0]
    if ends.writes and isinstance(data, Dataset):
        done = _done_or_refused(data, spec, ends, engine)
        if done is not None:
            return done
    if ends.out is not None:
        check_empty(ends.out)
    run = uuid.uuid4().hex
    with places(data, ends.out, ends.scratch, engine, run, ends.dry_run) as place:
        decisions = None if ends.dry_run else decisions_folder(ends.out, ends.writes, place.run)
        found, clusters = search(place, run, decisions)
        asked = ends.columns or ends.out is not None
        if decisions is not None and asked and not clusters.records:
            names = [name_of(table) for table in tables[1:]]
            write_no_decisions(decisions, run, str(spec["method"]), names)
        found = dataclasses.replace(found, out=decisions if ends.out is not None else None)
        if not isinstance(data, Dataset):
            return found
        version = data.version if ends.writes else None
        found = dataclasses.replace(found, dataset=data.uri, version=version, branch=data.branch)
        if decisions is not None and ends.drop and found.duplicates:
            chosen = ChooseListed(decisions, run)
            return drop_listed(data, found, chosen, clusters.records, spec, ends.message, engine)
        if decisions is not None and ends.columns and found.rows:
            spec = {**spec, "columns": True}
            return write_columns(data, found, decisions, run, spec, ends.message, engine)
        return found


def _done_or_refused(
    data: Dataset, spec: dict[str, Any], ends: Ends, engine: Engine
) -> Deduplicated | None:
    if ends.drop:
        done = done_before(data, spec, tuple(spec["on"]), str(spec["method"]), engine)
        if done is None:
            refuse_overtaken(data, appends=True)
        elif ends.out is not None and storage.listing(ends.out):
            done = dataclasses.replace(done, out=storage.normalise(ends.out))
        return done
    key = change_key("dedup", {**spec, "columns": True}, data.ref)
    if found_before(data, key, engine) is None:  # else the rows are read again, to be told of
        refuse_overtaken(data)
    return None


def write_no_decisions(folder: str, run: str, method: str, against: Sequence[str]) -> None:
    """A table of decisions without a row, for a run that found nothing."""
    writer = DecisionWriter(method, against)
    storage.write(storage.join(folder, f"{run}-00000.parquet"), writer.close())


def done_before(
    dataset: Dataset, spec: dict[str, Any], columns: tuple[str, ...], method: str, engine: Engine
) -> Deduplicated | None:
    """What an earlier run of the same job on the same version dropped, if there was one."""
    made = found_before(dataset, change_key("dedup", spec, dataset.ref), engine)
    if made is None:
        return None
    changed = changes_of(properties(made.lance, made.version))
    return Deduplicated(
        rows=dataset.rows,
        clusters=changed["clusters"],
        duplicates=changed["dropped"],
        on=columns,
        method=method,
        dataset=dataset.uri,
        version=made.version,
        branch=made.branch,
    )


def drop_listed(
    dataset: Dataset,
    found: Deduplicated,
    chosen: ChooseListed,
    decided: Sequence[ObjectRecord],
    spec: dict[str, Any],
    message: str,
    engine: Engine,
) -> Deduplicated:
    """Commit a version without the rows that decisions list as duplicates."""
    inside = dataset.uri + "/"
    records = [
        dataclasses.replace(record, path=record.path.removeprefix(inside))
        for record in decided
        if record.path.startswith(inside)
    ]
    change = Change(
        "dedup", spec, "", message, changed={"clusters": found.clusters}, objects=tuple(records)
    )
    written = drop_rows(dataset, chosen, change, engine=engine)
    return dataclasses.replace(found, version=written.version, committed=written.committed)


def write_columns(
    dataset: Dataset,
    found: Deduplicated,
    folder: str,
    run: str,
    spec: dict[str, Any],
    message: str,
    engine: Engine,
) -> Deduplicated:
    """Commit a version with :data:`COLUMNS` next to the data.

    Raises SchemaError when there are columns of those names.
    """
    written = add_columns(
        dataset, Listed(folder, run), engine=engine, job="dedup", spec=spec, message=message
    )
    return dataclasses.replace(
        found, version=written.version, committed=written.committed, columns=tuple(COLUMNS.names)
    )


@dataclasses.dataclass(frozen=True)
class Listed:
    """A row map: what decisions in a folder say about each row."""

    folder: str
    run: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (ROW_ID,)

    @property
    def schema(self) -> pa.Schema:
        return COLUMNS

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = batch.column(0).to_numpy()
        if not len(rows):
            return COLUMNS.empty_table().combine_chunks().to_batches()[0]
        told = listed_between(self.folder, self.run, int(rows.min()), int(rows.max()))
        place = pc.index_in(batch.column(0), told.column("row_id").combine_chunks())
        found = told.take(place)
        here = pc.and_(pc.is_valid(place), pc.is_null(found.column("against")))
        kept = pc.if_else(here, found.column("cluster"), pa.scalar(None, pa.uint64()))
        arrays = [kept, found.column("role").cast(pa.string()), found.column("similarity")]
        joined = [array.combine_chunks() for array in arrays]
        return pa.RecordBatch.from_arrays(joined, schema=COLUMNS)
