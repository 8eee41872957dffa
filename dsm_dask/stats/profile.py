"""Profile: every statistic of every column of a table, in one scan."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.fold import Fold, Product
from dsm_dask.report import notebook, profile_page
from dsm_dask.stats import correlation, nested
from dsm_dask.stats.column_profile import ColumnProfile
from dsm_dask.stats.count import Count
from dsm_dask.stats.distinct import Distinct
from dsm_dask.stats.extremes import Extremes
from dsm_dask.stats.gaps import Gaps
from dsm_dask.stats.histogram import Histogram
from dsm_dask.stats.lengths import Lengths
from dsm_dask.stats.moments import Moments
from dsm_dask.stats.nested import At
from dsm_dask.stats.partition_outliers import PartitionOutliers, combined
from dsm_dask.stats.quantiles import Quantiles
from dsm_dask.stats.table_profile import TableProfile, table_folds, table_results
from dsm_dask.stats.text_classes import TextClasses
from dsm_dask.stats.top_values import TopValues
from dsm_dask.stats.vector_stats import Vectors
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
    TextClasses: "text",
    Gaps: "gaps",
    Vectors: "vectors",
}
"""The statistics of a profile, and the field of :class:`ColumnProfile` that holds each."""

TOGETHER = 64
"""Columns scanned together, at most, so that their states and batches fit a worker."""


class Folded(Protocol):
    """What an engine gives back: finished results in the order of the Folds, that of the fold over
    partitions, the bytes moved, and the partitions left out."""

    @property
    def result(self) -> tuple[Any, ...]: ...

    @property
    def partitions(self) -> Any: ...

    @property
    def io(self) -> Any: ...

    @property
    def skipped(self) -> Any: ...


class Engine(Protocol):
    """Whatever runs a product of Folds over a table, and shows a fold over partitions the states
    of each."""

    def fold(
        self, table: Table, fold: Product, *, over_partitions: PartitionOutliers
    ) -> Folded: ...


@dataclasses.dataclass(frozen=True)
class Profile:
    """The statistics of a table. ``columns`` has what lies inside structs, lists and maps by path
    (``a.b``, ``tags[]``, ``m{}.key``), after the column that it is in. ``table`` has what no column
    tells alone; None when there was no scan. ``io`` says what the scan moved, ``skipped`` what it
    left out."""

    rows: int
    columns: dict[str, ColumnProfile]
    io: Any = None
    skipped: Any = None
    table: TableProfile | None = None
    schema: pa.Schema | None = None

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
        table: TableProfile | None = None,
    ) -> Profile:
        """Put finished results in their places. ``rows`` is needed only without any column."""
        pairs = list(zip(folds, results, strict=True))
        names = [fold.columns[0] for fold, _ in pairs if type(fold) in FOLDS]
        columns: dict[str, ColumnProfile] = {}
        for name in dict.fromkeys(names):
            own = [pair for pair in pairs if pair[0].columns[0] == name]
            columns |= _columns(schema, name, own, set(schema.names) | set(columns))
        counted = [column.counts.count for column in columns.values() if not column.path]
        return cls(max(counted, default=rows or 0), columns, io, skipped, table, schema)

    def to_dict(self) -> dict[str, Any]:
        """``rows``, ``columns`` by name, and, when known, ``table``, ``io`` and ``skipped``; see
        ``docs/profile.schema.json``."""
        shown: dict[str, Any] = {
            "rows": self.rows,
            "columns": {name: column.to_dict() for name, column in self.columns.items()},
        }
        if self.table is not None and self.schema is not None:
            shown["table"] = self.table.to_dict(self.schema)
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
        rows = []
        for name, column in self.columns.items():
            shown = column.to_dict()
            shown.update(column=name, median=shown["quantiles"].get("0.5"))
            rows.append([notebook.cell(shown[head], 6) for head in heads])
        return notebook.table(f"{self.rows:,} rows", heads, rows)


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
    """The statistics of a column, by its type, and of what lies inside it.

    >>> [type(fold).__name__ for fold in folds_for(pa.field("x", pa.list_(pa.int64())))]
    ['Count', 'Distinct', 'Lengths', 'At']
    """
    inside, _ = nested.paths(field)
    return (
        *_plain_folds(field.name, field.type),
        *(At(path, _plain_folds(nested.INNER, dtype)) for path, dtype in inside.items()),
    )


def profile(
    table: Table,
    columns: Sequence[str] | None = None,
    *,
    label: str | None = None,
    engine: Engine,
) -> Profile:
    """The statistics of some or all columns of a table, in one scan; of a table with more than 64
    columns in several, each of other columns.

    Columns are compared with one another (``table.correlation``, ``table.missing_together``) only
    when all are profiled: some more columns of a dataset are then read without those known already.
    ``label`` is the column that says which class a row belongs to, for ``table.class_balance``.

    Raises :class:`~dsm_dask.errors.UnknownColumn`, and :class:`~dsm_dask.errors.SchemaError` for
    a label that cannot be one.
    """
    schema = table.schema
    names = list(dict.fromkeys(schema.names if columns is None else columns))
    check_columns(table, names if label is None else [*names, label])
    groups = _groups(schema, names)
    whole = table_folds(schema, groups[0] if columns is None else (), label)
    found: dict[Fold[Any, Any], Any] = {}
    scans: list[Folded] = []
    for i, group in enumerate(groups):
        folds = tuple(fold for name in group for fold in folds_for(schema.field(name)))
        product = Product((*folds, *whole) if i == 0 else folds)
        over = PartitionOutliers(product.folds)
        scans.append(engine.fold(table, product, over_partitions=over))
        found.update(zip(folds, scans[-1].result[: len(folds)], strict=True))
    told = table_results(whole, scans[0].result[len(scans[0].result) - len(whole) :], schema, names)
    order = [fold for name in names for fold in folds_for(schema.field(name))]
    made = Profile.from_results(
        schema,
        order,
        [found[fold] for fold in order],
        rows=table.rows,
        io=functools.reduce(operator.add, (scan.io for scan in scans)),
        skipped=tuple(dict.fromkeys(one for scan in scans for one in scan.skipped)),
    )
    summary = TableProfile(
        rows=made.rows,
        bytes=sum(table.column_sizes().values()),
        partitions=len(table.partitions()),
        partition_outliers=combined([scan.partitions for scan in scans]),
        **told,
    )
    return dataclasses.replace(made, table=summary)


def _plain_folds(name: str, dtype: pa.DataType) -> tuple[Fold[Any, Any], ...]:
    return tuple(kind(name) for kind in FOLDS if kind.accepts(dtype))


def _groups(schema: pa.Schema, names: Sequence[str]) -> list[list[str]]:
    """Columns to scan together. Where there are several scans, the first has the numeric columns
    that are to be compared with one another."""
    if len(names) <= TOGETHER:
        return [list(names)]
    numeric = [name for name in names if correlation.accepts(schema.field(name).type)]
    first = numeric[:TOGETHER]
    ordered = first + [name for name in names if name not in set(first)]
    return [ordered[i : i + TOGETHER] for i in range(0, len(ordered), TOGETHER)]


def _columns(
    schema: pa.Schema, name: str, own: Sequence[tuple[Fold[Any, Any], Any]], taken: set[str]
) -> dict[str, ColumnProfile]:
    """A column, then what lies inside it under names that are not ``taken``."""
    field = schema.field(name)
    types, left_out = nested.paths(field)
    inside: dict[str, ColumnProfile] = {}
    for fold, result in own:
        if not isinstance(fold, At):
            continue
        inner = nested.shown(fold.path, taken | set(inside))
        places = {FOLDS[type(f)]: r for f, r in zip(fold.folds, result, strict=True)}
        inside[inner] = ColumnProfile(inner, str(types[fold.path]), path=fold.path, **places)
    places = {FOLDS[type(fold)]: result for fold, result in own if type(fold) in FOLDS}
    made = ColumnProfile(
        name, str(field.type), **places, nested=tuple(inside), nested_left_out=left_out
    )
    return {name: made, **inside}


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
