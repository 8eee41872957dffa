"""What a chart of both sides of a column needs: shares of common bins, as JSON shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask.distances.categories import Categories
from dsm_dask.distances.distribution import Distribution
from dsm_dask.stats import values

BARS = 30
SHOWN = 12
"""Categories with a bar of their own."""


def numeric_chart(
    reference: Distribution, current: Distribution, dtype: pa.DataType
) -> dict[str, Any]:
    """Bars of equal width over what 99.8 % of both sides span; the first and the last take in
    whatever lies beyond. Bar i has the values above ``edges[i]`` and up to ``edges[i + 1]``."""
    edges = _even(reference, current)
    inner = edges[1:-1]
    bars = [np.diff(side.share_to(inner), prepend=0.0, append=1.0) for side in (reference, current)]
    return {
        "kind": "numeric",
        "edges": shown(edges, dtype),
        "reference": rounded(bars[0]),
        "current": rounded(bars[1]),
    }


def discrete_chart(
    reference: Distribution, current: Distribution, dtype: pa.DataType
) -> dict[str, Any]:
    """One bar for each value."""
    points = np.union1d(reference.points, current.points)
    bars = [np.diff(side.share_to(points), prepend=0.0) for side in (reference, current)]
    return {
        "kind": "categorical",
        "values": shown(points, dtype),
        "reference": rounded(bars[0]),
        "current": rounded(bars[1]),
    }


def categorical_chart(found: Categories) -> dict[str, Any]:
    """A bar for each of the most frequent categories; ``other`` has the shares of the rest."""
    one, two = found.reference.shares, found.current.shares
    largest = np.sort(np.argsort(-np.maximum(one, two)[:-1], kind="stable")[:SHOWN])
    return {
        "kind": "categorical",
        "values": category_values(found, largest),
        "reference": rounded(one[largest]),
        "current": rounded(two[largest]),
        "other": {
            "reference": rounded([1 - one[largest].sum()])[0] if found.reference.count else 0.0,
            "current": rounded([1 - two[largest].sum()])[0] if found.current.count else 0.0,
        },
    }


def category_values(found: Categories, positions: npt.NDArray[np.int64]) -> list[Any]:
    """The values of some categories as JSON shows them."""
    picked = found.values.take(pa.array(positions, pa.int64()))
    return [values.to_json(values.to_python(item)) for item in picked]


def shown(numbers: npt.NDArray[Any], dtype: pa.DataType) -> list[Any]:
    """Stored numbers as JSON shows values of the type; as numbers where both sides were stored in
    different units."""
    if values.kind_of(dtype) != "temporal" or numbers.dtype.kind == "f":
        return [values.to_json(number) for number in numbers.tolist()]
    return [values.to_json(values.to_python(item)) for item in values.from_numpy(numbers, dtype)]


def rounded(shares: Any) -> list[float]:
    """Shares to ten digits, which is more than a chart shows."""
    found: list[float] = np.round(np.maximum(shares, 0.0), 10).tolist()
    return found


def _even(reference: Distribution, current: Distribution) -> npt.NDArray[Any]:
    ends = np.array([0.001, 0.999])
    found = np.concatenate([_finite(side).quantile(ends) for side in (reference, current)])
    low, high = found.min().item(), found.max().item()
    if isinstance(low, int):
        return np.unique(
            np.array([low + (high - low) * i // BARS for i in range(BARS + 1)], found.dtype)
        )
    parts = np.arange(BARS + 1) / BARS
    return np.unique(low * (1 - parts) + high * parts)


def _finite(side: Distribution) -> Distribution:
    """Without infinities: they have no place on an axis."""
    if side.finite:
        return side
    inside = np.isfinite(side.points)
    if not inside.any():
        return Distribution(np.zeros(1), np.ones(1), side.count)
    return Distribution(side.points[inside], side.shares[inside], side.count)
