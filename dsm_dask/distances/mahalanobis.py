"""Mahalanobis distance of the means of two embedding columns."""

from __future__ import annotations

import math

import numpy as np

from dsm_dask.distances.chi_squared import tail
from dsm_dask.distances.distance import Distance
from dsm_dask.distances.mean_shift import SMALLEST
from dsm_dask.stats.covariance import CovarianceState, projected

RIDGE = 1e-9
"""Added to each variance, as a share of their mean: components may depend on each other."""


def mahalanobis(reference: CovarianceState, current: CovarianceState) -> Distance | None:
    """sqrt(D²), D² = (a - b)' S⁻¹ (a - b) - p (1/n + 1/m), at least 0: a and b are the means of n
    and m vectors of p components, S the pooled covariance, and the last term what samples of one
    distribution come to by chance.

    0 and up, in standard deviations along the direction of the shift; symmetric; 0.5 is a medium
    effect (Mahalanobis, "On the generalised distance in statistics", 1936). Unlike the distance of
    means it sees a small shift in a direction in which the data hardly varies. The p-value is that
    of Hotelling's T² by its χ² limit (Hotelling, "The generalization of Student's ratio", 1931),
    given when there are at least ten vectors a component. Vectors of more than 256 components are
    projected to so many, which can only hide a part of the shift. Constants are told apart as in
    :func:`~dsm_dask.distances.mean_shift.mean_shift`. None without three vectors.

    >>> a = CovarianceState(50, 0, np.zeros(1), np.array([49.0]), np.array([[49.0]]))
    >>> b = CovarianceState(50, 0, np.ones(1), np.array([49.0]), np.array([[49.0]]))
    >>> round(mahalanobis(a, b).value, 2)
    0.98
    """
    sides = reference, current
    if any(side.mean is None or side.products is None for side in sides):
        return None
    degrees = reference.count + current.count - 2
    if degrees < 1 or reference.mean is None or current.mean is None:
        return None
    gap = projected((reference.mean - current.mean)[None])[0]
    pooled = (reference.products + current.products) / degrees  # type: ignore[operator]
    size = len(gap)
    if not gap.any():
        return Distance(0.0, 0.0, 1.0)
    least = SMALLEST * float(np.linalg.norm(reference.mean) + np.linalg.norm(current.mean))
    mean_variance = max(float(np.trace(pooled)) / size, least**2)
    scale = np.sqrt(mean_variance)
    matrix = pooled / mean_variance + RIDGE * np.eye(size)
    squared = float(gap / scale @ np.linalg.solve(matrix, gap / scale))
    chance = 1 / reference.count + 1 / current.count
    p_value = tail(squared / chance, size) if degrees >= 10 * size else None
    return Distance(math.sqrt(max(0.0, squared - size * chance)), 0.0, p_value)
