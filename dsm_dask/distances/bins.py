"""Common bins of two numeric columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask.distances.binned import Binned
from dsm_dask.distances.distribution import Distribution, Floats

BINS = 10
"""Bins of equal frequency in the reference."""
FEW = 20
"""Up to so many different values on both sides together, each has a bin of its own."""


def bin_edges(reference: Distribution, current: Distribution, bins: int = BINS) -> npt.NDArray[Any]:
    """The inner edges of common bins, stored numbers: bin i holds the values above ``edges[i - 1]``
    and up to ``edges[i]``; the first and the last bin are open.

    With at most :data:`FEW` different values on both sides, each value has a bin. Otherwise the
    edges are the quantiles 1/10, ..., 9/10 of the reference, so that each bin holds a tenth of it;
    a value that many rows have, as zero often is, is the edge of fewer, larger bins.

    >>> side = Distribution(np.arange(100), np.arange(1, 101) / 100, 100)
    >>> bin_edges(side, side).tolist()
    [9, 19, 29, 39, 49, 59, 69, 79, 89]
    """
    if is_discrete(reference, current):
        return np.union1d(reference.points, current.points)[:-1]
    return np.unique(reference.quantile(np.arange(1, bins) / bins))


def is_discrete(reference: Distribution, current: Distribution) -> bool:
    """Whether both sides together have at most :data:`FEW` different values, all of them known."""
    if not (reference.exact and current.exact):
        return False
    if max(len(reference.points), len(current.points)) > FEW:
        return False
    return len(np.union1d(reference.points, current.points)) <= FEW


def shares(side: Distribution, edges: npt.NDArray[Any]) -> Binned:
    """One side in bins with these inner edges. The share up to an edge is off by ``error`` at
    most, so that of a bin between two of them by twice as much.

    >>> side = Distribution(np.array([1, 2, 3]), np.array([0.25, 0.5, 1.0]), 4)
    >>> shares(side, np.array([1, 2])).shares.tolist()
    [0.25, 0.25, 0.5]
    """
    found = np.diff(side.share_to(edges), prepend=0.0, append=1.0)
    off = np.full(len(found), 2 * side.error)
    off[[0, -1]] = side.error if len(edges) else 0.0
    low: Floats = np.maximum(found - off, 0.0)
    return Binned(found, low, np.minimum(found + off, 1.0), side.count)
