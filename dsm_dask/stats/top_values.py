"""Most frequent values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays, codec
from dsm_dask.hashing import U64, hash_rows
from dsm_dask.stats import column as columns
from dsm_dask.stats import values

CAPACITY = 512
SHOWN = 10
LIMIT = 200
"""Longest text shown, in characters (bytes of a binary column)."""

Int64 = npt.NDArray[np.int64]


@codec.state("stats.top_values", 2)
@dataclasses.dataclass(frozen=True, eq=False)
class TopValuesState:
    """Hash, count and value of at most :data:`CAPACITY` values, in order of their hashes; true
    counts are larger by ``error`` at most. ``values`` is None until a batch was seen."""

    hashes: U64
    counts: Int64
    values: pa.Array | None = None
    error: int = 0


@dataclasses.dataclass(frozen=True)
class TopValue:
    """``value`` occurs at least ``count`` times, and at most ``count + error`` times."""

    value: Any
    count: int
    error: int


@dataclasses.dataclass(frozen=True)
class TopCounts:
    """Most frequent first, ties in the order of the values. When not ``exact``, only values that
    are certainly more frequent than any left out: those with ``count`` above ``error``."""

    top: tuple[TopValue, ...]
    exact: bool


@dataclasses.dataclass(frozen=True)
class TopValues:
    """The most frequent values with their counts; nulls and NaN do not count.

    Misra-Gries summary of 512 counters ("Finding repeated elements", Science of Computer
    Programming 1982), merged as by Agarwal et al. ("Mergeable summaries", PODS 2012): counts add
    up, then the 513th largest is taken off all, and counters at zero are dropped. Exact up to 512
    distinct values; otherwise counts are too small by at most n / 513 for n values, and by how
    much at most is said with each. Values are told apart by a 128-bit hash, so long texts are kept
    by their first 200 characters and an ellipsis (binaries: first 200 bytes). At most 20 KB of
    state for numbers, 120 KB for ASCII text.

    >>> from dsm_dask.fold import run
    >>> run(TopValues("x"), [pa.record_batch({"x": ["b", "a", "b", None]})]).top[0]
    TopValue(value='b', count=2, error=0)
    """

    takes_encoded = True

    column: str
    shown: int = SHOWN

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        ordered = {"boolean", "integer", "float", "decimal", "temporal", "string", "binary"}
        return values.kind_of(dtype) in ordered

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> TopValuesState:
        return TopValuesState(np.empty((0, 2), np.uint64), np.empty(0, np.int64))

    def update(self, state: TopValuesState, batch: pa.RecordBatch) -> TopValuesState:
        found, counts, error = _most_frequent(columns.of(batch, self.column).counted)
        found = arrays.plain(found)
        hashes = hash_rows([found])
        return self.merge(state, TopValuesState(hashes, counts, _shorten(found), error))

    def merge(self, left: TopValuesState, right: TopValuesState) -> TopValuesState:
        if left.values is None or right.values is None:
            return right if left.values is None else left
        if not len(right.counts) or not len(left.counts):
            full = left if len(left.counts) else right
            return dataclasses.replace(full, error=left.error + right.error)
        hashes = np.concatenate([left.hashes, right.hashes])
        counts = np.concatenate([left.counts, right.counts])
        order = np.lexsort((hashes[:, 1], hashes[:, 0]))
        first = np.ones(len(order), np.bool_)
        first[1:] = (hashes[order][1:] != hashes[order][:-1]).any(axis=1)
        starts = np.flatnonzero(first)
        sums = np.add.reduceat(counts[order], starts) if len(order) else counts
        counts, kept, error = _prune(sums)
        slots = order[starts][kept]
        found = pa.concat_arrays([left.values, right.values]).take(pa.array(slots))
        return TopValuesState(hashes[slots], counts, found, left.error + right.error + error)

    def finish(self, state: TopValuesState) -> TopCounts:
        if state.values is None:
            return TopCounts((), exact=True)
        table = pa.table({"count": state.counts, "value": state.values})
        by = [("count", "descending"), ("value", "ascending")]
        table = table.take(pc.sort_indices(table, sort_keys=by)[: self.shown])
        top = [
            TopValue(values.to_python(value), count.as_py(), state.error)
            for count, value in zip(table["count"], table["value"], strict=True)
            if count.as_py() > state.error
        ]
        return TopCounts(tuple(top), exact=state.error == 0)

    def same(self, left: TopCounts, right: TopCounts, rows: pa.RecordBatch) -> bool:
        """Equal when both are exact; otherwise the bounds of every count have to hold."""
        if left.exact and right.exact:
            return bool(values.to_json(_pairs(left)) == values.to_json(_pairs(right)))
        both = values.without_missing(arrays.plain(rows.column(self.column))).value_counts()
        found, counts = both.field("values"), arrays.fixed_width(both.field("counts"))
        shown = [values.to_json(values.to_python(v)) for v in _shorten(found)]
        truth = dict(zip(shown, counts.tolist(), strict=True))
        return all(
            t.count <= truth[values.to_json(t.value)] <= t.count + t.error
            for t in left.top + right.top
        )


def _pairs(result: TopCounts) -> list[tuple[Any, int]]:
    return [(t.value, t.count) for t in result.top]


def _most_frequent(counted: columns.Counted) -> tuple[pa.Array, Int64, int]:
    """The values to keep of a batch, their counts, and what was taken off each."""
    counts, kept, error = _prune(counted.counts)
    return counted.at(kept), counts, error


def _prune(counts: npt.NDArray[Any]) -> tuple[Int64, Int64, int]:
    """Counts of the values to keep, which those are, and what was taken off each."""
    if len(counts) <= CAPACITY:
        return counts.astype(np.int64, copy=False), np.arange(len(counts)), 0
    from dsm_dask.stats import kernels

    taken = int(kernels.next_largest(counts, CAPACITY))
    kept = kernels.larger(counts, taken, CAPACITY)
    return counts[kept].astype(np.int64) - taken, kept, taken


def _shorten(found: pa.Array) -> pa.Array:
    kind = values.kind_of(found.type)
    if pa.types.is_fixed_size_binary(found.type) and found.type.byte_width > LIMIT:
        return pc.binary_slice(found.cast(pa.binary()), 0, LIMIT)
    if kind == "binary" and not pa.types.is_fixed_size_binary(found.type):
        return pc.binary_slice(found, 0, LIMIT)
    if kind != "string" or (pc.max(pc.binary_length(found)).as_py() or 0) <= LIMIT:
        return found
    short = pc.utf8_replace_slice(found, LIMIT, 2**31 - 1, "…")
    return pc.if_else(pc.greater(pc.utf8_length(found), LIMIT), short, found)
