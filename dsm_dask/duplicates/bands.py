"""The four bands of a 64-bit hash, 16 bits each, that it is looked up by."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

BANDS = 4
BITS = 16
MOST = 15
"""Differing bits that can be asked for: up to three in a band, 697 places to look at."""


def band_of(hashes: U64, band: int) -> npt.NDArray[np.int64]:
    """Band 0 is the highest 16 bits.

    >>> band_of(np.array([0x0001_0002_0003_0004], np.uint64), 1).tolist()
    [2]
    """
    shifted = hashes >> np.uint64(BITS * (BANDS - 1 - band))
    return (shifted & np.uint64((1 << BITS) - 1)).astype(np.int64)


@functools.lru_cache(maxsize=16)
def masks(distance: int, bits: int = BITS) -> Ints:
    """What a band may be XORed with: numbers below ``2^bits`` with few bits set, for hashes that
    differ in ``distance`` bits at most.

    >>> len(masks(3)), len(masks(6)), masks(6, 2).tolist()
    (1, 17, [0, 1, 2])
    """
    few = [mask for mask in range(1 << bits) if mask.bit_count() <= distance // BANDS]
    return np.array(few, np.int64)
