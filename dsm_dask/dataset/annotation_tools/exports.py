"""Files that come back from annotation tools, as rows of corrections."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from dsm_dask import arrays, storage
from dsm_dask.dataset.annotation_tools import argilla, doccano, label_studio
from dsm_dask.dataset.annotation_tools.answers import Answer, Settled, Several, settle
from dsm_dask.dataset.correction_files import MOST_BYTES, MOST_ROWS, json_objects, read_rows
from dsm_dask.errors import BadRows, CorruptFile, UnknownColumn, UsageError

Record = Mapping[str, Any]
TOOLS = {"label-studio": label_studio, "argilla": argilla, "doccano": doccano}
WHO = "_dsm_who"
"""The column of who answered."""
PEEKED = 100
"""Records by which an export is recognised."""


@dataclasses.dataclass(frozen=True)
class Export:
    """Records of a ``tool``, each with the annotator that its file is of, if any."""

    uri: str
    tool: str
    records: tuple[tuple[Record, str | None], ...]


def read_export(uri: str, tool: str | None = None) -> Export | None:
    """The records of an export, recognised by what they hold; None when a file is none.

    Raises UsageError when it is none of the ``tool`` that was named; NotFound, CorruptFile.
    """
    if tool is not None and tool not in TOOLS:
        raise UsageError(f"There is no tool {tool!r}.", valid=", ".join(TOOLS))
    found = _records(storage.normalise(uri))
    first = list(itertools.islice(found, PEEKED))
    some = [record for record, _ in first]
    if not some and uri.lower().endswith((".json", ".zip")):
        raise UsageError(f"{uri} holds no tasks.", where=uri, valid="Export those with answers.")
    known = [n for n, one in TOOLS.items() if some and all(map(one.is_record, some))]
    if tool is not None and tool not in known:
        raise UsageError(
            f"{uri} is no export of {tool}.",
            where=uri,
            valid="Tasks that `dsm issues --out` wrote, exported: from Label Studio as JSON, "
            "JSON_MIN or CSV, from Argilla as records, from doccano as JSONL.",
        )
    if tool is None and not known:
        return None
    records = (*first, *itertools.islice(found, MOST_ROWS))
    if len(records) > MOST_ROWS:
        raise UsageError(f"{uri} has more than {MOST_ROWS:,} records.", where=uri)
    return Export(uri, tool or known[0], records)


def corrections_of(
    export: Export, schema: pa.Schema, on: str | None, several: Several
) -> tuple[str, pa.Table, int]:
    """The key's column; the key, the column that was asked for and who answered, for each row that
    has an answer; and how many tasks are left without one.

    Raises UsageError when tasks do not tell what they are about, and BadRows for several labels
    where a row has one.
    """
    given = list(_answers(export, schema, on))
    if not given:
        raise UsageError(
            f"The tasks in {export.uri} do not tell which rows they are about.",
            where=export.uri,
            valid="Tasks that `dsm issues --out` wrote; records of Argilla also with --on KEY.",
        )
    asked = {(one.mark.on, one.mark.column) for one in given}
    if len(asked) > 1 or (on is not None and on not in (given[0].mark.on,)):
        told = " and ".join(f"{column!r} by {key!r}" for key, column in sorted(asked))
        raise UsageError(f"The tasks in {export.uri} ask for {told}.", where=export.uri)
    ((key, column),) = asked
    if column not in schema.names:
        raise UnknownColumn(f"{export.uri} is about a column {column!r}.", where=export.uri)
    settled = settle(given, several, export.uri)
    table = pa.table(
        {
            key: pa.array([one.mark.key for one in settled.answers], pa.string()),
            column: _values(settled, schema.field(column).type, export.uri),
            WHO: pa.array([one.who for one in settled.answers], pa.string()),
        }
    )
    return key, table, settled.left


def _answers(export: Export, schema: pa.Schema, on: str | None) -> Iterator[Answer]:
    if export.tool == "argilla":
        argilla.check_status([record for record, _ in export.records], export.uri)
        asked = {name for record, _ in export.records for name in argilla.questions(record)}
        there = sorted(asked & set(schema.names))
        column = there[0] if len(there) == 1 else None
        for record, _ in export.records:
            yield from argilla.answers(record, on, column)
        return
    for record, who in export.records:
        if export.tool == "doccano":
            yield from doccano.answers(record, who)
        else:
            yield from label_studio.answers(record)


def _values(settled: Settled, kind: pa.DataType, uri: str) -> pa.Array:
    """A label a row, or lists of them where the column has lists."""
    labels = [list(one.labels) for one in settled.answers]
    if pa.types.is_nested(arrays.plain_type(kind)):
        return pa.array(labels, pa.list_(pa.string()))
    for one in settled.answers:
        if len(one.labels) > 1:
            raise BadRows(
                f"{one.mark.on} {one.mark.key} has the labels {' and '.join(one.labels)} in {uri}.",
                where=uri,
                valid=f"One: {one.mark.column!r} holds one label a row.",
            )
    return pa.array([one[0] for one in labels], pa.string())


def _records(uri: str) -> Iterator[tuple[Record, str | None]]:
    """The records of a file that may be an export, by its suffix; none of other files."""
    lowered = uri.lower()
    if lowered.endswith((".csv", ".parquet", ".pq")):
        for batch in read_rows(uri).to_batches(PEEKED):
            yield from ((row, None) for row in batch.to_pylist())
        return
    if not lowered.endswith((".json", ".jsonl", ".ndjson", ".zip")):
        return
    if storage.info(uri).size > MOST_BYTES:
        raise UsageError(f"{uri} has more than a gigabyte.", where=uri)
    data = storage.read(uri)
    if lowered.endswith(".zip"):
        yield from _unpacked(data, uri)
    elif lowered.endswith(".json"):
        yield from ((record, None) for record in _document(data, uri))
    else:
        yield from ((record, None) for record in json_objects(data, uri))


def _unpacked(data: bytes, uri: str) -> Iterator[tuple[Record, str | None]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [
                one for one in archive.infolist() if one.filename.endswith((".jsonl", ".json"))
            ]
            if sum(one.file_size for one in files) > MOST_BYTES:
                raise UsageError(f"{uri} has more than a gigabyte, unpacked.", where=uri)
            for one in files:
                name, inside = PurePosixPath(one.filename), archive.read(one)
                who = None if name.stem in ("all", "unknown") else name.stem
                is_lines = name.suffix == ".jsonl"
                found = json_objects(inside, uri) if is_lines else _document(inside, uri)
                yield from ((record, who) for record in found)
    except zipfile.BadZipFile as error:
        raise CorruptFile(f"{uri} is no archive: {error}.", where=uri) from None


def _document(data: bytes, uri: str) -> Sequence[Record]:
    """Records of a JSON document: a list of them, a dictionary by id, or one of columns."""
    try:
        told = json.loads(data)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CorruptFile(f"{uri} is no JSON: {error}.", where=uri) from None
    if isinstance(told, dict) and told and all(isinstance(one, list) for one in told.values()):
        if len({len(one) for one in told.values()}) > 1:
            raise CorruptFile(f"The columns of {uri} are not of one length.", where=uri)
        told = [dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True)]
    elif isinstance(told, dict) and told and all(isinstance(one, dict) for one in told.values()):
        told = list(told.values())
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise CorruptFile(f"{uri} holds no records.", where=uri, valid="A list of objects.")
    return told
