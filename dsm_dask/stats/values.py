"""Values of a column: read from batches as arrays, and handed out as Python objects and as JSON."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column without its encoding."""
    return arrays.plain(batch.column(name))


def present(array: pa.Array) -> npt.NDArray[Any]:
    """The values of a numeric or temporal column that are neither null nor NaN.

    Integers keep their width, dates and times are their stored integers, floats and decimals are
    float64, with ``-0.0`` as ``0.0``: which of the two comes first must not depend on the cut.

    >>> present(pa.array([1.5, None, float("nan")])).tolist()
    [1.5]
    """
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    numbers = arrays.fixed_width(array)
    valid = arrays.validity(array)
    if valid is not None:
        numbers = numbers[valid]
    if numbers.dtype.kind != "f":
        return numbers
    wide = numbers.astype(np.float64, copy=False) + 0.0
    missing = np.isnan(wide)
    return wide[~missing] if missing.any() else wide


def without_missing(array: pa.Array) -> pa.Array:
    """``array`` without nulls and NaN, and with ``-0.0`` as ``0.0``."""
    if not pa.types.is_floating(array.type):
        return array.drop_null() if array.null_count else array
    return from_numpy(present(array), array.type)


def from_numpy(numbers: npt.NDArray[Any], dtype: pa.DataType) -> pa.Array:
    """An Arrow array of ``dtype`` over stored numbers, of any width: the inverse of
    ``fixed_width``.

    >>> from_numpy(np.array([0, 1]), pa.date32())[1].as_py()
    datetime.date(1970, 1, 2)
    """
    if pa.types.is_boolean(dtype):
        return pa.array(numbers.astype(np.bool_))
    buffer = pa.py_buffer(np.ascontiguousarray(numbers, arrays.storage_type(dtype)))
    return pa.Array.from_buffers(dtype, len(numbers), [None, buffer])


def from_number(number: Any, dtype: pa.DataType) -> Any:
    """A Python object of the value that one stored number stands for.

    >>> from_number(1, pa.date32())
    datetime.date(1970, 1, 2)
    """
    return to_python(from_numpy(np.array([number]), dtype)[0])


def to_python(scalar: pa.Scalar) -> Any:
    """A Python object of the same value; the Arrow scalar itself where Python has none: times
    finer than a microsecond, years past 9999. Timestamps with a time zone are given in UTC.

    >>> to_python(pa.scalar(5, pa.timestamp("s", "Asia/Tokyo")))
    datetime.datetime(1970, 1, 1, 0, 0, 5, tzinfo=datetime.timezone.utc)
    >>> to_python(pa.scalar(5, pa.timestamp("ns")))
    <pyarrow.TimestampScalar: '1970-01-01T00:00:00.000000005'>
    """
    dtype = scalar.type
    if not arrays.is_temporal(dtype):
        return scalar.as_py()
    count = scalar.value
    try:
        if pa.types.is_date32(dtype):
            return dt.date(1970, 1, 1) + dt.timedelta(days=count)
        if pa.types.is_date64(dtype):
            return dt.date(1970, 1, 1) + dt.timedelta(milliseconds=count)
        micros, rest = divmod(count * 10**6, _PER_SECOND[dtype.unit])
        if rest:
            return scalar
        span = dt.timedelta(microseconds=micros)
        if pa.types.is_duration(dtype):
            return span
        zone = dt.timezone.utc if getattr(dtype, "tz", None) else None  # noqa: UP017
        moment = dt.datetime(1970, 1, 1, tzinfo=zone) + span
    except OverflowError:
        return scalar
    return moment.time() if pa.types.is_time(dtype) else moment


def to_json(value: Any) -> Any:
    """What JSON shows of a value.

    Dates and times are ISO 8601 strings (durations in seconds, ``PT1.5S``), decimals strings,
    bytes hexadecimal, and floats that JSON lacks are ``"NaN"``, ``"Infinity"``, ``"-Infinity"``.
    Integers stay integers at any size.

    >>> to_json([1.5, float("inf"), decimal.Decimal("1.10"), b"\\xff", dt.date(2024, 2, 29)])
    [1.5, 'Infinity', '1.10', 'ff', '2024-02-29']
    """
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return _seconds(value // dt.timedelta(microseconds=1), 10**6)
    if isinstance(value, pa.Scalar):
        return _fine_time(value)
    if isinstance(value, decimal.Decimal):
        return str(value)
    return value.hex() if isinstance(value, bytes) else value


def _fine_time(scalar: pa.Scalar) -> str:
    dtype = scalar.type
    if pa.types.is_date(dtype):
        return str(np.datetime64(scalar.value, "D" if pa.types.is_date32(dtype) else "ms"))
    if pa.types.is_duration(dtype):
        return _seconds(scalar.value, _PER_SECOND[dtype.unit])
    text = str(np.datetime64(scalar.value, dtype.unit))
    if pa.types.is_time(dtype):
        return text.partition("T")[2]
    return text if dtype.tz is None else f"{text}+00:00"


def _seconds(count: int, per_second: int) -> str:
    whole, part = divmod(abs(count), per_second)
    digits = len(str(per_second)) - 1
    fraction = f".{part:0{digits}}".rstrip("0") if part else ""
    return f"{'-' if count < 0 else ''}PT{whole}{fraction}S"


def kind_of(dtype: pa.DataType) -> str:
    """The sort of column, which decides the statistics it gets.

    >>> kind_of(pa.dictionary(pa.int32(), pa.string())), kind_of(pa.uint8()), kind_of(pa.date32())
    ('string', 'integer', 'temporal')
    """
    dtype, types = arrays.plain_type(dtype), pa.types
    if arrays.is_temporal(dtype):
        return "temporal"
    if types.is_fixed_size_binary(dtype):
        return "binary"
    kinds = {
        "boolean": types.is_boolean,
        "integer": types.is_integer,
        "float": types.is_floating,
        "decimal": types.is_decimal,
        "string": lambda t: types.is_string(t) or types.is_large_string(t),
        "binary": lambda t: types.is_binary(t) or types.is_large_binary(t),
        "list": lambda t: is_list(t) or types.is_map(t),
        "struct": types.is_struct,
        "union": types.is_union,
        "null": types.is_null,
    }
    return next((name for name, test in kinds.items() if test(dtype)), "other")


def is_list(dtype: pa.DataType) -> bool:
    """Lists of any layout; maps are not."""
    types = pa.types
    return bool(
        types.is_list(dtype)
        or types.is_large_list(dtype)
        or types.is_fixed_size_list(dtype)
        or types.is_list_view(dtype)
        or types.is_large_list_view(dtype)
    )
