"""Mean of one column where another lies in each of some bins."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.hashing import hash_rows
from dsm_dask.stats import values

Floats = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


HUGE = 1e290
"""Scores from here on are left out like infinite ones: their sums could overflow."""


@codec.state("monitoring.conditional_means", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class MeansState:
    """By bin, the number of rows with a score and the sum of their scores; ``skipped`` rows have
    none that is finite."""

    counts: Int64
    sums: Floats
    skipped: int = 0


@dataclasses.dataclass(frozen=True)
class ConditionalMeans:
    """Sums of ``score``, a column of finite numbers or booleans, by the bin of ``column``.

    Numbers and times lie in bin i when they are above ``edges[i - 1]`` and at most ``edges[i]``
    (stored numbers, or with a ``unit`` float64 times that); everything else in the bin of its hash
    among ``hashes``, or in the one after the last. A last bin takes null and NaN. Another cut of
    the data changes the last digits of sums. 16 bytes of state a bin.

    >>> from dsm_dask.fold import run
    >>> batch = pa.record_batch({"x": [1, 2, 3, None], "s": [1.0, 2.0, 4.0, 8.0]})
    >>> run(ConditionalMeans("x", "s", edges=(1, 2)), [batch]).sums.tolist()
    [1.0, 2.0, 4.0, 8.0]
    """

    column: str
    score: str
    edges: tuple[Any, ...] | None = None
    unit: float | None = None
    hashes: tuple[int, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.column, self.score)))

    @property
    def bins(self) -> int:
        """Number of bins, that of missing values included."""
        return (len(self.hashes) if self.edges is None else len(self.edges)) + 2

    def init(self) -> MeansState:
        return MeansState(np.zeros(self.bins, np.int64), np.zeros(self.bins))

    def update(self, state: MeansState, batch: pa.RecordBatch) -> MeansState:
        scores, scored = _numbers(values.column(batch, self.score))
        scored &= np.abs(scores) < HUGE
        slots = self._slots(values.column(batch, self.column))[scored]
        counts = np.bincount(slots, minlength=self.bins).astype(np.int64)
        sums: Floats = np.bincount(slots, scores[scored], self.bins).astype(np.float64)
        return self.merge(state, MeansState(counts, sums, int(np.count_nonzero(~scored))))

    def merge(self, left: MeansState, right: MeansState) -> MeansState:
        skipped = left.skipped + right.skipped
        return MeansState(left.counts + right.counts, left.sums + right.sums, skipped)

    def finish(self, state: MeansState) -> MeansState:
        return state

    def same(self, left: MeansState, right: MeansState, rows: pa.RecordBatch) -> bool:
        """Equal but for rounding."""
        scores, scored = _numbers(values.column(rows, self.score))
        scale = float(np.abs(scores[scored & (np.abs(scores) < HUGE)]).sum())
        return (
            left.skipped == right.skipped
            and left.counts.tolist() == right.counts.tolist()
            and bool(np.allclose(left.sums, right.sums, rtol=0, atol=1e-12 * scale))
        )

    def _slots(self, array: pa.Array) -> Int64:
        if self.edges is None:
            wanted = np.array(self.hashes, np.uint64)
            order = np.argsort(wanted)
            hashes = hash_rows([array])[:, 0]
            near = np.searchsorted(wanted[order], hashes)
            slots = np.append(order, len(wanted))[near]
            slots[np.append(wanted, 0)[slots] != hashes] = len(wanted)
            valid = arrays.validity(array)
        else:
            numbers, held = _stored(array, self.unit)
            slots = np.searchsorted(np.array(self.edges, numbers.dtype), numbers, "left")
            valid = held
        if valid is not None:
            slots[~valid] = self.bins - 1
        return slots.astype(np.int64)


def _stored(array: pa.Array, unit: float | None) -> tuple[npt.NDArray[Any], arrays.Bools]:
    """Stored numbers as quantiles have them, and which are neither null nor NaN."""
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    numbers = arrays.fixed_width(array)
    held = np.ones(len(array), np.bool_)
    valid = arrays.validity(array)
    held = held if valid is None else valid
    if numbers.dtype.kind == "f":
        held = held & ~np.isnan(numbers)
    if unit is not None:
        return numbers.astype(np.float64) * unit, held
    if numbers.dtype == np.uint64:
        return numbers, held
    return numbers.astype(np.float64 if numbers.dtype.kind == "f" else np.int64), held


def _numbers(array: pa.Array) -> tuple[Floats, arrays.Bools]:
    numbers, held = _stored(array, None)
    return numbers.astype(np.float64), held.copy()
