"""Exports of doccano: JSON lines (or JSON), alone or as the archive that it makes.

A project in which each annotator works alone is exported as an archive with a file for each, called
by the annotator's name; otherwise nothing tells who it was. A document without labels is one that
nobody has answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsm_dask.dataset.annotation_tools.answers import Answer, Mark
from dsm_dask.errors import UsageError

Record = Mapping[str, Any]


def is_record(record: Record) -> bool:
    """Is this a document with labels?"""
    return Mark.of(record) is not None and isinstance(record.get("label"), list)


def answers(record: Record, who: str | None = None) -> Iterator[Answer]:
    """What was said of a document. Raises UsageError for spans, which are no labels of a row."""
    mark = Mark.of(record)
    if mark is None:
        return
    labels = record.get("label") or []
    if any(not isinstance(one, str) for one in labels):
        raise UsageError(
            "These are spans of a text, not labels of a document.",
            valid="A doccano project of text or image classification.",
        )
    yield Answer(mark, tuple(labels), who)
