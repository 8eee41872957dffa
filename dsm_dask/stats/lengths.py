"""Lengths of strings, binaries and lists."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays, codec
from dsm_dask.stats import column as columns
from dsm_dask.stats import values
from dsm_dask.stats.text_classes import TextCounts

if TYPE_CHECKING:
    from dsm_dask.stats.text_scan import TextScan


@codec.state("stats.lengths", 1)
@dataclasses.dataclass(frozen=True)
class LengthsState:
    count: int = 0
    total: int = 0
    min: int | None = None
    max: int | None = None
    unit: str | None = None


@dataclasses.dataclass(frozen=True)
class LengthStats:
    """``unit`` is characters, bytes or items; everything but ``total`` is None without a value."""

    unit: str | None = None
    min: int | None = None
    max: int | None = None
    mean: float | None = None
    total: int = 0


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Shortest, longest, mean and total length: characters (code points) of strings, bytes of
    binaries, items of lists and maps. Nulls have no length. Exact.

    >>> from dsm_dask.fold import run
    >>> run(Lengths("x"), [pa.record_batch({"x": ["né", "", None]})])
    LengthStats(unit='characters', min=0, max=2, mean=1.0, total=2)
    """

    takes_encoded = True

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return values.kind_of(dtype) in {"string", "binary", "list"}

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> LengthsState:
        return LengthsState()

    def update(self, state: LengthsState, batch: pa.RecordBatch) -> LengthsState:
        column = columns.of(batch, self.column)
        if column.kind == "string":
            return self.merge(state, _of_texts(column.texts))
        unit, lengths = _lengths(column.plain.drop_null())
        if not len(lengths):
            return self.merge(state, LengthsState(unit=unit))
        numbers = arrays.fixed_width(lengths)
        low, high = int(numbers.min()), int(numbers.max())
        total = int(numbers.sum(dtype=np.int64))
        return self.merge(state, LengthsState(len(numbers), total, low, high, unit))

    def merge(self, left: LengthsState, right: LengthsState) -> LengthsState:
        lows = [s.min for s in (left, right) if s.min is not None]
        highs = [s.max for s in (left, right) if s.max is not None]
        return LengthsState(
            count=left.count + right.count,
            total=left.total + right.total,
            min=min(lows, default=None),
            max=max(highs, default=None),
            unit=left.unit or right.unit,
        )

    def finish(self, state: LengthsState) -> LengthStats:
        mean = state.total / state.count if state.count else None
        return LengthStats(state.unit, state.min, state.max, mean, state.total)


def _of_texts(found: TextScan) -> LengthsState:
    if found.longest < 0:
        return LengthsState(unit="characters")
    counts = TextCounts(*found.counts.tolist())
    return LengthsState(
        counts.count, counts.characters, found.shortest, found.longest, "characters"
    )


def _lengths(array: pa.Array) -> tuple[str, pa.Array]:
    if values.kind_of(array.type) == "binary":
        return "bytes", pc.binary_length(array)
    if pa.types.is_map(array.type):
        ends = array.offsets
        return "items", pc.subtract(ends[1:], ends[:-1])
    return "items", pc.list_value_length(array)
