"""The JSON of a check, as a schema: what programs may rely on."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 only

from dsm_dask.validation.findings import SHOWN


class PlaceJson(TypedDict):
    """A partition, and how many of its rows break the rule."""

    partition: str
    count: int


class ExampleJson(TypedDict):
    """A row that breaks the rule; its value, cut short, or, of a key, the values by name."""

    row_id: int
    value: Any


class FindingJson(TypedDict):
    """A rule that does not hold. ``count`` and ``share`` are null where no single row is to blame.
    ``column`` is null for the whole table, a list for a key of several columns."""

    rule: Literal[
        "rows", "missing_column", "new_column", "type", "precision", "dimension", "nulls", "nan",
        "infinite", "min", "max", "normalised", "categories", "min_length", "max_length", "empty",
        "unit_norm", "unique", "key",
    ]  # fmt: skip
    column: str | list[str] | None
    what: str
    expected: Any
    found: Any
    count: int | None
    share: Annotated[float, Field(ge=0, le=1)] | None
    partitions: Annotated[list[PlaceJson], Field(max_length=SHOWN)]
    more_partitions: int
    examples: list[ExampleJson]
    severity: Literal["error", "warning"]


class NumbersJson(TypedDict):
    columns: int
    rules: int


class CheckedJson(TypedDict):
    """What ``dsm check --json`` prints."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    data: str
    against: str
    passed: bool
    rows: int
    findings: list[FindingJson]
    checked: NumbersJson
    io: NotRequired[dict[str, Any]]
    skipped: NotRequired[list[dict[str, Any]]]


CHECKED: TypeAdapter[CheckedJson] = TypeAdapter(CheckedJson)


def json_schema() -> str:
    """The JSON Schema, as published in ``docs/check.schema.json``."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **CHECKED.json_schema()}
    return json.dumps(schema, indent=2) + "\n"
