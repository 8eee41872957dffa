"""Maximum mean discrepancy of two embedding columns."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dsm_dask.distances.distance import Distance, between
from dsm_dask.stats.random_features import FeaturesState

Floats = npt.NDArray[np.float64]


def mean_discrepancy(reference: FeaturesState, current: FeaturesState) -> Distance | None:
    """MMD, the root of E k(x, x') + E k(y, y') - 2 E k(x, y) for different vectors x, x' of the
    reference and y, y' of the current data (the unbiased estimate, at least 0); k is the kernel of
    :class:`~dsm_dask.stats.random_features.RandomFeatures`.

    0 (alike) to about 1.4; symmetric; sees any difference of the directions of vectors, not only of
    their mean, and none of their lengths. 0.1 is the threshold here (Gretton et al., "A kernel
    two-sample test", JMLR 13, 2012). The error is twice the standard error over the random
    frequencies, a bound with 95 % confidence. None with fewer than two vectors on a side.

    >>> side = FeaturesState(2, 0, np.ones((2, 240)))
    >>> mean_discrepancy(side, side).value
    0.0
    """
    if reference.sums is None or current.sums is None:
        return None
    if min(reference.count, current.count) < 2:
        return None
    a, b = reference.sums / reference.count, current.sums / current.count
    within = _within(a, reference.count) + _within(b, current.count)
    terms = within - 2 * (a * b).sum(axis=0)
    squared = float(terms.mean())
    error = 2 * float(np.std(terms, ddof=1)) / math.sqrt(len(terms))
    low, value, high = (math.sqrt(max(0.0, x)) for x in (squared - error, squared, squared + error))
    return between(low, value, high)


def _within(mean: Floats, count: int) -> Floats:
    """Mean product of the features of two different vectors, by frequency; each with itself
    gives 1."""
    found: Floats = (count * (mean**2).sum(axis=0) - 1) / (count - 1)
    return found
