"""L-infinity (Chebyshev) distance."""

from __future__ import annotations

import numpy as np

from dsm_dask.distances.binned import Binned
from dsm_dask.distances.distance import Distance, between


def chebyshev(reference: Binned, current: Binned) -> Distance:
    """The largest change of any share: max |p - q| over the bins; rare categories that have none of
    their own only widen the error.

    Between 0 (alike) and 1; symmetric, and a metric. 0.1 says that no category gained or lost more
    than ten points of its share; TensorFlow Data Validation compares categories so, customarily
    with 0.01 to 0.1 (Breck et al., "Data validation for machine learning", MLSys 2019).

    >>> chebyshev(Binned.exact([1, 1]), Binned.exact([1, 3])).value
    0.25
    """
    p, q = reference, current
    high = np.maximum(p.high - q.low, q.high - p.low)
    low = np.maximum(np.maximum(p.low - q.high, q.low - p.high), 0.0)
    gaps = np.abs(p.shares - q.shares)
    if p.rare or q.rare:
        low[-1] = gaps[-1] = 0.0  # how far many rare categories moved says nothing of any of them
        high[-1] = max(p.rare, q.rare)
    value = float(gaps.max(initial=0.0))
    return between(float(low.max(initial=0.0)), value, float(high.max(initial=0.0)))
