"""Stretches of time without any value."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.stats import column as columns
from dsm_dask.stats import values

BUCKETS = 1024
SHOWN = 5
_DAY = 86_400
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

Int64 = npt.NDArray[np.int64]


@codec.state("stats.gaps", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class GapsState:
    """Bucket i holds the values in [(first + i) * 2^power, (first + i + 1) * 2^power): the smallest
    ``lows[i]`` and the largest ``highs[i]`` of them (or int64's largest and smallest, if none).
    ``step`` divides all differences of values; 0 while there are none. ``empty`` is an array of the
    column's type, once a batch was seen."""

    power: int = 0
    first: int = 0
    lows: Int64 | None = None
    highs: Int64 | None = None
    step: int = 0
    empty: pa.Array | None = None


@dataclasses.dataclass(frozen=True)
class Gap:
    """No value lies between ``start`` and ``end``, which are values; ``seconds`` apart."""

    start: Any
    end: Any
    seconds: float


@dataclasses.dataclass(frozen=True)
class GapStats:
    """``longest``: the longest gaps, longest first, of those longer than ``resolution`` seconds;
    all of these are found, shorter ones are not looked for. ``occupied``: the share of stretches of
    that length, between the first value and the last, in which there is any. ``step``: the longest
    time, in seconds, of which all distances between values are multiples (86400 for whole days).

    None each, without two different values."""

    longest: tuple[Gap, ...] = ()
    resolution: float | None = None
    occupied: float | None = None
    step: float | None = None


@dataclasses.dataclass(frozen=True)
class Gaps:
    """The longest gaps between neighbouring values of a column of timestamps or dates. Exact.

    The range of the values is cut into at most 1,024 buckets of 2^k units, aligned at zero, and
    each keeps its smallest and largest value. Two neighbours that are further apart than a bucket
    is wide cannot lie in the same one, so every such gap is between the largest value of a bucket
    and the smallest of the next that is not empty (the pigeonhole argument of the maximum gap
    problem: Gonzalez, 1975). Buckets widen by merging neighbours as the range grows, so any cut of
    the data gives the same state. At most 17 KB.

    >>> from dsm_dask.fold import run
    >>> import datetime as dt
    >>> days = [dt.date(2024, 1, day) for day in (1, 2, 3, 30, 31)]
    >>> found = run(Gaps("x"), [pa.record_batch({"x": days})])
    >>> found.longest[0].start, found.longest[0].end, found.step
    (datetime.date(2024, 1, 3), datetime.date(2024, 1, 30), 86400.0)
    """

    takes_encoded = True

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        dtype = arrays.plain_type(dtype)
        return bool(pa.types.is_timestamp(dtype) or pa.types.is_date(dtype))

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> GapsState:
        return GapsState()

    def update(self, state: GapsState, batch: pa.RecordBatch) -> GapsState:
        column = columns.of(batch, self.column)
        ordered, empty = column.ordered, column.plain.slice(0, 0)
        if not len(ordered):
            return self.merge(state, GapsState(empty=empty))
        low, high = int(ordered[0]), int(ordered[-1])
        power = _power(low, high)
        first = low >> power
        lows, highs = _empty((high >> power) - first + 1)
        _fill(ordered, power, first, lows, highs)
        step = int(_common_step(ordered[column.starts]))
        return self.merge(state, GapsState(power, first, lows, highs, step, empty))

    def merge(self, left: GapsState, right: GapsState) -> GapsState:
        empty = right.empty if left.empty is None else left.empty
        sides = [side for side in (left, right) if side.lows is not None]
        if len(sides) < 2:
            found = sides[0] if sides else GapsState()
            return dataclasses.replace(found, empty=empty)
        bounds = [_bounds(side) for side in sides]
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        power = _power(low, high)
        first = low >> power
        lows, highs = _empty((high >> power) - first + 1)
        for side in sides:
            shift = power - side.power
            slots = ((np.arange(len(_known(side.lows))) + side.first) >> shift) - first
            np.minimum.at(lows, slots, _known(side.lows))
            np.maximum.at(highs, slots, _known(side.highs))
        step = math.gcd(left.step, right.step, abs(bounds[0][0] - bounds[1][0]))
        return GapsState(power, first, lows, highs, step, empty)

    def finish(self, state: GapsState) -> GapStats:
        if state.lows is None or state.empty is None or not state.step:
            return GapStats()
        used = np.flatnonzero(state.lows <= _known(state.highs))
        starts = _known(state.highs)[used[:-1]]
        ends = state.lows[used[1:]]
        # the difference of two int64 fits an uint64
        sizes = ends.astype(np.uint64) - starts.astype(np.uint64)
        order = np.argsort(-sizes.astype(np.float64), kind="stable")
        longest = [i for i in order[:SHOWN].tolist() if int(sizes[i]) > 1 << state.power]
        dtype, unit = state.empty.type, _seconds(state.empty.type)
        gaps = [
            Gap(
                values.from_number(starts[i], dtype),
                values.from_number(ends[i], dtype),
                int(sizes[i]) * unit,
            )
            for i in longest
        ]
        occupied = len(used) / len(state.lows)
        return GapStats(tuple(gaps), (1 << state.power) * unit, occupied, state.step * unit)


def _power(low: int, high: int) -> int:
    """The smallest for which the buckets reach from ``low`` to ``high``."""
    power = max(0, (high - low).bit_length() - BUCKETS.bit_length())
    while (high >> power) - (low >> power) >= BUCKETS:
        power += 1
    return power


def _empty(size: int) -> tuple[Int64, Int64]:
    limits = np.iinfo(np.int64)
    return np.full(size, limits.max, np.int64), np.full(size, limits.min, np.int64)


def _bounds(state: GapsState) -> tuple[int, int]:
    """Smallest and largest value: the first bucket and the last are never empty."""
    return int(_known(state.lows)[0]), int(_known(state.highs)[-1])


def _known(part: Int64 | None) -> Int64:
    return np.empty(0, np.int64) if part is None else part


def _seconds(dtype: pa.DataType) -> float:
    """Length of one unit."""
    if pa.types.is_date32(dtype):
        return float(_DAY)
    return 1e-3 if pa.types.is_date64(dtype) else 1 / _PER_SECOND[dtype.unit]


_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def _fill(ordered: Int64, power: int, first: int, lows: Int64, highs: Int64) -> None:
    before = np.int64(-1)
    for i in range(len(ordered)):
        slot = (ordered[i] >> power) - first
        highs[slot] = ordered[i]
        if slot != before:
            lows[slot] = ordered[i]
            before = slot


@_compiled
def _common_step(ordered: Int64) -> int:
    """The greatest common divisor of all differences, which need all 64 bits.

    Most are multiples of the step found so far, which is told by a multiplication instead of a
    division (Warren, "Hacker's Delight", 2002, 10-17): by the inverse, modulo 2^64, of its odd
    factor."""
    step = odd = inverse = most = np.uint64(0)
    for i in range(1, len(ordered)):
        away = np.uint64(ordered[i]) - np.uint64(ordered[i - 1])
        if step and (away & (step // odd - np.uint64(1))) == 0 and away * inverse <= most:
            continue
        while away:
            step, away = away, step % away
        if step <= 1:
            break
        odd = step
        while odd & np.uint64(1) == 0:
            odd >>= np.uint64(1)
        inverse = odd  # right in the lowest 3 bits, in twice as many after each round
        for _ in range(5):
            inverse *= np.uint64(2) - odd * inverse
        most = np.uint64(0xFFFFFFFFFFFFFFFF) // odd
    return int(step)
