"""Compiled loops over packed band keys. Numba, compiled at first use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)

SLOTS = 1 << 17
"""Bits of a chunk of keys: the processor's nearest cache holds them twice."""


@_compiled
def shared(records: Any, bounds: Any, low: Any, chunks: int, chunk: Any, slot: Any) -> Any:
    """Which of ``records``, some ascending runs between ``bounds``, may have a key in common with
    another one: all that have, and a few by chance.

    Keys are taken a chunk at a time from every run (those with the same ``record - low >> chunk``).
    Each falls into the slot ``record - low >> slot``; what shares its slot is told.
    """
    found = np.zeros(len(records), np.bool_)
    at = bounds[:-1].copy()
    once, again = np.empty(SLOTS >> 6, np.uint64), np.empty(SLOTS >> 6, np.uint64)
    place, low_bits, one = np.uint64(SLOTS - 1), np.uint64(63), np.uint64(1)
    for number in range(chunks):
        this = np.uint64(number)
        once[:] = np.uint64(0)
        again[:] = np.uint64(0)
        for run in range(len(at)):
            i = at[run]
            while i < bounds[run + 1]:
                distance = records[i] - low
                if distance >> chunk != this:
                    break
                in_chunk = (distance >> slot) & place
                bit = one << (in_chunk & low_bits)
                word = in_chunk >> np.uint64(6)
                again[word] |= once[word] & bit
                once[word] |= bit
                i += 1
        for run in range(len(at)):
            i = at[run]
            while i < bounds[run + 1]:
                distance = records[i] - low
                if distance >> chunk != this:
                    break
                in_chunk = (distance >> slot) & place
                found[i] = (again[in_chunk >> np.uint64(6)] >> (in_chunk & low_bits)) & one
                i += 1
            at[run] = i
    return found
