"""What sorts of text a column holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.stats import values

Int64 = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@codec.state("stats.text_classes", 1)
@dataclasses.dataclass(frozen=True)
class TextCounts:
    """How many of ``count`` values (nulls are none) are ``empty``; ``blank``: only white space, but
    some; ``padded``: with white space before or after other text; ``numeric``: read as a number;
    ``non_ascii``: with a byte above 127; ``invalid_utf8``: no text in UTF-8. ``bytes`` and
    ``characters`` are totals. State and result of :class:`TextClasses`."""

    count: int = 0
    empty: int = 0
    blank: int = 0
    padded: int = 0
    numeric: int = 0
    non_ascii: int = 0
    invalid_utf8: int = 0
    bytes: int = 0
    characters: int = 0


@dataclasses.dataclass(frozen=True)
class TextClasses:
    """Classes of the values of a string or binary column. Exact.

    White space is what Unicode calls White_Space. A number is a sign or none, digits with one
    decimal point or none, and an exponent or none, all in ASCII, with white space around it or not:
    what most parsers of CSV take for a number. Characters are code points (in bytes that are not
    UTF-8: those that do not continue one). One pass over the bytes, compiled; each value of a
    dictionary is looked at once.

    >>> from dsm_dask.fold import run
    >>> found = run(TextClasses("x"), [pa.record_batch({"x": ["", " ", "-1.5e3 ", "né", None]})])
    >>> found.count, found.empty, found.blank, found.padded, found.numeric, found.non_ascii
    (4, 1, 1, 1, 1, 1)
    """

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return values.kind_of(dtype) in {"string", "binary"}

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> TextCounts:
        return TextCounts()

    def update(self, state: TextCounts, batch: pa.RecordBatch) -> TextCounts:
        texts, weights = _weighted(batch.column(self.column))
        if not len(texts):
            return state
        offsets, data = _parts(texts)
        used = data[int(offsets[0]) : int(offsets[-1])]
        found = _classify(data, offsets, weights, bool(_is_ascii(used)))
        return self.merge(state, TextCounts(*found.tolist()))

    def merge(self, left: TextCounts, right: TextCounts) -> TextCounts:
        pairs = zip(dataclasses.astuple(left), dataclasses.astuple(right), strict=True)
        return TextCounts(*(a + b for a, b in pairs))

    def finish(self, state: TextCounts) -> TextCounts:
        return state


def _weighted(array: pa.Array) -> tuple[pa.Array, Int64]:
    """Values, and how many rows hold each; those under nulls have no weight."""
    if isinstance(array.type, pa.BaseExtensionType):
        return _weighted(array.storage)
    weights: Int64
    if pa.types.is_dictionary(array.type):
        texts = arrays.plain(array.dictionary)
        codes = arrays.fixed_width(array.indices)
        valid = arrays.validity(array.indices)
        codes = (codes if valid is None else codes[valid]).astype(np.int64, copy=False)
        weights = np.bincount(codes, minlength=len(texts)).astype(np.int64)
    else:
        texts = arrays.plain(array)
        weights = np.ones(len(texts), np.int64)
    valid = arrays.validity(texts)
    return texts, weights if valid is None else weights * valid


def _parts(texts: pa.Array) -> tuple[npt.NDArray[Any], Bytes]:
    """Where each value begins and ends, and all bytes."""
    if pa.types.is_fixed_size_binary(texts.type):
        slots = np.arange(texts.offset, texts.offset + len(texts) + 1, dtype=np.int64)
        offsets, buffer = slots * texts.type.byte_width, texts.buffers()[1]
    else:
        wide = pa.types.is_large_string(texts.type) or pa.types.is_large_binary(texts.type)
        kind = np.dtype("int64" if wide else "int32")
        _, ends, buffer = texts.buffers()
        start = texts.offset * kind.itemsize
        offsets = np.frombuffer(ends, kind, count=len(texts) + 1, offset=start)
    return offsets, np.empty(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)


_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def _is_ascii(data: Bytes) -> bool:
    high = np.uint8(0)
    for byte in data:
        high |= byte
    return bool(high < 128)


@_compiled
def _space_at(data: Bytes, at: int, end: int) -> int:
    """How many bytes the white space there takes; 0 for anything else."""
    byte = data[at]
    if byte == 32 or 9 <= byte <= 13:
        return 1
    if byte == 0xC2:
        return 2 if at + 1 < end and (data[at + 1] == 0x85 or data[at + 1] == 0xA0) else 0
    if byte < 0xE1 or byte > 0xE3 or at + 2 >= end:
        return 0
    second, third = data[at + 1], data[at + 2]
    if byte == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if byte == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    if second == 0x80:
        return 3 if 0x80 <= third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
    return 3 if second == 0x81 and third == 0x9F else 0


@_compiled
def _trimmed(data: Bytes, start: int, end: int) -> tuple[int, int]:
    """The part of a value between the white space around it."""
    while start < end:
        size = _space_at(data, start, end)
        if size == 0:
            break
        start += size
    while start < end:
        size = _space_at(data, end - 1, end)
        for back in range(2, 4):
            if size == 0 and end - back >= start and _space_at(data, end - back, end) == back:
                size = back
        if size == 0:
            break
        end -= size
    return start, end


@_compiled
def _digits(data: Bytes, at: int, end: int) -> int:
    while at < end and 48 <= data[at] <= 57:
        at += 1
    return at


@_compiled
def _is_number(data: Bytes, at: int, end: int) -> bool:
    if data[at] == 43 or data[at] == 45:
        at += 1
    whole = _digits(data, at, end)
    found = whole - at
    at = whole
    if at < end and data[at] == 46:
        part = _digits(data, at + 1, end)
        found += part - at - 1
        at = part
    if found == 0:
        return False
    if at < end and (data[at] == 101 or data[at] == 69):
        at += 1
        if at < end and (data[at] == 43 or data[at] == 45):
            at += 1
        power = _digits(data, at, end)
        if power == at:
            return False
        at = power
    return at == end


@_compiled
def _is_utf8(data: Bytes, at: int, end: int) -> bool:
    """As RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF."""
    while at < end:
        first = data[at]
        if first < 0x80:
            at += 1
            continue
        size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        if first < 0xC2 or first > 0xF4 or at + size > end:
            return False
        second = data[at + 1]
        low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
        high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
        if second < low or second > high:
            return False
        for place in range(at + 2, at + size):
            if data[place] & 0xC0 != 0x80:
                return False
        at += size
    return True


@_compiled
def _classify(data: Bytes, offsets: Int64, weights: Int64, ascii_only: bool) -> Int64:
    """The fields of :class:`TextCounts`, each row with its weight."""
    signed = data.view(np.int8)  # bytes above 127 are negative, those that go on below -64
    count = empty = blank = padded = numeric = non_ascii = invalid = size = going_on = 0
    for row in range(len(weights)):
        weight = weights[row]
        if weight == 0:
            continue
        start, end = int(offsets[row]), int(offsets[row + 1])
        count += weight
        size += weight * (end - start)
        if start == end:
            empty += weight
            continue
        if not ascii_only:
            high = rest = 0
            for place in range(start, end):
                high += signed[place] < 0
                rest += signed[place] < -64
            if high:
                non_ascii += weight
                going_on += weight * rest
                invalid += weight * (not _is_utf8(data, start, end))
        first, last = start, end
        if signed[start] <= 32 or signed[end - 1] <= 32:  # white space, or perhaps
            first, last = _trimmed(data, start, end)
            if first == last:
                blank += weight
                continue
            padded += weight * (first > start or last < end)
        if data[first] <= 57 and _is_number(data, first, last):
            numeric += weight
    characters = size - going_on
    return np.array(
        [count, empty, blank, padded, numeric, non_ascii, invalid, size, characters], np.int64
    )
