"""Row maps: new columns computed by workers, written next to the data.

Only the new columns are written; a new version points to them beside what was there.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.dataset.commit import Change, ObjectRecord, change_key, checksum, commit, found_before
from dsm_dask.dataset.lance_calls import Relayed
from dsm_dask.dataset.links import parse_name
from dsm_dask.dataset.partition import DatasetPartition, Fragment, lance_io
from dsm_dask.dataset.version import Dataset, open_for_writing
from dsm_dask.dataset.write import Target, Written
from dsm_dask.engine import Engine
from dsm_dask.errors import PartitionFailed, SchemaError
from dsm_dask.table import check_columns


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
) -> Written:
    """Compute a row map over a dataset and commit its columns as a new version.

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
        return Written(base.uri, done.version, done.rows, counts, False)
    for name in row_map.schema.names:
        if name in base.schema.names:
            raise SchemaError(f"{base.name} has a column {name!r} already.", where=base.name)
    worker = _WriteColumns(row_map, Target.of(base).prefix)
    found = engine.map_partitions(worker, base.partitions(), label="Computing columns")
    pieces = [piece for group in found for piece in group]
    if not pieces:
        raise SchemaError(f"{base.name} has no rows to compute columns for.", where=base.name)
    change = Change(
        job, arguments, key, message, base.rows, counts, mark.io,
        tuple(record for piece in pieces for record in piece.records),
        mark.skipped,
    )  # fmt: skip
    made = commit(base, _operation(base, pieces), change)
    return Written(base.uri, made.version, made.rows, counts, True)


def _description(row_map: RowMap) -> str:
    """The same for the same computation, in every process."""
    return repr(row_map) if dataclasses.is_dataclass(row_map) else type(row_map).__qualname__


@dataclasses.dataclass(frozen=True)
class _Piece:
    """One fragment with its new columns, as a worker reports it."""

    metadata: str
    schema: Any
    """Of the dataset with the new columns: Lance gives fields ids that no other way tells."""
    records: list[ObjectRecord]


def _operation(base: Dataset, pieces: list[_Piece]) -> Any:
    import lance
    from lance.fragment import FragmentMetadata

    fragments = [FragmentMetadata.from_json(piece.metadata) for piece in pieces]
    known = {fragment.id for fragment in fragments}
    fragments += [f.metadata for f in base.lance.get_fragments() if f.fragment_id not in known]
    fragments.sort(key=lambda fragment: fragment.id)
    return lance.LanceOperation.Merge(fragments, pieces[0].schema)


@dataclasses.dataclass(frozen=True)
class _WriteColumns:
    row_map: RowMap
    prefix: str

    def __call__(self, partition: DatasetPartition) -> list[_Piece]:
        return [self._write(partition, fragment) for fragment in partition.fragments]

    def _write(self, partition: DatasetPartition, fragment: Fragment) -> _Piece:
        dataset = partition.snapshot.open()
        batches = Relayed(self._batches(partition, fragment))
        reader = pa.RecordBatchReader.from_batches(self.row_map.schema, batches)
        with batches.check(partition.snapshot.uri), lance_io(dataset):
            metadata, schema = dataset.get_fragment(fragment.id).merge_columns(reader)
        before = {path for path, _ in fragment.files}
        records = [
            self._record(partition, f"{self.prefix}data/{file.path}")
            for file in metadata.files
            if file.path not in before and parse_name(file.path) is None
        ]
        return _Piece(json.dumps(metadata.to_json()), schema, records)

    def _record(self, partition: DatasetPartition, path: str) -> ObjectRecord:
        return checksum(storage.join(partition.snapshot.uri, path), path)

    def _batches(self, partition: DatasetPartition, fragment: Fragment) -> Iterator[pa.RecordBatch]:
        for batch in partition.read_fragment(fragment, self.row_map.columns):
            made = self.row_map.apply(batch)
            if made.num_rows != batch.num_rows:
                raise PartitionFailed(
                    f"A row map made {made.num_rows} rows from {batch.num_rows}.",
                    where=fragment.label,
                )
            yield made.cast(self.row_map.schema)
