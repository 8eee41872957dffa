"""The rows that come first by some measures: a bounded Fold."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.hashing import hash_rows
from dsm_dask.scores.review.measures import Measure
from dsm_dask.scores.review.tails import Distribution
from dsm_dask.table import ROW_ID
from dsm_dask.where import Where

Floats = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]


@codec.state("scores.top_rows", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class TopRowsState:
    """Of the rows kept, in order: what they are ranked by, their ids, the hash of their group; and
    the number of rows that could be ranked."""

    ranked: Floats
    rows: U64
    groups: U64
    seen: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Top:
    """The first rows, in order, with what they were ranked by; of how many."""

    rows: U64
    ranked: Floats
    seen: int


@dataclasses.dataclass(frozen=True)
class TopRows:
    """The first ``top`` rows by one measure, or by several together, of those for which ``where``
    holds.

    By several: the mean over measures of ``1 / t``, where ``t`` is the share of all rows that are
    as suspicious or more (``tails``): the inverse of the harmonic mean of the
    shares, which Wilson has for tests that depend on each other ("The harmonic mean p-value for
    combining dependent tests", PNAS 116, 2019). So 250 is as telling as to be the first of 250 rows
    by every measure, and a row that stands out by one of them is not lost among those that are a
    little odd by all. A measure that is null for a row counts 1 there, as if nothing were odd. Rows
    without any measure are left out.

    With ``balance``, a column, by turns: the first row of each of its values, then the second of
    each, and so on; within a turn by rank. Null is a value, too. Ties are settled by row id.

    The rows before the n-th of a whole are among the rows before the n-th of each of its parts, by
    turns as well: the state holds no more than ``top`` rows, 24 bytes each.

    >>> from dsm_dask.fold import run
    >>> batch = pa.record_batch({"q": [0.9, 0.1, 0.2, None], "y": ["a", "b", "b", "c"],
    ...                          ROW_ID: pa.array([0, 1, 2, 3], pa.uint64())})
    >>> quality = (Measure("label_quality", "q", False),)
    >>> run(TopRows(quality, 2), [batch]).rows.tolist()
    [1, 2]
    >>> run(TopRows(quality, 2, "y"), [batch]).rows.tolist()
    [1, 0]
    """

    measures: tuple[Measure, ...]
    top: int
    balance: str | None = None
    where: str | None = None
    """An SQL condition."""
    distributions: tuple[Distribution, ...] = ()
    """Of each measure; needed with several."""

    @property
    def columns(self) -> tuple[str, ...]:
        asked = [one.column for one in self.measures]
        if self.balance is not None:
            asked.append(self.balance)
        if self.where is not None:
            asked += Where(self.where).columns
        return tuple(dict.fromkeys([*asked, ROW_ID]))

    def init(self) -> TopRowsState:
        return TopRowsState(np.empty(0), np.empty(0, np.uint64), np.empty(0, np.uint64))

    def update(self, state: TopRowsState, batch: pa.RecordBatch) -> TopRowsState:
        if self.where is not None:
            batch = batch.filter(pa.array(Where(self.where).mask(batch)))
        ranked = self._ranked(batch)
        known = ~np.isnan(ranked)
        rows = batch.column(ROW_ID).to_numpy(zero_copy_only=False).astype(np.uint64)
        if self.balance is None:
            groups = np.zeros(len(ranked), np.uint64)
        else:
            groups = hash_rows([arrays.plain(batch.column(self.balance))])[:, 0]
        seen = int(known.sum())
        found = TopRowsState(ranked[known], rows[known], groups[known], seen)
        return self.merge(state, found)

    def merge(self, left: TopRowsState, right: TopRowsState) -> TopRowsState:
        ranked = np.concatenate([left.ranked, right.ranked])
        rows = np.concatenate([left.rows, right.rows])
        groups = np.concatenate([left.groups, right.groups])
        by_group = np.lexsort((rows, -ranked, groups))
        begins = np.ones(len(rows), np.bool_)
        begins[1:] = groups[by_group][1:] != groups[by_group][:-1]
        starts = np.flatnonzero(begins)
        turns = np.empty(len(rows), np.int64)
        turns[by_group] = np.arange(len(rows)) - starts[np.cumsum(begins) - 1]
        kept = np.lexsort((groups, rows, -ranked, turns))[: self.top]
        return TopRowsState(ranked[kept], rows[kept], groups[kept], left.seen + right.seen)

    def finish(self, state: TopRowsState) -> Top:
        return Top(state.rows, state.ranked, state.seen)

    def _ranked(self, batch: pa.RecordBatch) -> Floats:
        """More for rows that come earlier; NaN for those that cannot be ranked."""
        numbers = [_numbers(batch, one.column) for one in self.measures]
        if len(numbers) == 1:
            return numbers[0] if self.measures[0].more else -numbers[0]
        total, known = np.zeros(batch.num_rows), np.zeros(batch.num_rows, np.bool_)
        both = zip(numbers, self.measures, self.distributions, strict=True)
        for values, measure, distribution in both:
            told = distribution.tail(values, measure.more)
            none = np.isnan(told)
            total += np.where(none, 1.0, 1 / told)
            known |= ~none
        return np.where(known, total / max(1, len(numbers)), np.nan)


def _numbers(batch: pa.RecordBatch, name: str) -> Floats:
    column = arrays.plain(batch.column(name))
    found = arrays.fixed_width(column).astype(np.float64)
    valid = arrays.validity(column)
    return found if valid is None else np.where(valid, found, np.nan)
