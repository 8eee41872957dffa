"""Compiled loops over texts: words and characters, shingles, signatures, band keys.

They walk the bytes of an Arrow column: no Python object is made for a row. Numba
(https://numba.pydata.org), compiled at first use and kept on disk; import this module only where a
batch is at hand.

A *unit* is a word or a character, as a 64-bit hash. A shingle of n units u is the polynomial
u1 B^(n-1) + ... + un modulo 2^64 (Karp and Rabin, IBM J. Res. Dev. 31, 1987), mixed by the
finaliser of SplitMix64. Texts are taken in blocks of units, so that the length of a text makes no
difference to memory.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from dsm_dask.text_bytes import load_word, mixed, wide_space

_compiled = numba.njit(cache=True, nogil=True)

BLOCK = 4096
"""Units held at a time."""

LARGE = 1 << 18
"""Shingles of a text that is sorted in place."""

WORD, CHAR = 0, 1

_BASE = np.uint64(0x9E3779B97F4A7C15)
_BYTE = np.uint64(0xD6E8FEB86659FD93)
_MIX2 = np.uint64(0x94D049BB133111EB)
_MIX3 = np.uint64(0xFF51AFD7ED558CCD)
_STRAY = np.uint64(0x110000)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_BELOW = np.uint64(0x2121212121212121)
_HIGHS = np.uint64(0x8080808080808080)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)

LANES = 64
"""Permutations taken together: as many 32-bit numbers as fill four of the widest registers."""


def _trailing_zeros(context: Any, number: Any) -> Any:
    """Zero bits below the lowest one bit; 64 for zero."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(0))

    return numba.intp(numba.uint64), generate


trailing_zeros: Any = intrinsic(_trailing_zeros)


def _white_table() -> Any:
    """0: part of a word, 1: white space, 2: the first byte of a character that may be white."""
    kinds = np.zeros(256, np.uint8)
    kinds[9:14] = kinds[28:33] = 1
    kinds[[0xC2, 0xE1, 0xE2, 0xE3]] = 2
    return kinds


_WHITE = _white_table()


@_compiled
def _add(hashed: Any, value: Any, count: Any) -> Any:
    """A word's hash with up to eight bytes more, or with one special byte (``count`` 9)."""
    hashed = ((hashed ^ value) + np.uint64(count) * _MIX2) * _BYTE
    return hashed ^ (hashed >> np.uint64(32))


@_compiled
def _words(data: Any, at: int, end: int, units: Any, count: int) -> Any:
    """Fill ``units`` with hashes of words; the new count, and where to go on.

    Eight bytes at a time: those up to the first that is a control character, a space or not ASCII
    are part of a word. Which bytes are taken together depends on the word alone.
    """
    room = len(units)
    fast = min(end, len(data) - 8)
    hashed, inside = _ZERO, False
    while at < end:
        plain = 0
        if at <= fast:
            word = load_word(data, at)
            stops = ((word - _BELOW) | word) & _HIGHS
            plain = min(end - at, trailing_zeros(stops) >> 3)
            kept = word & (_ALL >> np.uint64(64 - 8 * plain)) if plain else _ZERO
        else:
            kept = _ZERO
            while plain < 8 and at + plain < end and 0x21 <= data[at + plain] < 0x80:
                kept |= np.uint64(data[at + plain]) << np.uint64(8 * plain)
                plain += 1
        if plain:
            hashed, inside = _add(hashed, kept, plain), True
            at += plain
            if plain == 8:
                continue
        while at < end:
            byte = data[at]
            kind = _WHITE[byte]
            step = 1
            if kind == 2:
                step = wide_space(data, at, end)
                kind, step = (1, step) if step else (0, 1)
            elif kind == 0 and 0x21 <= byte < 0x80:
                break
            at += step
            if kind == 0:
                hashed, inside = _add(hashed, np.uint64(byte), 9), True
            elif inside:
                units[count] = hashed
                count += 1
                hashed, inside = _ZERO, False
                if count == room:
                    return count, at
    if inside:
        units[count] = hashed
        count += 1
    return count, end


