"""The statistics of a table as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.errors import SchemaError
from dsm_dask.fold import Fold
from dsm_dask.stats import correlation, missingness, values
from dsm_dask.stats.class_balance import MOST, ClassBalance, class_balance
from dsm_dask.stats.correlation import Correlation, Correlations
from dsm_dask.stats.count import Count
from dsm_dask.stats.missingness import Missingness, MissingTogether
from dsm_dask.stats.partition_outliers import Outliers
from dsm_dask.stats.top_values import TopValues

STRONGEST = 20
"""Correlations and pairs of columns listed."""
_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class TableProfile:
    """What no column tells alone. ``bytes`` are those stored, of all columns. None for what was not
    asked for, or makes no sense: a correlation takes two numeric columns, among all of a table."""

    rows: int
    bytes: int
    partitions: int
    correlation: Correlations | None = None
    missing_together: MissingTogether | None = None
    class_balance: ClassBalance | None = None
    partition_outliers: Outliers | None = None

    def to_dict(self, schema: pa.Schema) -> dict[str, Any]:
        """JSON-safe."""
        return {
            "rows": self.rows,
            "bytes": self.bytes,
            "partitions": self.partitions,
            "correlation": _correlation(self.correlation),
            "missing_together": _missing(self.missing_together),
            "class_balance": _balance(self.class_balance),
            "partition_outliers": _outliers(self.partition_outliers, schema),
        }


def table_folds(
    schema: pa.Schema, names: Sequence[str], label: str | None
) -> tuple[Fold[Any, Any], ...]:
    """The Folds over several columns: of these ``names``, and of the column that holds the class.

    Raises :class:`~dsm_dask.errors.SchemaError` for a label that cannot be one.
    """
    numeric = [name for name in names if correlation.accepts(schema.field(name).type)]
    folds: list[Fold[Any, Any]] = []
    if len(numeric) > 1:
        folds.append(Correlation(tuple(numeric[: correlation.MOST])))
    if names:
        folds.append(Missingness(tuple(names[: missingness.MOST])))
    if label is not None:
        if not TopValues.accepts(schema.field(label).type):
            raise SchemaError(
                f"Column {label!r} of type {schema.field(label).type} cannot be a label.",
                valid="A label is a column of texts, numbers, booleans or dates.",
            )
        folds += [Count(label), TopValues(label, MOST)]
    return tuple(folds)


def table_results(
    folds: Sequence[Fold[Any, Any]], results: Sequence[Any], schema: pa.Schema, names: Sequence[str]
) -> dict[str, Any]:
    """Fields of a :class:`TableProfile` of columns ``names``, from the results of
    :func:`table_folds`."""
    found = dict(zip(map(type, folds), zip(folds, results, strict=True), strict=True))
    made: dict[str, Any] = {}
    if Correlation in found:
        fold, result = found[Correlation]
        left_out = [
            name
            for name in names
            if name not in fold.columns and correlation.accepts(schema.field(name).type)
        ]
        made["correlation"] = dataclasses.replace(result, left_out=tuple(left_out))
    if Missingness in found:
        fold, result = found[Missingness]
        rest = tuple(name for name in names if name not in fold.columns)
        made["missing_together"] = dataclasses.replace(result, left_out=rest)
    if TopValues in found:
        fold, result = found[TopValues]
        counts = found[Count][1]
        made["class_balance"] = class_balance(fold.columns[0], result, counts.nulls + counts.nan)
    return made


def _correlation(found: Correlations | None) -> dict[str, Any] | None:
    if found is None:
        return None
    names = found.columns
    strongest = sorted(
        (-abs(round(r, _DIGITS)), i, j)
        for i, row in enumerate(found.matrix)
        for j, r in enumerate(row)
        if r is not None and i < j
    )
    pairs = [
        {
            "columns": [names[i], names[j]],
            "r": round(found.matrix[i][j] or 0.0, _DIGITS),
            "rows": found.counts[i][j],
        }
        for _, i, j in strongest[:STRONGEST]
    ]
    return {
        "method": "pearson",
        "columns": list(names),
        "matrix": [[None if r is None else round(r, _DIGITS) for r in row] for row in found.matrix],
        "strongest": pairs,
        "left_out": list(found.left_out),
    }


def _missing(found: MissingTogether | None) -> dict[str, Any] | None:
    if found is None:
        return None
    pairs = [dataclasses.asdict(pair) for pair in found.pairs[:STRONGEST]]
    return {
        "columns": list(found.columns),
        "counts": [list(row) for row in found.counts],
        "always": [list(names) for names in found.always],
        "pairs": [{**pair, "columns": list(pair["columns"])} for pair in pairs],
        "left_out": list(found.left_out),
    }


def _balance(found: ClassBalance | None) -> dict[str, Any] | None:
    if found is None:
        return None
    classes = [{"value": values.to_json(value), "count": n} for value, n in found.classes]
    return {**dataclasses.asdict(found), "classes": classes}


def _outliers(found: Outliers | None, schema: pa.Schema) -> dict[str, Any] | None:
    if found is None:
        return None
    listed = []
    for one in found.found:
        shown = dataclasses.asdict(one)
        for key in ("value", "typical"):
            shown[key] = _typed(shown[key], one.column, one.statistic, schema)
        listed.append(shown)
    return {**dataclasses.asdict(found), "found": listed}


def _typed(number: float, column: str | None, statistic: str, schema: pa.Schema) -> Any:
    """A figure as JSON has it: the median of a column of dates or times is one."""
    if column is None or statistic != "median":
        return round(number) if statistic == "rows" else values.to_json(number)
    dtype = arrays.plain_type(schema.field(column).type)
    if values.kind_of(dtype) != "temporal":
        return values.to_json(number)
    return values.to_json(values.from_number(number, dtype))
