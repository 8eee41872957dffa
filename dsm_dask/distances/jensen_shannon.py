"""Jensen-Shannon distance."""

from __future__ import annotations

import math

import numpy as np

from dsm_dask.distances.binned import Binned, Floats, total
from dsm_dask.distances.distance import Distance, between


def jensen_shannon(reference: Binned, current: Binned) -> Distance:
    """sqrt(Σ (p log2(p/m) + q log2(q/m)) / 2), where m = (p + q) / 2, over the shares p and q of
    the bins.

    Between 0 (alike) and 1 (no overlap); symmetric, and a metric. 0.1 is customary as the
    threshold (Evidently, NannyML). The divergence is Lin's ("Divergence measures based on the
    Shannon entropy", IEEE Trans. Inf. Theory 37, 1991), with logarithms to base 2; its root is a
    metric by Endres and Schindelin ("A new metric for probability distributions", 2003).

    >>> jensen_shannon(Binned.exact([1, 0]), Binned.exact([0, 1])).value
    1.0
    """
    low, value, high = (math.sqrt(max(0.0, x)) for x in total(_term, reference, current))
    return between(low, value, min(1.0, high))


def _term(p: Floats, q: Floats) -> Floats:
    middle = (p + q) / 2
    found: Floats = np.maximum(_part(p, middle) + _part(q, middle), 0.0) / 2
    return found


def _part(p: Floats, middle: Floats) -> Floats:
    ratio = np.divide(p, middle, out=np.ones_like(p), where=(p > 0) & (middle > 0))
    found: Floats = p * np.log2(ratio)
    return found
