"""How a state becomes bytes and back: msgpack with a few extension types, versioned, no pickle.

A state is plain data: ``None``, booleans, integers of any size, floats, strings, bytes, lists,
tuples, dictionaries, NumPy arrays, Arrow arrays, decimals, dates and times; and frozen dataclasses
of these that were declared with :func:`state`. The same value always gives the same bytes
(dictionaries keep their order), so bytes may be compared and hashed.

Decoding never runs code from the data: a dataclass is rebuilt only when its name and version were
declared by imported code, anything else is a :class:`~dsm_dask.errors.StateVersion`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import msgpack
import numpy as np
import pyarrow as pa
import xxhash

from dsm_dask.errors import StateVersion

T = TypeVar("T")
MAGIC = b"dsm\x02"

_states: dict[str, type[Any]] = {}
_names: dict[type[Any], str] = {}

_TUPLE, _NDARRAY, _ARROW, _BIGINT, _DECIMAL, _TIME, _STATE = range(1, 8)
_TIME_KINDS: dict[str, type[Any]] = {
    "datetime": dt.datetime,
    "date": dt.date,
    "time": dt.time,
}


def state(name: str, version: int) -> Callable[[type[T]], type[T]]:
    """Declare a frozen dataclass as a state with a stable name and a format version.

    Raise the version whenever the meaning of a field changes: older bytes are then refused.

    >>> @state("doctest.pair", 1)
    ... @dataclasses.dataclass(frozen=True)
    ... class Pair:
    ...     left: int
    ...     right: int
    >>> decode(encode(Pair(1, 2)))
    Pair(left=1, right=2)
    """

    def declare(kind: type[T]) -> type[T]:
        label = f"{name}/{version}"
        _states[label] = kind
        _names[kind] = label
        return kind

    return declare


def encode(value: Any) -> bytes:
    """Bytes of ``value``; raises :class:`TypeError` for anything that is not a state.

    >>> decode(encode({"a": (1, 2.5, 10**30, None)}))
    {'a': (1, 2.5, 1000000000000000000000000000000, None)}
    """
    packed = _pack(value)
    return MAGIC + xxhash.xxh3_64_digest(packed) + packed


def decode(data: bytes) -> Any:
    """The value that :func:`encode` was given.

    Raises :class:`~dsm_dask.errors.StateVersion` when ``data`` is not a state, is cut off, or holds
    a state of a kind or version that this software does not know.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise StateVersion("This is not a state written by this version of dsm_dask.")
    digest, packed = data[len(MAGIC) : len(MAGIC) + 8], data[len(MAGIC) + 8 :]
    if xxhash.xxh3_64_digest(packed) != digest:
        raise StateVersion("The state is cut off or damaged: its checksum does not fit.")
    try:
        return _unpack(packed)
    except (ValueError, TypeError, KeyError, OSError) as error:  # of msgpack and Arrow
        raise StateVersion(f"The state cannot be read: {error}.") from error


def _pack(value: Any) -> bytes:
    return bytes(msgpack.packb(value, default=_extend, strict_types=True, use_bin_type=True))


def _unpack(data: bytes) -> Any:
    return msgpack.unpackb(
        data, ext_hook=_restore, strict_map_key=False, raw=False, max_ext_len=len(data)
    )


def _extend(value: Any) -> msgpack.ExtType:
    if isinstance(value, tuple):
        return msgpack.ExtType(_TUPLE, _pack(list(value)))
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("An array of Python objects is not a state.")
        header = (value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes())
        return msgpack.ExtType(_NDARRAY, _pack(list(header)))
    if isinstance(value, np.generic):
        return msgpack.ExtType(_NDARRAY, _pack([value.dtype.str, None, value.tobytes()]))
    if isinstance(value, (pa.Array, pa.Scalar)):
        empty = isinstance(value, pa.Array) and not len(value)  # states keep types so
        found = _empty_bytes(value.type) if empty else _arrow_bytes(value)
        return msgpack.ExtType(_ARROW, found)
    if isinstance(value, int):
        size = (value.bit_length() + 8) // 8
        return msgpack.ExtType(_BIGINT, value.to_bytes(size, "big", signed=True))
    if isinstance(value, decimal.Decimal):
        return msgpack.ExtType(_DECIMAL, str(value).encode())
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        kind = type(value).__name__
        return msgpack.ExtType(_TIME, _pack([kind, value.isoformat()]))
    if isinstance(value, dt.timedelta):
        parts = [value.days, value.seconds, value.microseconds]
        return msgpack.ExtType(_TIME, _pack(["timedelta", parts]))
    if type(value) in _names:
        fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
        return msgpack.ExtType(_STATE, _pack([_names[type(value)], fields]))
    raise TypeError(f"{type(value).__name__} is not a state; declare it with @codec.state.")


def _restore(kind: int, data: bytes) -> Any:
    if kind == _TUPLE:
        return tuple(_unpack(data))
    if kind == _NDARRAY:
        dtype, shape, raw = _unpack(data)
        array = np.frombuffer(raw, dtype=dtype)
        return array[0] if shape is None else array.reshape(shape)
    if kind == _ARROW:
        return _small_value(data) if len(data) <= _SMALL else _arrow_value(data)
    if kind == _BIGINT:
        return int.from_bytes(data, "big", signed=True)
    if kind == _DECIMAL:
        return decimal.Decimal(data.decode())
    if kind == _TIME:
        name, parts = _unpack(data)
        if name == "timedelta":
            return dt.timedelta(*parts)
        return _TIME_KINDS[name].fromisoformat(parts)
    if kind == _STATE:
        name, fields = _unpack(data)
        if name not in _states:
            raise StateVersion(f"State {name!r} is of a kind or version unknown here.")
        return _states[name](*fields)
    raise StateVersion(f"Extension type {kind} is unknown here.")


@functools.lru_cache(maxsize=1024)
def _empty_bytes(dtype: pa.DataType) -> bytes:
    return _arrow_bytes(pa.array([], dtype))


def _arrow_bytes(value: pa.Array | pa.Scalar) -> bytes:
    scalar = isinstance(value, pa.Scalar)
    array = pa.repeat(value, 1) if scalar else value  # as_py() would lose nanoseconds
    name = "scalar" if scalar else "array"
    batch = pa.record_batch([array], names=[name])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


_SMALL = 1024


@functools.lru_cache(maxsize=1024)
def _small_value(data: bytes) -> pa.Array | pa.Scalar:
    return _arrow_value(data)


def _arrow_value(data: bytes) -> pa.Array | pa.Scalar:
    with pa.ipc.open_stream(data) as reader:
        batch = reader.read_next_batch()
    return batch.column(0)[0] if batch.schema.names == ["scalar"] else batch.column(0)
