"""Values from outside, made to fit a column without loss, or refused by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.errors import SchemaError
from dsm_dask.sources.schema import conform

_SHOWN = 5


def fit(
    values: pa.Array,
    kind: pa.DataType,
    column: str,
    where: str,
    names: Sequence[str] | None = None,
) -> pa.Array:
    """The same values with the type of a column. Text becomes numbers, dates and the like where it
    spells one; nothing is rounded, cut, or turned into text.

    Raises SchemaError with the first rows whose values do not fit, by their ``names`` or else their
    numbers, from 1.

    >>> fit(pa.array(["3", None]), pa.int8(), "rating", "fixes.csv").to_pylist()
    [3, None]
    """
    try:
        return _fit(values, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        bad = [row for row, _ in zip(_unfit(values, kind), range(_SHOWN), strict=False)]
    called = [names[row] if names else str(row + 1) for row in bad]
    rows = ", ".join(
        f"{name} ({values[row].as_py()!r})" for row, name in zip(bad, called, strict=True)
    )
    what = "" if names else "rows " if len(bad) > 1 else "row "
    raise SchemaError(
        f"Column {column!r} is {kind}, which {what}{rows} of {where} cannot be.",
        where=where,
        valid=None if _is_scalar(kind) else "Give lists and structs as JSON lines or Parquet.",
    )


def _unfit(values: pa.Array, kind: pa.DataType) -> Iterator[int]:
    for row in range(len(values)):
        try:
            _fit(values.slice(row, 1), kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            yield row


def _fit(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if values.type == kind:
        return values
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), kind)
    values = arrays.plain(values)
    if not (_is_like(values.type, kind) or (_family(values.type) == "text" and _is_scalar(kind))):
        raise pa.ArrowTypeError(f"{values.type} is no {kind}")
    return encoded(values, kind)


def _is_like(source: pa.DataType, kind: pa.DataType) -> bool:
    """Of one family, and so is all that is inside; structs have the same fields: a cast drops those
    that the other has not, and makes nulls of those that only it has."""
    source, kind, types = arrays.plain_type(source), arrays.plain_type(kind), pa.types
    if types.is_null(source):
        return True
    if types.is_struct(source) and types.is_struct(kind):
        inner, wanted = {f.name: f.type for f in source}, {f.name: f.type for f in kind}
        return inner.keys() == wanted.keys() and all(
            _is_like(inner[name], wanted[name]) for name in inner
        )
    if _has_items(source) and _has_items(kind):
        return _is_like(source.value_type, kind.value_type)
    return _family(source) == _family(kind) and types.is_nested(source) == types.is_nested(kind)


def _has_items(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def encoded(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Plain values as a column of a type that may be encoded as a dictionary."""
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(values.type):
        values = values.cast(kind.value_type).dictionary_encode()
    return conform(pa.record_batch({"": values}), pa.schema([pa.field("", kind)])).column(0)


def _is_scalar(kind: pa.DataType) -> bool:
    return _family(kind) != "nested"


def _family(kind: pa.DataType) -> str:
    kind, types = arrays.plain_type(kind), pa.types
    if types.is_boolean(kind):
        return "boolean"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return "binary"
    return "temporal" if types.is_temporal(kind) else "nested"
