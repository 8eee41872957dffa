"""Histogram with bins that fit the data as it comes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.stats import column as columns
from dsm_dask.stats import values

BINS = 128
_DIGITS = 52
_SMALLEST = -1074


@codec.state("stats.histogram", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class HistogramState:
    """Bin i counts the values in [(first + i) * 2^power, (first + i + 1) * 2^power)."""

    power: int = 0
    first: int = 0
    counts: npt.NDArray[np.int64] | None = None
    below: int = 0
    above: int = 0
    empty: pa.Array | None = None


@dataclasses.dataclass(frozen=True)
class Bins:
    """``counts[i]`` values lie in [``edges[i]``, ``edges[i + 1]``); none, without any value.

    ``below`` and ``above`` count negative and positive infinity. An edge past what the type can
    hold is an infinite float, or an Arrow scalar."""

    edges: tuple[Any, ...] = ()
    counts: tuple[int, ...] = ()
    below: int = 0
    above: int = 0


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Exact counts in at most 128 bins of equal width 2^k, aligned at zero, in the units of the
    column (decimals as floats; dates and times in units of their type since their origin).

    k is the smallest for which 128 bins reach from the minimum to the maximum (and not below the
    resolution of a float at the largest value, nor 0 for integers). So it depends on these two
    alone, halving the resolution merges bins exactly, and any cut of the data gives the very same
    histogram without a second pass; columns with a range have 64 to 128 bins. OpenTelemetry's
    exponential histograms rescale alike ("perfect subsetting", OpenTelemetry metrics data model).
    At most 2 KB of state.

    >>> from dsm_dask.fold import run
    >>> run(Histogram("x"), [pa.record_batch({"x": [1, 2, 2, 4]})])
    Bins(edges=(1, 2, 3, 4, 5), counts=(1, 2, 0, 1), below=0, above=0)
    """

    takes_encoded = True

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return values.kind_of(dtype) in {"integer", "float", "decimal", "temporal"}

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> HistogramState:
        return HistogramState()

    def update(self, state: HistogramState, batch: pa.RecordBatch) -> HistogramState:
        column = columns.of(batch, self.column)
        numbers = column.ordered
        count = _count_floats if numbers.dtype.kind == "f" else _count_integers
        counted = count(numbers) if len(numbers) else HistogramState()
        return self.merge(state, dataclasses.replace(counted, empty=column.plain.slice(0, 0)))

    def merge(self, left: HistogramState, right: HistogramState) -> HistogramState:
        below, above = left.below + right.below, left.above + right.above
        empty = right.empty if left.empty is None else left.empty
        sides = [side for side in (left, right) if side.counts is not None]
        if not sides:
            return HistogramState(below=below, above=above, empty=empty)
        power = max(side.power for side in sides)
        first, last = _span(sides, power)
        while last - first >= BINS:
            power += 1
            first, last = _span(sides, power)
        counts = np.zeros(last - first + 1, np.int64)
        for side in sides:
            np.add.at(counts, _slots(side, power, first), _counts(side))
        return HistogramState(power, first, counts, below, above, empty)

    def finish(self, state: HistogramState) -> Bins:
        if state.counts is None or state.empty is None:
            return Bins(below=state.below, above=state.above)
        steps = range(state.first, state.first + len(state.counts) + 1)
        edges = _edges(steps, state.power, state.empty.type)
        return Bins(tuple(edges), tuple(state.counts.tolist()), state.below, state.above)


def _counts(side: HistogramState) -> npt.NDArray[np.int64]:
    return np.empty(0, np.int64) if side.counts is None else side.counts


def _span(sides: list[HistogramState], power: int) -> tuple[int, int]:
    """First and last bin of all sides at a coarser width."""
    firsts = [side.first >> (power - side.power) for side in sides]
    lasts = [(s.first + len(_counts(s)) - 1) >> (power - s.power) for s in sides]
    return min(firsts), max(lasts)


def _slots(side: HistogramState, power: int, first: int) -> npt.NDArray[np.int64]:
    """Where each bin of ``side`` goes among coarser bins. ``first`` may exceed 64 bits."""
    shift = power - side.power
    bins = range(side.first, side.first + len(_counts(side)))
    return np.array([(step >> shift) - first for step in bins], np.int64)


def _count_integers(ordered: npt.NDArray[Any]) -> HistogramState:
    low, high = int(ordered[0]), int(ordered[-1])
    power = max(0, (high - low).bit_length() - BINS.bit_length())
    while (high >> power) - (low >> power) >= BINS:
        power += 1
    first, last = low >> power, high >> power
    edges = np.array([step << power for step in range(first + 1, last + 1)], ordered.dtype)
    return HistogramState(power, first, _between(ordered, edges))


def _count_floats(ordered: npt.NDArray[Any]) -> HistogramState:
    below = int(np.searchsorted(ordered, -np.inf, "right"))
    stop = int(np.searchsorted(ordered, np.inf, "left"))
    above = len(ordered) - stop
    ordered = ordered[below:stop]
    if not len(ordered):
        return HistogramState(below=below, above=above)
    low, high = float(ordered[0]), float(ordered[-1])
    power = _finest(low, high)
    while _floor(high, power) - _floor(low, power) >= BINS:
        power += 1
    first, last = _floor(low, power), _floor(high, power)
    edges = np.ldexp(np.arange(first + 1, last + 1, dtype=np.float64), power)
    return HistogramState(power, first, _between(ordered, edges), below, above)


def _between(ordered: npt.NDArray[Any], edges: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How many sorted numbers lie before, between and from inner edges on."""
    places = np.searchsorted(ordered, edges)
    return np.diff(places, prepend=0, append=len(ordered)).astype(np.int64)


def _finest(low: float, high: float) -> int:
    """The finest width to try: bin numbers stay below 2^53, and it is not far below what fits."""
    largest = max(abs(low), abs(high))
    resolution = (math.frexp(largest)[1] - _DIGITS - 1) if largest else _SMALLEST
    spread = high / 2 - low / 2
    guess = math.frexp(spread)[1] + 1 - BINS.bit_length() - 1 if spread else _SMALLEST
    return max(resolution, guess, _SMALLEST)


def _floor(number: float, power: int) -> int:
    step = math.floor(math.ldexp(number, -power))
    return -1 if number < 0 and step == 0 else step


def _edges(steps: range, power: int, dtype: pa.DataType) -> list[Any]:
    kind = values.kind_of(dtype)
    if kind in {"float", "decimal"}:
        return [_float_edge(step, power) for step in steps]
    numbers = [step << power for step in steps]
    if kind == "integer":
        return list(numbers)
    limits = np.iinfo(arrays.storage_type(dtype))
    low, high = int(limits.min), int(limits.max)
    stored = np.array([min(max(number, low), high) for number in numbers], np.int64)
    return [values.to_python(scalar) for scalar in values.from_numpy(stored, dtype)]


def _float_edge(step: int, power: int) -> float:
    try:
        return math.ldexp(float(step), power)
    except OverflowError:
        return math.inf if step > 0 else -math.inf
