"""Number of distinct values."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.hashing import U64, hash_rows
from dsm_dask.stats import values

K = 4096


@codec.state("stats.distinct", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class DistinctState:
    """The smallest :data:`K` distinct 64-bit hashes seen, sorted."""

    hashes: U64


@dataclasses.dataclass(frozen=True)
class DistinctCount:
    """``error`` is the relative standard error: 0 when the count is ``exact``."""

    count: int
    exact: bool
    error: float


@dataclasses.dataclass(frozen=True)
class Distinct:
    """Number of distinct values of any type, nested ones included; nulls and NaN do not count.

    Bottom-k sketch: of the hashes of all values (:func:`dsm_dask.hashing.hash_rows`), taken as
    numbers in (0, 1), it keeps the k = 4,096 smallest, and estimates (k - 1) / (the k-th smallest)
    (Bar-Yossef et al., "Counting distinct elements in a data stream", RANDOM 2002; Beyer et al.,
    "On synopses for distinct-value estimation", SIGMOD 2007). Unbiased, with a relative standard
    error of 1/sqrt(k - 2) = 1.6 %; exact below 4,096. The state does not depend on how the data
    was cut. At most 32 KB of state.

    >>> from dsm_dask.fold import run
    >>> run(Distinct("x"), [pa.record_batch({"x": ["a", "b", None, "a"]})])
    DistinctCount(count=2, exact=True, error=0.0)
    """

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return _hashable(arrays.plain_type(dtype))

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> DistinctState:
        return DistinctState(np.empty(0, np.uint64))

    def update(self, state: DistinctState, batch: pa.RecordBatch) -> DistinctState:
        array = batch.column(self.column)
        if pa.types.is_dictionary(array.type):
            array = array.unique()
        array = values.without_missing(arrays.plain(array))
        if not len(array):
            return state
        hashes = hash_rows([array])[:, 0]
        if len(state.hashes) == K:
            hashes = hashes[hashes < state.hashes[-1]]
        return _smallest(state.hashes, hashes)

    def merge(self, left: DistinctState, right: DistinctState) -> DistinctState:
        return _smallest(left.hashes, right.hashes)

    def finish(self, state: DistinctState) -> DistinctCount:
        size = len(state.hashes)
        if size < K:
            return DistinctCount(size, exact=True, error=0.0)
        largest = (int(state.hashes[-1]) + 1) / 2**64
        return DistinctCount(round((K - 1) / largest), exact=False, error=1 / math.sqrt(K - 2))


def _smallest(left: U64, right: U64) -> DistinctState:
    if len(right) > 8 * K:
        # most of a long column is far above the k-th smallest: spare it the sort
        right = _below(np.unique(right[: 4 * K]), right)
    return DistinctState(np.unique(np.concatenate([left, right]))[:K])


def _below(sample: U64, hashes: U64) -> U64:
    return hashes[hashes <= sample[K - 1]] if len(sample) >= K else hashes


def _hashable(dtype: pa.DataType) -> bool:
    if values.kind_of(dtype) in {"union", "other"}:
        return bool(pa.types.is_interval(dtype))
    children = [dtype.field(i).type for i in range(dtype.num_fields)]
    return all(_hashable(arrays.plain_type(child)) for child in children)
