"""The review queue as a file: a form that is filled in and given back, or tasks of an annotation
tool.

A form (CSV, JSON lines or Parquet) has the key of each row (``_rowid`` without a key column), an
empty column of the name of the labels', an empty ``annotator``, and remarks, of which the names
begin with ``#``: the label that the row has, the suggested one, reasons, scores, what the row
holds. ``dsm update DATASET FORM --on KEY`` takes it as it is: remarks are not looked at, and rows
in which nothing was filled in stay as they are.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsm_dask.dataset.annotation_tools.answers import MARK, Mark
from dsm_dask.errors import UsageError
from dsm_dask.scores.review.row_values import Text
from dsm_dask.table import ROW_ID

if TYPE_CHECKING:
    from dsm_dask.scores.review.queued import Queue, QueuedRow

REMARK = "#"
ANNOTATOR = "annotator"
AGENT = "dsm"


def encode(queue: Queue, name: str, format: str | None = None) -> bytes:
    """The bytes of a file: in a ``format`` of :data:`FORMATS`, by default that of the name's
    suffix. Raises UsageError for another one, or for tasks without texts, images or URIs to show.
    """
    if format is None:
        suffix = name.lower().rpartition(".")[2]
        format = {"ndjson": "jsonl", "pq": "parquet"}.get(suffix, suffix)
        if format not in ("csv", "jsonl", "parquet"):
            raise UsageError(
                f"{name} is no file that a queue is written to.",
                valid=f"One of .csv, .jsonl or .parquet, or --format {' or '.join(_TASKS)}.",
            )
    if format not in FORMATS:
        raise UsageError(f"There is no format {format!r}.", valid=", ".join(FORMATS))
    return FORMATS[format](queue)


def form(queue: Queue) -> pa.Table:
    """The queue as a form, a row for each of its rows."""
    rows, names = queue.queued, _names(queue)
    columns: dict[str, pa.Array] = {}
    if queue.key is None:
        columns[ROW_ID] = pa.array([one.row for one in rows], pa.uint64())
    else:
        columns[queue.key] = _array([one.key for one in rows])
    if queue.label is not None:
        whole = (queue.label_type or "").startswith(("int", "uint"))
        columns[queue.label] = pa.nulls(len(rows), pa.int64() if whole else pa.string())
    if queue.label is not None and queue.asks_who:
        columns[ANNOTATOR] = pa.nulls(len(rows), pa.string())
    for name, values in names.items():
        columns[REMARK + name] = _array(values)
    return pa.table(columns)


def _names(queue: Queue) -> dict[str, list[Any]]:
    """Remarks by name, with their values."""
    rows = queue.queued
    told: dict[str, list[Any]] = {"row": [one.row for one in rows]} if queue.key else {}
    if queue.label is not None:
        told[queue.label] = [one.label for one in rows]
        told["suggested"] = [one.suggested for one in rows]
    told["why"] = ["; ".join(one.reasons) for one in rows]
    for name in rows[0].shown if rows else ():
        told.setdefault(name, [_short(one, name) for one in rows])
    for name in rows[0].scores if rows else ():
        told.setdefault(name, [one.scores[name] for one in rows])
    return told


def _short(row: QueuedRow, name: str) -> Any:
    """Images would be no remarks."""
    value = row.shown[name]
    if isinstance(value, Text) or not hasattr(value, "uri"):
        return value.text if isinstance(value, Text) else value
    return f"image of {value.size:,} bytes"


def _array(values: list[Any]) -> pa.Array:
    """Of one type; as text when they differ."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values])


def _csv(queue: Queue) -> bytes:
    table, sink = form(queue), io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        writer.writerow(["" if value is None else value for value in row])
    return sink.getvalue().encode()


def _json_lines(queue: Queue) -> bytes:
    return _lines(form(queue).to_pylist())


def _parquet(queue: Queue) -> bytes:
    sink = io.BytesIO()
    pq.write_table(form(queue), sink)
    return sink.getvalue()


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


