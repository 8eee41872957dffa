"""Compiled loops of the statistics: sorting, exact sums, merging of ranks, registers.

Numba (https://numba.pydata.org), compiled at first use and kept on disk. Import this module only
where a batch is at hand: it costs half a second, and whoever only looks at states does without.

Compared on one core, 64 K values, ns a value: this radix sort 10 (``np.sort`` 43), exact sums of
floats 5 (NumPy by ``bincount`` 60), HyperLogLog 2 (bottom-k by ``np.unique`` 50).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]

_compiled = numba.njit(cache=True, nogil=True)
_SIGN = np.uint64(1 << 63)
_DIGIT = 11
_PASSES = 6
_SLOTS = 1 << _DIGIT


def sort(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sorted copy of int64, uint64 or float64 numbers without NaN or ``-0.0``.

    Least significant digit radix sort in digits of 11 bits; digits that are all alike are skipped.
    (Knuth, "The Art of Computer Programming", volume 3, 5.2.5.)

    >>> sort(np.array([2.5, -1.0, 0.0])).tolist()
    [-1.0, 0.0, 2.5]
    """
    if len(numbers) < 512:
        return np.sort(numbers)
    keys = np.empty(len(numbers), np.uint64)
    _to_keys(numbers.view(np.uint64), keys, ord(numbers.dtype.kind))
    found: U64 = _radix_sort(keys)
    _from_keys(found, ord(numbers.dtype.kind))
    return found.view(numbers.dtype)


@_compiled
def _to_keys(bits: Any, keys: Any, kind: int) -> None:
    for i in range(len(bits)):
        word = bits[i]
        if kind == 117:  # "u"
            keys[i] = word
        elif kind == 105 or word < _SIGN:  # "i", or a positive float
            keys[i] = word ^ _SIGN
        else:
            keys[i] = ~word


@_compiled
def _from_keys(keys: Any, kind: int) -> None:
    for i in range(len(keys)):
        word = keys[i]
        if kind == 105 or (kind == 102 and word >= _SIGN):
            keys[i] = word ^ _SIGN
        elif kind == 102:
            keys[i] = ~word


@_compiled
def _radix_sort(keys: Any) -> Any:
    size = len(keys)
    counts = np.zeros((_PASSES, _SLOTS), np.int64)
    mask = np.uint64(_SLOTS - 1)
    for i in range(size):
        key = keys[i]
        for p in range(_PASSES):
            counts[p, (key >> np.uint64(_DIGIT * p)) & mask] += 1
    source, target = keys, np.empty_like(keys)
    for p in range(_PASSES):
        shift = np.uint64(_DIGIT * p)
        if counts[p, (source[0] >> shift) & mask] == size:
            continue
        total = 0
        for slot in range(_SLOTS):
            count = counts[p, slot]
            counts[p, slot] = total
            total += count
        for i in range(size):
            key = source[i]
            slot = (key >> shift) & mask
            target[counts[p, slot]] = key
            counts[p, slot] += 1
        source, target = target, source
    return source


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
def float_sums(bits: Any) -> Any:
    """Sums of finite float64 (given by their bits) and of their squares, by biased exponent.

    Row e of the result, of shape (2048, 8), has the sums over the values of that exponent of the
    signed 53-bit fraction m = a 2^27 + b and of a², a b, b², each as its upper and lower 32 bits.
    Exact for up to 2^28 values.
    """
    sums = np.zeros((2048, 8), np.int64)
    low = np.int64(0xFFFFFFFF)
    for i in range(len(bits)):
        word = bits[i]
        exponent = np.int64((word >> np.uint64(52)) & np.uint64(0x7FF))
        fraction = np.int64(word & np.uint64(0xFFFFFFFFFFFFF))
        if exponent:
            fraction |= np.int64(1 << 52)
        a, b = fraction >> 27, fraction & np.int64((1 << 27) - 1)
        signed = -fraction if word >= _SIGN else fraction
        row = sums[exponent]
        row[0] += signed >> 32
        row[1] += signed & low
        aa, ab, bb = a * a, a * b, b * b
        row[2] += aa >> 32
        row[3] += aa & low
        row[4] += ab >> 32
        row[5] += ab & low
        row[6] += bb >> 32
        row[7] += bb & low
    return sums


@_compiled
def central_sums(numbers: Any, scale: float) -> Any:
    """Mean of ``numbers * scale``, and the sums of the 2nd, 3rd and 4th powers of the differences
    from it, in two passes."""
    total = 0.0
    for i in range(len(numbers)):
        total += np.float64(numbers[i]) * scale
    mean = total / len(numbers)
    second = third = fourth = rest = 0.0
    for i in range(len(numbers)):
        gap = np.float64(numbers[i]) * scale - mean
        square = gap * gap
        rest += gap
        second += square
        third += square * gap
        fourth += square * square
    return mean, second, third, fourth


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
    """A hash of each 64-bit word: the finaliser of SplitMix64, a bijection (Steele, Lea, Flood,
    "Fast splittable pseudorandom number generators", OOPSLA 2014)."""
    found = np.empty(len(words), np.uint64)
    for i in range(len(words)):
        x = words[i] ^ seed
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found[i] = x ^ (x >> np.uint64(31))
    return found


@_compiled
def hash_bytes(data: Any, starts: Any, seed: Any) -> Any:
    """A 64-bit hash of each ``data[starts[i]:starts[i + 1]]``: MurmurHash64A (Appleby, 2008), its
    result mixed once more."""
    factor, shift = np.uint64(0xC6A4A7935BD1E995), np.uint64(47)
    found = np.empty(len(starts) - 1, np.uint64)
    for i in range(len(found)):
        first, stop = starts[i], starts[i + 1]
        state = seed ^ (np.uint64(stop - first) * factor)
        place = first
        while place + 8 <= stop:
            word = np.uint64(0)
            for k in range(8):
                word |= np.uint64(data[place + k]) << np.uint64(8 * k)
            word *= factor
            word ^= word >> shift
            state = (state ^ (word * factor)) * factor
            place += 8
        if place < stop:
            word = np.uint64(0)
            for k in range(stop - place):
                word |= np.uint64(data[place + k]) << np.uint64(8 * k)
            state = (state ^ word) * factor
        state = (state ^ (state >> shift)) * factor
        x = state ^ (state >> shift)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found[i] = x ^ (x >> np.uint64(31))
    return found


@_compiled
def register(registers: Any, hashes: Any, bits: int) -> None:
    """Raise each HyperLogLog register to the rank of the hashes that fall to it."""
    rest = np.uint64(bits)
    for i in range(len(hashes)):
        slot = np.int64(hashes[i] >> (np.uint64(64) - rest))
        tail = hashes[i] << rest
        rank = 1
        while rank <= 64 - bits and tail < _SIGN:
            tail <<= np.uint64(1)
            rank += 1
        if registers[slot] < rank:
            registers[slot] = rank


@_compiled
def first_places(hashes: Any, wanted: Any) -> Any:
    """The first place of each wanted hash (sorted ones) among others; all of them occur."""
    found = np.full(len(wanted), -1, np.int64)
    left = len(wanted)
    for i in range(len(hashes)):
        slot = np.searchsorted(wanted, hashes[i])
        if slot < len(wanted) and wanted[slot] == hashes[i] and found[slot] < 0:
            found[slot] = i
            left -= 1
            if not left:
                break
    return found
