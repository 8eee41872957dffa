"""Texts as vectors, without a model: hashed n-grams of characters and words, projected.

A compiled loop over Arrow's buffers. Import this module only where a batch is at hand.

A text is read as words: runs of letters, digits and everything beyond ASCII, in small letters. Its
features are the n-grams of characters of each word, a space on either side included, and the
n-grams of words, hashed to 64 bits (FNV-1a, mixed by the finaliser of SplitMix64). A feature that
occurs f times weighs ``1 + ln f``; characters and words weigh the same together. Each feature is
added, with signs, to :data:`SPREAD` components chosen by its hash: a sparse random projection
(Kane and Nelson, "Sparser Johnson-Lindenstrauss transforms", JACM 61, 2014; feature hashing:
Weinberger et al., ICML 2009). It keeps cosines but for an error of about ``1 / sqrt(dimension)``.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from dsm_dask.text_bytes import mixed

Vectors = npt.NDArray[np.float32]

SPREAD = 4
"""Components that each feature is added to."""
_SLOTS = 1 << 13
"""Different features counted at once; a longer text is counted piece by piece."""
_compiled = numba.njit(cache=True, nogil=True)
_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_PLACE = np.uint64((1 << 15) - 1)
_STEP = np.uint64(0x9E3779B97F4A7C15)


def embed_texts(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    dimension: int,
    characters: npt.NDArray[np.int64],
    words: npt.NDArray[np.int64],
) -> Vectors:
    """Vectors of the texts ``data[offsets[i]:offsets[i + 1]]`` (UTF-8), of length 1 or, for a text
    without a word, 0: float32 of shape (texts, dimension)."""
    rows = np.empty((len(offsets) - 1, dimension), np.float32)
    longest = int(np.diff(offsets).max(initial=0))
    plain = np.empty(longest + 2, np.uint8)
    keys, counts = np.zeros(_SLOTS, np.uint64), np.zeros(_SLOTS, np.int64)
    used = np.empty(_SLOTS, np.int64)
    _embed(data, offsets, characters, words, rows, plain, keys, counts, used)
    return rows


@_compiled
def _embed(
    data: Any, offsets: Any, characters: Any, words: Any, rows: Any, plain: Any,
    keys: Any, counts: Any, used: Any,
) -> None:  # fmt: skip
    dimension = rows.shape[1]
    total = np.empty(dimension, np.float64)
    part = np.empty(dimension, np.float64)
    for row in range(len(offsets) - 1):
        length = _words(data, offsets[row], offsets[row + 1], plain)
        total[:] = 0
        if length > 1:
            _characters(plain, length, characters, keys, counts, used, part)
            _add(part, total)
            _word_runs(plain, length, words, keys, counts, used, part)
            _add(part, total)
        norm = math.sqrt(np.dot(total, total))
        for place in range(dimension):
            rows[row, place] = total[place] / norm if norm > 0 else 0.0


@_compiled
def _words(data: Any, start: int, stop: int, plain: Any) -> int:
    """Words in small letters, with one space before the first, after the last and in between."""
    plain[0] = 32
    length = 1
    for place in range(start, stop):
        byte = data[place]
        if 65 <= byte <= 90:
            byte += 32
        if 97 <= byte <= 122 or 48 <= byte <= 57 or byte >= 128:
            plain[length] = byte
            length += 1
        elif plain[length - 1] != 32:
            plain[length] = 32
            length += 1
    if plain[length - 1] != 32:
        plain[length] = 32
        length += 1
    return length


@_compiled
def _characters(
    plain: Any, length: int, sizes: Any, keys: Any, counts: Any, used: Any, part: Any
) -> None:
    """The n-grams of characters within words; bytes that only continue a character start none."""
    part[:] = 0
    held, weight = 0, 0.0
    for first in range(length):
        if plain[first] & 0xC0 == 0x80:
            continue
        for size in sizes:
            hashed, seen, end = _BASIS + np.uint64(size), 0, first
            while end < length:
                if plain[end] & 0xC0 != 0x80:
                    if seen == size:
                        break
                    seen += 1
                if plain[end] == 32 and first < end and seen < size:
                    break  # the end of the word
                hashed = (hashed ^ np.uint64(plain[end])) * _PRIME
                end += 1
            if seen == size:
                held, weight = _count(mixed(hashed), keys, counts, used, held, weight, part)
    _scale(part, weight + _project(keys, counts, used, held, part))


@_compiled
def _word_runs(
    plain: Any, length: int, sizes: Any, keys: Any, counts: Any, used: Any, part: Any
) -> None:
    """The n-grams of words."""
    part[:] = 0
    held, weight = 0, 0.0
    for first in range(length - 1):
        if plain[first] != 32:
            continue
        for size in sizes:
            hashed, seen, end = _BASIS ^ np.uint64(size << 32), 0, first + 1
            while end < length and seen < size:
                hashed = (hashed ^ np.uint64(plain[end])) * _PRIME
                if plain[end] == 32:
                    seen += 1
                end += 1
            if seen == size:
                held, weight = _count(mixed(hashed), keys, counts, used, held, weight, part)
    _scale(part, weight + _project(keys, counts, used, held, part))


@_compiled
def _count(key: Any, keys: Any, counts: Any, used: Any, held: int, weight: float, part: Any) -> Any:
    """One more of a feature; a table that is full is projected and emptied first."""
    if 2 * held >= len(keys):
        weight += _project(keys, counts, used, held, part)
        held = 0
    slot = np.int64(key & np.uint64(len(keys) - 1))
    while counts[slot] and keys[slot] != key:
        slot = (slot + 1) & (len(keys) - 1)
    if counts[slot] == 0:
        keys[slot] = key
        used[held] = slot
        held += 1
    counts[slot] += 1
    return held, weight


@_compiled
def _project(keys: Any, counts: Any, used: Any, held: int, part: Any) -> float:
    """Add the counted features to a vector, and empty the table; the sum of squared weights."""
    squares = 0.0
    for i in range(held):
        slot = used[i]
        weight = 1.0 if counts[slot] == 1 else 1.0 + math.log(counts[slot])
        squares += weight * weight
        word = mixed(keys[slot] + _STEP)
        for _ in range(SPREAD):  # 15 bits say which component, one bit the sign
            place = np.int64(((word & _PLACE) * np.uint64(len(part))) >> np.uint64(15))
            sign = np.float64((word >> np.uint64(15)) & np.uint64(1))
            part[place] += weight * (1.0 - 2.0 * sign)
            word >>= np.uint64(16)
        counts[slot] = 0
    return squares


@_compiled
def _scale(part: Any, squares: float) -> None:
    if squares > 0:
        part /= math.sqrt(squares)


@_compiled
def _add(part: Any, total: Any) -> None:
    total += part
