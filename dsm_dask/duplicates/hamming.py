"""Pairs of 64-bit hashes that differ in a few bits.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index
hashing", CVPR 2012): cut into four bands of 16 bits, two hashes that differ in at most r bits agree
in one of the bands but for at most r / 4 bits (the pigeonhole principle). So it is enough to look,
band by band, where bands are equal or differ in so few bits. All pairs are found, and no others.

Where a band is crowded, the same is done again: hashes of two values of it, which differ in d bits,
agree in one of the other three bands but for at most (r - d) / 3 bits, and so on. So a million
hashes that have a band in common are not compared each with each.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from dsm_dask.duplicates.bands import BANDS, BITS, band_of, masks
from dsm_dask.duplicates.forest import Forest
from dsm_dask.duplicates.kernels import join

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

CROWDED = 4096
"""Hashes of one value of a band, from which two such values are looked at by another band. Where
there are so many, hashes known to be of one cluster are not compared any more."""
LOOKS = 1 << 22
"""Pairs looked at before the links found are put away."""
_compiled = numba.njit(cache=True, nogil=True)


def pairs_within(
    hashes: U64, own: npt.NDArray[np.bool_], band: int, distance: int
) -> tuple[Ints, Ints, npt.NDArray[np.int64]]:
    """Pairs of distinct ``hashes`` that differ in at most ``distance`` bits, of which ``distance //
    4`` at most are in ``band``, and of which one is ``own``: places (left < right) and how many
    bits differ. A minimum spanning forest of them.

    >>> hashes = np.array([0, 7, 2**40], np.uint64)
    >>> left, right, bits = pairs_within(hashes, np.ones(3, bool), 3, 1)
    >>> left.tolist(), right.tolist(), bits.tolist()
    ([0], [2], [1])
    """
    crowded = bool(np.bincount(band_of(hashes, band)).max(initial=0) > CROWDED)
    search = _Search(hashes, own, distance, crowded)
    everything = np.arange(len(hashes))
    others = tuple(one for one in range(BANDS) if one != band)
    search.by_band(everything, everything, band, others, distance // BANDS, distance)
    left, right, weight = search.forest.links()
    return left, right, (-weight).astype(np.int64)


class _Search:
    """The links that were found so far, and the clusters that they make, where that is of use."""

    def __init__(
        self, hashes: U64, own: npt.NDArray[np.bool_], distance: int, crowded: bool
    ) -> None:
        self._hashes, self._own, self._distance = hashes, own, distance
        self._crowded = crowded
        self._cluster = np.arange(len(hashes))
        self.forest = Forest(len(hashes))

    def by_band(
        self, left: Ints, right: Ints, band: int, others: tuple[int, ...], few: int, left_over: int
    ) -> None:
        """Find the pairs of a hash of ``left`` and one of ``right`` (the same ones, or others) that
        differ in ``few`` bits of ``band`` at most, and in ``left_over`` bits of it and of the bands
        ``others``."""
        same = left is right
        left, left_starts = self._by_value(left, band)
        right, right_starts = (left, left_starts) if same else self._by_value(right, band)
        near = masks(few * BANDS)
        most = CROWDED**2 if others else np.iinfo(np.int64).max
        looks = np.cumsum(_looks(left_starts, right_starts, near, most))
        first = 0
        while first < len(left):
            spent = int(looks[first - 1]) if first else 0
            stop = max(first + 1, int(np.searchsorted(looks, spent + LOOKS)))
            found = _within(
                self._hashes, self._own, left, left_starts, right, right_starts, near,
                self._distance, same, most, first, stop, self._cluster, self._crowded,
                band_of(self._hashes[left[first:stop]], band),
            )  # fmt: skip
            self._add(*found)
            first = stop
        for key, other in _crowded(left_starts, right_starts, near, most).tolist():
            if same and key > other:
                continue
            some = left[left_starts[key] : left_starts[key + 1]]
            more = (
                some
                if same and key == other
                else right[right_starts[other] : right_starts[other + 1]]
            )
            rest = left_over - (key ^ other).bit_count()
            for number, one in enumerate(others):
                rest_of = others[:number] + others[number + 1 :]
                self.by_band(some, more, one, rest_of, rest // len(others), rest)

    def _by_value(self, places: Ints, band: int) -> tuple[Ints, Ints]:
        """The hashes in the order of a band, and where each value of it begins."""
        keys = band_of(self._hashes[places], band)
        order = np.argsort(keys.astype(np.uint16), kind="stable")
        starts = np.zeros((1 << BITS) + 1, np.int64)
        np.cumsum(np.bincount(keys, minlength=1 << BITS), out=starts[1:])
        return places[order], starts

    def _add(self, left: Ints, right: Ints, bits: Ints) -> None:
        ends = np.minimum(left, right), np.maximum(left, right)
        self.forest.add(*ends, -bits.astype(np.float64))
        if self._crowded:
            join(self._cluster, left, right)


@_compiled
def _looks(left_starts: Any, right_starts: Any, near: Any, most: int) -> Any:
    """How many hashes each of the left ones is to be compared with, about."""
    found = np.zeros(left_starts[-1], np.int64)
    for key in range(len(left_starts) - 1):
        count = left_starts[key + 1] - left_starts[key]
        if count:
            looks = 0
            for mask in near:
                other = key ^ mask
                size = right_starts[other + 1] - right_starts[other]
                if count * size <= most:
                    looks += size
            found[left_starts[key] : left_starts[key + 1]] = looks
    return found


@_compiled
def _crowded(left_starts: Any, right_starts: Any, near: Any, most: int) -> Any:
    """Two values of a band each that so many hashes have that they are looked at by another."""
    found = np.empty((16, 2), np.int64)
    total = 0
    for key in range(len(left_starts) - 1):
        count = left_starts[key + 1] - left_starts[key]
        if count:
            for mask in near:
                other = key ^ mask
                if count * (right_starts[other + 1] - right_starts[other]) > most:
                    if total == len(found):
                        more = np.empty((2 * total, 2), np.int64)
                        more[:total] = found
                        found = more
                    found[total] = key, other
                    total += 1
    return found[:total]


@_compiled
def _within(
    hashes: Any, own: Any, left: Any, left_starts: Any, right: Any, right_starts: Any, near: Any,
    distance: int, same: bool, most: int, first: int, stop: int, cluster: Any, crowded: bool,
    keys: Any,
) -> Any:  # fmt: skip
    """Pairs of the left hashes from ``first`` to ``stop``, of which ``keys`` are the band's values,
    with right ones, and how many bits differ."""
    count = 0
    ones, others = np.empty(1024, np.int64), np.empty(1024, np.int64)
    bits = np.empty(1024, np.int64)
    for i in range(first, stop):
        a, key = left[i], keys[i - first]
        size = left_starts[key + 1] - left_starts[key]
        for mask in near:
            other = key ^ mask
            begin, end = right_starts[other], right_starts[other + 1]
            if size * (end - begin) > most:
                continue
            for j in range(max(i + 1, begin) if same else begin, end):
                b = right[j]
                differing = _ones(hashes[a] ^ hashes[b])
                if differing > distance or not (own[a] or own[b]):
                    continue
                if crowded and cluster[a] == cluster[b]:
                    continue
                if count == len(ones):
                    ones, others, bits = _doubled(ones), _doubled(others), _doubled(bits)
                ones[count], others[count], bits[count] = a, b, differing
                count += 1
    return ones[:count], others[:count], bits[:count]


@_compiled
def _doubled(numbers: Any) -> Any:
    found = np.empty(2 * len(numbers), np.int64)
    found[: len(numbers)] = numbers
    return found


@_compiled
def _ones(x: Any) -> Any:
    """How many bits are set (Warren, "Hacker's Delight", 5-1)."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)
