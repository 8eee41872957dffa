"""Parquet files, local or in object storage, as one table.

Files are listed once and their footers read once (by workers, when there is an engine); from then
on a reader fetches exactly the column chunks that it needs, one row group ahead of the decoder.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import hashlib
import io
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dsm_dask import storage
from dsm_dask.errors import CorruptFile, DsmError, SourceChanged
from dsm_dask.sources.schema import conform, leaf_count, unify
from dsm_dask.table import ROW_ID, Table

SUFFIXES = (".parquet", ".pq", ".parq")

BATCH_ROWS = 1 << 16
"""Rows in a batch, at most."""

BATCH_BYTES = 16 << 20
"""Aim for batches of about this many decoded bytes: rows of long texts come in smaller batches."""

TAIL = 64 << 10
"""Bytes read from the end of a file when its footer is first looked for."""

PARTITION_BYTES = (1 << 20, 64 << 20)
"""A partition is a 64th of its table, between these sizes."""


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


@dataclasses.dataclass(frozen=True)
class FilePart:
    """A run of row groups of one file: what a linked fragment stands for."""

    uri: str
    file_size: int
    etag: str
    footer_size: int
    first_group: int
    stop_group: int
    rows: int
    size: int

    @property
    def fingerprint(self) -> str:
        text = repr((self.uri, self.file_size, self.etag, self.first_group, self.stop_group))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def label(self) -> str:
        return f"{self.uri} (row groups {self.first_group} to {self.stop_group - 1})"

    def read(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Batches with just the columns of ``schema``, in file order, as its types."""
        if not schema.names:
            yield from _empty_batches(self.rows)
            return
        with _named(self.label):
            yield from _read_part(self, schema)


@dataclasses.dataclass(frozen=True)
class ParquetPartition:
    """A partition of plain Parquet files: one or more parts, of which the rows follow on."""

    parts: tuple[FilePart, ...]
    schema: pa.Schema
    first_row: int

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @functools.cached_property
    def fingerprint(self) -> str:
        text = "".join(part.fingerprint for part in self.parts)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def values_fingerprint(self, columns: Sequence[str]) -> str:
        types = [str(self.schema.field(name).type) for name in columns if name != ROW_ID]
        first = self.first_row if ROW_ID in columns else 0
        return hashlib.blake2b(repr((types, first)).encode(), digest_size=8).hexdigest()

    @property
    def row_id_span(self) -> tuple[int, int]:
        """First row id, and the one after the last."""
        return (self.first_row, self.first_row + self.rows)

    @property
    def label(self) -> str:
        more = f" and {len(self.parts) - 1} more" if len(self.parts) > 1 else ""
        return self.parts[0].label + more

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        wanted = pa.schema([self.schema.field(name) for name in columns if name != ROW_ID])
        row = self.first_row
        for part in self.parts:
            for batch in part.read(wanted):
                yield with_row_ids(batch, columns, lambda: np.arange(row, row + batch.num_rows))
                row += batch.num_rows


