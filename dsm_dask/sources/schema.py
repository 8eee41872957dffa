"""One schema for many files, and batches made to fit it.

Allowed between files: a column that some lack (reads as null), integers of different widths (the
narrowest integer type that holds both), a column of type null (all null in that file), and the
32-bit and 64-bit offset variants of strings, binary and dictionaries. Anything else is a
SchemaError that names both files.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pyarrow as pa

from dsm_dask.errors import SchemaError

_LISTS = (
    *(pa.ListType, pa.LargeListType, pa.FixedSizeListType),
    *(pa.ListViewType, pa.LargeListViewType),
)
_SIGNED = (pa.int8(), pa.int16(), pa.int32(), pa.int64())


def unify(schemas: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """The schema of a table over files, given each file's name and schema.

    >>> narrow, wide = pa.schema({"a": pa.int32()}), pa.schema({"a": pa.int64(), "b": pa.string()})
    >>> unify([("one", narrow), ("two", wide)]).to_string().split(chr(10))
    ['a: int64', 'b: string']
    """
    fields: dict[str, pa.Field] = {}
    origin: dict[str, str] = {}
    for uri, schema in _distinct(schemas):
        _refuse_repeated_names(uri, schema)
        for field in schema:
            known = fields.get(field.name)
            if known is None:
                fields[field.name], origin[field.name] = field.with_nullable(True), uri
                continue
            widened = widen(known.type, field.type)
            if widened is None:
                raise SchemaError(
                    f"Column {field.name!r} is {known.type} in {origin[field.name]} "
                    f"but {field.type} in {uri}.",
                    valid="Integers may differ in width and columns may be missing; other types "
                    "must agree. Convert one of the files, or use two datasets.",
                )
            if widened != known.type:
                fields[field.name], origin[field.name] = known.with_type(widened), uri
    return pa.schema([field.remove_metadata() for field in fields.values()])


def _distinct(schemas: Sequence[tuple[str, pa.Schema]]) -> list[tuple[str, pa.Schema]]:
    seen: dict[pa.Schema, str] = {}
    for uri, schema in schemas:
        seen.setdefault(schema, uri)
    return [(uri, schema) for schema, uri in seen.items()]


def _refuse_repeated_names(uri: str, schema: pa.Schema) -> None:
    repeated = {name for name in schema.names if schema.names.count(name) > 1}
    if repeated:
        raise SchemaError(f"{uri} has columns of the same name: {', '.join(sorted(repeated))}.")
    reserved = [name for name in schema.names if name.startswith(("_row", "_dsm"))]
    if reserved:
        raise SchemaError(
            f"{uri} has a column {reserved[0]!r}; names that begin with _row and _dsm are reserved."
        )


def widen(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """The type that holds both without loss, or None.

    >>> print(widen(pa.uint32(), pa.int8()), widen(pa.int64(), pa.float64()))
    int64 None
    """
    if left == right or pa.types.is_null(right):
        return left
    if pa.types.is_null(left):
        return right
    if pa.types.is_integer(left) and pa.types.is_integer(right):
        return _widen_integers(left, right)
    for narrow, wide in ((pa.string(), pa.large_string()), (pa.binary(), pa.large_binary())):
        if {left, right} == {narrow, wide}:
            return wide
    if pa.types.is_dictionary(left) and pa.types.is_dictionary(right):
        values = widen(left.value_type, right.value_type)
        index = _widen_integers(left.index_type, right.index_type)
        return pa.dictionary(index, values) if values is not None and index is not None else None
    return None


def _widen_integers(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    signed = (pa.types.is_signed_integer(left), pa.types.is_signed_integer(right))
    if signed[0] == signed[1]:
        return left if left.bit_width >= right.bit_width else right
    unsigned, other = (left, right) if signed[1] else (right, left)
    bits = max(unsigned.bit_width * 2, other.bit_width)
    return next((kind for kind in _SIGNED if kind.bit_width == bits), None)


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with exactly the columns and types of ``schema``, missing ones as nulls."""
    names = set(batch.schema.names)
    arrays = []
    for field in schema:
        if field.name not in names:
            arrays.append(pa.nulls(batch.num_rows, field.type))
            continue
        array = batch.column(field.name)
        if pa.types.is_null(array.type):  # which Arrow does not cast to every type
            array = pa.nulls(batch.num_rows, field.type)
        arrays.append(array if array.type == field.type else _cast(array, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@functools.lru_cache(maxsize=4096)
def spelled(kind: pa.DataType) -> str:
    """A name for a type that a pickled copy of it has too: Arrow forgets on the way what the
    writer called the items of lists and maps.

    >>> spelled(pa.list_(pa.field("element", pa.int8()), 2))
    'FixedSizeListType<int8>[2]'
    """
    if isinstance(kind, _LISTS):
        size = f"[{kind.list_size}]" if pa.types.is_fixed_size_list(kind) else ""
        return f"{type(kind).__name__}<{spelled(kind.value_type)}>{size}"
    if pa.types.is_map(kind):
        return f"map<{spelled(kind.key_type)}, {spelled(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name!r}: {spelled(field.type)}' for field in kind)}>"
    return str(kind)


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind) and pa.types.is_dictionary(array.type):
        # Arrow's own cast takes dictionaries of strings only.
        return pa.DictionaryArray.from_arrays(
            array.indices.cast(kind.index_type),
            array.dictionary.cast(kind.value_type),
            ordered=kind.ordered,
        )
    return array.cast(kind)


def leaf_count(kind: pa.DataType) -> int:
    """How many Parquet columns store a value of this type.

    >>> leaf_count(pa.struct({"a": pa.int8(), "b": pa.list_(pa.string())}))
    2
    """
    if isinstance(kind, pa.BaseExtensionType):
        return leaf_count(kind.storage_type)
    if pa.types.is_struct(kind):
        return sum(leaf_count(field.type) for field in kind)
    if pa.types.is_map(kind):
        return leaf_count(kind.key_type) + leaf_count(kind.item_type)
    if isinstance(kind, _LISTS):
        return leaf_count(kind.value_type)
    return 1
