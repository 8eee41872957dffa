"""Smallest and largest value."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays, codec
from dsm_dask.stats import column as columns
from dsm_dask.stats import values

LIMIT = 256
"""Longest text kept, in characters (bytes of a binary column)."""


@codec.state("stats.extremes", 1)
@dataclasses.dataclass(frozen=True)
class ExtremesState:
    """``bounds``: [min, max] of the column's own type, or None while there are no values."""

    bounds: pa.Array | None = None
    low_cut: bool = False
    high_cut: bool = False


@dataclasses.dataclass(frozen=True)
class MinMax:
    """Python objects (see :func:`dsm_dask.stats.values.to_python`), or None without any value.

    A text longer than :data:`LIMIT` is given by its first characters and marked: a cut ``min`` is
    a lower bound of the true one, and a cut ``max`` is a prefix of the true one, so just below it.
    """

    min: Any = None
    max: Any = None
    min_truncated: bool = False
    max_truncated: bool = False


@dataclasses.dataclass(frozen=True)
class Extremes:
    """Minimum and maximum of any type that has an order; nulls and NaN have no part in it.

    Exact, with the type kept: unsigned, decimal, nanoseconds, time zones. Strings are ordered by
    code point, binaries by byte, booleans false first. Cutting to a number of characters keeps the
    order, so how the data was cut into batches makes no difference.

    >>> from dsm_dask.fold import run
    >>> run(Extremes("x"), [pa.record_batch({"x": ["b", None, "a"]})])
    MinMax(min='a', max='b', min_truncated=False, max_truncated=False)
    """

    takes_encoded = True

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        ordered = {"boolean", "integer", "float", "decimal", "temporal", "string", "binary"}
        return values.kind_of(dtype) in ordered

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> ExtremesState:
        return ExtremesState()

    def update(self, state: ExtremesState, batch: pa.RecordBatch) -> ExtremesState:
        bounds = _batch_bounds(columns.of(batch, self.column))
        if bounds is None:
            return state
        bounds, (low_cut, high_cut) = _cut(bounds)
        return self.merge(state, ExtremesState(bounds, low_cut, high_cut))

    def merge(self, left: ExtremesState, right: ExtremesState) -> ExtremesState:
        if left.bounds is None or right.bounds is None:
            return right if left.bounds is None else left
        bounds: Any = _bounds(pa.concat_arrays([left.bounds, right.bounds]))
        starts = ((left.bounds[0], left.low_cut), (right.bounds[0], right.low_cut))
        ends = ((left.bounds[1], left.high_cut), (right.bounds[1], right.high_cut))
        lows = [cut for value, cut in starts if value == bounds[0]]
        highs = [cut for value, cut in ends if value == bounds[1]]
        # of two texts with the same first characters, the one that was cut is the larger
        return ExtremesState(bounds, all(lows), any(highs))

    def finish(self, state: ExtremesState) -> MinMax:
        if state.bounds is None:
            return MinMax()
        low, high = (values.to_python(state.bounds[i]) for i in range(2))
        return MinMax(low, high, state.low_cut, state.high_cut)


def _batch_bounds(column: columns.Column) -> pa.Array | None:
    if column.is_text or column.kind in {"integer", "float", "temporal"}:
        return column.bounds()
    return _bounds(column.plain)


def _bounds(array: pa.Array) -> pa.Array | None:
    dtype = array.type
    if arrays.is_fixed_width(dtype) and not pa.types.is_boolean(dtype):
        numbers = values.present(array)
        if not len(numbers):
            return None
        return values.from_numpy(np.array([numbers.min(), numbers.max()]), dtype)
    if array.null_count == len(array):
        return None
    both = pc.min_max(array)
    return pa.concat_arrays([pa.repeat(both["min"], 1), pa.repeat(both["max"], 1)])


def _cut(bounds: pa.Array) -> tuple[pa.Array, list[bool]]:
    kind = values.kind_of(bounds.type)
    if kind == "string":
        short = pc.utf8_slice_codeunits(bounds, 0, LIMIT)
    elif pa.types.is_fixed_size_binary(bounds.type) and bounds.type.byte_width > LIMIT:
        return pc.binary_slice(bounds.cast(pa.binary()), 0, LIMIT), [True, True]
    elif kind == "binary" and not pa.types.is_fixed_size_binary(bounds.type):
        short = pc.binary_slice(bounds, 0, LIMIT)
    else:
        return bounds, [False, False]
    return short, [a != b for a, b in zip(short, bounds, strict=True)]
