"""Compiled sums: exact ones of floats, powers of differences from the mean, products of columns.

Import this module only where a batch is at hand, as :mod:`dsm_dask.stats.kernels`. ns a value on
one core: exact sums of sorted floats 2 (NumPy by ``bincount`` 60), powers 1.5; products of six
columns, nulls in two of them, 14 a row (NumPy's matrix products 60).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)
_in_any_order = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
_SIGN = np.uint64(1 << 63)
_ROWS = 1024
"""Rows at a time, so that they stay in the nearest cache."""


@_compiled
def float_sums(bits: Any) -> Any:
    """Sums of finite float64 (given by their bits) and of their squares, by biased exponent; fast
    where neighbours have the same, as in sorted ones.

    Row e of the result, of shape (2048, 8), has the sums over the values of that exponent of the
    signed 53-bit fraction m = a 2^27 + b and of a², a b, b², each as its upper and lower 32 bits.
    Exact for up to 2^28 values.
    """
    sums = np.zeros((2048, 8), np.int64)
    low = np.int64(0xFFFFFFFF)
    start = 0
    while start < len(bits):
        exponent = np.int64((bits[start] >> np.uint64(52)) & np.uint64(0x7FF))
        whole = np.int64(1 << 52) if exponent else np.int64(0)
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.int64(0)
        i = start
        while i < len(bits):
            word = bits[i]
            if np.int64((word >> np.uint64(52)) & np.uint64(0x7FF)) != exponent:
                break
            fraction = np.int64(word & np.uint64(0xFFFFFFFFFFFFF)) | whole
            a, b = fraction >> 27, fraction & np.int64((1 << 27) - 1)
            signed = -fraction if word >= _SIGN else fraction
            s0 += signed >> 32
            s1 += signed & low
            aa, ab, bb = a * a, a * b, b * b
            s2 += aa >> 32
            s3 += aa & low
            s4 += ab >> 32
            s5 += ab & low
            s6 += bb >> 32
            s7 += bb & low
            i += 1
        row = sums[exponent]
        row[0] += s0
        row[1] += s1
        row[2] += s2
        row[3] += s3
        row[4] += s4
        row[5] += s5
        row[6] += s6
        row[7] += s7
        start = i
    return sums


@_compiled
def central_sums(numbers: Any, scale: float) -> Any:
    """Mean of ``numbers * scale``, and the sums of the 2nd, 3rd and 4th powers of the differences
    from it, in two passes of four sums side by side: processors add several at once."""
    size = len(numbers)
    whole = size - size % 4
    t0 = t1 = t2 = t3 = 0.0
    for i in range(0, whole, 4):
        t0 += np.float64(numbers[i]) * scale
        t1 += np.float64(numbers[i + 1]) * scale
        t2 += np.float64(numbers[i + 2]) * scale
        t3 += np.float64(numbers[i + 3]) * scale
    for i in range(whole, size):
        t0 += np.float64(numbers[i]) * scale
    mean = ((t0 + t1) + (t2 + t3)) / size
    second, third, fourth = np.zeros(4), np.zeros(4), np.zeros(4)
    for i in range(0, whole, 4):
        for k in range(4):
            gap = np.float64(numbers[i + k]) * scale - mean
            square = gap * gap
            second[k] += square
            third[k] += square * gap
            fourth[k] += square * square
    for i in range(whole, size):
        gap = np.float64(numbers[i]) * scale - mean
        square = gap * gap
        second[0] += square
        third[0] += square * gap
        fourth[0] += square * square
    return mean, second.sum(), third.sum(), fourth.sum()


@_in_any_order
def _dot(left: Any, right: Any) -> float:
    total = 0.0
    for i in range(len(left)):
        total += left[i] * right[i]
    return total


@_in_any_order
def _dot_squares(left: Any, right: Any) -> float:
    total = 0.0
    for i in range(len(left)):
        total += left[i] * left[i] * right[i]
    return total


@_in_any_order
def _sum(numbers: Any) -> float:
    total = 0.0
    for i in range(len(numbers)):
        total += numbers[i]
    return total


@_compiled
def away_from(numbers: Any, valid: Any, shift: float, away: Any, known: Any) -> None:
    """Fill the beginning of ``away`` with differences from ``shift``, 0 where there is no value,
    and of ``known`` with 1 where there is one, else 0; all are values when ``valid`` is empty."""
    if len(valid) == 0:
        for i in range(len(numbers)):
            away[i] = numbers[i] - shift
        return
    for i in range(len(numbers)):
        away[i] = numbers[i] - shift if valid[i] else 0.0
        known[i] = 1.0 if valid[i] else 0.0


@_compiled
def pair_sums(
    away: Any, valid: Any, partial: Any, counts: Any, sums: Any, squares: Any, products: Any
) -> None:
    """Add to (columns, columns) matrices what rows give for columns i and j, over those rows where
    both have a value: how many, the sum of i, of its square, of its product with j.

    ``away``: numbers, 0 where there is none; ``valid``: 1 where there is one, else 0; both of shape
    (columns, rows). ``partial``: columns that lack some.
    """
    columns, rows = away.shape
    for start in range(0, rows, _ROWS):
        stop = min(start + _ROWS, rows)
        for i in range(columns):
            own, known = away[i, start:stop], valid[i, start:stop]
            for j in range(i):
                product = _dot(own, away[j, start:stop])
                products[i, j] += product
                products[j, i] += product
            square, total = _dot(own, own), _sum(own)
            count = _sum(known) if partial[i] else float(stop - start)
            products[i, i] += square
            for j in range(columns):
                if partial[j] and j != i:
                    other = valid[j, start:stop]
                    sums[i, j] += _dot(own, other)
                    squares[i, j] += _dot_squares(own, other)
                    counts[i, j] += _dot(known, other) if partial[i] else _sum(other)
                else:
                    sums[i, j] += total
                    squares[i, j] += square
                    counts[i, j] += count
