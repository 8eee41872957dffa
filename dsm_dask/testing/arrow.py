"""Hypothesis strategies for Arrow data with everything in it that breaks statistics."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from dsm_dask.arrays import plain_type
from dsm_dask.stats.values import is_list

_DAY = 86_400
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FLOATS = [0.0, -0.0, 1.0, -1.5, float("nan"), float("inf"), float("-inf")]
_TEXTS = ["", "a", "b", "ab", "naïve", "日本語", "🙂", "a\x00b", "x" * 300]

TYPES: tuple[pa.DataType, ...] = (
    pa.null(),
    pa.bool_(),
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64()),
    *(pa.decimal32(5, 2), pa.decimal64(12, 3), pa.decimal128(38, 10), pa.decimal256(60, 4)),
    *(pa.date32(), pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")),
    *(pa.timestamp("s"), pa.timestamp("ms", "UTC"), pa.timestamp("us", "Asia/Tokyo")),
    *(pa.timestamp("ns"), pa.duration("s"), pa.duration("ns"), pa.month_day_nano_interval()),
    *(pa.string(), pa.large_string(), pa.string_view()),
    *(pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3)),
    *(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.int64())),
    pa.dictionary(pa.int16(), pa.float64()),
    *(pa.list_(pa.int32()), pa.large_list(pa.string()), pa.list_(pa.float64(), 2)),
    *(pa.list_view(pa.int8()), pa.list_(pa.list_(pa.int8()))),
    pa.struct({"a": pa.int64(), "b": pa.list_(pa.string())}),
    pa.map_(pa.string(), pa.int32()),
)
"""One or more of every kind of type."""


def arrow_arrays(
    dtype: pa.DataType, *, min_size: int = 0, max_size: int = 40
) -> st.SearchStrategy[pa.Array]:
    """Arrays with nulls, NaN, infinities, duplicates, extremes, empty and long strings; some are
    slices of longer ones."""

    @st.composite
    def build(draw: st.DrawFn) -> pa.Array:
        items = draw(st.lists(st.none() | elements(dtype), min_size=min_size, max_size=max_size))
        before = draw(st.lists(elements(dtype), max_size=3))
        return to_array(before + items, dtype)[len(before) :]

    return build()


def to_array(items: list[Any], dtype: pa.DataType) -> pa.Array:
    """An array of the Python values that :func:`elements` makes."""
    if pa.types.is_dictionary(dtype):
        return to_array(items, dtype.value_type).dictionary_encode().cast(dtype)
    if pa.types.is_temporal(dtype) and not pa.types.is_interval(dtype):
        return pa.array(items, pa.int32() if dtype.bit_width == 32 else pa.int64()).view(dtype)
    if pa.types.is_float16(dtype):
        return pa.array([None if x is None else np.float16(x) for x in items], dtype)
    return pa.array(items, dtype)


def elements(dtype: pa.DataType) -> st.SearchStrategy[Any]:
    """Python values of a type; the stored integers of dates and times."""
    types = pa.types
    if types.is_dictionary(dtype):
        return elements(dtype.value_type)
    if types.is_null(dtype):
        return st.none()
    if types.is_boolean(dtype):
        return st.booleans()
    if types.is_floating(dtype):
        floats: Any = {"width": dtype.bit_width}
        return st.sampled_from(_FLOATS) | st.floats(**floats)
    if types.is_interval(dtype):
        part = st.integers(-3, 3)
        return st.builds(lambda *p: pa.MonthDayNano(p), part, part, part)
    if types.is_integer(dtype) or types.is_temporal(dtype):
        return _integers(dtype)
    if types.is_decimal(dtype):
        return _decimals(dtype)
    texts = _texts(dtype)
    return _nested(dtype) if texts is None else texts


def _integers(dtype: pa.DataType) -> st.SearchStrategy[int]:
    if pa.types.is_integer(dtype):
        limits = np.iinfo(str(dtype))
        low, high = int(limits.min), int(limits.max)
    elif pa.types.is_time(dtype):
        low, high = 0, _DAY * _PER_SECOND[dtype.unit] - 1
    else:
        high = 2 ** (dtype.bit_width - 1) - 1
        low = -high
    if pa.types.is_date64(dtype):
        step = _DAY * 1000
        return st.integers(low // step + 1, high // step).map(lambda day: day * step)
    near = st.integers(max(low, -3), min(high, 3))
    return near | st.sampled_from([low, high]) | st.integers(low, high)


def _decimals(dtype: pa.DataType) -> st.SearchStrategy[decimal.Decimal]:
    limit = 10**dtype.precision - 1
    whole = st.integers(-3, 3) | st.sampled_from([-limit, limit]) | st.integers(-limit, limit)
    return whole.map(lambda n: decimal.Decimal(n).scaleb(-dtype.scale, _EXACT))


_EXACT = decimal.Context(prec=100)


def _texts(dtype: pa.DataType) -> st.SearchStrategy[Any] | None:
    if pa.types.is_fixed_size_binary(dtype):
        return st.binary(min_size=dtype.byte_width, max_size=dtype.byte_width)
    wide = plain_type(dtype)
    if pa.types.is_string(wide) or pa.types.is_large_string(wide):
        return st.sampled_from(_TEXTS) | st.text(max_size=5)
    if pa.types.is_binary(wide) or pa.types.is_large_binary(wide):
        return st.sampled_from([text.encode() for text in _TEXTS]) | st.binary(max_size=5)
    return None


def _nested(dtype: pa.DataType) -> st.SearchStrategy[Any]:
    if is_list(dtype):
        size = dtype.list_size if pa.types.is_fixed_size_list(dtype) else None
        items = st.none() | elements(dtype.value_type)
        return st.lists(items, min_size=size or 0, max_size=3 if size is None else size)
    if pa.types.is_struct(dtype):
        fields = [dtype.field(i) for i in range(dtype.num_fields)]
        return st.fixed_dictionaries({f.name: st.none() | elements(f.type) for f in fields})
    if pa.types.is_map(dtype):
        keys, items = elements(dtype.key_type), st.none() | elements(dtype.item_type)
        return st.dictionaries(keys, items, max_size=3).map(lambda d: list(d.items()))
    raise NotImplementedError(f"There is no strategy for {dtype}.")


def unique_array(dtype: pa.DataType, rows: int) -> pa.Array:
    """As many different values as the type has, up to ``rows``: for tests of size."""
    types, numbers = pa.types, np.arange(rows)
    if types.is_dictionary(dtype):
        codes = pa.array(numbers % 100, dtype.index_type)
        return pa.DictionaryArray.from_arrays(codes, unique_array(dtype.value_type, 100))
    if types.is_null(dtype):
        return pa.nulls(rows)
    if types.is_boolean(dtype):
        return pa.array(numbers % 2 == 0)
    if types.is_floating(dtype):
        return pa.array((numbers * 0.37).astype(f"float{dtype.bit_width}") % 60_000)
    if types.is_integer(dtype):
        return pa.array((numbers * 2_654_435_761).astype(str(dtype)))
    if types.is_temporal(dtype) and not types.is_interval(dtype):
        step = _DAY * 1000 if types.is_date64(dtype) else 1
        kind = f"int{dtype.bit_width}"
        return pa.array((numbers % _DAY * step).astype(kind)).view(dtype)
    if types.is_decimal(dtype):
        return pa.array([decimal.Decimal(int(n) % 1000) for n in numbers], dtype)
    if types.is_fixed_size_binary(dtype):
        width = dtype.byte_width
        return pa.array([int(n).to_bytes(8, "big")[-width:] for n in numbers], dtype)
    texts = _texts(dtype)
    if texts is not None:
        return pa.array([f"{n:07d}" * 40 for n in numbers.tolist()]).cast(dtype)
    return _unique_nested(dtype, rows)


def _unique_nested(dtype: pa.DataType, rows: int) -> pa.Array:
    if pa.types.is_interval(dtype):
        return pa.array([pa.MonthDayNano((n, 0, 0)) for n in range(rows)], dtype)
    if pa.types.is_struct(dtype):
        children = [unique_array(dtype.field(i).type, rows) for i in range(dtype.num_fields)]
        return pa.StructArray.from_arrays(children, fields=list(dtype))
    if pa.types.is_map(dtype):
        ends = pa.array(np.arange(rows + 1), pa.int32())
        keys, items = unique_array(dtype.key_type, rows), unique_array(dtype.item_type, rows)
        return pa.MapArray.from_arrays(ends, keys, items)
    if pa.types.is_fixed_size_list(dtype):
        child = unique_array(dtype.value_type, rows * dtype.list_size)
        return pa.FixedSizeListArray.from_arrays(child, dtype.list_size)
    child, ends = unique_array(dtype.value_type, rows), pa.array(np.arange(rows + 1), pa.int32())
    if pa.types.is_list_view(dtype):
        return pa.ListViewArray.from_arrays(ends[:-1], pa.array([1] * rows, pa.int32()), child)
    return pa.ListArray.from_arrays(ends, child).cast(dtype)
