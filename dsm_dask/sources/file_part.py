"""A run of row groups of one Parquet file, read by exact byte ranges.

Only the column chunks that are asked for are fetched, all of a row group side by side, one row
group ahead of the decoder.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsm_dask import storage
from dsm_dask.sources.footer import as_file, leaf_spans, naming
from dsm_dask.sources.schema import conform

BATCH_ROWS = 1 << 17
"""Rows in a batch, at most."""

BATCH_BYTES = 16 << 20
"""Aim for batches of about this many decoded bytes: rows of long texts come in smaller batches."""


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
            yield from empty_batches(self.rows)
            return
        with naming(self.label):
            yield from _read_part(self, schema)


def empty_batches(rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, BATCH_ROWS):
        yield no_columns(min(BATCH_ROWS, rows - start))


def no_columns(rows: int) -> pa.RecordBatch:
    """A batch of rows without columns."""
    struct_array = pa.StructArray.from_buffers(pa.struct([]), rows, [None])
    return pa.RecordBatch.from_struct_array(struct_array)


def _read_part(part: FilePart, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    metadata = _metadata(
        part.uri, part.file_size, part.footer_size, part.etag, storage.current_options()
    )
    stored = metadata.schema.to_arrow_schema()
    names = [name for name in schema.names if name in stored.names]
    groups = range(part.first_group, part.stop_group)
    if not names:
        for batch in empty_batches(part.rows):
            yield conform(batch, schema)
        return
    leaves = [
        leaf
        for name, (first, stop) in zip(stored.names, leaf_spans(stored), strict=True)
        if name in set(names)
        for leaf in range(first, stop)
    ]
    for group, source in _prefetch(part, metadata, leaves, groups):
        file = pq.ParquetFile(
            source, metadata=metadata, pre_buffer=False, page_checksum_verification=True
        )
        rows = _batch_rows(file, metadata.row_group(group), group, leaves)
        # By number: to ParquetFile.iter_batches, "s.x" is a column of that name and a field of "s".
        for batch in file.reader.iter_batches(
            rows, row_groups=[group], column_indices=leaves, use_threads=False
        ):
            yield conform(batch, schema)


@functools.lru_cache(maxsize=128)
def _metadata(
    uri: str, file_size: int, footer_size: int, etag: str, options: storage.Options
) -> pq.FileMetaData:
    """The parsed footer, fetched once a process for all parts of a file.

    The chunks are read under the same ETag, so a file that changes meanwhile is noticed there.
    """
    del options  # part of the cache key: the same URI may be another store
    start = file_size - footer_size
    (tail,) = storage.read_ranges(uri, [(start, file_size)], etag)
    return pq.read_metadata(io.BytesIO(as_file(bytes(tail))))


def _batch_rows(file: pq.ParquetFile, info: Any, group: int, leaves: Sequence[int]) -> int:
    """Rows that make a batch of about :data:`BATCH_BYTES`.

    Stored sizes say nothing about texts in a dictionary, which may be a thousand times longer than
    their codes: the first of those are decoded and measured.
    """
    rows, decoded, coded = max(1, info.num_rows), 0, []
    for leaf in leaves:
        chunk = info.column(leaf)
        if chunk.physical_type in _FIXED_WIDTH:
            decoded += chunk.num_values * _FIXED_WIDTH[chunk.physical_type]
        elif chunk.has_dictionary_page:
            coded.append(leaf)
        else:
            decoded += chunk.total_uncompressed_size
    width = decoded // rows
    if coded:
        probe = file.reader.iter_batches(
            PROBE_ROWS, row_groups=[group], column_indices=coded, use_threads=False
        )
        width += next((-(-b.nbytes // b.num_rows) for b in probe if b.num_rows), 0)
    return int(min(BATCH_ROWS, max(1, BATCH_BYTES // max(1, width))))


PROBE_ROWS = 64
_FIXED_WIDTH = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}


def _prefetch(
    part: FilePart, metadata: pq.FileMetaData, leaves: Sequence[int], groups: Sequence[int]
) -> Iterator[tuple[int, SparseFile]]:
    """Each row group with its column chunks in memory, the next one being fetched meanwhile."""

    def fetch(group: int) -> SparseFile:
        ranges = _chunk_ranges(metadata.row_group(group), leaves)
        if ranges[0][0] < 0 or ranges[-1][1] > part.file_size - part.footer_size:
            raise pa.ArrowInvalid(f"the column chunks of row group {group} reach out of the file")
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
        if chunk.has_dictionary_page and chunk.dictionary_page_offset:  # some writers put 0
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

    def read(self, size: int = -1) -> memoryview:
        start = self._position
        stop = self._part.file_size if size < 0 else min(start + size, self._part.file_size)
        self._position = stop
        for (first, last), block in self._blocks.items():
            if first <= start and stop <= last:
                return block[start - first : stop - first]
        (block,) = storage.read_ranges(self._part.uri, [(start, stop)], self._part.etag)
        return block
