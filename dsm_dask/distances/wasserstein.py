"""Wasserstein distance of order 1, in standard deviations of the reference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask.distances.distance import Distance
from dsm_dask.distances.distribution import Distribution, Floats, away


def wasserstein(reference: Distribution, current: Distribution) -> Distance | None:
    """How far values have to be moved, on average, to turn one side into the other:
    ∫ |F(x) - G(x)| dx, divided by the standard deviation of the reference (of the sample).

    0 (alike) and up, in standard deviations: all values moved by half of one give 0.5. Not
    symmetric, for the reference sets the unit. 0.1 is customary as the threshold (Evidently).
    Also known as the earth mover's distance (Villani, "Optimal Transport", 2009; in one dimension
    Vallender, "Calculation of the Wasserstein distance", 1974).

    None where there is no such unit or length: the reference is constant, its standard deviation
    is more than a float holds, or either side has infinities.

    The error bound is small even for heavy tails: how many values lie in each bin of the
    histograms is known exactly, so only what lies between its edges is uncertain.

    >>> side = Distribution(np.array([0, 2]), np.array([0.5, 1.0]), 2, std=2.0)
    >>> other = Distribution(np.array([1, 3]), np.array([0.5, 1.0]), 2)
    >>> wasserstein(side, other).value
    0.5
    """
    std = reference.std
    if std is None or not (reference.finite and current.finite):
        return None
    origin = min(reference.points[0], current.points[0])
    sides = [_Positions(side, origin, std) for side in (reference, current)]
    grid = np.sort(np.concatenate([part for side in sides for part in side.parts()]), kind="stable")
    widths = np.diff(grid)
    (one, one_off), (other, other_off) = (side.between(grid) for side in sides)
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(np.dot(np.abs(one - other), widths))
        error = float(np.dot(one_off + other_off, widths))
    error += (value + error) * reference.std_error / max(1e-9, 1 - reference.std_error)
    return Distance(value, error) if math.isfinite(value + error) else None


class _Positions:
    """A distribution on a scale where the reference's standard deviation is 1."""

    def __init__(self, side: Distribution, origin: Any, std: float) -> None:
        self.side = side
        self.points = _scaled(side.points, origin, std)
        edges = np.array([_scaled_edge(edge, origin, std) for edge in side.edges], np.float64)
        inside = np.isfinite(edges)
        self.edges, self.below = edges[inside], side.below[inside]

    def parts(self) -> Iterator[Floats]:
        yield self.points
        yield self.edges

    def between(self, grid: Floats) -> tuple[Floats, Floats]:
        """The share of values up to anywhere between neighbours of the grid, and how far off."""
        left, right = grid[:-1], grid[1:]
        known = np.concatenate([[0.0], self.side.shares])
        share = known[np.searchsorted(self.points, left, "right")]
        if not self.side.error:
            return share, np.zeros_like(share)
        before = np.searchsorted(self.edges, left, "right")
        after = np.searchsorted(self.edges, right, "left")
        low = np.maximum(share - self.side.error, np.concatenate([[0.0], self.below])[before])
        high = np.minimum(share + self.side.error, np.append(self.below, 1.0)[after])
        share = np.clip(share, low, np.maximum(low, high))
        return share, np.maximum(np.maximum(high - share, share - low), 0.0)


def _scaled(points: npt.NDArray[Any], origin: Any, std: float) -> Floats:
    offsets = away(points, origin)
    if np.isinf(offsets).any():  # wider than a float: the same, less precisely
        return points / std - float(origin) / std
    with np.errstate(over="ignore"):
        return offsets / std


def _scaled_edge(edge: Any, origin: Any, std: float) -> float:
    offset = edge - float(origin) if isinstance(edge, float) else float(edge - int(origin))
    if math.isinf(offset):
        return edge / std - float(origin) / std  # type: ignore[no-any-return]
    return offset / std
