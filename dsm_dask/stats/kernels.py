"""Compiled loops of the statistics: sorting, grouping, hashing, registers, ranks.

Numba (https://numba.pydata.org), compiled at first use and kept on disk. Import this module only
where a batch is at hand: it costs half a second, and whoever only looks at states does without.

Compared on one core, 64 K values, ns a value: this radix sort 3 to 8 (``np.sort`` 43), grouping
hashes in a table 6 (sorting them and finding the runs 15), HyperLogLog 1 (bottom-k by ``np.unique``
50), hashing texts of 50 bytes 11.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from dsm_dask.text_bytes import load_word, mixed, tail_word

U64 = npt.NDArray[np.uint64]

_compiled = numba.njit(cache=True, nogil=True)
_SIGN = np.uint64(1 << 63)
_DIGIT = 11
_SLOTS = 1 << _DIGIT
_LEADING = 3 * _DIGIT
"""Bits sorted by digits; what is left in disorder below them is a matter of a few neighbours."""


def _count_zeros(_context: Any, _word: Any) -> Any:
    """How many of the 64 bits of a word are zero before the first that is not."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


_leading_zeros: Any = intrinsic(_count_zeros)


def sort(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """int64, uint64 or float64 numbers without NaN or ``-0.0``, sorted: themselves, if they are.

    Radix sort from the least significant digit of 11 bits (Knuth, "The Art of Computer
    Programming", volume 3, 5.2.5) of the differences from the smallest. Of differences longer than
    33 bits only the leading 33 are sorted so, and neighbours that are still in disorder are then
    moved one by one; where that would take long, all digits are sorted.

    >>> sort(np.array([2.5, -1.0, 0.0])).tolist()
    [-1.0, 0.0, 2.5]
    """
    if len(numbers) < 512:
        return np.sort(numbers)
    keys = np.empty(len(numbers), np.uint64)
    kind = ord(numbers.dtype.kind)
    low, high, is_sorted = _to_keys(numbers.view(np.uint64), keys, kind)
    if is_sorted:
        return numbers
    bits = int(high - low).bit_length()
    keys -= np.uint64(low)
    found: U64 = _radix_sort(keys, max(0, bits - _LEADING), bits)
    if bits > _LEADING and not _insertion_sort(found):
        found = _radix_sort(found, 0, bits)
    found += np.uint64(low)
    _from_keys(found, kind)
    return found.view(numbers.dtype)


@_compiled
def _to_keys(bits: Any, keys: Any, kind: int) -> Any:
    """Unsigned words in the order of the numbers; the least and the greatest, and whether they are
    sorted."""
    low = np.uint64(0xFFFFFFFFFFFFFFFF)
    before = high = np.uint64(0)
    falls = 0
    for i in range(len(bits)):
        word = bits[i]
        if kind == 117:  # "u"
            key = word
        elif kind == 105 or word < _SIGN:  # "i", or a positive float
            key = word ^ _SIGN
        else:
            key = ~word
        keys[i] = key
        falls += key < before
        before = key
        low = min(low, key)
        high = max(high, key)
    return low, high, falls == 0


@_compiled
def _from_keys(keys: Any, kind: int) -> None:
    for i in range(len(keys)):
        word = keys[i]
        if kind == 105 or (kind == 102 and word >= _SIGN):
            keys[i] = word ^ _SIGN
        elif kind == 102:
            keys[i] = ~word


@_compiled
def _radix_sort(keys: Any, first: int, bits: int) -> Any:
    """Sorted by the bits from ``first`` to ``bits``. Changes ``keys``."""
    size = len(keys)
    mask = np.uint64(_SLOTS - 1)
    source, target = keys, np.empty_like(keys)
    counts, following = np.zeros(_SLOTS, np.int64), np.zeros(_SLOTS, np.int64)
    for i in range(size):
        counts[(source[i] >> np.uint64(first)) & mask] += 1
    for place in range(first, bits, _DIGIT):
        shift, after = np.uint64(place), np.uint64(min(place + _DIGIT, 63))
        total = 0
        for slot in range(_SLOTS):
            count = counts[slot]
            counts[slot] = total
            total += count
        following[:] = 0
        for i in range(size):
            key = source[i]
            slot = (key >> shift) & mask
            target[counts[slot]] = key
            counts[slot] += 1
            following[(key >> after) & mask] += 1
        source, target = target, source
        counts, following = following, counts
    return source


def argsort(keys: U64) -> npt.NDArray[np.int64]:
    """The order that sorts some words, equal ones as they come.

    >>> argsort(np.array([7, 5, 7], np.uint64)).tolist()
    [1, 0, 2]
    """
    order: npt.NDArray[np.int64]
    _, order = sort_pairs(keys, np.arange(len(keys)))
    return order


def sort_pairs(keys: U64, values: npt.NDArray[Any]) -> tuple[U64, npt.NDArray[Any]]:
    """Words sorted, with the value of each; values of equal words stay in their order. The radix
    sort of :func:`sort`, with the values taken along: 20 ns a word (``np.argsort`` 90).

    >>> [part.tolist() for part in sort_pairs(np.array([7, 5], np.uint64), np.array([1.5, 2.5]))]
    [[5, 7], [2.5, 1.5]]
    """
    if len(keys) < 512:
        order = np.argsort(keys, kind="stable")
        return keys[order], values[order]
    low, high = keys.min(), keys.max()
    bits = int(high - low).bit_length()
    found, carried = _radix_sort_pairs(keys - low, values, max(0, bits - _LEADING), bits)
    if bits > _LEADING and not _insertion_sort_pairs(found, carried):
        order = np.argsort(keys, kind="stable")
        return keys[order], values[order]
    found += low
    return found, carried


@_compiled
def _radix_sort_pairs(keys: Any, values: Any, first: int, bits: int) -> Any:
    """Sorted by the bits from ``first`` to ``bits``. Changes ``keys``."""
    size = len(keys)
    mask = np.uint64(_SLOTS - 1)
    carried, spare = values.copy(), np.empty_like(values)
    source, target = keys, np.empty_like(keys)
    counts = np.zeros(_SLOTS, np.int64)
    for place in range(first, bits, _DIGIT):
        shift = np.uint64(place)
        counts[:] = 0
        for i in range(size):
            counts[(source[i] >> shift) & mask] += 1
        total = 0
        for slot in range(_SLOTS):
            count = counts[slot]
            counts[slot] = total
            total += count
        for i in range(size):
            slot = (source[i] >> shift) & mask
            target[counts[slot]] = source[i]
            spare[counts[slot]] = carried[i]
            counts[slot] += 1
        source, target = target, source
        carried, spare = spare, carried
    return source, carried


@_compiled
def _insertion_sort_pairs(keys: Any, values: Any) -> bool:
    moves = 8 * len(keys)
    for i in range(1, len(keys)):
        key, value = keys[i], values[i]
        j = i
        while j > 0 and keys[j - 1] > key:
            keys[j], values[j] = keys[j - 1], values[j - 1]
            j -= 1
            moves -= 1
            if moves < 0:
                return False
        keys[j], values[j] = key, value
    return True


@_compiled
def _insertion_sort(keys: Any) -> bool:
    """Sort what is nearly sorted; False, and not done, when it takes more than 8 moves a key."""
    moves = 8 * len(keys)
    for i in range(1, len(keys)):
        key = keys[i]
        j = i
        while j > 0 and keys[j - 1] > key:
            keys[j] = keys[j - 1]
            j -= 1
            moves -= 1
            if moves < 0:
                keys[j] = key
                return False
        keys[j] = key
    return True


@_compiled
def run_starts(ordered: Any) -> Any:
    """Where each run of equal numbers begins in sorted ones."""
    starts = np.empty(len(ordered), np.int64)
    found = 0
    for i in range(len(ordered)):
        if i == 0 or ordered[i] != ordered[i - 1]:
            starts[found] = i
            found += 1
    return starts[:found].copy()


@_compiled
def merge_ranks(left: Any, left_share: float, right: Any, right_share: float, size: int) -> Any:
    """The values at the middles of ``size`` equal shares of two sorted runs together, in which
    each value stands for a share of its own run."""
    picked = np.empty(size, left.dtype)
    step = (len(left) * left_share + len(right) * right_share) / size
    i = j = 0
    end = 0.0
    value = left[0]
    for k in range(size):
        rank = (k + 0.5) * step
        while end < rank and (i < len(left) or j < len(right)):
            if j >= len(right) or (i < len(left) and left[i] <= right[j]):
                value = left[i]
                i += 1
            else:
                value = right[j]
                j += 1
            end = i * left_share + j * right_share
        picked[k] = value
    return picked


@_compiled
def mix(words: Any, seed: Any) -> Any:
    """A hash of each 64-bit word: :func:`dsm_dask.text_bytes.mixed` of it and the seed."""
    found = np.empty(len(words), np.uint64)
    for i in range(len(words)):
        found[i] = mixed(words[i] ^ seed)
    return found


@_compiled
def hash_text(data: Any, first: int, stop: int, seed: Any) -> Any:
    """A 64-bit hash of ``data[first:stop]``: MurmurHash64A (Appleby, 2008), its result mixed once
    more."""
    factor, shift = np.uint64(0xC6A4A7935BD1E995), np.uint64(47)
    state = seed ^ (np.uint64(stop - first) * factor)
    place = first
    while place + 8 <= stop:
        word = load_word(data, place) * factor
        word ^= word >> shift
        state = (state ^ (word * factor)) * factor
        place += 8
    if place < stop:
        word = tail_word(data, place, stop)
        state = (state ^ word) * factor
    state = (state ^ (state >> shift)) * factor
    x = state ^ (state >> shift)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return x ^ (x >> np.uint64(31))


@_compiled
def register(registers: Any, hashes: Any, bits: int) -> None:
    """Raise each HyperLogLog register to the rank of the hashes that fall to it."""
    rest, most = np.uint64(bits), np.uint64(65 - bits)
    for i in range(len(hashes)):
        slot = hashes[i] >> (np.uint64(64) - rest)
        rank = min(_leading_zeros(hashes[i] << rest) + np.uint64(1), most)
        if registers[slot] < rank:
            registers[slot] = rank


def group(hashes: U64) -> tuple[U64, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The distinct among some hashes, how often each occurs, and where first.

    >>> [part.tolist() for part in group(np.array([7, 5, 7], np.uint64))]
    [[7, 5], [2, 1], [0, 1]]
    """
    return _group(hashes, max(4, (2 * len(hashes)).bit_length()))  # type: ignore[no-any-return]


@_compiled
def _group(hashes: Any, bits: int) -> Any:
    """In a table of 2^bits slots, more than there are hashes, probed one after another."""
    size = len(hashes)
    table = np.full(1 << bits, -1, np.int32)
    mask = np.uint64((1 << bits) - 1)
    distinct = np.empty(size, np.uint64)
    counts, firsts = np.empty(size, np.int32), np.empty(size, np.int32)
    found = 0
    for i in range(size):
        slot = hashes[i] & mask
        while table[slot] >= 0 and distinct[table[slot]] != hashes[i]:
            slot = (slot + np.uint64(1)) & mask
        known = table[slot]
        if known >= 0:
            counts[known] += 1
            continue
        table[slot] = found
        distinct[found] = hashes[i]
        counts[found] = 1
        firsts[found] = i
        found += 1
    return distinct[:found].copy(), counts[:found].copy(), firsts[:found].copy()


@_compiled
def next_largest(counts: Any, rank: int) -> int:
    """The largest count but ``rank``. Small ones, which most are, are counted."""
    small = np.zeros(4096, np.int64)
    for i in range(len(counts)):
        small[min(counts[i], 4095)] += 1
    above = small[4095]
    if above > rank:
        large = np.empty(above, np.int64)
        found = 0
        for i in range(len(counts)):
            if counts[i] >= 4095:
                large[found] = counts[i]
                found += 1
        return int(np.sort(large)[above - rank - 1])
    count = 4095
    while above <= rank:
        count -= 1
        above += small[count]
    return count


@_compiled
def larger(counts: Any, least: int, size: int) -> Any:
    """Where the at most ``size`` counts above ``least`` are."""
    found = np.empty(size, np.int64)
    size = 0
    for i in range(len(counts)):
        if counts[i] > least:
            found[size] = i
            size += 1
    return found[:size].copy()


@_compiled
def present_floats(numbers: Any, valid: Any) -> Any:
    """float64 of the numbers that are not NaN, ``-0.0`` as ``0.0``; of those that are ``valid``,
    unless that is empty."""
    found = np.empty(len(numbers), np.float64)
    size = 0
    for i in range(len(numbers)):
        number = np.float64(numbers[i])
        found[size] = number + 0.0
        size += (number == number) & (len(valid) == 0 or valid[i])
    return found[:size]


@_compiled
def present_integers(numbers: Any, valid: Any) -> Any:
    """The numbers that are ``valid``."""
    found = np.empty_like(numbers)
    size = 0
    for i in range(len(numbers)):
        found[size] = numbers[i]
        size += valid[i]
    return found[:size]
