"""The rules of a column, as the states of its data see them: which hold for certain."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa

from dsm_dask.stats import values
from dsm_dask.stats.moments import Moments
from dsm_dask.stats.sketches import Sketches
from dsm_dask.stats.top_values import CAPACITY, LIMIT, TopValues
from dsm_dask.table import Table
from dsm_dask.validation.bounds import Side, beyond
from dsm_dask.validation.findings import Finding
from dsm_dask.validation.infer import unit_slack
from dsm_dask.validation.schema import ColumnSchema, Schema
from dsm_dask.validation.types import change, comparable, kind_of_name, type_name
from dsm_dask.validation.violations import (
    Beyond,
    LengthOutside,
    NotAmong,
    NotFinite,
    NotUnit,
    Null,
    Violation,
)

SLACK = 0.1
"""How far the mean of a standardised column may be from 0 and its standard deviation from 1, and
four standard errors more."""
TOLD = 5
"""Categories that a finding names."""

States = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule, and what to say if it is broken. It ``holds`` if the states say so; otherwise the
    rows that break it are to be looked for, unless it is not about single rows."""

    holds: bool
    finding: Finding
    violation: Violation | None = None


@dataclasses.dataclass(frozen=True)
class SchemaFindings:
    """What the columns and their types alone say, by ``rules`` rules."""

    findings: list[Finding]
    rules: int


def schema_findings(schema: Schema, data: Table, names: Collection[str]) -> SchemaFindings:
    """Missing and new columns, types, and the number of rows. ``names`` are the columns of the data
    to look at."""
    findings = [] if schema.rows is None else list(_rows(schema, data.rows))
    new = [name for name in data.schema.names if name in names and name not in schema.columns]
    rules = len(schema.columns) + (schema.rows is not None) + (not schema.new_columns)
    for name, column in schema.columns.items():
        if name not in names:
            if not column.optional:
                findings.append(_missing(name, column, new))
            continue
        rules += column.type is not None
        found = type_name(data.schema.field(name).type)
        rule = change(column.type, found) if column.type is not None else None
        if rule is not None:
            what = {"type": "another type", "precision": "another precision"}
            findings.append(
                Finding(rule, name, what.get(rule, "another dimension"), column.type, found)
            )
    if not schema.new_columns:
        for name in new:
            dtype = type_name(data.schema.field(name).type)
            findings.append(
                Finding("new_column", name, "a new column", None, dtype, severity="warning")
            )
    return SchemaFindings(findings, rules)


def _rows(schema: Schema, rows: int) -> Iterator[Finding]:
    if schema.rows is None:
        return
    low, high = schema.rows.min, schema.rows.max
    if low is not None and rows < low:
        yield Finding("rows", None, "too few rows", f"at least {low:,}", rows)
    if high is not None and rows > high:
        yield Finding("rows", None, "too many rows", f"at most {high:,}", rows)


def _missing(name: str, column: ColumnSchema, new: Collection[str]) -> Finding:
    close = difflib.get_close_matches(name, new, n=1)
    hint = f"; there is a new one named {close[0]!r}" if close else ""
    return Finding("missing_column", name, f"the column is missing{hint}", column.type, None)


def column_rules(name: str, column: ColumnSchema, sketches: Sketches) -> Iterator[Rule]:
    """Every rule of a column that its data can be held to: those about values of another kind than
    it has are left to the finding about its type."""
    dtype, states = sketches.schema.field(name).type, sketches.columns[name]
    kind = kind_of_name(type_name(dtype))
    expected = kind_of_name(column.type) if column.type is not None else kind
    yield from _nulls(name, column, states)
    if not comparable(expected, kind):
        return
    if kind == "float" or "vectors" in states:
        yield from _not_finite(name, column, states)
    if "extremes" in states:
        yield from _range(name, column, dtype, states, expected)
    if column.normalised == "standard" and "moments" in states:
        yield _standard(name, states)
    if column.categories is not None and kind in ("string", "binary", "integer", "bool"):
        yield _categories(name, column.categories, states)
    if "lengths" in states:
        yield from _lengths(name, column, kind, states)
    if column.unit_norm and "vectors" in states:
        found, slack = states["vectors"], 2 * unit_slack(dtype)
        near = not found.count or (found.low >= 1 - slack and found.high <= 1 + slack)
        norms = f"norms {found.low:.4g} to {found.high:.4g}" if found.count else None
        finding = Finding("unit_norm", name, "vectors are not of length 1", "norm 1", norms)
        yield Rule(near, finding, NotUnit(name, slack))


