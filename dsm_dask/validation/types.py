"""Names of types as people write them in a schema, and the kinds that rules go by."""

from __future__ import annotations

import re

import pyarrow as pa

from dsm_dask.errors import nearest
from dsm_dask.stats import values

PLAIN = (
    "null", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "date32", "date64", "string", "binary",
    "month_day_nano_interval",
)  # fmt: skip
_ALIASES = {"halffloat": "float16", "float": "float32", "double": "float64", "boolean": "bool"}
_WITH = re.compile(
    r"(timestamp\[(s|ms|us|ns)(, tz=[^\]]+)?\]|time32\[(s|ms)\]|time64\[(us|ns)\]"
    r"|duration\[(s|ms|us|ns)\]|decimal\(\d+, -?\d+\)|fixed_size_binary\[\d+\]"
    r"|(list|struct|map|extension|sparse_union|dense_union)<.*>(\[\d+\])?)",
    re.DOTALL,
)


def type_name(dtype: pa.DataType) -> str:
    """The logical type: how it is laid out (dictionaries, views, large offsets, width of decimals)
    makes no difference, units, time zones, widths and scales do.

    >>> type_name(pa.dictionary(pa.int8(), pa.large_string())), type_name(pa.float64())
    ('string', 'float64')
    >>> type_name(pa.list_(pa.float32(), 384)), type_name(pa.timestamp("us", "UTC"))
    ('list<float32>[384]', 'timestamp[us, tz=UTC]')
    """
    types = pa.types
    if isinstance(dtype, pa.BaseExtensionType):
        return f"extension<{dtype.extension_name}>"
    if types.is_dictionary(dtype) or types.is_run_end_encoded(dtype):
        return type_name(dtype.value_type)
    if types.is_decimal(dtype):
        return f"decimal({dtype.precision}, {dtype.scale})"
    if types.is_date(dtype):
        return f"date{dtype.bit_width}"
    kind = values.kind_of(dtype)
    if types.is_fixed_size_binary(dtype):
        return f"fixed_size_binary[{dtype.byte_width}]"
    if kind in ("string", "binary"):
        return kind
    if types.is_struct(dtype):
        parts = (f"{field.name}: {type_name(field.type)}" for field in dtype)
        return f"struct<{', '.join(parts)}>"
    if types.is_map(dtype):
        return f"map<{type_name(dtype.key_type)}, {type_name(dtype.item_type)}>"
    if values.is_list(dtype):
        size = f"[{dtype.list_size}]" if types.is_fixed_size_list(dtype) else ""
        return f"list<{type_name(dtype.value_type)}>{size}"
    return _ALIASES.get(str(dtype), str(dtype))


def read_type(text: str) -> str:
    """A type name, with other usual spellings put right; ValueError for what is none.

    >>> read_type("double")
    'float64'
    >>> read_type("float46")
    Traceback (most recent call last):
    ValueError: there is no type 'float46'. Did you mean 'float64'? ...
    """
    name = _ALIASES.get(text, text)
    if name in PLAIN or _WITH.fullmatch(name):
        return name
    raise ValueError(
        f"there is no type {text!r}. {nearest(text, PLAIN)} Also timestamp[us, tz=UTC], "
        "time64[us], duration[s], decimal(10, 2), fixed_size_binary[16], list<float32>[8]"
    )


def kind_of_name(name: str) -> str:
    """The sort of values of a type, by which rules apply: as
    :func:`dsm_dask.stats.values.kind_of`, with temporal types apart.

    >>> kind_of_name("uint8"), kind_of_name("timestamp[s]"), kind_of_name("list<int8>[3]")
    ('integer', 'moment', 'list')
    """
    starts = {
        "int": "integer", "uint": "integer", "float": "float", "decimal": "decimal",
        "timestamp": "moment", "date": "moment", "time": "time", "duration": "duration",
        "fixed_size_binary": "binary", "map": "list",
    }  # fmt: skip
    found = re.match(r"[a-z_]+", name)
    word = found[0] if found else name
    return starts.get(word, word)


_NUMBERS = {"integer", "float", "decimal"}


def comparable(left: str, right: str) -> bool:
    """Whether rules about values of kind ``left`` can be held against values of kind ``right``."""
    texts = {"string", "binary"}
    return left == right or {left, right} <= _NUMBERS or {left, right} <= texts


def change(expected: str, found: str) -> str | None:
    """The rule that a change of type breaks: ``precision`` where only the width, unit or scale
    differ, ``dimension`` where the length of a vector does, else ``type``; None without one.

    >>> change("float64", "float32"), change("int64", "float64"), change("string", "string")
    ('precision', 'type', None)
    """
    if expected == found:
        return None
    kind = kind_of_name(expected)
    if kind == "list" and re.sub(r"\[\d+\]$", "", expected) == re.sub(r"\[\d+\]$", "", found):
        return "dimension"
    families = {re.sub(r"\d", "", name.partition("[")[0]) for name in (expected, found)}
    narrow = kind in {*_NUMBERS, "moment", "time", "duration"} and len(families) == 1
    return "precision" if narrow and _zone(expected) == _zone(found) else "type"


def _zone(name: str) -> str:
    return name.partition("tz=")[2]
