"""Profile: every statistic of every column of a table, in one scan."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.fold import Fold, Product
from dsm_dask.report import profile_page
from dsm_dask.stats import values
from dsm_dask.stats.count import Count, Counts
from dsm_dask.stats.distinct import Distinct, DistinctCount
from dsm_dask.stats.extremes import Extremes, MinMax
from dsm_dask.stats.histogram import Bins, Histogram
from dsm_dask.stats.lengths import Lengths, LengthStats
from dsm_dask.stats.moments import MeanStd, Moments
from dsm_dask.stats.quantiles import Quantiles, QuantileValues
from dsm_dask.stats.top_values import TopCounts, TopValues
from dsm_dask.table import Table, check_columns

FOLDS: dict[type[Any], str] = {
    Count: "counts",
    Extremes: "extremes",
    Moments: "moments",
    Distinct: "distinct",
    Quantiles: "quantiles",
    TopValues: "top",
    Histogram: "histogram",
    Lengths: "lengths",
}
"""The statistics of a profile, and the field of :class:`ColumnProfile` that holds each."""


class Folded(Protocol):
    """What an engine gives back: finished results in the order of the Folds, the bytes moved, and
    the partitions left out."""

    @property
    def result(self) -> tuple[Any, ...]: ...

    @property
    def io(self) -> Any: ...

    @property
    def skipped(self) -> Any: ...


class Engine(Protocol):
    """Whatever runs a product of Folds over a table."""

    def fold(self, table: Table, fold: Product) -> Folded: ...


@dataclasses.dataclass(frozen=True)
class ColumnProfile:
    """The statistics of one column; None for those that its type does not have."""

    name: str
    type: str
    counts: Counts
    extremes: MinMax | None = None
    moments: MeanStd | None = None
    distinct: DistinctCount | None = None
    quantiles: QuantileValues | None = None
    top: TopCounts | None = None
    histogram: Bins | None = None
    lengths: LengthStats | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe: see :func:`dsm_dask.stats.values.to_json` for dates, bytes and infinities."""
        extremes, moments = self.extremes or MinMax(), self.moments or MeanStd()
        distinct = self.distinct
        shown: dict[str, Any] = {
            "type": self.type,
            "count": self.counts.count,
            "nulls": self.counts.nulls,
            "nan": self.counts.nan,
            "min": values.to_json(extremes.min),
            "max": values.to_json(extremes.max),
            "min_truncated": extremes.min_truncated,
            "max_truncated": extremes.max_truncated,
            "mean": values.to_json(moments.mean),
            "std": values.to_json(moments.std),
            "distinct": distinct.count if distinct else None,
            "distinct_exact": distinct.exact if distinct else None,
            "distinct_error": distinct.error if distinct else None,
            **_quantiles(self.quantiles),
            **_top(self.top),
            "histogram": _histogram(self.histogram),
        }
        if self.lengths:
            shown["lengths"] = dataclasses.asdict(self.lengths)
        return shown


