"""Exports of Argilla 2: records as JSON (``records.to_json``, ``to_disk``, ``to_dict``), and those
of ``records.to_datasets()``, as Parquet, JSON or a dictionary of columns.

Only what was submitted counts. The records of datasets tell that of each answer. Those of JSON tell
it of the record, which is ``completed`` when as many people as were asked for have submitted; what
``pending`` ones hold may be drafts. Suggestions are no answers. Argilla keeps the id of a record,
which is the key of its row, so it is enough where the mark was not kept among the metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dsm_dask.dataset.annotation_tools.answers import Answer, Mark
from dsm_dask.errors import UsageError

Record = Mapping[str, Any]
_FLAT = ".responses"


def is_record(record: Record) -> bool:
    """Is this a record, nested or flat?"""
    nested = isinstance(record.get("responses"), dict) and "fields" in record
    return nested or any(name.endswith(_FLAT) for name in record)


def questions(record: Record) -> set[str]:
    """What was asked, as far as the record tells."""
    if isinstance(record.get("responses"), dict):
        return set(_nested(record))
    return {name.removesuffix(_FLAT) for name in record if name.endswith(_FLAT)}


def check_status(records: Sequence[Record], uri: str) -> None:
    """Raise UsageError for records of JSON with answers of which none is completed: so they are
    where nobody has finished, and as versions of Argilla before 2.1 export them, whatever was."""
    told = {record.get("status") for record in records if _nested(record)}
    if told == {"pending"}:
        raise UsageError(
            f"All records with answers in {uri} are pending, so these may be drafts.",
            where=uri,
            valid="Export `records.to_datasets()` as Parquet or JSON lines: it tells which were "
            "submitted.",
        )


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
    if isinstance(record.get("responses"), dict):
        pending = "pending" if record.get("status") == "pending" else None
        for one in _nested(record).get(column) or []:
            yield one.get("value"), one.get("user_id"), one.get("status", pending)
        return
    values = record.get(f"{column}{_FLAT}") or []
    users = record.get(f"{column}{_FLAT}.users") or [None] * len(values)
    states = record.get(f"{column}{_FLAT}.status") or [None] * len(values)
    yield from zip(values, users, states, strict=True)


def _nested(record: Record) -> Mapping[str, Any]:
    """Responses by question, of a record of JSON."""
    told = record.get("responses")
    return told if isinstance(told, dict) else {}
