"""Rows, nulls and NaN."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.stats import column as columns


@codec.state("stats.count", 2)
@dataclasses.dataclass(frozen=True)
class Counts:
    """``count``: all rows, nulls included; ``nulls``: null rows; ``nan``: rows holding NaN. Of
    numbers also how many are infinite, zero (of either sign), and below zero (minus infinity, too).

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
    """How many rows a column of any type has, how many are null, NaN, infinite, zero, negative.
    Exact.

    >>> from dsm_dask.fold import run
    >>> run(Count("x"), [pa.record_batch({"x": [1.5, None, float("nan")]})])
    Counts(count=3, nulls=1, nan=1, infinities=0, zeros=0, negatives=0)
    """

    takes_encoded = True

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
        column = columns.of(batch, self.column)
        rows, kind = len(column.stored), column.kind
        if kind not in {"integer", "float", "decimal"}:
            return self.merge(state, Counts(rows, _nulls(column)))
        numbers, nulls = column.ordered, column.plain.null_count
        zero, above = np.searchsorted(numbers, 0, "left"), np.searchsorted(numbers, 0, "right")
        infinite: int | np.integer[Any] = 0
        if numbers.dtype.kind == "f":
            infinite = np.searchsorted(numbers, -np.inf, "right")
            infinite += len(numbers) - np.searchsorted(numbers, np.inf, "left")
        return self.merge(
            state,
            Counts(
                count=rows,
                nulls=nulls,
                nan=rows - nulls - len(numbers),
                infinities=int(infinite) if kind == "float" else 0,
                zeros=int(above - zero),
                negatives=int(zero),
            ),
        )

    def merge(self, left: Counts, right: Counts) -> Counts:
        return Counts(
            count=left.count + right.count,
            nulls=left.nulls + right.nulls,
            nan=left.nan + right.nan,
            infinities=left.infinities + right.infinities,
            zeros=left.zeros + right.zeros,
            negatives=left.negatives + right.negatives,
        )

    def finish(self, state: Counts) -> Counts:
        return state


def _nulls(column: columns.Column) -> int:
    array = column.stored
    if pa.types.is_dictionary(array.type) and not array.dictionary.null_count:
        return int(array.null_count)
    return int(column.plain.null_count)
