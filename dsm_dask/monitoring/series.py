"""Drift over time: the sketches of each window, compared with a reference."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.dataset.version import Dataset
from dsm_dask.errors import UsageError
from dsm_dask.fold import Product
from dsm_dask.monitoring import methods
from dsm_dask.monitoring.cells import (
    LEAST_ROWS,
    Row,
    by_column,
    drift_folds,
    judge_all,
    without_pictures,
)
from dsm_dask.monitoring.change_points import ChangePoint, page_hinkley
from dsm_dask.monitoring.drift import open_side, sketch_for_drift
from dsm_dask.monitoring.measure import Measured, measure
from dsm_dask.report import series_page
from dsm_dask.stats.group_profiles import (
    Engine,
    Scan,
    check_cap,
    column_groups,
    group_name,
    scans,
)
from dsm_dask.stats.groups import Grouped, Groups, check_groups
from dsm_dask.stats.sketches import Sketches
from dsm_dask.stats.windows import Window
from dsm_dask.table import Table, check_columns

CAP = 1000
"""Windows kept, unless said otherwise."""

Reference = Literal["first", "previous"] | Sketches


@dataclasses.dataclass(frozen=True)
class WindowRows:
    """A window, and how many rows it has; ``too_few`` to be judged, or to be a reference."""

    window: Window
    rows: int
    too_few: bool


@dataclasses.dataclass(frozen=True)
class ColumnSeries:
    """The comparisons of one column, one for each window; None where there is none."""

    name: str
    type: str
    row: Row
    change_points: tuple[ChangePoint, ...]

    @property
    def drifted(self) -> bool:
        return any(cell is not None and cell.verdict.drift for cell in self.row.cells)

    def to_dict(self, windows: Sequence[WindowRows]) -> dict[str, Any]:
        cells = self.row.cells
        return {
            "type": self.type,
            "method": self.row.method,
            "method_note": self.row.method_note,
            "threshold": self.row.threshold,
            "drifted": self.drifted,
            "distance": [cell and cell.distance.value for cell in cells],
            "error": [cell and cell.distance.error for cell in cells],
            "p_value": [cell and cell.distance.p_value for cell in cells],
            "adjusted_p_value": [cell and cell.verdict.adjusted_p_value for cell in cells],
            "drift": [cell and cell.verdict.drift for cell in cells],
            "certain": [cell and cell.verdict.certain for cell in cells],
            "change_points": [
                {
                    "index": point.index,
                    **group_name(windows[point.index].window, "window"),
                    "before": point.before,
                    "after": point.after,
                }
                for point in self.change_points
            ],
        }


@dataclasses.dataclass(frozen=True)
class Series:
    """Drift over time. ``null_rows`` have no time; ``left_out_rows`` lie in ``left_out_windows``
    before the first, beyond the number of windows kept (an estimate unless ``left_out_exact``)."""

    rows: int
    over: str
    window: str
    reference: str
    windows: tuple[WindowRows, ...]
    columns: dict[str, ColumnSeries]
    null_rows: int = 0
    left_out_windows: int = 0
    left_out_exact: bool = True
    left_out_rows: int = 0
    io: Any = None
    skipped: Any = None

    @property
    def drifted(self) -> bool:
        return any(column.drifted for column in self.columns.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe; the lists of a column go with ``windows``."""
        shown: dict[str, Any] = {
            "rows": self.rows,
            "over": self.over,
            "window": self.window,
            "reference": self.reference,
            "drifted": self.drifted,
            "windows": [
                {**group_name(w.window, self.window), "rows": w.rows, "too_few": w.too_few}
                for w in self.windows
            ],
            "columns": {name: one.to_dict(self.windows) for name, one in self.columns.items()},
            "left_out": {
                "windows": self.left_out_windows,
                "exact": self.left_out_exact,
                "rows": self.left_out_rows,
                "null_rows": self.null_rows,
            },
        }
        if self.io is not None:
            shown["io"] = self.io.to_dict()
        if self.skipped is not None:
            shown["skipped"] = [one.to_dict() for one in self.skipped]
        return shown

    def save_html(self, uri: str, title: str = "Drift over time") -> int:
        """Write the series as one self-contained page; its size in bytes."""
        page = series_page(self.to_dict(), title=title).encode()
        storage.write(uri, page)
        return len(page)


