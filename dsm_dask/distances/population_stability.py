"""Population stability index."""

from __future__ import annotations

import numpy as np

from dsm_dask.distances.binned import Binned, Floats, total
from dsm_dask.distances.distance import Distance, between

FLOOR = 1e-4
"""Shares below this count as this, or an empty bin would make the index infinite."""


def population_stability(reference: Binned, current: Binned) -> Distance:
    """PSI: Σ (q - p) ln(q / p) over the bins, in nats; p is the share in the reference and q that
    in the current data, each at least 0.0001.

    0 (alike) and up; symmetric given the bins. Customarily below 0.1 is no change to speak of, 0.1
    to 0.25 a moderate and above 0.25 a large one (Siddiqi, "Credit Risk Scorecards", 2006). It is
    the divergence of Jeffreys ("An invariant form for the prior probability", 1946). Two samples of
    n and m rows of one distribution come to about (bins - 1) (1/n + 1/m) (Yurdakul, "Statistical
    properties of population stability index", 2018).

    >>> round(population_stability(Binned.exact([1, 1]), Binned.exact([3, 1])).value, 3)
    0.275
    """
    low, value, high = total(_term, reference, current, homogeneous=False)
    return between(low, value, high)


def _term(p: Floats, q: Floats) -> Floats:
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    found: Floats = (q - p) * np.log(q / p)
    return found
