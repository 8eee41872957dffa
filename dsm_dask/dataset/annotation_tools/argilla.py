"""Exports of Argilla 2: records as JSON (``records.to_json``, ``to_disk``, ``to_dict``), and those
of ``records.to_datasets()``, as Parquet, JSON or a dictionary of columns.

The records of JSON do not tell drafts from answers that were submitted; those of datasets do, and
only what was submitted counts. Suggestions are no answers. Argilla keeps the id of a record, which
is the key of its row, so it is enough where the mark was not kept among the metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsm_dask.dataset.annotation_tools.answers import Answer, Mark

Record = Mapping[str, Any]
_FLAT = ".responses"


def is_record(record: Record) -> bool:
    """Is this a record, nested or flat?"""
    nested = isinstance(record.get("responses"), dict) and "fields" in record
    return nested or any(name.endswith(_FLAT) for name in record)


def questions(record: Record) -> set[str]:
    """What was asked, as far as the record tells."""
    nested = record.get("responses")
    if isinstance(nested, dict):
        return set(nested)
    return {name.removesuffix(_FLAT) for name in record if name.endswith(_FLAT)}


def answers(record: Record, on: str | None = None, column: str | None = None) -> Iterator[Answer]:
    """What people said of a record; ``on`` and ``column`` where it has no mark."""
    metadata = record.get("metadata")
    mark = Mark.of(metadata if isinstance(metadata, dict) else record)
    if mark is None and on is not None and column is not None:
        mark = Mark(on, str(record.get("id")), column)
    if mark is None:
        return
    given = list(_responses(record, mark.column))
    for value, who, status in given:
        if status in (None, "submitted"):
            labels = value if isinstance(value, list) else [value]
            said = tuple(str(one) for one in labels if one is not None)
            yield Answer(mark, said, None if who is None else str(who))
    if not any(status in (None, "submitted") for _, _, status in given):
        yield Answer(mark, ())


def _responses(record: Record, column: str) -> Iterator[tuple[Any, Any, Any]]:
    """Value, user and status of each response."""
    nested = record.get("responses")
    if isinstance(nested, dict):
        for one in nested.get(column) or []:
            yield one.get("value"), one.get("user_id"), one.get("status")
        return
    values = record.get(f"{column}{_FLAT}") or []
    users = record.get(f"{column}{_FLAT}.users") or [None] * len(values)
    states = record.get(f"{column}{_FLAT}.status") or [None] * len(values)
    yield from zip(values, users, states, strict=True)
