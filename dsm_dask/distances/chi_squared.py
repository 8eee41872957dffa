"""Chi-squared statistic and test of two samples."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from dsm_dask.distances.binned import Binned, Floats, total
from dsm_dask.distances.distance import Distance, between

EXPECTED = 5
"""Bins where either side is expected to have fewer values than this are taken together."""


def chi_squared(reference: Binned, current: Binned) -> Distance:
    """Pearson's statistic of the two-row table of counts, Σ (observed - expected)² / expected, and
    its p-value.

    0 (alike) and up, in no unit: it grows with the number of rows, so only its p-value can be
    compared. It answers whether both sides are samples of one distribution; with many rows the
    answer is always no. Bins with fewer than 5 expected values on either side are taken together
    (Cochran, "Some methods for strengthening the common χ² tests", Biometrics 10, 1954). The
    p-value is the upper tail of the χ² distribution with (bins - 1) degrees of freedom (Pearson,
    1900).

    >>> found = chi_squared(Binned.exact([10, 20]), Binned.exact([20, 10]))
    >>> round(found.value, 4), round(found.p_value, 4)
    (6.6667, 0.0098)
    """
    n, m = reference.count, current.count
    if not n or not m:
        return Distance(0.0, 0.0, 1.0)
    expected = min(n, m) * (n * reference.shares + m * current.shares) / (n + m)
    one, other = (_pooled(side, expected) for side in (reference, current))

    def term(p: Floats, q: Floats) -> Floats:
        sums = n * p + m * q
        parts = np.divide((p - q) ** 2, sums, out=np.zeros_like(sums), where=sums > 0)
        found: Floats = n * m * parts
        return found

    low, value, high = total(term, one, other)
    degrees = int(np.count_nonzero(one.shares + other.shares)) - 1
    p_value, *around = (tail(x, degrees) for x in (value, low, high))
    p_error = max(abs(p - p_value) for p in around)
    return dataclasses.replace(between(low, value, high), p_value=p_value, p_error=p_error)


def _pooled(side: Binned, expected: Floats) -> Binned:
    # rare categories, of which few values are expected, are one bin to this test
    side = dataclasses.replace(side, alone=0.0, about=0.0, common=0)
    small = expected < EXPECTED
    if np.count_nonzero(small) < 2:
        return side

    def pool(shares: Floats) -> Floats:
        return np.append(shares[~small], min(1.0, float(shares[small].sum())))

    kept = [pool(shares) for shares in (side.shares, side.low, side.high)]
    if not small[-1]:  # the bin of rare categories stays the last
        kept = [np.roll(shares, 1) for shares in kept]
    return Binned(kept[0], kept[1], kept[2], side.count, side.rare)


def tail(statistic: float, degrees: int) -> float:
    """The probability that a χ² variable with so many degrees of freedom exceeds ``statistic``.

    >>> round(tail(3.841, 1), 3)
    0.05
    """
    return 1.0 if degrees < 1 else upper_gamma(degrees / 2, statistic / 2)


def upper_gamma(a: float, x: float) -> float:
    """The regularised incomplete gamma function Q(a, x) = Γ(a, x) / Γ(a), for a > 0.

    One minus the power series for x < a + 1, the continued fraction by Lentz's method otherwise
    (DLMF 8.7.1 and 8.9.2; Press et al., "Numerical Recipes", 6.2).

    >>> round(upper_gamma(1.0, 2.0), 6) == round(math.exp(-2), 6)
    True
    """
    if x <= 0:
        return 1.0
    scale = a * math.log(x) - x - math.lgamma(a)
    if scale < -745:  # below the smallest float: all of it is on one side
        return 1.0 if x < a else 0.0
    if x < a + 1:
        return min(1.0, max(0.0, 1.0 - math.exp(scale) * _series(a, x)))
    return min(1.0, math.exp(scale) * _fraction(a, x))


def _series(a: float, x: float) -> float:
    part = found = 1.0 / a
    n = a
    while abs(part) > abs(found) * 1e-16:
        n += 1.0
        part *= x / n
        found += part
    return found


def _fraction(a: float, x: float) -> float:
    tiny = 1e-300
    b = x + 1.0 - a
    c, d = 1.0 / tiny, 1.0 / b
    found, step, i = d, 0.0, 0
    while abs(step - 1.0) > 1e-15 and i < 100_000:
        i += 1
        an = -i * (i - a)
        b += 2.0
        d = an * d + b
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = b + an / c
        c = c if abs(c) > tiny else tiny
        step = c * d
        found *= step
    return found


def two_proportions(counts: tuple[int, int], of: tuple[int, int]) -> float:
    """The p-value of the same share on both sides: χ² of the two-by-two table, which is the square
    of the usual z statistic. 1 when either side is empty.

    >>> round(two_proportions((10, 20), (100, 100)), 4)
    0.0477
    """
    if not all(of):
        return 1.0
    table: npt.NDArray[np.float64] = np.array([counts, np.subtract(of, counts)], np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    parts = np.divide((table - expected) ** 2, expected, out=table * 0, where=expected > 0)
    return math.erfc(math.sqrt(float(parts.sum()) / 2))
