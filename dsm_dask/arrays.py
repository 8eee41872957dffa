"""Arrow arrays as NumPy views: what hashing and the statistics both read columns through.

Nothing here copies values that a view can show, and nothing looks at the slots under nulls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bools = npt.NDArray[np.bool_]


def plain_type(dtype: pa.DataType) -> pa.DataType:
    """The type that :func:`plain` turns a column of ``dtype`` into.

    >>> plain_type(pa.dictionary(pa.int8(), pa.string()))
    DataType(string)
    """
    types = pa.types
    if isinstance(dtype, pa.BaseExtensionType):
        return plain_type(dtype.storage_type)
    if types.is_dictionary(dtype) or types.is_run_end_encoded(dtype):
        return plain_type(dtype.value_type)
    if types.is_string_view(dtype):
        return pa.large_string()
    if types.is_binary_view(dtype):
        return pa.large_binary()
    if types.is_float16(dtype):
        return pa.float32()
    if types.is_decimal32(dtype) or types.is_decimal64(dtype):
        return pa.decimal128(dtype.precision, dtype.scale)
    return dtype


def plain(array: pa.Array) -> pa.Array:
    """The same values without an encoding: dictionaries and runs decoded, extension types as their
    storage, views as large strings, half floats and small decimals widened.

    >>> plain(pa.array(["a", "b", "a"]).dictionary_encode()).to_pylist()
    ['a', 'b', 'a']
    """
    dtype = array.type
    if isinstance(dtype, pa.BaseExtensionType):
        return plain(array.storage)
    if pa.types.is_dictionary(dtype):
        return plain(array.dictionary).take(array.indices)
    if pa.types.is_run_end_encoded(dtype):
        return plain(pc.run_end_decode(array))
    wanted = plain_type(dtype)
    return array if dtype == wanted else array.cast(wanted)


def validity(array: pa.Array) -> Bools | None:
    """True where a slot holds a value; None when every slot does.

    >>> validity(pa.array([1, None, 3])[1:]).tolist()
    [False, True]
    """
    if pa.types.is_null(array.type):
        return np.zeros(len(array), dtype=np.bool_)
    bitmap = array.buffers()[0] if array.null_count else None
    return None if bitmap is None else _bits(bitmap, array.offset, len(array))


def fixed_width(array: pa.Array) -> npt.NDArray[Any]:
    """A view of every slot of a column of booleans, numbers, dates or times, garbage under nulls
    included. Dates and times are their stored integers.

    >>> fixed_width(pa.array([1.5, 2.5])).tolist()
    [1.5, 2.5]
    """
    values = array.buffers()[1]
    if pa.types.is_boolean(array.type):
        if values is None:
            return np.zeros(len(array), dtype=np.bool_)
        return _bits(values, array.offset, len(array))
    return words(array, storage_type(array.type), 1)[:, 0]


def words(array: pa.Array, dtype: Any, per_row: int) -> npt.NDArray[Any]:
    """A view of the stored values as rows of ``per_row`` numbers of ``dtype``."""
    values, count = array.buffers()[1], len(array) * per_row
    if values is None or not count:
        return np.zeros((len(array), per_row), dtype=dtype)
    start = array.offset * per_row * np.dtype(dtype).itemsize
    view = np.frombuffer(values, dtype=dtype, count=count, offset=start)
    return view.reshape(-1, per_row)


def is_fixed_width(dtype: pa.DataType) -> bool:
    """Does :func:`fixed_width` take this type?"""
    types = pa.types
    return bool(
        types.is_boolean(dtype)
        or types.is_integer(dtype)
        or types.is_floating(dtype)
        or is_temporal(dtype)
    )


def is_temporal(dtype: pa.DataType) -> bool:
    """Timestamps, dates, times and durations; not calendar intervals, which have no order."""
    return bool(pa.types.is_temporal(dtype) and not pa.types.is_interval(dtype))


def storage_type(dtype: pa.DataType) -> np.dtype[Any]:
    """What :func:`fixed_width` gives of numbers, dates and times."""
    if pa.types.is_integer(dtype):
        return np.dtype(str(dtype))
    if pa.types.is_floating(dtype):
        return np.dtype(f"float{dtype.bit_width}")
    return np.dtype(f"int{dtype.bit_width}")


def _bits(bitmap: pa.Buffer, offset: int, length: int) -> Bools:
    first, last = offset // 8, (offset + length + 7) // 8
    packed = np.frombuffer(bitmap, dtype=np.uint8, count=last - first, offset=first)
    bits = np.unpackbits(packed, bitorder="little")
    return bits[offset - 8 * first :][:length].view(np.bool_)