@_compiled
def _chars(data: Any, at: int, end: int, units: Any, count: int) -> Any:
    """Fill ``units`` with hashes of code points; a byte that is not UTF-8 is a unit of its own."""
    room = len(units)
    while at < end and count < room:
        first = np.uint64(data[at])
        more = 0
        if 0xC2 <= first < 0xE0:
            more = 1
        elif 0xE0 <= first < 0xF0:
            more = 2
        elif 0xF0 <= first < 0xF5:
            more = 3
        point = first & np.uint64(0x7F >> (more + 1)) if more else first
        whole = at + more < end
        for i in range(1, more + 1):
            if not whole or data[at + i] & 0xC0 != 0x80:
                whole = False
                break
            point = (point << np.uint64(6)) | np.uint64(data[at + i] & 0x3F)
        if not whole:
            point, more = first + _STRAY, 0
        elif more == 0 and first >= 0x80:
            point = first + _STRAY
        units[count] = (point + _ONE) * _MIX3
        count += 1
        at += more + 1
    return count, at


@_compiled
def _shingle(units: Any, count: int, size: int, shingles: Any) -> int:
    """Shingles of ``count`` units, ``size`` of them each; how many there are."""
    found = count - size + 1
    if found <= 0:
        return 0
    top = _ONE
    rolling = np.uint64(0)
    for i in range(size):
        rolling = rolling * _BASE + units[i]
        if i:
            top *= _BASE
    shingles[0] = rolling
    for i in range(1, found):
        rolling = (rolling - units[i - 1] * top) * _BASE + units[i + size - 1]
        shingles[i] = rolling
    for i in range(found):
        shingles[i] = mixed(shingles[i])
    return found


@_compiled
def _short(units: Any, count: int) -> Any:
    """The only shingle of a text that is shorter than one: all of it."""
    rolling = np.uint64(count)
    for i in range(count):
        rolling = rolling * _BASE + units[i]
    return mixed(rolling)


@_compiled
def _keep_smallest(shingles: Any, count: int, factors: Any, addends: Any, mins: Any) -> None:
    """Update the minimum of ``factor x + addend`` modulo 2^32 over shingles x, for each lane."""
    half = np.uint64(32)
    for block in range(0, len(mins), LANES):
        held = mins[block : block + LANES]
        a, b = factors[block : block + LANES], addends[block : block + LANES]
        whole = count - count % 4
        for i in range(0, whole, 4):  # four together: a lane's minimum is loaded and stored once
            w, x = np.uint32(shingles[i] >> half), np.uint32(shingles[i + 1] >> half)
            y, z = np.uint32(shingles[i + 2] >> half), np.uint32(shingles[i + 3] >> half)
            for lane in range(LANES):
                f, c = a[lane], b[lane]
                first = min(np.uint32(f * w + c), np.uint32(f * x + c))
                second = min(np.uint32(f * y + c), np.uint32(f * z + c))
                held[lane] = min(held[lane], min(first, second))
        for i in range(whole, count):
            x = np.uint32(shingles[i] >> half)
            for lane in range(LANES):
                held[lane] = min(held[lane], np.uint32(a[lane] * x + b[lane]))


@_compiled
def _band_keys(mins: Any, rows: int, keys: Any) -> None:
    for band in range(len(keys)):
        key = np.uint64(band + 1) * _BASE
        for i in range(band * rows, (band + 1) * rows):
            key = (key ^ np.uint64(mins[i])) * _BYTE
            key ^= key >> np.uint64(29)
        keys[band] = mixed(key)


@_compiled
def _next_shingles(
    data: Any, at: Any, end: Any, unit: int, size: int, units: Any, shingles: Any, carried: int,
    total: int,
) -> Any:  # fmt: skip
    """Fill ``shingles`` from the next block of a text: how many, where to go on, how many units
    are carried over to the next block, and how many the text has had."""
    if unit == WORD:
        count, at = _words(data, at, end, units, carried)
    else:
        count, at = _chars(data, at, end, units, carried)
    total += count - carried
    found = _shingle(units, count, size, shingles)
    if found == 0 and at >= end and total and total < size:
        shingles[0] = _short(units, count)
        found = 1
    carried = min(count, size - 1)
    for i in range(carried):
        units[i] = units[count - carried + i]
    return found, at, carried, total


