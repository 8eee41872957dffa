"""Quantiles, from a mergeable summary of ranks."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.stats import column as columns
from dsm_dask.stats import values

K = 4096
RUNS = 4
PROBABILITIES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@codec.state("stats.quantiles.run", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """At most :data:`K` sorted values that stand for ``weight`` values, each for the same share.

    ``error`` bounds how far any rank may be off, in values."""

    values: npt.NDArray[Any]
    weight: int
    error: float = 0.0


@codec.state("stats.quantiles", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class QuantilesState:
    """At most :data:`RUNS` runs, each of at least twice the weight of the next; and the column's
    type, as an empty array, once a batch was seen."""

    runs: tuple[Run, ...] = ()
    empty: pa.Array | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Ranks:
    """The distribution that a state tells of: at most 16,384 ``points`` in order (stored numbers:
    int64, uint64 or float64), and for each the number of values up to it, ``ends``.

    The true number of values below any number is at most ``error`` away from what these say;
    ``count`` is that of all values."""

    points: npt.NDArray[Any]
    ends: npt.NDArray[np.float64]
    count: int
    error: float


def ranks(state: QuantilesState) -> Ranks:
    """The distribution of a column, to compare it with another.

    >>> from dsm_dask.fold import update_all
    >>> batch = pa.record_batch({"x": [3, 1, 2, 2]})
    >>> found = ranks(update_all(Quantiles("x"), [batch]))
    >>> found.points.tolist(), found.ends.tolist(), found.error
    ([1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0], 0.0)
    """
    count = sum(run.weight for run in state.runs)
    if not count:
        return Ranks(np.empty(0), np.empty(0), 0, 0.0)
    points, ends = _cumulative(state.runs)
    return Ranks(points, ends, count, sum(run.error for run in state.runs))


@dataclasses.dataclass(frozen=True)
class QuantileValues:
    """``values[i]`` is the quantile at ``probabilities[i]``; None each without any value.

    ``rank_error`` bounds, as a share of all values, how far the true rank of any of them may be
    from its probability; 0 when they are exact."""

    probabilities: tuple[float, ...]
    values: tuple[Any, ...]
    rank_error: float


@dataclasses.dataclass(frozen=True)
class Quantiles:
    """Quantiles with linear interpolation between ranks (Hyndman and Fan's definition 7, as in
    NumPy and pandas); decimals as floats, dates and times rounded down to their unit.

    Each batch is sorted and reduced to its k = 4,096 middle ranks; such runs are merged like
    carries of a binary counter (Manku, Rajagopalan, Lindsay, "Approximate medians and other
    quantiles in one pass and with limited memory", SIGMOD 1998). Every reduction of a run of weight
    w adds at most w / (2 k) to its rank error, and errors add up: merging states as a tree of
    depth d gives at most (d + 1) / 8192 of the number of values, 0.14 % for 1,000 partitions;
    merging n of them one by one adds about n / 2^17. The bound for the data at hand is the
    result's ``rank_error``; the error itself is mostly a tenth of it. Exact up to 4,096 values.
    Deterministic. At most 128 KB of state.

    >>> from dsm_dask.fold import run
    >>> batch = pa.record_batch({"x": list(range(101))})
    >>> run(Quantiles("x", (0.5, 0.99)), [batch])
    QuantileValues(probabilities=(0.5, 0.99), values=(50, 99), rank_error=0.0)
    """

    takes_encoded = True

    column: str
    probabilities: tuple[float, ...] = PROBABILITIES

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return values.kind_of(dtype) in {"integer", "float", "decimal", "temporal"}

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> QuantilesState:
        return QuantilesState()

    def update(self, state: QuantilesState, batch: pa.RecordBatch) -> QuantilesState:
        column = columns.of(batch, self.column)
        ordered = column.ordered
        runs = [_reduce(Run(ordered, len(ordered)))] if len(ordered) else []
        return self.merge(state, QuantilesState(tuple(runs), column.plain.slice(0, 0)))

    def merge(self, left: QuantilesState, right: QuantilesState) -> QuantilesState:
        runs = _carry([*left.runs, *right.runs])
        return QuantilesState(tuple(runs), right.empty if left.empty is None else left.empty)

    def seal(self, state: QuantilesState) -> QuantilesState:
        """One run instead of several, of a value for every 32 (at least 512 of them, unless all
        are there): small beside the column, for one or two more reductions."""
        runs = list(state.runs)
        while len(runs) > 1:
            runs[-2:] = [_join(runs[-2], runs[-1])]
        if runs and len(runs[0].values) < runs[0].weight:
            runs = [_reduce(runs[0], max(512, min(K, runs[0].weight // 32)))]
        return QuantilesState(tuple(runs), state.empty)

    def finish(self, state: QuantilesState) -> QuantileValues:
        count = sum(run.weight for run in state.runs)
        if not count or state.empty is None:
            return QuantileValues(self.probabilities, (None,) * len(self.probabilities), 0.0)
        points, ends = _cumulative(state.runs)
        dtype = state.empty.type
        whole = values.kind_of(dtype) == "temporal"
        found = [_typed(_at(points, ends, p, whole), dtype) for p in self.probabilities]
        error = sum(run.error for run in state.runs)
        return QuantileValues(self.probabilities, tuple(found), error / count)

    def same(self, left: QuantileValues, right: QuantileValues, rows: pa.RecordBatch) -> bool:
        """Equal within the stated rank error, given the data."""
        array = values.column(rows, self.column)
        numbers = np.sort(values.present(array))
        if len(numbers) <= K:
            return bool(values.to_json(left.values) == values.to_json(right.values))
        allowed = left.rank_error + right.rank_error + 2 / len(numbers)
        return all(
            _distance(numbers, a, b, array.type) <= allowed
            for a, b in zip(left.values, right.values, strict=True)
        )


def _carry(runs: list[Run]) -> list[Run]:
    """Merge until each run has twice the weight of the next, and there are few enough."""
    runs = sorted(runs, key=lambda run: -run.weight)
    while len(runs) > 1:
        light = next(
            (i for i in range(len(runs) - 1, 0, -1) if runs[i - 1].weight < 2 * runs[i].weight),
            len(runs) - 1 if len(runs) > RUNS else 0,
        )
        if not light:
            break
        runs[light - 1 : light + 1] = [_join(runs[light - 1], runs[light])]
        runs.sort(key=lambda run: -run.weight)
    return runs


def _join(left: Run, right: Run) -> Run:
    error, weight = left.error + right.error, left.weight + right.weight
    if weight == len(left.values) + len(right.values):
        return _reduce(Run(np.sort(np.concatenate([left.values, right.values])), weight, error))
    from dsm_dask.stats import kernels

    shares = [run.weight / len(run.values) for run in (left, right)]
    picked = kernels.merge_ranks(left.values, shares[0], right.values, shares[1], K)
    return Run(picked, weight, error + weight / (2 * K))


def _reduce(run: Run, size: int = K) -> Run:
    if len(run.values) <= size:
        return run
    # the values at as many ranks, in the middle of equal shares
    ranks = np.ceil((np.arange(size) + 0.5) * (len(run.values) / size)).astype(np.int64) - 1
    return Run(run.values[ranks], run.weight, run.error + run.weight / (2 * size))


def _cumulative(runs: tuple[Run, ...]) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """All values in order, and the rank at which the share of each ends."""
    points = np.concatenate([run.values for run in runs])
    shares = np.concatenate([np.full(len(r.values), r.weight / len(r.values)) for r in runs])
    order = np.argsort(points, kind="stable")
    return points[order], np.cumsum(shares[order])


def _at(
    points: npt.NDArray[Any], ends: npt.NDArray[np.float64], probability: float, whole: bool
) -> Any:
    """The value at rank probability * (n - 1), between the values of the ranks around it."""
    rank = probability * (round(ends[-1]) - 1)
    first = math.floor(rank)
    slots = np.searchsorted(ends, [first + 0.5, first + 1.5])
    low, high = (points[min(int(slot), len(points) - 1)].item() for slot in slots)
    part = rank - first
    if low == high or not part:
        return low
    if isinstance(low, float):
        return low * (1 - part) + high * part  # high - low could overflow
    if whole:
        return low + min(math.floor((high - low) * part), high - low)
    return low + (high - low) * part


def _typed(number: Any, dtype: pa.DataType) -> Any:
    """Stored number to value of the column's type."""
    if values.kind_of(dtype) != "temporal":
        return number
    return values.from_number(number, dtype)


def _distance(numbers: npt.NDArray[Any], one: Any, other: Any, dtype: pa.DataType) -> float:
    """How far apart the ranks of two values are in sorted data, as a share of it."""
    if values.kind_of(dtype) == "temporal":
        one, other = (pa.scalar(v, dtype).value for v in (one, other))
    low, high = sorted((one, other))
    gap = np.searchsorted(numbers, high, "left") - np.searchsorted(numbers, low, "right")
    return max(0.0, float(gap) / len(numbers))
