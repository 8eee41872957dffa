"""A 128-bit hash of the typed values of each row, over one or more columns.

Two rows hash alike when their values are equal, whatever the storage:

* null equals null, every NaN equals every NaN, and ``-0.0`` equals ``0.0``;
* integers of all widths and signs are one type, so are floats (widened exactly, so the float32
  nearest to 0.1 is not the float64 nearest to 0.1), decimals of all widths of the same scale,
  dates, times of day; strings of all layouts are one type, so are binaries of all layouts, and
  lists of all layouts;
* timestamps are alike by unit and by having a time zone or not, durations by unit;
* dictionary and run-end encodings hash as their values, extension types as their storage;
* what lies under a null, the offset of a slice and the cut into chunks make no difference.

Values of different types never compare equal: ``1``, ``1.0``, ``"1"``, ``b"1"``, ``True`` all
differ. Field names of structs do not count, the order of fields, list items and columns does.

Strings and binaries are hashed by MurmurHash3_x64_128 (Appleby, 2011). Everything of fixed width is
mixed by two bijections on 64 bits, the finalisers of SplitMix64 (Steele, Lea, Flood, "Fast
splittable pseudorandom number generators", OOPSLA 2014) and MurmurHash3 (Appleby, 2011). For n
distinct rows the probability that any two collide is about n² / 2^129: 1e-19 for a billion. The
hash does not resist an adversary who chooses values in order to collide.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask.arrays import fixed_width, is_fixed_width, plain, validity, words
from dsm_dask.errors import SchemaError

U64 = npt.NDArray[np.uint64]
Lanes = tuple[U64, U64]

_LOW_STEP, _HIGH_STEP = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
_NANOS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_MS_PER_DAY = 86_400_000


def hash_rows(columns: Sequence[pa.Array | pa.ChunkedArray]) -> U64:
    """The hashes of the rows of ``columns``: an array of shape (rows, 2).

    Raises :class:`~dsm_dask.errors.SchemaError` for a type that has no hash (unions).

    >>> narrow, wide = pa.array([1, None, 2], pa.int8()), pa.array([1, None, 2], pa.int64())
    >>> bool((hash_rows([narrow]) == hash_rows([wide])).all())
    True
    >>> one, two = hash_rows([pa.array(["ab", "a"]), pa.array(["c", "bc"])])
    >>> bool((one == two).any())
    False
    """
    return np.stack(hash_lanes(columns), axis=1)


def hash_lanes(columns: Sequence[pa.Array | pa.ChunkedArray]) -> Lanes:
    """The two columns of :func:`hash_rows`, an array each."""
    if not columns:
        raise ValueError("hash_rows needs at least one column.")
    if len({len(column) for column in columns}) > 1:
        raise ValueError("The columns have different numbers of rows.")
    return _combine("row", [_column(column) for column in columns])


def _column(column: pa.Array | pa.ChunkedArray) -> Lanes:
    if not isinstance(column, pa.ChunkedArray):
        return _lanes(column)
    parts = [_lanes(chunk) for chunk in column.chunks] or [_lanes(pa.nulls(0))]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _lanes(array: pa.Array) -> Lanes:
    """Both 64-bit halves of the hash of each slot."""
    if pa.types.is_dictionary(array.type):
        return _dictionary(array)
    array = plain(array)
    low, high = _values(array)
    valid = validity(array)
    if valid is not None:
        null_low, null_high = _seeds("null")
        low[~valid], high[~valid] = null_low, null_high
    return low, high


def _values(array: pa.Array) -> Lanes:
    dtype, types = array.type, pa.types
    if types.is_null(dtype):
        return np.empty(len(array), np.uint64), np.empty(len(array), np.uint64)
    if is_fixed_width(dtype):
        return _fixed(array)
    if types.is_decimal(dtype):
        return _decimals(array)
    if types.is_interval(dtype):
        return _mix_words("interval", list(words(array, np.uint64, 2).T))
    if types.is_string(dtype) or types.is_large_string(dtype):
        return _bytes(array, "string")
    if types.is_binary(dtype) or types.is_large_binary(dtype):
        return _bytes(array, "binary")
    if types.is_fixed_size_binary(dtype):
        return _bytes(array.cast(pa.large_binary()), "binary")
    if types.is_struct(dtype):
        fields = [_lanes(array.field(i)) for i in range(dtype.num_fields)]
        return _combine("struct", fields, len(array))
    if types.is_map(dtype):
        return _map(array)
    if types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype):
        return _lists(array)
    if types.is_list_view(dtype) or types.is_large_list_view(dtype):
        return _lists(array)
    raise SchemaError(f"Values of type {dtype} cannot be hashed.")


def _fixed(array: pa.Array) -> Lanes:
    dtype, types = array.type, pa.types
    raw = fixed_width(array)
    if types.is_integer(dtype):
        return _integers(raw)
    if types.is_floating(dtype):
        floats = raw.astype(np.float64) + 0.0  # -0.0 + 0.0 is 0.0
        floats[np.isnan(floats)] = np.nan
        return _mix_words("float", [floats.view(np.uint64)])
    if types.is_date64(dtype):
        raw = raw // _MS_PER_DAY
    if types.is_time(dtype):
        raw = raw.astype(np.int64) * _NANOS[dtype.unit]
    return _mix_words(_tag(dtype), [raw.astype(np.int64).view(np.uint64)])


def _tag(dtype: pa.DataType) -> str:
    if pa.types.is_boolean(dtype):
        return "boolean"
    if pa.types.is_timestamp(dtype):
        return f"timestamp[{dtype.unit}]{'' if dtype.tz is None else ' with time zone'}"
    if pa.types.is_duration(dtype):
        return f"duration[{dtype.unit}]"
    return "date" if pa.types.is_date(dtype) else "time"


def _integers(raw: npt.NDArray[Any]) -> Lanes:
    """Negative numbers get seeds of their own, or -1 would be 2^64 - 1."""
    if raw.dtype.kind == "u":
        return _mix_words("integer", [raw.astype(np.uint64)])
    wide = raw.astype(np.int64)
    negative = (wide >> 63).view(np.uint64)
    bits = wide.view(np.uint64)
    minus, plus = _seeds("negative integer"), _seeds("integer")
    low = bits ^ (negative & (minus[0] ^ plus[0])) ^ plus[0]
    high = bits ^ (negative & (minus[1] ^ plus[1])) ^ plus[1]
    return _mix_low(low), _mix_high(high)


def _decimals(array: pa.Array) -> Lanes:
    """Sign-extended to 256 bits, so that all widths are alike."""
    count = array.type.bit_width // 64
    stored = words(array, np.int64, count)
    sign = stored[:, -1] >> 63
    extended = [stored[:, i] if i < count else sign for i in range(4)]
    bits = [np.ascontiguousarray(word).view(np.uint64) for word in extended]
    return _mix_words(f"decimal {array.type.scale}", bits)


def _bytes(array: pa.Array, tag: str) -> Lanes:
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offsets, data = array.buffers()
    if offsets is None or not len(array):
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    kind = np.dtype(np.int64 if wide else np.int32)
    starts = np.frombuffer(offsets, kind, len(array) + 1, array.offset * kind.itemsize)
    from dsm_dask.text_hash import hash_texts

    return hash_texts(
        np.frombuffer(b"" if data is None else data, np.uint8), starts, int(_seeds(tag)[0])
    )


def _dictionary(array: pa.DictionaryArray) -> Lanes:
    low, high = _lanes(array.dictionary)
    null_low, null_high = _seeds("null")
    low, high = np.append(low, null_low), np.append(high, null_high)
    slots = fixed_width(array.indices).astype(np.int64)
    valid = validity(array.indices)
    if valid is not None:
        slots[~valid] = len(array.dictionary)
    return low[slots], high[slots]


def _lists(array: pa.Array) -> Lanes:
    lengths = fixed_width(pc.fill_null(pc.list_value_length(array), 0)).astype(np.int64)
    return _items("list", _lanes(array.flatten()), lengths)


def _map(array: pa.MapArray) -> Lanes:
    """A map is the list of its entries, in the order stored."""
    raw = array.buffers()[1]
    if raw is None or not len(array):
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    offsets = np.frombuffer(raw, np.int32, len(array) + 1, array.offset * 4).astype(np.int64)
    first, count = int(offsets[0]), int(offsets[-1] - offsets[0])
    # .keys and .items ignore the offset of a slice, as offsets do: they count from the start
    columns = [array.keys.slice(first, count), array.items.slice(first, count)]
    entries = _combine("entry", [_lanes(column) for column in columns])
    return _items("map", entries, np.diff(offsets))


def _items(tag: str, items: Lanes, lengths: npt.NDArray[np.int64]) -> Lanes:
    """Each list: the sum over its items of a mix of item and position, mixed with its length."""
    ends = np.cumsum(lengths)
    position = np.arange(len(items[0])) - np.repeat(ends - lengths, lengths)
    place = position.astype(np.uint64) + np.uint64(1)
    low = _segments(_mix_low(items[0] + place * np.uint64(_LOW_STEP)), ends, lengths)
    high = _segments(_mix_high(items[1] + place * np.uint64(_HIGH_STEP)), ends, lengths)
    return _combine(tag, [(low, high), _mix_words("length", [lengths.view(np.uint64)])])


def _segments(mixed: U64, ends: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> U64:
    """Sums modulo 2^64 of consecutive segments, empty ones included."""
    total = np.zeros(len(mixed) + 1, np.uint64)
    np.cumsum(mixed, out=total[1:])
    sums: U64 = total[ends] - total[ends - lengths]
    return sums


def _combine(tag: str, parts: Sequence[Lanes], length: int | None = None) -> Lanes:
    """One hash of several, in their order."""
    from dsm_dask.text_hash import combine

    size = len(parts[0][0]) if length is None else length
    first = _seeds(tag)
    low, high = np.full(size, first[0]), np.full(size, first[1])
    for part_low, part_high in parts:
        combine(low, high, part_low, part_high, np.uint64(_LOW_STEP), np.uint64(_HIGH_STEP))
    return low, high


def _mix_words(tag: str, values: Sequence[U64]) -> Lanes:
    low_seed, high_seed = _seeds(tag)
    low, high = _mix_low(values[0] ^ low_seed), _mix_high(values[0] ^ high_seed)
    for word in values[1:]:
        low = _mix_low(low * np.uint64(_LOW_STEP) + word)
        high = _mix_high(high * np.uint64(_HIGH_STEP) + word)
    return low, high


def _mix_low(x: U64) -> U64:
    """Finaliser of SplitMix64. Changes its argument in place and returns it."""
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def _mix_high(x: U64) -> U64:
    """Finaliser of MurmurHash3. Changes its argument in place and returns it."""
    x ^= x >> np.uint64(33)
    x *= np.uint64(0xFF51AFD7ED558CCD)
    x ^= x >> np.uint64(33)
    x *= np.uint64(0xC4CEB9FE1A85EC53)
    x ^= x >> np.uint64(33)
    return x


@functools.lru_cache(maxsize=256)
def _seeds(tag: str) -> tuple[np.uint64, np.uint64]:
    """Two constants for a type, never changed: hashes are stored."""
    low, high = np.frombuffer(hashlib.blake2b(tag.encode(), digest_size=16).digest(), "<u8")
    return np.uint64(low), np.uint64(high)
