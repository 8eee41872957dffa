"""Distance of the means of two embedding columns."""

from __future__ import annotations

import math

import numpy as np

from dsm_dask.distances.distance import Distance
from dsm_dask.stats.covariance import CovarianceState

SMALLEST = 1e-9


def mean_shift(reference: CovarianceState, current: CovarianceState) -> Distance | None:
    """The Euclidean distance of both means, divided by the pooled spread: the root of the sum of
    the variances of all components, within both sides.

    0 (the same mean) and up, in spreads; symmetric; exact. It is Cohen's d for vectors
    ("Statistical Power Analysis", 1988), where 0.2 is small, 0.5 medium and 0.8 large; as every
    component adds to the spread, embeddings rarely reach the latter, and 0.1 is the threshold here.
    A spread below a billionth of the means' length counts as that, so that two different constants
    are a finite distance apart. None without three vectors.

    >>> a = CovarianceState(2, 0, np.zeros(2), np.array([1.0, 1.0]), np.eye(2))
    >>> b = CovarianceState(2, 0, np.array([1.0, 0.0]), np.array([1.0, 1.0]), np.eye(2))
    >>> round(mean_shift(a, b).value, 6)
    0.707107
    """
    if reference.mean is None or current.mean is None:
        return None
    gap = float(np.linalg.norm(reference.mean - current.mean))
    degrees = reference.count + current.count - 2
    if degrees < 1 or reference.squares is None or current.squares is None:
        return None
    spread = math.sqrt(float((reference.squares + current.squares).sum()) / degrees)
    least = SMALLEST * float(np.linalg.norm(reference.mean) + np.linalg.norm(current.mean))
    return Distance(gap / max(spread, least) if gap else 0.0)
