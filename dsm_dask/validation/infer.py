"""The schema that data keeps to, from its sketches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.stats.count import Counts
from dsm_dask.stats.distinct import Distinct
from dsm_dask.stats.extremes import Extremes
from dsm_dask.stats.moments import Moments
from dsm_dask.stats.sketches import Sketches
from dsm_dask.stats.top_values import CAPACITY, LIMIT, TopValues
from dsm_dask.validation import slack
from dsm_dask.validation.schema import ColumnSchema, Normalised, Rows, Schema
from dsm_dask.validation.schema_file import dump_schema
from dsm_dask.validation.types import kind_of_name, type_name

MOST_CATEGORIES = {"string": 50, "integer": 20}
ROWS_PER_CATEGORY = 10
LEAST_UNIQUE = 10
"""Values from which on a column without repeats is taken for a key."""
LEAST_NORMALISED = 20
STANDARD = 0.05
"""How near the mean is to 0 and the standard deviation to 1 in a standardised column."""
UNIT = {16: 1e-2, 32: 1e-3, 64: 1e-3}
"""How near norms are to 1 in a column of unit vectors, by the bits of a component."""

States = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Inferred:
    """A schema; and the columns that are ``unique`` in it by an estimate only, as they would be if
    they were not."""

    schema: Schema
    estimated: Mapping[str, ColumnSchema] = dataclasses.field(default_factory=dict)

    def to_yaml(self, source: str = "") -> str:
        """The text of a schema file, to be edited; ``source`` is named in it."""
        return dump_schema(self.schema, source=source, estimated=self.estimated, inferred=True)

    def certain(self, unique: tuple[str, ...] = ()) -> Schema:
        """The schema with only those of the estimated columns unique that turned out to be."""
        others = {name: one for name, one in self.estimated.items() if name not in unique}
        return self.schema.model_copy(update={"columns": {**self.schema.columns, **others}})


def infer(sketches: Sketches) -> Inferred:
    """A schema that the data behind ``sketches`` keeps to.

    As seen: types, no NaN or infinities or empty strings where there were none, the one length of
    texts that are all as long. With slack:

    * ``nulls`` (:func:`dsm_dask.validation.slack.null_share`), and the bounds of numbers and times
      (:func:`dsm_dask.validation.slack.bounds`); unique integers have no ``max``, for ids grow;
    * ``max_length`` of strings: twice the longest;
    * floats from 0 to 1 or from -1 to 1 that make use of half of that are ``normalised``: 20 values
      at least; so are those of a mean within 0.05 of 0 and a standard deviation within 0.05 of 1.

    ``categories``: of strings with at most 50 different values, and of integers with at most 20,
    each seen 10 times on average; these have no bounds.
    ``unique``: integers, strings and binaries of 10 or more values without a repeat; up to some
    thousands the sketch is exact, beyond, an estimate within two standard errors is marked.
    ``rows``: one at least, if there was one: nothing at all is a finding, too.
    """
    columns: dict[str, ColumnSchema] = {}
    estimated = {}
    for name, states in sketches.columns.items():
        field = sketches.schema.field(name)
        columns[name] = column = _column(field.type, states)
        repeats = _repeats(column, states)
        if repeats in ("none", "unclear"):
            ids = {"max": None} if kind_of_name(column.type or "") == "integer" else {}
            columns[name] = column.model_copy(update={"unique": True, **ids})
        if repeats == "unclear":
            estimated[name] = column
    rows = Rows(min=1) if sketches.rows else None
    return Inferred(Schema(rows=rows, columns=columns), estimated)


def _column(dtype: pa.DataType, states: States) -> ColumnSchema:
    name = type_name(dtype)
    counts: Counts = states["counts"]
    rules: dict[str, Any] = {"type": name}
    if counts.count:
        rules["nulls"] = slack.null_share(counts.nulls, counts.count)
    kind = kind_of_name(name)
    if not (counts.count - counts.nulls):
        return ColumnSchema(**rules)
    if kind in ("integer", "float", "decimal"):
        rules |= _numbers(kind, dtype, states)
    elif kind in ("moment", "time", "duration"):
        rules |= slack.bounds(kind, dtype, states["extremes"], states["quantiles"])
    elif kind in ("string", "binary"):
        rules |= _texts(kind, states)
    elif "vectors" in states:
        rules |= _vectors(dtype, states)
    return ColumnSchema(**rules)


def _numbers(kind: str, dtype: pa.DataType, states: States) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    if kind == "integer" and (categories := _categories(kind, states)):
        return {"categories": categories}
    if kind == "float":
        counts = states["counts"]
        found = Extremes("").finish(states["extremes"])
        infinite = any(isinstance(v, float) and math.isinf(v) for v in (found.min, found.max))
        rules = {"nan": None if counts.nan else False, "infinite": None if infinite else False}
        if infinite:
            return rules
        rules["normalised"] = _normalised(found.min, found.max, counts, states)
    if rules.get("normalised") in (None, "standard"):
        rules |= slack.bounds(kind, dtype, states["extremes"], states["quantiles"])
    return rules


def _normalised(
    low: float | None, high: float, counts: Counts, states: States
) -> Normalised | None:
    if low is None or counts.values < LEAST_NORMALISED:
        return None
    if low >= 0 and high <= 1 and high - low >= 0.5:
        return "0..1"
    if low >= -1 and high <= 1 and low < 0 and high - low >= 1:
        return "-1..1"
    moments = Moments("").finish(states["moments"])
    near = moments.mean is not None and abs(moments.mean) <= STANDARD
    return "standard" if near and abs((moments.std or 0) - 1) <= STANDARD else None


def _texts(kind: str, states: States) -> dict[str, Any]:
    lengths = states["lengths"]
    rules: dict[str, Any] = {}
    if kind == "string":
        rules["empty"] = None if states["text"].empty else False
    if lengths.min == lengths.max:
        rules |= {"min_length": lengths.min, "max_length": lengths.max}
    elif kind == "string":
        rules["max_length"] = 2 * lengths.max
    if kind != "string" or lengths.max > LIMIT:
        return rules
    if categories := _categories(kind, states):
        return {"empty": rules["empty"], "categories": categories}
    return rules


def _categories(kind: str, states: States) -> tuple[str, ...]:
    """The different values, in order, if they are few and each is seen often."""
    top = TopValues("", CAPACITY).finish(states["top"])
    most = min(MOST_CATEGORIES[kind], states["counts"].values // ROWS_PER_CATEGORY)
    known = top.exact and len(top.top) <= most
    return tuple(str(value) for value in sorted(one.value for one in top.top)) if known else ()


def _vectors(dtype: pa.DataType, states: States) -> dict[str, Any]:
    found = states["vectors"]
    rules: dict[str, Any] = {
        "nan": None if found.nan else False,
        "infinite": None if found.infinite else False,
    }
    if found.count:
        near = unit_slack(dtype)
        rules["unit_norm"] = found.low >= 1 - near and found.high <= 1 + near
    return rules


def unit_slack(dtype: pa.DataType) -> float:
    """How far from 1 the norm of a unit vector may be."""
    # wider than it takes to find one, so that the rounding of a sum decides nothing
    component = getattr(arrays.plain_type(dtype), "value_type", pa.float64())
    return UNIT.get(getattr(component, "bit_width", 64), 1e-3)


def _repeats(column: ColumnSchema, states: States) -> str | None:
    """``none``, ``some`` or ``unclear``; None for what is no key."""
    kind = kind_of_name(column.type or "")
    if kind not in ("integer", "string", "binary") or column.categories or "distinct" not in states:
        return None
    counts = states["counts"]
    found = Distinct("").finish(states["distinct"])
    if counts.values < LEAST_UNIQUE:
        return None
    if found.exact:
        return "none" if found.count == counts.values else "some"
    return "unclear" if found.count >= counts.values * (1 - 2 * found.error) else "some"
