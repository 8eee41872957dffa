"""Compiled loops over rows of probabilities: checks, softmax, sigmoid, division by the sum.

Numba (https://numba.pydata.org), compiled at first use and kept on disk. Import this module only
where a batch is at hand.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_in_any_order = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})


@_in_any_order
def count_bad(values: Any, nulls: Any, tolerance: float) -> int:
    """Rows, null ones aside, with a number that is negative or NaN, or whose sum is farther than
    ``tolerance`` from one."""
    bad = 0
    for i in range(values.shape[0]):
        total = 0.0
        fits: Any = True
        for j in range(values.shape[1]):
            value = np.float64(values[i, j])
            total += value
            fits &= value >= 0.0
        if not (fits and abs(total - 1.0) <= tolerance) and not nulls[i]:
            bad += 1
    return bad


@_compiled
def count_outside(values: Any, nulls: Any) -> int:
    """Rows, null ones aside, with a number that is not from 0 to 1."""
    bad = 0
    for i in range(values.shape[0]):
        fits: Any = True
        for j in range(values.shape[1]):
            fits &= (values[i, j] >= 0.0) & (values[i, j] <= 1.0)
        bad += not fits and not nulls[i]
    return bad


@_compiled
def renormalise(values: Any, nulls: Any, found: Any) -> int:
    """``values`` divided by the sums of their rows, into ``found``; the number of rows, null ones
    aside, that have no such quotient: with a number that is negative or not finite, or zeros."""
    bad = 0
    for i in range(values.shape[0]):
        total = 0.0
        fits: Any = True
        for j in range(values.shape[1]):
            value = np.float64(values[i, j])
            total += value
            fits &= value >= 0.0
        if fits and 0.0 < total < np.inf:
            for j in range(values.shape[1]):
                found[i, j] = values[i, j] / total
        else:
            found[i] = 0.0
            bad += not nulls[i]
    return bad


@_compiled
def softmax(values: Any, nulls: Any, temperature: float, found: Any) -> int:
    """exp(z / T) divided by its sum, into ``found``, the largest z subtracted first; the number of
    rows, null ones aside, that have none: with NaN, positive infinity, or nothing finite."""
    bad = 0
    for i in range(values.shape[0]):
        largest = -np.inf
        fits: Any = True
        for j in range(values.shape[1]):
            value = np.float64(values[i, j])
            fits &= value < np.inf
            largest = max(largest, value)
        if not fits or largest == -np.inf:
            found[i] = 0.0
            bad += not nulls[i]
            continue
        total = 0.0
        for j in range(values.shape[1]):
            power = np.exp((np.float64(values[i, j]) - largest) / temperature)
            found[i, j] = power
            total += power
        for j in range(values.shape[1]):
            found[i, j] /= total
    return bad


@_compiled
def sigmoid(values: Any, nulls: Any, temperature: float, found: Any) -> int:
    """1 / (1 + exp(-z / T)), into ``found``; the number of rows, null ones aside, with NaN."""
    bad = 0
    for i in range(values.shape[0]):
        fits: Any = True
        for j in range(values.shape[1]):
            value = np.float64(values[i, j])
            fits &= not np.isnan(value)
            small = np.exp(-abs(value) / temperature)
            found[i, j] = (1.0 if value >= 0.0 else small) / (1.0 + small)
        bad += not fits and not nulls[i]
    return bad
