"""The distribution of a numeric or temporal column, as its sketches know it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.stats import quantiles, values
from dsm_dask.stats.histogram import HistogramState
from dsm_dask.stats.moments import Moments

Floats = npt.NDArray[np.float64]

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclasses.dataclass(frozen=True, eq=False)
class Distribution:
    """Of ``count`` values, the share ``shares[i]`` is at most ``points[i]``, give or take
    ``error``: distinct stored numbers in order (int64, uint64 or float64), shares rising to 1.

    ``edges`` and ``below`` are exact: the share ``below[j]`` is less than ``edges[j]``. ``std`` is
    the standard deviation of the sample, None where it is no positive finite number; its square is
    off by at most the share ``std_error``. ``exact``: the points are all the values there are."""

    points: npt.NDArray[Any]
    shares: Floats
    count: int
    error: float = 0.0
    exact: bool = True
    edges: tuple[Any, ...] = ()
    below: Floats = dataclasses.field(default_factory=lambda: np.empty(0))
    std: float | None = None
    std_error: float = 0.0

    @property
    def finite(self) -> bool:
        """Whether no value is infinite."""
        ends = self.points[[0, -1]] if len(self.points) else self.points
        return bool(np.isfinite(ends).all())

    def share_to(self, points: npt.NDArray[Any]) -> Floats:
        """The share of values at most each of ``points``."""
        slots = np.searchsorted(self.points, points, "right")
        return np.concatenate([[0.0], self.shares])[slots]

    def quantile(self, probabilities: Floats) -> npt.NDArray[Any]:
        """The smallest value with at least these shares of values up to it."""
        slots = np.searchsorted(self.shares, probabilities - 1e-12)
        return self.points[np.minimum(slots, len(self.points) - 1)]


def distribution(states: Mapping[str, Any]) -> Distribution | None:
    """What the states of a column tell; None without any value.

    Columns with few distinct values (at most those that
    :class:`~dsm_dask.stats.top_values.TopValues` counts exactly) are known exactly, all others
    from :func:`dsm_dask.stats.quantiles.ranks` and the exact counts of the histogram.

    >>> from dsm_dask.fold import update_all
    >>> from dsm_dask.stats.quantiles import Quantiles
    >>> batch = pa.record_batch({"x": [3, 1, 1, 2]})
    >>> found = distribution({"quantiles": update_all(Quantiles("x"), [batch])})
    >>> found.points.tolist(), found.shares.tolist()
    ([1, 2, 3], [0.5, 0.75, 1.0])
    """
    found = quantiles.ranks(states["quantiles"])
    if not found.count:
        return None
    counted = _counted(states.get("top"), found.count)
    points, ends = counted or (found.points, found.ends)
    last = np.append(points[1:] != points[:-1], True)
    edges, below = _edges(states.get("histogram"), found.count)
    error = 0.0 if counted else found.error / found.count
    made = Distribution(
        points=points[last],
        shares=np.minimum(ends[last] / found.count, 1.0),
        count=found.count,
        error=error,
        exact=error == 0.0,
        edges=edges,
        below=below,
    )
    std, std_error = _std(states.get("moments"), made)
    return dataclasses.replace(made, std=std, std_error=std_error)


def _counted(top: Any, count: int) -> tuple[npt.NDArray[Any], Floats] | None:
    """All values in order and the number of values up to each, when every one is counted."""
    if top is None or top.values is None or top.error or int(top.counts.sum()) != count:
        return None
    numbers = values.present(top.values)
    if len(numbers) != len(top.counts):
        return None
    if numbers.dtype != np.uint64:
        numbers = numbers.astype(np.float64 if numbers.dtype.kind == "f" else np.int64, copy=False)
    order = np.argsort(numbers, kind="stable")
    return numbers[order], np.cumsum(top.counts[order]).astype(np.float64)


def _edges(state: HistogramState | None, count: int) -> tuple[tuple[Any, ...], Floats]:
    if state is None or state.counts is None or state.empty is None:
        return (), np.empty(0)
    steps = range(state.first, state.first + len(state.counts) + 1)
    whole = values.kind_of(state.empty.type) in {"integer", "temporal"}
    edges = [_edge(step, state.power, whole) for step in steps]
    below = (state.below + np.concatenate([[0], np.cumsum(state.counts)])) / count
    return tuple(edges), below


def _edge(step: int, power: int, whole: bool) -> Any:
    if whole:
        return step << power
    try:
        return math.ldexp(float(step), power)
    except OverflowError:
        return math.inf if step > 0 else -math.inf


def _std(moments: Any, made: Distribution) -> tuple[float | None, float]:
    """Standard deviation, and the relative error of its square."""
    if not made.finite or made.count < 2 or len(made.points) < 2:
        return None, 0.0
    if moments is None:
        return _std_of_shares(made)
    std = Moments("").finish(moments).std
    return (std, 0.0) if std is not None and 0 < std < math.inf else (None, 0.0)


def _std_of_shares(made: Distribution) -> tuple[float | None, float]:
    """Shares are off by ``error``: the variance by at most the integral of 2 |x - mean| of that."""
    offsets = away(made.points, made.points[0])
    weights = np.diff(made.shares, prepend=0.0)
    mean = float(np.dot(offsets, weights))
    variance = float(np.dot((offsets - mean) ** 2, weights)) * made.count / (made.count - 1)
    if not 0 < variance < math.inf:
        return None, 0.0
    bound = made.error * (mean**2 + (float(offsets[-1]) - mean) ** 2)
    return math.sqrt(variance), min(1.0, bound / variance)


def away(points: npt.NDArray[Any], origin: Any) -> Floats:
    """How far each point is from one that is no larger, as float64. Integers are subtracted
    without overflow.

    >>> away(np.array([-2**63, 2**63 - 1]), np.int64(-2**63)).tolist()
    [0.0, 1.8446744073709552e+19]
    """
    if points.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return points - np.float64(origin)
    bits = points.astype(np.uint64)  # wraps, and so does the difference
    return (bits - np.asarray(origin).astype(np.uint64)).astype(np.float64)


def as_floats(found: Distribution, unit: float = 1.0) -> Distribution:
    """The same in float64, times ``unit``: to compare columns of different types."""
    points = found.points.astype(np.float64) * unit
    last = np.append(points[1:] != points[:-1], True)  # large integers may fall together
    return dataclasses.replace(
        found,
        points=points[last],
        shares=found.shares[last],
        edges=tuple(float(edge) * unit for edge in found.edges),
        std=None if found.std is None else found.std * unit,
    )


def seconds(dtype: pa.DataType) -> float:
    """Seconds in one stored unit of a temporal type.

    >>> seconds(pa.timestamp("ms")), seconds(pa.date32())
    (0.001, 86400.0)
    """
    dtype = arrays.plain_type(dtype)
    if pa.types.is_date32(dtype):
        return 86_400.0
    return 1e-3 if pa.types.is_date64(dtype) else _SECONDS[dtype.unit]


def in_one_unit(
    reference: Distribution, current: Distribution, types: tuple[pa.DataType, pa.DataType]
) -> tuple[Distribution, Distribution]:
    """Both sides as they are when they are stored alike, and otherwise as float64: numbers as they
    are, times in seconds."""
    if values.kind_of(types[0]) == "temporal":
        units = [seconds(dtype) for dtype in types]
        if units[0] == units[1]:
            return reference, current
        return as_floats(reference, units[0]), as_floats(current, units[1])
    if reference.points.dtype == current.points.dtype:
        return reference, current
    return as_floats(reference), as_floats(current)
