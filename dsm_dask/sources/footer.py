"""The footer of a Parquet file: row groups, schema, sizes; read once, when a table is opened."""

from __future__ import annotations

import contextvars
import dataclasses
import io
import struct
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from dsm_dask import storage
from dsm_dask.errors import CorruptFile, DsmError
from dsm_dask.sources.schema import leaf_count

TAIL = 64 << 10
"""Bytes read from the end of a file when its footer is first looked for."""

FILES = (32, 256)
"""Files that one task looks at, at least and at most."""

T = TypeVar("T")

Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""How to apply a function to many things: the builtin ``map``, threads, or a cluster."""


@dataclasses.dataclass(frozen=True)
class RowGroup:
    rows: int
    size: int
    """Stored bytes of its column chunks."""


@dataclasses.dataclass(frozen=True)
class Footer:
    """What planning needs to know of a file."""

    file: storage.ObjectInfo
    schema: pa.Schema
    row_groups: tuple[RowGroup, ...]
    footer_size: int
    column_sizes: tuple[int, ...]
    """Stored bytes of each top-level column."""

    @property
    def rows(self) -> int:
        return sum(group.rows for group in self.row_groups)


def read_footers(files: Sequence[storage.ObjectInfo], map_: Map) -> list[Footer]:
    """The footer of every file, read several files at a time."""
    chunks = in_tasks(files)
    return [footer for chunk in map_(_read_footers, chunks) for footer in chunk]


def in_tasks(items: Sequence[T]) -> list[tuple[T, ...]]:
    """Neighbouring files in groups, one a task: a 64th of them, from :data:`FILES`. A task by
    itself takes a scheduler longer than a file takes a worker.

    >>> [len(in_tasks(range(count))) for count in (1, 33, 10_000, 1_000_000)]
    [1, 2, 65, 3907]
    """
    least, most = FILES
    step = min(most, max(least, len(items) // 64))
    return [tuple(items[i : i + step]) for i in range(0, len(items), step)]


def _read_footers(files: Sequence[storage.ObjectInfo]) -> list[Footer]:
    context = contextvars.copy_context
    with ThreadPoolExecutor(min(16, len(files))) as pool:
        tasks = [pool.submit(context().run, read_footer, file) for file in files]
        footers = [task.result() for task in tasks]
    # Files of one table mostly agree: one schema object for all of them travels once.
    known: dict[pa.Schema, pa.Schema] = {}
    return [
        dataclasses.replace(footer, schema=known.setdefault(footer.schema, footer.schema))
        for footer in footers
    ]


def read_footer(file: storage.ObjectInfo) -> Footer:
    """Row groups, schema and sizes of one file; raises CorruptFile."""
    tail_size = min(TAIL, file.size)
    if file.size < 12:
        raise CorruptFile(f"{file.uri} is no Parquet file: it has {file.size} bytes.")
    (tail,) = storage.read_ranges(file.uri, [(file.size - tail_size, file.size)], file.etag)
    if bytes(tail[-4:]) != b"PAR1":
        raise CorruptFile(
            f"{file.uri} is not a Parquet file, or is cut off: it does not end in PAR1.",
            where=file.uri,
            valid="Replace the file, or leave it out of the glob.",
        )
    (length,) = struct.unpack("<i", tail[-8:-4])
    size = length + 8
    with naming(file.uri):
        if not 8 < size <= file.size:
            raise pa.ArrowInvalid(f"the footer claims {length} bytes of {file.size}")
        if size > tail_size:
            (tail,) = storage.read_ranges(file.uri, [(file.size - size, file.size)], file.etag)
        metadata = pq.read_metadata(io.BytesIO(as_file(bytes(tail[-size:]))))
        return _footer(file, metadata, size)


def _footer(file: storage.ObjectInfo, metadata: pq.FileMetaData, size: int) -> Footer:
    schema = metadata.schema.to_arrow_schema()
    groups, columns = [], [0] * len(schema)
    spans = leaf_spans(schema)
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        sizes = [group.column(leaf).total_compressed_size for leaf in range(group.num_columns)]
        groups.append(RowGroup(group.num_rows, sum(sizes)))
        for column, (first, stop) in enumerate(spans):
            columns[column] += sum(sizes[first:stop])
    return Footer(file, schema.remove_metadata(), tuple(groups), size, tuple(columns))


def as_file(footer: bytes) -> bytes:
    return b"PAR1" + footer


def leaf_spans(schema: pa.Schema) -> list[tuple[int, int]]:
    spans, first = [], 0
    for field in schema:
        spans.append((first, first + leaf_count(field.type)))
        first = spans[-1][1]
    return spans


class naming:  # noqa: N801 - reads as a statement
    """Turn what Arrow raises about a file into an error that names it."""

    def __init__(self, label: str) -> None:
        self.label = label

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, DsmError):
            return
        if isinstance(error, (pa.ArrowException, OSError)):
            raise CorruptFile(
                f"{self.label} cannot be decoded: {str(error).rstrip('.')}.",
                where=self.label,
                valid="Replace the file, or leave it out.",
            ) from error
