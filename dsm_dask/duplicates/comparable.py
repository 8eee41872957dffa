"""Whether values of two columns can be equal, as :mod:`dsm_dask.hashing` tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from dsm_dask.arrays import plain_type
from dsm_dask.errors import SchemaError
from dsm_dask.table import Table


def check_comparable(table: Table, other: Table, columns: Sequence[str]) -> None:
    """Raise SchemaError for a column that is of one family of types here, of another there: no
    value of it could be found."""
    for name in columns:
        here, there = (one.schema.field(name).type for one in (table, other))
        families = {family(here), family(there)} - {"null"}
        if len(families) > 1:
            raise SchemaError(
                f"Column {name!r} is of type {here} in {table.uri}, of type {there} in "
                f"{other.uri}: no value of one equals one of the other.",
                where=other.uri,
                valid="Store both alike: 1, 1.0 and '1' differ.",
            )


def family(dtype: pa.DataType) -> str:
    """What values of a type are compared as; null goes with all. Nested types are told apart no
    further.

    >>> family(pa.int8()) == family(pa.uint64()), family(pa.int8()) == family(pa.float32())
    (True, False)
    """
    types = pa.types
    dtype = plain_type(dtype)
    kinds = {
        "integer": types.is_integer, "floating": types.is_floating, "date": types.is_date,
        "time": types.is_time, "struct": types.is_struct, "map": types.is_map,
        "string": lambda t: types.is_string(t) or types.is_large_string(t),
        "binary": lambda t: types.is_binary(t) or types.is_large_binary(t)
        or types.is_fixed_size_binary(t),
        "list": lambda t: types.is_list(t) or types.is_large_list(t)
        or types.is_fixed_size_list(t) or types.is_list_view(t) or types.is_large_list_view(t),
    }  # fmt: skip
    for name, matches in kinds.items():
        if matches(dtype):
            return name
    if types.is_decimal(dtype):
        return f"decimal of scale {dtype.scale}"
    if types.is_timestamp(dtype):
        return f"timestamp[{dtype.unit}]{'' if dtype.tz is None else ' with time zone'}"
    return str(dtype)
