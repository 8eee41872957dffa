"""MurmurHash3 of texts: 128 bits each, from the buffers of an Arrow array, compiled; and the hash
of several hashes.

Import this module only where values are at hand: Numba costs half a second. One core, ns a text:
5 for 12 bytes, 12 for 50 (XXH3-128 called from Python: 250).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from dsm_dask.text_bytes import load_word, mixed, tail_word

U64 = npt.NDArray[np.uint64]

_compiled = numba.njit(cache=True, nogil=True)
_ONE, _TWO = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)
_FIVE = np.uint64(5)


def hash_texts(data: Any, starts: Any, seed: int) -> tuple[U64, U64]:
    """Both halves of the hash of each ``data[starts[i]:starts[i + 1]]``.

    MurmurHash3_x64_128 (Appleby, 2011, https://github.com/aappleby/smhasher), with a seed of 64
    bits: for one below 2^32 it is the published function.

    >>> data = np.frombuffer(b"hello", np.uint8)
    >>> low, high = hash_texts(data, np.array([0, 5]), 0)
    >>> print(f"{low[0]:016x} {high[0]:016x}")
    cbd8a7b341bd9b02 5b1e906a48ae1d19
    """
    low, high = np.empty(len(starts) - 1, np.uint64), np.empty(len(starts) - 1, np.uint64)
    _hash_texts(data, starts, np.uint64(seed), low, high)
    return low, high


@_compiled
def combine(
    low: Any, high: Any, part_low: Any, part_high: Any, low_step: Any, high_step: Any
) -> None:
    """Mix a part into both halves of hashes, in place."""
    for i in range(len(low)):
        low[i] = mixed(low[i] * low_step + part_low[i])
        high[i] = _mixed(high[i] * high_step + part_high[i])


@_compiled
def _rotated(word: Any, bits: int) -> Any:
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@_compiled
def _mixed(word: Any) -> Any:
    word = (word ^ (word >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    word = (word ^ (word >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return word ^ (word >> np.uint64(33))


@_compiled
def _hash_texts(data: Any, starts: Any, seed: Any, low: Any, high: Any) -> None:
    for i in range(len(low)):
        place, stop = np.int64(starts[i]), np.int64(starts[i + 1])
        size = np.uint64(stop - place)
        one = two = seed
        while place + 16 <= stop:
            one ^= _rotated(load_word(data, place) * _ONE, 31) * _TWO
            one = (_rotated(one, 27) + two) * _FIVE + np.uint64(0x52DCE729)
            two ^= _rotated(load_word(data, place + 8) * _TWO, 33) * _ONE
            two = (_rotated(two, 31) + one) * _FIVE + np.uint64(0x38495AB5)
            place += 16
        if place + 8 < stop:
            two ^= _rotated(tail_word(data, place + 8, stop) * _TWO, 33) * _ONE
        if place + 8 <= stop:
            one ^= _rotated(load_word(data, place) * _ONE, 31) * _TWO
        elif place < stop:
            one ^= _rotated(tail_word(data, place, stop) * _ONE, 31) * _TWO
        one ^= size
        two ^= size
        one += two
        two += one
        one, two = _mixed(one), _mixed(two)
        one += two
        two += one
        low[i], high[i] = one, two
