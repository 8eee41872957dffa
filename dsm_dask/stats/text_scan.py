"""One pass over the bytes of texts: hashes, lengths, classes, smallest and largest.

Compiled by Numba; import this module only where a batch is at hand. One core, texts of 50 bytes:
about 20 ns each (Arrow's lengths, extremes and a hash of its own, one after another: 90).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask.stats.kernels import hash_text
from dsm_dask.text_bytes import load_word, wide_space

Int64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

_SEED = np.uint64(0x5851F42D4C957F2D)


@dataclasses.dataclass(frozen=True)
class TextScan:
    """``hashes``: one of each text that has a weight. ``counts``: the fields of
    :class:`dsm_dask.stats.text_classes.TextCounts`, in their order. ``shortest`` and ``longest`` in
    characters; ``first`` and ``last`` are where the smallest and the largest text by bytes are, all
    -1 without a text."""

    hashes: U64
    counts: Int64
    shortest: int
    longest: int
    first: int
    last: int


def scan(texts: pa.Array, weights: Int64) -> TextScan:
    """What there is to know of strings or binaries, text i of which stands for ``weights[i]``
    rows; those of no rows, and what lies under nulls, are not looked at."""
    if not len(texts):
        return TextScan(np.empty(0, np.uint64), np.zeros(9, np.int64), -1, -1, -1, -1)
    offsets, data = _parts(texts)
    used = data[int(offsets[0]) : int(offsets[-1])]
    ascii_only = bool(_is_ascii(used))
    hashes, counts, places = _scan(data, offsets, weights, ascii_only, _SEED)
    return TextScan(hashes, counts, *places)


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
    return wide_space(data, at, end)


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
def _leading(data: Bytes, start: int, end: int) -> np.uint64:
    """The first 8 bytes of a text, in an order that is that of the texts but for those that agree
    on them."""
    size = end - start
    if size >= 8:
        return _swapped(load_word(data, start))
    word = np.uint64(0)
    for place in range(start, end):
        word = (word << np.uint64(8)) | np.uint64(data[place])
    return word << np.uint64(8 * (8 - size)) if size else np.uint64(0)


@_compiled
def _swapped(word: np.uint64) -> np.uint64:
    """Bytes the other way round."""
    word = ((word >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)) | (
        (word & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8)
    )
    word = ((word >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)) | (
        (word & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16)
    )
    return (word >> np.uint64(32)) | (word << np.uint64(32))


@_compiled
def _is_less(data: Bytes, start: int, end: int, other: int, other_end: int) -> bool:
    for k in range(min(end - start, other_end - other)):
        if data[start + k] != data[other + k]:
            return bool(data[start + k] < data[other + k])
    return end - start < other_end - other


@_compiled
def _scan(data: Bytes, offsets: Any, weights: Int64, ascii_only: bool, seed: np.uint64) -> Any:
    signed = data.view(np.int8)  # bytes above 127 are negative, those that go on below -64
    hashes = np.empty(len(weights), np.uint64)
    count = empty = blank = padded = numeric = non_ascii = invalid = size = going_on = 0
    known = 0
    shortest, longest = np.int64(1 << 62), np.int64(-1)
    low, high = np.uint64(0), np.uint64(0)
    first_row = last_row = -1
    for row in range(len(weights)):
        weight = weights[row]
        if weight == 0:
            continue
        start, end = int(offsets[row]), int(offsets[row + 1])
        hashes[known] = hash_text(data, start, end, seed)
        known += 1
        lead = _leading(data, start, end)
        if first_row < 0 or lead < low or (
            lead == low and _is_less(data, start, end, int(offsets[first_row]),
                                     int(offsets[first_row + 1]))
        ):  # fmt: skip
            low, first_row = lead, row
        if last_row < 0 or lead > high or (
            lead == high and _is_less(data, int(offsets[last_row]), int(offsets[last_row + 1]),
                                      start, end)
        ):  # fmt: skip
            high, last_row = lead, row
        count += weight
        size += weight * (end - start)
        rest = 0
        if not ascii_only:
            above = 0
            for place in range(start, end):
                above += signed[place] < 0
                rest += signed[place] < -64
            if above:
                non_ascii += weight
                going_on += weight * rest
                invalid += weight * (not _is_utf8(data, start, end))
        characters = np.int64(end - start - rest)
        shortest, longest = min(shortest, characters), max(longest, characters)
        if start == end:
            empty += weight
            continue
        first, last = start, end
        if signed[start] <= 32 or signed[end - 1] <= 32:  # white space, or perhaps
            first, last = _trimmed(data, start, end)
            if first == last:
                blank += weight
                continue
            padded += weight * (first > start or last < end)
        if data[first] <= 57 and _is_number(data, first, last):
            numeric += weight
    counts = np.array(
        [count, empty, blank, padded, numeric, non_ascii, invalid, size, size - going_on], np.int64
    )
    if known == 0:
        shortest = np.int64(-1)
    return hashes[:known], counts, (shortest, longest, first_row, last_row)
