"""The end of a run of deduplication: drop the duplicates, or write columns about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.commit import Change, ObjectRecord, change_key, found_before
from dsm_dask.dataset.drop import drop_rows
from dsm_dask.dataset.version import Dataset, changes_of, properties
from dsm_dask.duplicates.decisions import ChooseListed, listed_between
from dsm_dask.duplicates.result import Deduplicated
from dsm_dask.engine import Engine
from dsm_dask.table import ROW_ID

COLUMNS = pa.schema(
    [
        pa.field("duplicate_of", pa.uint64()),
        pa.field("duplicate_role", pa.string()),
        pa.field("duplicate_similarity", pa.float32()),
    ]
)
"""What ``--columns`` writes: the row id of the row that is kept (null for a row in no cluster, or
when the kept row is in another table), ``kept``, ``duplicate`` or null, and the similarity of the
strongest pair that the row is in."""


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
        joined = [pa.concat_arrays(array.chunks) for array in arrays]
        return pa.RecordBatch.from_arrays(joined, schema=COLUMNS)
