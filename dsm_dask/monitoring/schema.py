"""The JSON of a comparison, as a schema: what programs may rely on."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict  # pydantic takes typing's from Python 3.12 only

Number = float | Literal["NaN", "Infinity", "-Infinity"]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Strict = ConfigDict(extra="forbid")


class Sides(TypedDict):
    """One figure of each side."""

    reference: Share | None
    current: Share | None


class Rows(TypedDict):
    reference: int
    current: int


class NumericChart(TypedDict):
    """Bar i has the values above ``edges[i]`` and up to ``edges[i + 1]``; the first and the last
    also those beyond the edges."""

    kind: Literal["numeric"]
    edges: list[Any]
    reference: list[Share]
    current: list[Share]


class CategoricalChart(TypedDict):
    """A bar for each value; ``other`` has the shares of all other values."""

    kind: Literal["categorical"]
    values: list[Any]
    reference: list[Share]
    current: list[Share]
    other: NotRequired[Sides]


class Bins(TypedDict):
    """The bins that psi, js and hellinger (of few values also chi2 and linf) compare: bin i has the
    values above ``edges[i - 1]`` and up to ``edges[i]``; the first and the last are open."""

    edges: list[Any]
    reference: list[Share]
    current: list[Share]


class Categories(TypedDict):
    """How many different values: of each side, of ``both``, and of one alone. Errors are 0 when
    exact, otherwise 95 % bounds; ``error`` is that of ``both``, and no smaller than those of the
    sides."""

    reference: Natural
    current: Natural
    both: Natural
    new: Natural
    vanished: Natural
    new_error: Natural
    vanished_error: Natural
    error: Natural


class Column(TypedDict):
    """One column that both sides have. ``method_note`` says that it does not have the distance that
    was asked for, and which one judges it. ``distances`` and ``errors`` have the same names: the
    distance on all rows is at most the error away from the one given. ``missing`` among them is the
    change in the share of missing values. ``score`` is 1 at the threshold and more beyond it;
    ``certain`` is false where the errors could turn the verdict. ``nulls`` are shares of rows that
    are null or NaN; ``new`` and ``vanished`` the categories, at most 20, that certainly have no row
    on the other side."""

    __pydantic_config__ = Strict  # type: ignore[misc]
    type: str
    kind: Literal["numeric", "categorical", "embedding", "other"]
    drift: bool
    certain: bool
    method: str | None
    method_note: str | None
    distances: dict[str, float]
    errors: dict[str, float]
    p_values: dict[str, Share]
    threshold: float | None
    p_value: Share | None
    adjusted_p_value: Share | None
    score: Annotated[float, Field(ge=0)]
    chart: Annotated[NumericChart | CategoricalChart, Field(discriminator="kind")] | None
    bins: Bins | None
    nulls: Sides
    new: list[Any]
    vanished: list[Any]
    categories: Categories | None
    note: str | None


class TypeChange(TypedDict):
    """``compared``: the values could be compared all the same."""

    column: str
    reference: str
    current: str
    compared: bool


class Schema(TypedDict):
    added: list[str]
    removed: list[str]
    changed: list[TypeChange]


class Explained(TypedDict):
    """``change``: by how much the mean score would have changed had only this column moved;
    ``share`` of the whole change; ``unseen``: share of current rows in bins without reference
    rows."""

    change: Number
    share: Number | None
    unseen: Share


class Means(TypedDict):
    reference: Number
    current: Number


class Importance(TypedDict):
    """What drifted columns explain of the change of a mean score, the most first. ``skipped`` rows
    had no finite score."""

    score: str
    mean: Means
    change: Number
    columns: dict[str, Explained]
    skipped: Rows


class Drift(TypedDict):
    """What ``dsm drift REFERENCE CURRENT --json`` prints and ``Comparison.to_dict()`` returns.
    ``columns`` come in order, the one that moved farthest first."""

    __pydantic_config__ = Strict  # type: ignore[misc]
    drifted: bool
    certain: bool
    reasons: list[str]
    reference: str
    current: str
    rows: Rows
    share_drifted: Share
    share: Share
    columns: dict[str, Column]
    schema: Schema
    importance: NotRequired[Importance]
    io: NotRequired[dict[str, Any]]
    skipped: NotRequired[list[dict[str, Any]]]


DRIFT: TypeAdapter[Drift] = TypeAdapter(Drift)


def json_schema() -> str:
    """As published in ``docs/drift.schema.json``."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **DRIFT.json_schema()}
    return json.dumps(schema, indent=2) + "\n"
