"""Small files of rows, as people and annotation tools write them: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.errors import CorruptFile, UsageError
from dsm_dask.sources.parquet import SUFFIXES

MOST_ROWS = 1_000_000
MOST_BYTES = 1 << 30


def read_rows(uri: str) -> pa.Table:
    """The rows of a file, by its suffix. Cells of a CSV are text; one that is empty and not in
    quotes is null. Lines of JSON are objects, all with the same names.

    Raises NotFound, CorruptFile with the row, and UsageError for a file of another kind, or one of
    more than a million rows.
    """
    uri, lowered = storage.normalise(uri), uri.lower()
    readers = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines}
    reader = next((one for suffix, one in readers.items() if lowered.endswith(suffix)), None)
    if reader is None and lowered.endswith(SUFFIXES):
        reader = _parquet
    if reader is None:
        raise UsageError(
            f"{uri} is no file of rows, nor of tasks that `dsm issues` wrote.",
            where=uri,
            valid="One of .csv, .jsonl or .parquet; or an export of an annotation tool.",
        )
    if storage.info(uri).size > MOST_BYTES:
        raise _too_many(uri, "a gigabyte")
    table = reader(storage.read(uri), uri)
    if table.num_rows > MOST_ROWS:
        raise _too_many(uri, f"{MOST_ROWS:,} rows")
    repeated = [name for name in table.column_names if table.column_names.count(name) > 1]
    if repeated:
        raise CorruptFile(f"{uri} has two columns {repeated[0]!r}.", where=uri)
    return table.combine_chunks()


def _too_many(uri: str, what: str) -> UsageError:
    return UsageError(
        f"{uri} has more than {what}.",
        where=uri,
        valid="Corrections are few: cut the file into several, or append new data and drop the old",
    )


def _csv(data: bytes, uri: str) -> pa.Table:
    from pyarrow import csv as arrow_csv

    try:
        head = next(csv.reader(io.StringIO(data.decode("utf-8-sig"))), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorruptFile(f"{uri} is no CSV in UTF-8: {error}.", where=uri) from None
    if not head:
        raise CorruptFile(f"{uri} is empty.", where=uri, valid="A CSV begins with names.")
    convert = arrow_csv.ConvertOptions(
        column_types=dict.fromkeys(head, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    read = arrow_csv.ReadOptions(use_threads=False)
    try:
        return arrow_csv.read_csv(io.BytesIO(data), read, parse, convert)
    except pa.ArrowInvalid as error:
        raise CorruptFile(f"{uri} cannot be read: {str(error).rstrip('.')}.", where=uri) from None


def _parquet(data: bytes, uri: str) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        if file.metadata.num_rows > MOST_ROWS:
            raise _too_many(uri, f"{MOST_ROWS:,} rows")
        return file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise CorruptFile(f"{uri} cannot be read: {str(error).rstrip('.')}.", where=uri) from None


def _json_lines(data: bytes, uri: str) -> pa.Table:
    found: dict[str, list[Any]] = {}
    for row, told in enumerate(json_objects(data, uri)):
        if row == 0:
            found = {name: [] for name in told}
        if told.keys() != found.keys():
            (name, *_) = told.keys() ^ found.keys()
            raise CorruptFile(
                f"Row {row + 1} of {uri} and row 1 do not both have {name!r}.",
                where=uri,
                valid="All lines have the same names; null empties a cell.",
            )
        for name, value in told.items():
            found[name].append(value)
        if row >= MOST_ROWS:
            raise _too_many(uri, f"{MOST_ROWS:,} rows")
    return pa.table({name: _array(values, name, uri) for name, values in found.items()})


def json_objects(data: bytes, uri: str) -> Iterator[dict[str, Any]]:
    """The objects of JSON lines. Raises CorruptFile with the row."""
    row = 0
    for line in io.BytesIO(data):
        if not line.strip():
            continue
        row += 1
        try:
            told = json.loads(line)
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise CorruptFile(f"Row {row} of {uri} is no JSON: {error}.", where=uri) from None
        if not isinstance(told, dict):
            raise CorruptFile(f"Row {row} of {uri} is no JSON object.", where=uri)
        yield told


def _array(values: list[Any], name: str, uri: str) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        first = next((type(value) for value in values if value is not None), None)
        row = next((i for i, v in enumerate(values) if v is not None and type(v) is not first), 0)
        raise CorruptFile(
            f"Row {row + 1} of {uri} has another kind of value in {name!r} than those before.",
            where=uri,
        ) from None