@_compiled
def sign(
    data: Any, offsets: Any, valid: Any, unit: int, size: int, factors: Any, addends: Any,
    rows: int, keys: Any, digests: Any, units_of: Any,
) -> None:  # fmt: skip
    """Band keys, digests and numbers of units of texts.

    ``offsets`` (rows + 1) into ``data`` (uint8); ``valid`` is empty when no row is null.
    ``factors`` and ``addends`` are uint32, a multiple of :data:`LANES`. Filled: ``keys`` (uint64,
    rows x bands), ``digests`` (uint64, rows x 2: two sums over the shingles, so texts of the same
    shingles have the same), ``units_of`` (int64; 0 for a text without any, -1 for null).
    """
    units = np.empty(BLOCK + size, np.uint64)
    shingles = np.empty(BLOCK + size, np.uint64)
    mins = np.empty(len(factors), np.uint32)
    for row in range(len(offsets) - 1):
        if len(valid) and not valid[row]:
            units_of[row] = -1
            continue
        at, end = offsets[row], offsets[row + 1]
        mins[:] = np.uint32(0xFFFFFFFF)
        first, second = np.uint64(0), np.uint64(0)
        carried, total = 0, 0
        while at < end:
            found, at, carried, total = _next_shingles(
                data, at, end, unit, size, units, shingles, carried, total
            )
            for i in range(found):
                first += shingles[i]
                second += (shingles[i] ^ (shingles[i] >> np.uint64(29))) * _MIX3
            _keep_smallest(shingles, found, factors, addends, mins)
        units_of[row] = total
        if total:
            digests[row, 0], digests[row, 1] = first, second
            _band_keys(mins, rows, keys[row])


@_compiled
def shingle_sets(
    data: Any, offsets: Any, valid: Any, rows: Any, unit: int, size: int, room: int
) -> Any:
    """The different shingles of each text of some rows, ascending, one text after the other; and
    how many each has. ``room`` is at least the number of units of these texts, and of one more
    block."""
    found = np.empty(room, np.uint64)
    spare, places = np.empty(BLOCK, np.uint64), np.empty(BLOCK, np.int64)
    counts = np.zeros(len(rows), np.int64)
    units = np.empty(BLOCK + size, np.uint64)
    shingles = np.empty(BLOCK + size, np.uint64)
    filled = 0
    for place in range(len(rows)):
        row = rows[place]
        if len(valid) and not valid[row]:
            continue
        at, end = offsets[row], offsets[row + 1]
        begin, carried, total = filled, 0, 0
        while at < end:
            made, at, carried, total = _next_shingles(
                data, at, end, unit, size, units, shingles, carried, total
            )
            found[filled : filled + made] = shingles[:made]
            filled += made
        if filled - begin > LARGE:
            counts[place] = _distinct_of_many(found[begin:filled])
            filled = begin + counts[place]
            continue
        if filled - begin > len(spare):
            spare = np.empty(filled - begin, np.uint64)
            places = np.empty(2 * (filled - begin), np.int64)
        filled = begin + _distinct(found[begin:filled], spare, places)
        counts[place] = filled - begin
    return found[:filled].copy(), counts


@_compiled
def _distinct_of_many(numbers: Any) -> int:
    """As :func:`_distinct`, without room of its own."""
    numbers.sort()
    kept = 0
    for i in range(len(numbers)):
        if i == 0 or numbers[i] != numbers[i - 1]:
            numbers[kept] = numbers[i]
            kept += 1
    return kept


@_compiled
def _distinct(numbers: Any, spare: Any, places: Any) -> int:
    """Sort in place and move the different ones to the front; how many there are.

    Hashes are spread evenly: dealt to as many places as there are numbers, by their upper bits,
    they are almost sorted, and insertion does the rest.
    """
    size = len(numbers)
    bits = 1
    while (1 << bits) < size and (2 << bits) <= len(places):
        bits += 1
    shift = np.uint64(64 - bits)
    places[: 1 << bits] = 0
    for i in range(size):
        places[numbers[i] >> shift] += 1
    total = 0
    for place in range(1 << bits):
        held = places[place]
        places[place] = total
        total += held
    for i in range(size):
        place = numbers[i] >> shift
        spare[places[place]] = numbers[i]
        places[place] += 1
    kept = 0
    for i in range(size):
        number = spare[i]
        at = kept
        while at > 0 and numbers[at - 1] > number:
            at -= 1
        if at > 0 and numbers[at - 1] == number:
            continue
        for j in range(kept, at, -1):
            numbers[j] = numbers[j - 1]
        numbers[at] = number
        kept += 1
    return kept