def drift_over(
    table: Table,
    over: str,
    window: str,
    *,
    reference: Reference = "first",
    columns: Sequence[str] | None = None,
    method: str | None = None,
    threshold: float | None = None,
    cap: int = CAP,
    least_rows: int = LEAST_ROWS,
    engine: Engine,
) -> Series:
    """Compare each ``window`` of the time column ``over`` with a reference: the first window, the
    one before, or the sketches of another table.

    One scan gives the sketches of all windows (:class:`~dsm_dask.stats.groups.Grouped`); several,
    each of other columns, where they would take more than 128 MB. The latest ``cap`` windows are
    kept. A window with fewer than ``least_rows`` rows is neither judged nor a reference. P-values
    are adjusted over all columns and windows, so of tables judged by them in which nothing changes
    about 5 % have a window that drifted. Change points are those of
    :func:`~dsm_dask.monitoring.change_points.page_hinkley` over the distances (Jensen-Shannon's in
    place of chi-squared, which grows with the number of rows); with ``previous``
    only where they rise, for the window after a change is like the one before again.

    Raises :class:`~dsm_dask.errors.UnknownColumn`, :class:`~dsm_dask.errors.SchemaError` when
    ``over`` is no time, and :class:`~dsm_dask.errors.UsageError` for the other arguments.
    """
    names = [name for name in table.schema.names if name != over] if columns is None else columns
    names = list(dict.fromkeys(names))
    check_columns(table, [over, *names])
    check_groups(table.schema.field(over), window)
    check_cap(cap)
    methods.check(method, threshold)
    _check_reference(reference)
    parts = column_groups(names, cap, table.rows)
    grouped = Grouped(over, Product(()), cap, window, finished=False)
    first: Scan | None = None
    measured: dict[str, list[Measured | None]] = {}
    io, skipped = [], dict[Any, None]()
    for scan in scans(table, parts, drift_folds, grouped, engine):
        first = first or scan
        io.append(scan.io)
        skipped.update(dict.fromkeys(scan.skipped))
        sides = [by_column(scan, group.key) if group.rows >= least_rows else {}
                 for group in first.groups.groups if group.value is not None]  # fmt: skip
        for name in scan.columns:
            states = [side.get(name) for side in sides]
            measured[name] = _compare(states, reference, name, table.schema.field(name).type)
    assert first is not None
    rows = judge_all(measured, method, threshold)
    made = _series(table.schema, over, window, reference, least_rows, first.groups, rows)
    return dataclasses.replace(made, io=functools.reduce(operator.add, io), skipped=tuple(skipped))


def open_reference(
    text: str,
    table: Table,
    over: str,
    columns: Sequence[str] | None = None,
    *,
    engine: Any,
) -> Reference:
    """What people call a reference: ``first``, ``previous``, a version, tag or branch of the
    dataset ``table``, another dataset, files, or saved sketches."""
    if text == "first":
        return "first"
    if text == "previous":
        return "previous"
    is_name = isinstance(table, Dataset) and "/" not in text and not storage.exists(text)
    side = open_side(f"{table.uri}@{text}" if is_name else text, engine.map)
    known = side.columns if isinstance(side, Sketches) else side.schema.names
    wanted = [name for name in table.schema.names if name != over] if columns is None else columns
    return sketch_for_drift(side, [name for name in wanted if name in known], engine=engine)


def _check_reference(reference: object) -> None:
    if reference not in ("first", "previous") and not isinstance(reference, Sketches):
        raise UsageError(
            f"{reference!r} is no reference for a series.",
            valid="Give first, previous, or the sketches of another table.",
        )


def _compare(
    states: Sequence[Mapping[str, Any] | None], reference: Reference, name: str, dtype: pa.DataType
) -> list[Measured | None]:
    """Each window's states of a column with those of its reference."""
    before, types = None, (dtype, dtype)
    if isinstance(reference, Sketches):
        if name not in reference.columns:
            return [None] * len(states)
        before, types = reference.columns[name], (reference.schema.field(name).type, dtype)
    found: list[Measured | None] = []
    for one in states:
        if before is None or one is None:
            found.append(None)
        else:
            found.append(without_pictures(measure(before, one, types)))
        if one is not None and (before is None or reference == "previous"):
            before = one
    return found


def _series(
    schema: pa.Schema,
    over: str,
    window: str,
    reference: Reference,
    least_rows: int,
    found: Groups,
    rows: Mapping[str, Row],
) -> Series:
    windows = [
        WindowRows(group.value, group.rows, group.rows < least_rows)
        for group in found.groups
        if group.value is not None
    ]
    return Series(
        rows=sum(group.rows for group in found.groups) + found.left_out_rows,
        over=over,
        window=window,
        reference=reference.uri if isinstance(reference, Sketches) else reference,
        windows=tuple(windows),
        columns={
            name: ColumnSeries(name, str(schema.field(name).type), row, _changes(row, reference))
            for name, row in rows.items()
        },
        null_rows=sum(group.rows for group in found.groups if group.value is None),
        left_out_windows=found.left_out_groups,
        left_out_exact=found.left_out_exact,
        left_out_rows=found.left_out_rows,
    )


def _changes(row: Row, reference: Reference) -> tuple[ChangePoint, ...]:
    found = page_hinkley([None if cell is None else cell.level for cell in row.cells])
    return tuple(point for point in found if point.rises or reference != "previous")