# ---------------------------------------------------------------------------------------------
# Annotation tools


def _data(queue: Queue, row: QueuedRow) -> dict[str, Any]:
    """What a tool shows of a row, and needs to give it back."""
    found: dict[str, Any] = {ROW_ID: row.row} if queue.key is None else {queue.key: row.key}
    found |= {name: _whole(row.shown[name]) for name in _shown(queue)}
    found |= {"given": row.label, "suggested": row.suggested, "why": "; ".join(row.reasons)}
    on, key = (ROW_ID, row.row) if queue.key is None else (queue.key, row.key)
    return {**found, MARK: Mark(on, str(key), str(queue.label)).encode()}


def _shown(queue: Queue) -> list[str]:
    """The columns to look at; what is asked for would come back as if it were the answer."""
    return [name for name in queue.queued[0].shown if name != queue.label] if queue.queued else []


def _whole(value: Any) -> Any:
    if isinstance(value, Text):
        return value.text
    return value.uri if hasattr(value, "uri") else value


def _field(queue: Queue) -> str:
    """The column that is annotated: the first that is shown."""
    if queue.label is None or not _shown(queue):
        raise UsageError(
            "Tasks need a column to show and one of labels.", valid="Give --show and --label."
        )
    return _shown(queue)[0]


def _chance(queue: Queue, row: QueuedRow) -> float | None:
    """How sure who suggests a label is of it, where that is known."""
    for said, sure in (
        ("consensus_label", "consensus_confidence"),
        ("predicted_label", "predicted_probability"),
    ):
        for name, value in row.scores.items():
            if name.endswith(said) and value == row.suggested:
                chance = row.scores.get(name.removesuffix(said) + sure)
                return None if chance is None else float(chance)
    return None


def _label_studio(queue: Queue) -> bytes:
    """Tasks with a prediction each: https://labelstud.io/guide/predictions. The labelling
    configuration has to have ``<Choices name="LABEL" toName="FIELD">`` with these names."""
    field, tasks = _field(queue), []
    for row in queue.queued:
        task: dict[str, Any] = {"data": _data(queue, row), "predictions": []}
        if row.suggested is not None:
            shown = "image" if hasattr(row.shown[field], "uri") else "text"
            choice = {
                "from_name": queue.label, "to_name": shown, "type": "choices",
                "value": {"choices": [str(row.suggested)]},
            }  # fmt: skip
            chance = _chance(queue, row)
            told = {"model_version": AGENT, "result": [choice]}
            task["predictions"] = [told if chance is None else {**told, "score": chance}]
        tasks.append(task)
    return json.dumps(tasks, ensure_ascii=False, indent=1).encode()


def _argilla(queue: Queue) -> bytes:
    """A record a line, as ``argilla.Record`` takes them."""
    field, records = _field(queue), []
    for row in queue.queued:
        data = _data(queue, row)
        record: dict[str, Any] = {
            "id": str(row.row if queue.key is None else row.key),
            "fields": {field: data.pop(field)},
            "metadata": {name: value for name, value in data.items() if value is not None},
            "suggestions": {},
        }
        if row.suggested is not None:
            told = {"value": str(row.suggested), "score": _chance(queue, row), "agent": AGENT}
            record["suggestions"] = {queue.label: told}
        records.append(record)
    return _lines(records)


def _doccano(queue: Queue) -> bytes:
    """A document a line: ``text``, no ``label`` yet (an export does not tell labels that somebody
    has looked at from those that came with the document), and what is beside them as metadata."""
    field, rows = _field(queue), []
    for row in queue.queued:
        data = _data(queue, row)
        text = data.pop(field)
        rows.append({**data, "text": "" if text is None else str(text), "label": []})
    return _lines(rows)


_TASKS = {"label-studio": _label_studio, "argilla": _argilla, "doccano": _doccano}
FORMATS: dict[str, Callable[[Queue], bytes]] = {
    "csv": _csv, "jsonl": _json_lines, "parquet": _parquet, **_TASKS,
}  # fmt: skip
