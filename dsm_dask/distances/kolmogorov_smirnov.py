"""Kolmogorov-Smirnov distance."""

from __future__ import annotations

import math

import numpy as np

from dsm_dask.distances.distance import Distance
from dsm_dask.distances.distribution import Distribution


def kolmogorov_smirnov(reference: Distribution, current: Distribution) -> Distance:
    """The largest difference between the shares of values up to any number: sup |F(x) - G(x)|.

    Between 0 (alike) and 1 (no overlap); symmetric; the same for any rising transformation of the
    values. Its test answers whether both are samples of one distribution. With many rows the
    answer is always no, so there the value counts: 0.1 is customarily small, 0.2 large. Ties make
    the test cautious. Infinities are the smallest and the largest numbers.

    The p-value is the limit for long samples of n and m rows, at sqrt(n m / (n + m)) D (Kolmogorov,
    "Sulla determinazione empirica di una legge di distribuzione", 1933; Smirnov, "Table for
    estimating the goodness of fit of empirical distributions", 1948).

    >>> from dsm_dask.distances.distribution import Distribution
    >>> side = Distribution(np.array([1, 2]), np.array([0.5, 1.0]), 2)
    >>> other = Distribution(np.array([2, 3]), np.array([0.5, 1.0]), 2)
    >>> kolmogorov_smirnov(side, other).value
    0.5
    """
    points = np.concatenate([reference.points, current.points])
    gaps = np.abs(reference.share_to(points) - current.share_to(points))
    value = float(gaps.max())
    error = min(reference.error + current.error, max(value, 1 - value))
    p_value = _p_value(value, reference.count, current.count)
    around = [_p_value(x, reference.count, current.count) for x in (value - error, value + error)]
    return Distance(value, error, p_value, max(abs(p - p_value) for p in around))


def _p_value(distance: float, count: int, other: int) -> float:
    return survival(distance * math.sqrt(count * other / (count + other)))


def survival(x: float) -> float:
    """The probability that the Kolmogorov distribution exceeds x: 2 Σ (-1)^(k-1) exp(-2 k² x²),
    and for small x the same as a theta function, which then converges sooner (Marsaglia, Tsang,
    Wang, "Evaluating Kolmogorov's distribution", Journal of Statistical Software 8, 2003).

    >>> round(survival(1.358), 4)
    0.05
    """
    if x <= 0.04:  # the other tail is below 1e-300
        return 1.0
    if x < 1.18:
        odd = [math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8 * x * x)) for k in range(1, 6)]
        return 1.0 - math.sqrt(2 * math.pi) / x * math.fsum(odd)
    terms = [(-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 6)]
    return min(1.0, max(0.0, 2 * math.fsum(terms)))