@dataclasses.dataclass(frozen=True)
class Profile:
    """The statistics of a table. ``io`` says what the scan moved, ``skipped`` what it left out."""

    rows: int
    columns: dict[str, ColumnProfile]
    io: Any = None
    skipped: Any = None

    @classmethod
    def from_results(
        cls,
        schema: pa.Schema,
        folds: Sequence[Fold[Any, Any]],
        results: Iterable[Any],
        *,
        rows: int | None = None,
        io: Any = None,
        skipped: Any = None,
    ) -> Profile:
        """Put finished results in their places. ``rows`` is needed only without any column."""
        found: dict[str, dict[str, Any]] = {}
        for fold, result in zip(folds, results, strict=True):
            place = FOLDS.get(type(fold))
            if place:
                found.setdefault(fold.columns[0], {})[place] = result
        columns = {
            name: ColumnProfile(name=name, type=str(schema.field(name).type), **fields)
            for name, fields in found.items()
        }
        counted = max((c.counts.count for c in columns.values()), default=rows or 0)
        return cls(counted, columns, io, skipped)

    def to_dict(self) -> dict[str, Any]:
        """``rows``, ``columns`` by name, and, when known, ``io`` and ``skipped``."""
        shown: dict[str, Any] = {
            "rows": self.rows,
            "columns": {name: column.to_dict() for name, column in self.columns.items()},
        }
        for key in ("io", "skipped"):
            value = getattr(self, key)
            if value is not None:
                shown[key] = _plain(value)
        return shown

    def save_html(self, uri: str, title: str = "Profile") -> int:
        """Write the profile as one self-contained page; its size in bytes."""
        page = profile_page(self.to_dict(), title=title).encode()
        storage.write(uri, page)
        return len(page)

    def to_arrow(self) -> pa.Table:
        """One row a column; values of columns as text, for they differ in type."""
        rows = []
        for name, column in self.columns.items():
            shown = column.to_dict()
            row = {"column": name, **{key: shown[key] for key in _SCHEMA.names if key in shown}}
            row["min"], row["max"] = _text(shown["min"]), _text(shown["max"])
            row["mean"], row["std"] = (getattr(column.moments, k, None) for k in ("mean", "std"))
            row["quantiles"] = [(p, _text(v)) for p, v in shown["quantiles"].items()]
            row["top"] = [{**item, "value": _text(item["value"])} for item in shown["top"]]
            rows.append(row)
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def _repr_html_(self) -> str:
        heads = ("column", "type", "nulls", "distinct", "min", "median", "max", "mean", "std")
        lines = ["".join(f"<th>{head}</th>" for head in heads)]
        for name, column in self.columns.items():
            shown = column.to_dict()
            shown.update(column=name, median=shown["quantiles"].get("0.5"))
            lines.append("".join(f"<td>{_cell(shown[head])}</td>" for head in heads))
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table><caption>{self.rows:,} rows</caption>{body}</table>"


_SCHEMA = pa.schema(
    {
        "column": pa.string(),
        "type": pa.string(),
        "count": pa.int64(),
        "nulls": pa.int64(),
        "nan": pa.int64(),
        "min": pa.string(),
        "max": pa.string(),
        "mean": pa.float64(),
        "std": pa.float64(),
        "distinct": pa.int64(),
        "distinct_error": pa.float64(),
        "quantiles": pa.map_(pa.string(), pa.string()),
        "top": pa.list_(
            pa.struct({"value": pa.string(), "count": pa.int64(), "error": pa.int64()})
        ),
    }
)


def folds_for(field: pa.Field) -> tuple[Fold[Any, Any], ...]:
    """The statistics of a column, by its type.

    >>> [type(fold).__name__ for fold in folds_for(pa.field("x", pa.list_(pa.int64())))]
    ['Count', 'Distinct', 'Lengths']
    """
    return tuple(kind(field.name) for kind in FOLDS if kind.accepts(field.type))


def profile(table: Table, columns: Sequence[str] | None = None, *, engine: Engine) -> Profile:
    """The statistics of some or all columns of a table, in one scan."""
    names = list(dict.fromkeys(table.schema.names if columns is None else columns))
    check_columns(table, names)
    folds = tuple(fold for name in names for fold in folds_for(table.schema.field(name)))
    folded = engine.fold(table, Product(folds))
    return Profile.from_results(
        table.schema,
        folds,
        folded.result,
        rows=table.rows,
        io=folded.io,
        skipped=folded.skipped,
    )


def _quantiles(found: QuantileValues | None) -> dict[str, Any]:
    if found is None:
        return {"quantiles": {}, "quantiles_error": None}
    pairs = zip(found.probabilities, found.values, strict=True)
    shown = {str(p): values.to_json(value) for p, value in pairs}
    return {"quantiles": shown, "quantiles_error": found.rank_error}


def _top(found: TopCounts | None) -> dict[str, Any]:
    if found is None:
        return {"top": [], "top_exact": None}
    items = [
        {"value": values.to_json(t.value), "count": t.count, "error": t.error} for t in found.top
    ]
    return {"top": items, "top_exact": found.exact}


def _histogram(found: Bins | None) -> dict[str, Any]:
    found = found or Bins()
    return {
        "edges": values.to_json(found.edges),
        "counts": list(found.counts),
        "below": found.below,
        "above": found.above,
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return html.escape(text if len(text) <= 60 else f"{text[:59]}…")
