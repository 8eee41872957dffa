"""Pairs of 64-bit hashes that differ in a few bits.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index
hashing", CVPR 2012): cut into four bands of 16 bits, two hashes that differ in at most r bits agree
in one of the bands but for at most r / 4 bits (the pigeonhole principle). So it is enough to look,
band by band, where bands are equal or differ in so few bits. All pairs are found, and no others.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from dsm_dask.duplicates.bands import BITS, band_of, masks
from dsm_dask.duplicates.forest import Forest
from dsm_dask.duplicates.kernels import join

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

CROWDED = 4096
"""Hashes of one band; among more, those known to be of one cluster are not compared any more."""
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
    keys = band_of(hashes, band)
    order = np.argsort(keys, kind="stable")
    hashes, own, keys = hashes[order], own[order], keys[order]
    starts = np.searchsorted(keys, np.arange((1 << BITS) + 1))
    near = masks(distance)
    looks = np.cumsum(_looks(keys, starts, near))
    forest, cluster = Forest(len(hashes)), np.arange(len(hashes))
    crowded = bool(np.diff(starts).max() > CROWDED)
    first = 0
    while first < len(hashes):
        spent = int(looks[first - 1]) if first else 0
        stop = max(first + 1, int(np.searchsorted(looks, spent + LOOKS)))
        left, right, bits = _within(
            hashes, own, keys, starts, near, distance, first, stop, cluster, crowded
        )
        one, two = order[left], order[right]
        forest.add(np.minimum(one, two), np.maximum(one, two), -bits.astype(np.float64))
        if crowded:
            join(cluster, left, right)
        first = stop
    left, right, weight = forest.links()
    return left, right, (-weight).astype(np.int64)


@_compiled
def _looks(keys: Any, starts: Any, near: Any) -> Any:
    """How many hashes each is to be compared with, about."""
    found = np.zeros(len(keys), np.int64)
    for i in range(len(keys)):
        for mask in near:
            key = keys[i] ^ mask
            found[i] += starts[key + 1] - starts[key]
    return found


@_compiled
def _within(
    hashes: Any, own: Any, keys: Any, starts: Any, near: Any, distance: int, first: int, stop: int,
    cluster: Any, crowded: bool,
) -> Any:  # fmt: skip
    count = 0
    left, right, bits = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    for fill in range(2):
        if fill == 1:
            left, right = np.empty(count, np.int64), np.empty(count, np.int64)
            bits = np.empty(count, np.int64)
        count = 0
        for i in range(first, stop):
            for mask in near:
                key = keys[i] ^ mask
                for j in range(max(i + 1, starts[key]), starts[key + 1]):
                    differing = _ones(hashes[i] ^ hashes[j])
                    if differing > distance or not (own[i] or own[j]):
                        continue
                    if crowded and cluster[i] == cluster[j]:
                        continue
                    if fill == 1:
                        left[count], right[count], bits[count] = i, j, differing
                    count += 1
    return left, right, bits


@_compiled
def _ones(x: Any) -> Any:
    """How many bits are set (Warren, "Hacker's Delight", 5-1)."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)
