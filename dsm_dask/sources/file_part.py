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
from collections.abc import Iterable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsm_dask import storage
from dsm_dask.sources.footer import as_file, leaf_spans, naming
from dsm_dask.sources.schema import conform

BATCH_ROWS = 1 << 17
"""Rows in a batch, at most."""

BATCH_BYTES = 16 << 20
"""Aim for batches of about this many decoded bytes: rows of long texts come in smaller batches."""

BATCH_VALUES = 1 << 18
"""Values of lists in a batch, at most: decoding takes five times their bytes meanwhile, for levels
and for buffers that grow. What is computed of 1 MB of them is computed in the processor's cache."""


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

    def read(self, schema: pa.Schema, *, encoded: bool = False) -> Iterator[pa.RecordBatch]:
        """Batches with just the columns of ``schema``, in file order, as its types; ``encoded``
        texts as dictionaries of these where the file has small ones of them."""
        if not schema.names:
            yield from empty_batches(self.rows)
            return
        with naming(self.label):
            yield from _read_part(self, schema, encoded)

    def groups_of(self, rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, FilePart]]:
        """Each row group that holds any of some rows (numbers of rows of this part, ascending),
        with the number of its first row."""
        with naming(self.label):
            metadata = _metadata_of(self)
        first = 0
        for group in range(self.first_group, self.stop_group):
            count = metadata.row_group(group).num_rows
            if np.diff(np.searchsorted(rows, [first, first + count]))[0]:
                own = dataclasses.replace(self, first_group=group, stop_group=group + 1, rows=count)
                yield first, own
            first += count


def empty_batches(rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, BATCH_ROWS):
        yield no_columns(min(BATCH_ROWS, rows - start))


def no_columns(rows: int) -> pa.RecordBatch:
    """A batch of rows without columns."""
    struct_array = pa.StructArray.from_buffers(pa.struct([]), rows, [None])
    return pa.RecordBatch.from_struct_array(struct_array)


def _read_part(part: FilePart, schema: pa.Schema, encoded: bool) -> Iterator[pa.RecordBatch]:
    metadata = _metadata_of(part)
    stored = metadata.schema.to_arrow_schema()
    there = set(stored.names)  # asked of Arrow, each takes time that grows with the columns
    names = [name for name in schema.names if name in there]
    groups = range(part.first_group, part.stop_group)
    if not names:
        for batch in empty_batches(part.rows):
            yield conform(batch, schema)
        return
    spans = dict(zip(stored.names, leaf_spans(stored), strict=True))
    wanted = set(names)
    leaves = [leaf for name in stored.names if name in wanted for leaf in range(*spans[name])]
    coded = {
        name: spans[name][0]
        for name in (names if encoded else ())
        if _is_text(schema.field(name).type)
        and _is_text(stored.field(name).type)
        and all(_has_small_dictionary(metadata.row_group(g).column(spans[name][0])) for g in groups)
    }
    schema = _with_dictionaries(schema, coded)
    for group, source in _prefetch(part, metadata, leaves, groups):
        file = pq.ParquetFile(
            source, metadata=metadata, pre_buffer=False, page_checksum_verification=True,
            read_dictionary=list(coded),
        )  # fmt: skip
        rows = _batch_rows(part, file, group, leaves, set(coded.values()))
        # By number: to ParquetFile.iter_batches, "s.x" is a column of that name and a field of "s".
        for batch in file.reader.iter_batches(
            rows, row_groups=[group], column_indices=leaves, use_threads=False
        ):
            yield conform(batch, schema)


def _metadata_of(part: FilePart) -> pq.FileMetaData:
    return _metadata(
        part.uri, part.file_size, part.footer_size, part.etag, storage.current_options()
    )


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


SMALL_DICTIONARY = 32 << 10
"""Stored bytes of a dictionary up to which it pays to keep it."""


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _has_small_dictionary(chunk: Any) -> bool:
    """A larger one is often given up in the middle of a chunk. Arrow finds the columns of
    dictionaries by their names, and takes a dot in one for a field of a struct."""
    if not chunk.has_dictionary_page or not chunk.dictionary_page_offset:
        return False
    size = chunk.data_page_offset - chunk.dictionary_page_offset
    return 0 < size <= SMALL_DICTIONARY and "." not in chunk.path_in_schema


def _with_dictionaries(schema: pa.Schema, coded: Iterable[str]) -> pa.Schema:
    for name in coded:
        place = schema.get_field_index(name)
        kind = pa.dictionary(pa.int32(), schema.field(name).type)
        schema = schema.set(place, schema.field(name).with_type(kind))
    return schema


def _batch_rows(
    part: FilePart, file: pq.ParquetFile, group: int, leaves: Sequence[int], encoded: Set[int]
) -> int:
    """Rows that make a batch of about :data:`BATCH_BYTES`, and of few values of lists.

    Stored sizes say nothing about texts in a dictionary, which may be a thousand times longer than
    their codes: the first of those are decoded and measured.
    """
    info = file.metadata.row_group(group)
    rows, decoded, coded, listed = max(1, info.num_rows), 0, [], 0
    for leaf in leaves:
        chunk = info.column(leaf)
        if chunk.num_values > rows:
            listed += chunk.num_values
        if leaf in encoded:
            decoded += chunk.num_values * _CODE
        elif chunk.physical_type in _FIXED_WIDTH:
            decoded += chunk.num_values * _FIXED_WIDTH[chunk.physical_type]
        elif chunk.has_dictionary_page:
            coded.append(leaf)
        else:
            decoded += chunk.total_uncompressed_size
    width = decoded // rows
    if coded:
        stored = sum(info.column(leaf).total_uncompressed_size for leaf in coded) / rows
        width += _coded_width(part, file, group, coded, stored)
    most = min(BATCH_BYTES // max(1, width), BATCH_VALUES * rows // max(1, listed))
    return int(min(BATCH_ROWS, max(1, most)))


def _coded_width(
    part: FilePart, file: pq.ParquetFile, group: int, coded: Sequence[int], stored: float
) -> int:
    """Decoded bytes a row of columns with dictionaries, of which ``stored`` bytes a row are stored:
    measured, unless it was in a row group of this file that stores about as many."""
    known = _measured.setdefault((part.uri, part.etag, tuple(coded)), {})
    for before, width in known.items():
        if before / 1.25 <= stored <= before * 1.25:
            return width
    probe = file.reader.iter_batches(
        PROBE_ROWS, row_groups=[group], column_indices=coded, use_threads=False
    )
    known[stored] = next((-(-b.nbytes // b.num_rows) for b in probe if b.num_rows), 0)
    while len(_measured) > _FILES_MEASURED:
        _measured.pop(next(iter(_measured)), None)
    return known[stored]


_measured: dict[tuple[str, str, tuple[int, ...]], dict[float, int]] = {}
"""Decoded bytes a row of some columns of a file, by the stored ones: kept for the row groups to
come, of the last few files."""
_FILES_MEASURED = 128
PROBE_ROWS = 64
_CODE = 4
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
