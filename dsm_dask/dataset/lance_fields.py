"""The fields of a Lance schema, of which ids are the identity.

A data file says which field ids it holds, so a column that is added to some fragments needs ids
that nobody else uses, and its metadata must be written without touching the others. Lance offers
no such calls: its schemas are made of one protocol buffer message a field, depth first, and are
pickled as these. Two rules of the encoding make every edit an append: of a number that occurs
twice the last one counts, and so does the last entry of a map for its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

_ID, _PARENT = b"\x18", b"\x20"
"""Tags of numbers three and four of a field's message."""

_METADATA = b"\x52"
"""Tag of a map entry, number ten."""


def leaves(schema: Any, names: Iterable[str]) -> list[int]:
    """Ids of the fields that hold the values of some columns: those without children, in the order
    in which a data file with just these columns stores them."""
    fields = {field.name(): field for field in schema.fields()}
    return [f.id() for name in names for f in _below(fields[name]) if not f.children()]


def greatest_id(schema: Any, fragments: Iterable[Any]) -> int:
    """The greatest field id in use, by the schema or by a file that holds a column which the schema
    no longer has."""
    found = [-1]
    found += [field.id() for top in schema.fields() for field in _below(top)]
    found += [number for f in fragments for file in f.metadata.files for number in file.fields]
    return max(found)


def with_columns(schema: Any, columns: pa.Schema, above: int) -> Any:
    """The schema with further columns at its end, their ids greater than ``above``. Metadata of
    the columns' fields is kept with them."""
    from lance.schema import LanceSchema

    added = LanceSchema.from_pyarrow(columns)
    parents = [parent for top in added.fields() for parent in _parents(top, None)]
    _, (_, *messages) = added.__reduce__()
    start = above + 1
    made = []
    for index, (message, parent) in enumerate(zip(messages, parents, strict=True)):
        message += _ID + _varint(start + index)
        made.append(message if parent is None else message + _PARENT + _varint(start + parent))
    return _rebuilt(schema, lambda known: [*known, *made])


def without_columns(schema: Any, names: Iterable[str]) -> Any:
    """The schema without some columns."""
    gone = set(names)
    keep = [top.name() not in gone for top in schema.fields() for _ in _below(top)]
    return _rebuilt(schema, lambda known: [m for m, kept in zip(known, keep, strict=True) if kept])


def with_metadata(schema: Any, told: Mapping[str, Mapping[str, str]]) -> Any:
    """The schema with entries in the metadata of some columns; other entries stay."""
    places, at = {}, 0
    for top in schema.fields():
        places[top.name()] = at
        at += sum(1 for _ in _below(top))

    def edited(known: list[bytes]) -> list[bytes]:
        for name, entries in told.items():
            known[places[name]] += b"".join(_entry(*pair) for pair in sorted(entries.items()))
        return known

    return _rebuilt(schema, edited)


def _rebuilt(schema: Any, edit: Any) -> Any:
    make, (metadata, *messages) = schema.__reduce__()
    return make(metadata, *edit(list(messages)))


def _below(field: Any) -> Iterator[Any]:
    """A field and all inside it, depth first."""
    yield field
    for child in field.children():
        yield from _below(child)


def _parents(field: Any, parent: int | None) -> Iterator[int | None]:
    """The id of the parent of a field, and of all inside it."""
    yield parent
    for child in field.children():
        yield from _parents(child, field.id())


def _entry(key: str, value: str) -> bytes:
    pair = _text(b"\x0a", key.encode()) + _text(b"\x12", value.encode())
    return _text(_METADATA, pair)


def _text(tag: bytes, data: bytes) -> bytes:
    return tag + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    """
    >>> _varint(300).hex()
    'ac02'
    """
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
