"""Columns of one fragment in a Lance file of their own: a worker writes it, the driver attaches it.

The file holds as many rows as the fragment ever had: dropped ones are null. Attached, it gives the
fragment columns that it lacked, or takes the place of those that it had: in the older file these
are struck out, and a file of which nothing is left goes away. Nothing else is written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import storage
from dsm_dask.dataset.commit import ObjectRecord, checksum_of_file
from dsm_dask.dataset.lance_calls import lance_call
from dsm_dask.dataset.links import FILE_VERSION
from dsm_dask.dataset.partition import BATCH_ROWS, DatasetPartition, Fragment, live_rows
from dsm_dask.errors import PartitionFailed

_STRUCK_OUT = -2
"""What Lance writes for a field that another file holds now."""


@dataclasses.dataclass(frozen=True)
class ColumnFile:
    """A file that waits for its commit."""

    fragment: int
    name: str
    columns: tuple[str, ...]
    """Names in the Lance schema."""
    record: ObjectRecord


def write_column_file(
    partition: DatasetPartition,
    fragment: Fragment,
    batches: Iterator[pa.RecordBatch],
    schema: pa.Schema,
    folder: str,
    name: str,
) -> ColumnFile:
    """Write the columns of ``schema``, of the live rows of a fragment in row order, as ``name`` in
    ``folder`` (below the dataset's root).

    Raises PartitionFailed when there are more or fewer rows than the fragment has.
    """
    from lance.file import LanceFileWriter

    path, root = f"{folder}{name}", partition.snapshot.uri
    live = live_rows(partition, fragment)[0] if fragment.deletions else None
    with _place(storage.join(root, path)) as file:
        rows = 0
        with lance_call(root):
            writer = LanceFileWriter(file, schema, version=FILE_VERSION)
        for batch in _physical(batches, live, fragment, schema):
            rows += batch.num_rows
            with lance_call(root):
                writer.write_batch(batch)
        if rows != fragment.physical_rows:
            raise _miscounted(fragment, rows)
        with lance_call(root):
            writer.close()
        record = checksum_of_file(file, path)
    return ColumnFile(fragment.id, name, tuple(schema.names), record)


@contextlib.contextmanager
def _place(uri: str) -> Iterator[str]:
    """Where to write a file that is to be at ``uri``: a file of this machine, so that its checksum
    is taken before it goes over the network, not after it has come back."""
    if storage.is_local(uri):
        yield uri
        storage.count(bytes_written=os.stat(uri).st_size, requests=1)
        return
    with storage.temporary_folder() as folder:
        file = os.path.join(folder, storage.name(uri))
        yield file
        storage.upload(file, uri)


def _physical(
    batches: Iterator[pa.RecordBatch],
    live: npt.NDArray[np.int64] | None,
    fragment: Fragment,
    schema: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    """Batches of live rows with nulls where rows were dropped."""
    if live is None:
        yield from batches
        return
    taken, written = 0, 0
    for batch in batches:
        if not batch.num_rows:
            continue
        offsets = live[taken : taken + batch.num_rows]
        taken += batch.num_rows
        if len(offsets) < batch.num_rows:
            raise _miscounted(fragment, taken)
        places = np.full(offsets[-1] + 1 - written, -1, np.int64)
        places[offsets - written] = np.arange(len(offsets))
        written = int(offsets[-1]) + 1
        yield batch.take(pa.array(places, mask=places < 0))
    if taken < len(live):
        raise _miscounted(fragment, taken)
    for start in range(written, fragment.physical_rows, BATCH_ROWS):
        count = min(BATCH_ROWS, fragment.physical_rows - start)
        yield pa.RecordBatch.from_arrays([pa.nulls(count, f.type) for f in schema], schema=schema)


def _miscounted(fragment: Fragment, rows: int) -> PartitionFailed:
    return PartitionFailed(
        f"There are new values for {rows:,} rows of {fragment.rows:,}.", where=fragment.label
    )


def struck_out(fragment: dict[str, Any], fields: Collection[int]) -> dict[str, Any]:
    """The JSON of a fragment's metadata without some fields, by id."""
    files = [
        {**file, "fields": [_STRUCK_OUT if i in fields else i for i in file["fields"]]}
        for file in fragment["files"]
    ]
    return {**fragment, "files": files}


def attached(fragment: dict[str, Any], file: ColumnFile, fields: Sequence[int]) -> dict[str, Any]:
    """The JSON of a fragment's metadata with a file that holds some fields, by id."""
    major, minor = (int(number) for number in FILE_VERSION.split("."))
    entry = {
        "path": file.name,
        "fields": list(fields),
        "column_indices": list(range(len(fields))),
        "file_major_version": major,
        "file_minor_version": minor,
        "file_size_bytes": file.record.size,
        "base_id": None,
    }
    without = struck_out(fragment, set(fields))
    return {**without, "files": [*without["files"], entry]}
