"""Row maps: new columns computed by workers, written next to the data.

Only the new columns are written; a new version points to them beside what was there.
"""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any, Protocol

import pyarrow as pa

from dsm_dask.dataset.column_commit import NewColumns, commit_columns
from dsm_dask.dataset.column_files import ColumnFile, write_column_file
from dsm_dask.dataset.commit import Change, change_key, found_before
from dsm_dask.dataset.fragments import Target
from dsm_dask.dataset.partition import DatasetPartition, Fragment
from dsm_dask.dataset.version import Dataset, open_for_writing
from dsm_dask.dataset.write import Written
from dsm_dask.engine import Engine
from dsm_dask.errors import PartitionFailed, SchemaError
from dsm_dask.table import check_columns

COMPUTED = "dsm.score"
"""An entry in the metadata of a column's field: what the column was computed by, and from what."""


class RowMap(Protocol):
    """New columns from old ones, batch by batch. Frozen and picklable."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that :meth:`apply` looks at."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The columns that it makes."""
        ...

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """As many rows as ``batch``, with the columns of :attr:`schema`."""
        ...


def add_columns(
    data: str | Dataset,
    row_map: RowMap,
    *,
    engine: Engine,
    job: str = "columns",
    spec: dict[str, Any] | None = None,
    message: str = "",
    dry_run: bool = False,
) -> Written:
    """Compute a row map over a dataset and commit its columns as a new version; with ``dry_run``
    only check whether that could be.

    Raises SchemaError when a column of that name is there already.
    """
    base = open_for_writing(data)
    arguments = spec or {"columns": row_map.schema.names, "map": _description(row_map)}
    mark = engine.mark()
    check_columns(base, row_map.columns)
    key = change_key(job, arguments, base.ref)
    counts = {"columns_added": len(row_map.schema)}
    done = found_before(base, key, engine)
    if done is not None:
        return Written(base.uri, done.version, done.rows, counts, False, branch=base.branch)
    for name in row_map.schema.names:
        if name in base.schema.names:
            raise SchemaError(f"{base.name} has a column {name!r} already.", where=base.name)
    if dry_run:
        return Written(base.uri, base.version, base.rows, counts, False, branch=base.branch)
    worker = _WriteColumns(row_map, Target.of(base).prefix)
    found = engine.map_partitions(worker, base.partitions(), label="Computing columns")
    files = [file for group in found for file in group]
    if not files:
        raise SchemaError(f"{base.name} has no rows to compute columns for.", where=base.name)
    change = Change(
        job, arguments, key, message, base.rows, counts, mark.io,
        tuple(file.record for file in files),
        mark.skipped,
    )  # fmt: skip
    made = commit_columns(base, NewColumns(files, added=row_map.schema), change)
    return Written(base.uri, made.version, made.rows, counts, True, branch=base.branch)


def _description(row_map: RowMap) -> str:
    """The same for the same computation, in every process."""
    return repr(row_map) if dataclasses.is_dataclass(row_map) else type(row_map).__qualname__


@dataclasses.dataclass(frozen=True)
class _WriteColumns:
    row_map: RowMap
    prefix: str

    def __call__(self, partition: DatasetPartition) -> list[ColumnFile]:
        return [self._write(partition, fragment) for fragment in partition.fragments]

    def _write(self, partition: DatasetPartition, fragment: Fragment) -> ColumnFile:
        batches = (
            mapped(self.row_map, batch, fragment)
            for batch in partition.read_fragment(fragment, self.row_map.columns)
        )
        name = f"{uuid.uuid4().hex}.lance"
        folder = f"{self.prefix}data/"
        return write_column_file(partition, fragment, batches, self.row_map.schema, folder, name)


def mapped(row_map: RowMap, batch: pa.RecordBatch, fragment: Fragment) -> pa.RecordBatch:
    """What a row map makes of a batch of a fragment, with the types that it promises.

    Raises PartitionFailed when it makes more or fewer rows.
    """
    made = row_map.apply(batch)
    if made.num_rows != batch.num_rows:
        raise PartitionFailed(
            f"A row map made {made.num_rows} rows from {batch.num_rows}.", where=fragment.label
        )
    return made.cast(row_map.schema)
