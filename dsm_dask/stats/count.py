"""Rows, nulls and NaN."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from dsm_dask import arrays, codec


@codec.state("stats.count", 1)
@dataclasses.dataclass(frozen=True)
class Counts:
    """``count``: all rows, nulls included; ``nulls``: null rows; ``nan``: rows holding NaN.

    State and result of :class:`Count`."""

    count: int = 0
    nulls: int = 0
    nan: int = 0
    infinities: int = 0
    zeros: int = 0
    negatives: int = 0

    @property
    def values(self) -> int:
        """Rows that hold a value: neither null nor NaN."""
        return self.count - self.nulls - self.nan


@dataclasses.dataclass(frozen=True)
class Count:
    """How many rows a column of any type has, how many are null, and how many are NaN. Exact.

    >>> from dsm_dask.fold import run
    >>> run(Count("x"), [pa.record_batch({"x": [1.5, None, float("nan")]})])
    Counts(count=3, nulls=1, nan=1)
    """

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return True

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> Counts:
        return Counts()

    def update(self, state: Counts, batch: pa.RecordBatch) -> Counts:
        array = batch.column(self.column)
        if pa.types.is_dictionary(array.type) and not array.dictionary.null_count:
            nulls, nan = array.null_count, 0
            if pa.types.is_floating(array.type.value_type):
                nan = _nan(arrays.plain(array))
        else:
            array = arrays.plain(array)
            nulls, nan = array.null_count, _nan(array)
        return self.merge(state, Counts(len(array), nulls, nan))

    def merge(self, left: Counts, right: Counts) -> Counts:
        return Counts(left.count + right.count, left.nulls + right.nulls, left.nan + right.nan)

    def finish(self, state: Counts) -> Counts:
        return state


def _nan(array: pa.Array) -> int:
    if not pa.types.is_floating(array.type):
        return 0
    missing = np.isnan(arrays.fixed_width(array))
    valid = arrays.validity(array)
    return int(np.count_nonzero(missing if valid is None else missing & valid))
