"""Parquet files, local or in object storage, as one table.

Files are listed once and their footers read once (by workers, when there is an engine); from then
on a reader fetches exactly the column chunks that it needs, one row group ahead of the decoder.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask import storage
from dsm_dask.sources.file_part import FilePart
from dsm_dask.sources.footer import Footer, Map, read_footers
from dsm_dask.sources.schema import spelled, unify
from dsm_dask.table import ROW_ID, Table

SUFFIXES = (".parquet", ".pq", ".parq")

PARTITION_ROWS = 1 << 22
"""... and no more than this many rows, as far as row groups allow: bytes may be few, encoded."""

PARTITION_BYTES = (1 << 20, 64 << 20)
"""A partition is a 64th of its table, between these sizes."""


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
        types = [spelled(self.schema.field(name).type) for name in columns if name != ROW_ID]
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

    @property
    def pieces(self) -> tuple[ParquetPartition, ...]:
        """A partition for each part."""
        found, row = [], self.first_row
        for part in self.parts:
            found.append(dataclasses.replace(self, parts=(part,), first_row=row))
            row += part.rows
        return tuple(found)

    takes_encoded = True

    def read(self, columns: Sequence[str], *, encoded: bool = False) -> Iterator[pa.RecordBatch]:
        wanted = pa.schema([self.schema.field(name) for name in columns if name != ROW_ID])
        row = self.first_row
        for part in self.parts:
            for batch in part.read(wanted, encoded=encoded):
                yield with_row_ids(batch, columns, row)
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
            full = size + group.size > limit or rows + group.rows > PARTITION_ROWS
            if rows and full:
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
    filled = rows = 0
    for part in parts:
        fits = filled + part.size <= limit and rows + part.rows <= PARTITION_ROWS
        if not groups or not fits:
            groups.append([])
            filled, rows = 0, 0
        groups[-1].append(part)
        filled, rows = filled + part.size, rows + part.rows
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


# ---------------------------------------------------------------------------------------------
# Row ids


def with_row_ids(batch: pa.RecordBatch, columns: Sequence[str], first: int) -> pa.RecordBatch:
    """The batch with its columns in the order asked for; row ids count from ``first``."""
    if ROW_ID not in columns:
        return batch
    ids = pa.array(np.arange(first, first + batch.num_rows, dtype=np.uint64))
    arrays = [ids if name == ROW_ID else batch.column(name) for name in columns]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))