def _nulls(name: str, column: ColumnSchema, states: States) -> Iterator[Rule]:
    if column.nulls is None:
        return
    counts = states["counts"]
    share = counts.nulls / counts.count if counts.count else 0.0
    expected = "none" if column.nulls == 0 else f"at most {column.nulls:.4g} of rows"
    finding = Finding("nulls", name, "too many nulls", expected, share)
    yield Rule(share <= column.nulls, finding, Null(name))


def _not_finite(name: str, column: ColumnSchema, states: States) -> Iterator[Rule]:
    if "vectors" in states:
        nan, infinite = states["vectors"].nan, states["vectors"].infinite
    else:
        bounds = states["extremes"].bounds
        ends = [] if bounds is None else bounds.to_pylist()
        nan, infinite = states["counts"].nan, any(math.isinf(end) for end in ends)
    if column.nan is False:
        yield Rule(not nan, Finding("nan", name, "NaN", "none", None), NotFinite(name, False))
    if column.infinite is False:
        finding = Finding("infinite", name, "infinite values", "none", None)
        yield Rule(not infinite, finding, NotFinite(name, True))


def _range(
    name: str, column: ColumnSchema, dtype: pa.DataType, states: States, kind: str
) -> Iterator[Rule]:
    while pa.types.is_dictionary(dtype) or pa.types.is_run_end_encoded(dtype):
        dtype = dtype.value_type
    bounds = states["extremes"].bounds
    sides: list[tuple[str, Side, str | None]] = [("min", "min", column.min)]
    sides.append(("max", "max", column.max))
    if column.normalised in ("0..1", "-1..1"):
        low, _, high = column.normalised.partition("..")
        sides += [("normalised", "min", low), ("normalised", "max", high)]
    for rule, side, text in sides:
        if text is None:
            continue
        below = side == "min"
        end = (
            None if bounds is None else values.to_json(values.to_python(bounds[0 if below else 1]))
        )
        out = bounds is not None and beyond(bounds, dtype, text, kind, side).any()
        what = "values below the smallest" if below else "values above the largest"
        if rule == "normalised":
            what = f"no longer within {column.normalised}"
        expected = f"at least {text}" if below else f"at most {text}"
        yield Rule(
            not out, Finding(rule, name, what, expected, end), Beyond(name, text, kind, side)
        )


def _standard(name: str, states: States) -> Rule:
    found = Moments(name).finish(states["moments"])
    values_seen = states["counts"].values
    slack = SLACK + 4 / math.sqrt(max(1, values_seen))
    holds = True
    if found.mean is not None and found.std is not None:
        holds = abs(found.mean) <= slack and abs(found.std - 1) <= slack
    mean, std = (math.nan if v is None else v for v in (found.mean, found.std))
    told = f"mean {mean:.4g}, deviation {std:.4g}"
    what = "no longer of mean 0 and standard deviation 1"
    expected = "mean 0, deviation 1"
    return Rule(holds, Finding("normalised", name, what, expected, told))


def _categories(name: str, categories: tuple[str, ...], states: States) -> Rule:
    top = TopValues(name, CAPACITY).finish(states["top"])
    known = set(categories)
    seen = [str(_category(one.value)) for one in top.top]
    new = [value for value in seen if value not in known]
    cut = "lengths" in states and (states["lengths"].max or 0) > LIMIT
    holds = top.exact and not cut and not new
    told = [value if len(value) <= 60 else value[:60] + "…" for value in new[:TOLD]]
    more = f", {len(new) - TOLD:,} more" if len(new) > TOLD else ""
    finding = Finding(
        "categories", name, "new categories", f"{len(categories):,} known",
        ", ".join(map(repr, told)) + more if new else None,
    )  # fmt: skip
    return Rule(holds, finding, NotAmong(name, categories))


def _category(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _lengths(name: str, column: ColumnSchema, kind: str, states: States) -> Iterator[Rule]:
    found = states["lengths"]
    none = found.min is None
    unit = found.unit or ""
    if column.min_length is not None:
        expected = f"at least {column.min_length:,} {unit}".strip()
        finding = Finding("min_length", name, "too short", expected, found.min)
        holds = none or found.min >= column.min_length
        yield Rule(holds, finding, LengthOutside(name, column.min_length, None))
    if column.max_length is not None:
        expected = f"at most {column.max_length:,} {unit}".strip()
        finding = Finding("max_length", name, "too long", expected, found.max)
        holds = none or found.max <= column.max_length
        yield Rule(holds, finding, LengthOutside(name, None, column.max_length))
    if column.empty is False and kind == "string":
        finding = Finding("empty", name, "empty strings", "none", None)
        yield Rule(none or found.min > 0, finding, LengthOutside(name, 1, None))
