"""Exports of Label Studio: JSON, JSON_MIN and CSV.

JSON has the tasks with their annotations (https://labelstud.io/guide/task_format); JSON_MIN and CSV
have a record for each annotation, the task's data beside what was chosen. Predictions are no
answers, and annotations that were cancelled are none. Where one is the ground truth, it counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dsm_dask.dataset.annotation_tools.answers import Answer, Mark

Record = Mapping[str, Any]
_VALUES = ("choices", "text", "number", "rating")
"""Where a result holds what was said, by the kind of its control."""


def is_record(record: Record) -> bool:
    """Is this a task with annotations, or an annotation of JSON_MIN or CSV?"""
    if "annotations" in record or "completions" in record:
        return isinstance(record.get("data"), dict)
    return {"annotation_id", "lead_time"} <= set(record)


def answers(record: Record) -> Iterator[Answer]:
    """What people said of a task; an answer without labels when nobody has."""
    data = record.get("data")
    if not isinstance(data, dict):
        mark = Mark.of(record)
        if mark is not None:
            who, at = record.get("annotator"), record.get("updated_at")
            value = record.get(mark.column)
            if isinstance(record["annotation_id"], str):  # of a CSV, where all cells are texts
                value = _cell(value)
            yield Answer(mark, _said(value), _who(who), str(at or ""))
        return
    mark = Mark.of(data)
    if mark is None:
        return
    given = record.get("annotations", record.get("completions")) or []
    given = [one for one in given if not (one.get("was_cancelled") or one.get("skipped"))]
    truth = [one for one in given if one.get("ground_truth")]
    for one in truth or given:
        results = [r for r in one.get("result") or [] if r.get("from_name") == mark.column]
        said = tuple(label for result in results for label in _said(result.get("value")))
        at = one.get("updated_at") or one.get("created_at") or ""
        yield Answer(mark, said, _who(one.get("completed_by")), str(at))
    if not given:
        yield Answer(mark, ())


def _who(told: Any) -> str | None:
    """An annotator's address, or else number."""
    if isinstance(told, dict):
        told = told.get("email") or told.get("id")
    return None if told in (None, "") else str(told)


def _cell(text: Any) -> Any:
    """A cell of a CSV: lists, and values of results, are JSON there.

    >>> _cell('{"choices": ["art", "news"]}'), _cell('[{"number": 4}]'), _cell("[art]")
    ({'choices': ['art', 'news']}, [{'number': 4}], '[art]')
    """
    if not isinstance(text, str) or text[:1] not in ("[", "{"):
        return text
    try:
        told = json.loads(text)
    except json.JSONDecodeError:
        return text
    items = told if isinstance(told, list) else [told]
    return told if all(isinstance(one, (str, dict)) for one in items) else text


def _said(value: Any) -> tuple[str, ...]:
    """What was chosen or written: alone, as a list, or as the value of a result.

    >>> _said("art"), _said({"choices": ["art", "news"]}), _said([{"number": 4}]), _said('["art"]')
    (('art',), ('art', 'news'), ('4',), ('["art"]',))
    """
    if value is None or value == "":
        return ()
    if isinstance(value, dict):
        return tuple(label for name in _VALUES for label in _said(value.get(name)))
    if isinstance(value, list):
        return tuple(label for one in value for label in _said(one))
    return (str(value),)
