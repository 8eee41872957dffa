"""Hellinger distance."""

from __future__ import annotations

import math

import numpy as np

from dsm_dask.distances.binned import Binned, Floats, total
from dsm_dask.distances.distance import Distance, between


def hellinger(reference: Binned, current: Binned) -> Distance:
    """sqrt(Σ (√p - √q)² / 2) over the shares p and q of the bins.

    Between 0 (alike) and 1 (no overlap); symmetric, and a metric. 0.1 is customary as the threshold
    (Evidently, NannyML). Due to Hellinger ("Neue Begründung der Theorie quadratischer Formen",
    1909); for drift see Ditzler and Polikar ("Hellinger distance based drift detection", 2011).

    >>> hellinger(Binned.exact([1, 0]), Binned.exact([0, 1])).value
    1.0
    """
    low, value, high = (math.sqrt(max(0.0, x)) for x in total(_term, reference, current))
    return between(low, value, min(1.0, high))


def _term(p: Floats, q: Floats) -> Floats:
    found: Floats = (np.sqrt(p) - np.sqrt(q)) ** 2 / 2
    return found