@dataclasses.dataclass(frozen=True)
class ParquetTable:
    """Parquet files as a :class:`~dsm_dask.table.Table`; made by :func:`open_parquet`."""

    uri: str
    schema: pa.Schema
    parts: tuple[FilePart, ...]
    sizes: dict[str, int]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    def partitions(self) -> tuple[ParquetPartition, ...]:
        found, row = [], 0
        for group in coalesce(self.parts):
            found.append(ParquetPartition(group, self.schema, row))
            row += found[-1].rows
        return tuple(found)

    def column_sizes(self) -> dict[str, int]:
        return dict(self.sizes)


Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""How to apply a function to many things: the builtin ``map``, threads, or a cluster."""


def open_parquet(
    patterns: str | Sequence[str], *, map_: Map = map, uri: str | None = None
) -> ParquetTable:
    """One table over the files that paths, folders or globs name.

    Columns are unified over files (see :func:`dsm_dask.sources.schema.unify`). Large files are cut
    at row groups; small ones share a partition. Raises NotFound, CorruptFile (naming the file) or
    SchemaError (naming both files).
    """
    names = [patterns] if isinstance(patterns, str) else list(patterns)
    return open_files(find_files(names), map_=map_, uri=uri or ", ".join(names))


def find_files(patterns: str | Sequence[str]) -> list[storage.ObjectInfo]:
    """The Parquet files that paths, folders or globs name, each once, in the order given."""
    names = [patterns] if isinstance(patterns, str) else list(patterns)
    files = {file.uri: file for name in names for file in storage.find(name, SUFFIXES)}
    return list(files.values())


def open_files(
    files: Sequence[storage.ObjectInfo], *, map_: Map = map, uri: str = ""
) -> ParquetTable:
    """One table over listed files."""
    footers = read_footers(files, map_)
    schema = unify([(footer.file.uri, footer.schema) for footer in footers])
    sizes = dict.fromkeys(schema.names, 0)
    for footer in footers:
        for name, size in zip(footer.schema.names, footer.column_sizes, strict=True):
            sizes[name] += size
    return ParquetTable(uri, schema, cut(footers), sizes)


def as_table(source: str | Sequence[str] | Table, map_: Map = map) -> Table:
    """``source`` itself when it is a table, else the Parquet files it names."""
    if isinstance(source, (str, list, tuple)):
        return open_parquet(source, map_=map_)
    return source  # type: ignore[return-value]


# ---------------------------------------------------------------------------------------------
# Planning


def cut(footers: Sequence[Footer]) -> tuple[FilePart, ...]:
    """The parts of some files: a file larger than a partition is cut at row groups."""
    limit = partition_bytes(sum(group.size for f in footers for group in f.row_groups))
    parts = []
    for footer in footers:
        start, size, rows = 0, 0, 0
        for index, group in enumerate(footer.row_groups):
            if size and size + group.size > limit:
                parts.append(_part(footer, start, index, rows, size))
                start, size, rows = index, 0, 0
            size, rows = size + group.size, rows + group.rows
        if rows:
            parts.append(_part(footer, start, len(footer.row_groups), rows, size))
    return tuple(parts)


def coalesce(parts: Sequence[Any], limit: int | None = None) -> list[tuple[Any, ...]]:
    """Neighbouring parts together, up to ``limit`` bytes: a partition of a table of this size."""
    if limit is None:
        limit = partition_bytes(sum(part.size for part in parts))
    groups: list[list[Any]] = []
    filled = 0
    for part in parts:
        if groups and filled + part.size <= limit:
            groups[-1].append(part)
            filled += part.size
        else:
            groups.append([part])
            filled = part.size
    return [tuple(group) for group in groups]


def partition_bytes(total: int) -> int:
    """Bytes in a partition of a table of ``total`` bytes.

    >>> partition_bytes(10 << 20) >> 20, partition_bytes(1 << 30) >> 20
    (1, 16)
    """
    least, most = PARTITION_BYTES
    return min(most, max(least, total // 64))


def _part(footer: Footer, start: int, stop: int, rows: int, size: int) -> FilePart:
    file = footer.file
    return FilePart(file.uri, file.size, file.etag, footer.footer_size, start, stop, rows, size)


def read_footers(files: Sequence[storage.ObjectInfo], map_: Map) -> list[Footer]:
    """The footer of every file, read several files at a time."""
    step = 32
    chunks = [tuple(files[i : i + step]) for i in range(0, len(files), step)]
    return [footer for chunk in map_(_read_footers, chunks) for footer in chunk]


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
    with _named(file.uri):
        if not 8 < size <= file.size:
            raise pa.ArrowInvalid(f"the footer claims {length} bytes of {file.size}")
        if size > tail_size:
            (tail,) = storage.read_ranges(file.uri, [(file.size - size, file.size)], file.etag)
        metadata = pq.read_metadata(io.BytesIO(_as_file(bytes(tail[-size:]))))
        return _footer(file, metadata, size)


def _as_file(footer: bytes) -> bytes:
    return b"PAR1" + footer


def _footer(file: storage.ObjectInfo, metadata: pq.FileMetaData, size: int) -> Footer:
    schema = metadata.schema.to_arrow_schema()
    groups, columns = [], [0] * len(schema)
    spans = _leaf_spans(schema)
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        sizes = [group.column(leaf).total_compressed_size for leaf in range(group.num_columns)]
        groups.append(RowGroup(group.num_rows, sum(sizes)))
        for column, (first, stop) in enumerate(spans):
            columns[column] += sum(sizes[first:stop])
    return Footer(file, schema.remove_metadata(), tuple(groups), size, tuple(columns))


def _leaf_spans(schema: pa.Schema) -> list[tuple[int, int]]:
    spans, first = [], 0
    for field in schema:
        spans.append((first, first + leaf_count(field.type)))
        first = spans[-1][1]
    return spans


# ---------------------------------------------------------------------------------------------
# Reading


def with_row_ids(
    batch: pa.RecordBatch, columns: Sequence[str], row_ids: Callable[[], Any]
) -> pa.RecordBatch:
    """The batch with its columns in the order asked for, :data:`ROW_ID` among them if it was."""
    if ROW_ID not in columns:
        return batch
    ids = pa.array(row_ids(), pa.uint64())
    arrays = [ids if name == ROW_ID else batch.column(name) for name in columns]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _empty_batches(rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, BATCH_ROWS):
        yield no_columns(min(BATCH_ROWS, rows - start))


def no_columns(rows: int) -> pa.RecordBatch:
    """A batch of rows without columns."""
    struct_array = pa.StructArray.from_buffers(pa.struct([]), rows, [None])
    return pa.RecordBatch.from_struct_array(struct_array)


def _read_part(part: FilePart, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    start = part.file_size - part.footer_size
    (tail,) = storage.read_ranges(part.uri, [(start, part.file_size)], part.etag)
    metadata = pq.read_metadata(io.BytesIO(_as_file(bytes(tail))))
    stored = metadata.schema.to_arrow_schema()
    names = [name for name in schema.names if name in stored.names]
    groups = range(part.first_group, part.stop_group)
    if not names:
        for batch in _empty_batches(part.rows):
            yield conform(batch, schema)
        return
    leaves = [
        leaf
        for name, (first, stop) in zip(stored.names, _leaf_spans(stored), strict=True)
        if name in set(names)
        for leaf in range(first, stop)
    ]
    for group, source in _prefetch(part, metadata, leaves, groups):
        file = pq.ParquetFile(source, metadata=metadata, pre_buffer=False)
        rows = _batch_rows(metadata, group, leaves)
        for batch in file.iter_batches(rows, row_groups=[group], columns=names, use_threads=False):
            yield conform(batch, schema)


def _batch_rows(metadata: pq.FileMetaData, group: int, leaves: Sequence[int]) -> int:
    info = metadata.row_group(group)
    decoded = sum(info.column(leaf).total_uncompressed_size for leaf in leaves)
    width = max(1, decoded // max(1, info.num_rows))
    return int(min(BATCH_ROWS, max(64, BATCH_BYTES // width)))


def _prefetch(
    part: FilePart, metadata: pq.FileMetaData, leaves: Sequence[int], groups: Sequence[int]
) -> Iterator[tuple[int, SparseFile]]:
    """Each row group with its column chunks in memory, the next one being fetched meanwhile."""

    def fetch(group: int) -> SparseFile:
        ranges = _chunk_ranges(metadata.row_group(group), leaves)
        blocks = storage.read_ranges(part.uri, ranges, part.etag)
        return SparseFile(part, dict(zip(ranges, blocks, strict=True)))

    with ThreadPoolExecutor(1) as pool:
        ahead: Future[SparseFile] | None = None
        for index, group in enumerate(groups):
            ready = ahead.result() if ahead is not None else fetch(group)
            if index + 1 < len(groups):
                context = contextvars.copy_context()
                ahead = pool.submit(context.run, fetch, groups[index + 1])
            yield group, ready


def _chunk_ranges(group: Any, leaves: Sequence[int]) -> list[tuple[int, int]]:
    """Byte ranges of some column chunks, those that touch as one."""
    found: list[tuple[int, int]] = []
    for leaf in leaves:
        chunk = group.column(leaf)
        start = chunk.data_page_offset
        if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
            start = min(start, chunk.dictionary_page_offset)
        found.append((start, start + chunk.total_compressed_size))
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


class SparseFile(io.RawIOBase):
    """A file of which only some byte ranges are in memory; others are fetched when asked for."""

    def __init__(self, part: FilePart, blocks: dict[tuple[int, int], memoryview]) -> None:
        self._part = part
        self._blocks = blocks
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._part.file_size}
        self._position = origin[whence] + offset
        return self._position

    def read(self, size: int = -1) -> memoryview:  # type: ignore[override]
        start = self._position
        stop = self._part.file_size if size < 0 else min(start + size, self._part.file_size)
        self._position = stop
        for (first, last), block in self._blocks.items():
            if first <= start and stop <= last:
                return block[start - first : stop - first]
        (block,) = storage.read_ranges(self._part.uri, [(start, stop)], self._part.etag)
        return block


class _named:  # noqa: N801 - reads as a statement
    """Turn what Arrow raises about a file into an error that names it."""

    def __init__(self, label: str) -> None:
        self.label = label

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SourceChanged) or error is None or isinstance(error, DsmError):
            return
        if isinstance(error, (pa.ArrowException, OSError)):
            raise CorruptFile(
                f"{self.label} cannot be decoded: {str(error).rstrip('.')}.",
                where=self.label,
                valid="Replace the file, or leave it out.",
            ) from error
