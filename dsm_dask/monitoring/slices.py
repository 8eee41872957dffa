"""Drift by slice: two tables compared within each value of a column."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dsm_dask import arrays, storage
from dsm_dask.errors import SchemaError
from dsm_dask.fold import Product
from dsm_dask.monitoring import methods
from dsm_dask.monitoring.cells import (
    LEAST_ROWS,
    Cell,
    Row,
    by_column,
    drift_folds,
    judge_all,
    without_pictures,
)
from dsm_dask.monitoring.measure import Measured, measure
from dsm_dask.report import slices_page
from dsm_dask.stats import group_profiles, values
from dsm_dask.stats.group_profiles import Scan, check_cap, column_groups, scans
from dsm_dask.stats.groups import CAP, Group, Grouped, check_groups
from dsm_dask.stats.top_values import TopValues
from dsm_dask.table import Table, check_columns


class Engine(group_profiles.Engine, Protocol):
    """Whatever runs Folds over a table, and counts what was moved."""

    def mark(self) -> Any: ...


@dataclasses.dataclass(frozen=True)
class SliceDrift:
    """One value of the column, its ``rows`` in the reference and the current table, and the
    comparison of each column; ``too_few`` rows on a side to be judged."""

    value: Any
    rows: tuple[int, int]
    too_few: bool
    cells: Mapping[str, Cell]

    @property
    def score(self) -> float:
        """How far past its threshold the column is that moved farthest: 1 is at it."""
        return max((cell.verdict.score for cell in self.cells.values()), default=0.0)

    @property
    def drifted(self) -> bool:
        return any(cell.verdict.drift for cell in self.cells.values())

    def to_dict(self, rows: Mapping[str, Row]) -> dict[str, Any]:
        ranked = sorted(self.cells.items(), key=lambda item: -item[1].verdict.score)
        return {
            "value": values.to_json(self.value),
            "rows": {"reference": self.rows[0], "current": self.rows[1]},
            "too_few": self.too_few,
            "drifted": self.drifted,
            "score": self.score,
            "columns": {
                name: {
                    "method": rows[name].method,
                    "method_note": rows[name].method_note,
                    "threshold": rows[name].threshold,
                    "distance": cell.distance.value,
                    "error": cell.distance.error,
                    "p_value": cell.distance.p_value,
                    "adjusted_p_value": cell.verdict.adjusted_p_value,
                    "drift": cell.verdict.drift,
                    "certain": cell.verdict.certain,
                    "score": cell.verdict.score,
                }
                for name, cell in ranked
            },
        }


UNMATCHED = 0.05
"""Share of rows in slices that only one side has, from where on the data has drifted."""


@dataclasses.dataclass(frozen=True)
class Slices:
    """``slices`` are those that moved farthest first; ``new`` and ``vanished`` are values that only
    one side has, among those looked at. ``left_out``: rows of other values on either side."""

    reference: str
    current: str
    by: str
    slices: tuple[SliceDrift, ...]
    columns: Mapping[str, Row]
    left_out_groups: int = 0
    left_out_exact: bool = True
    left_out_rows: tuple[int, int] = (0, 0)
    io: Any = None
    skipped: Any = None

    @property
    def drifted(self) -> bool:
        """Any slice moved; or values that only one side has make up a twentieth of its rows."""
        return any(one.drifted for one in self.slices) or self.share_unmatched >= UNMATCHED

    @property
    def share_unmatched(self) -> float:
        """Rows of values that the other side lacks, as a share: the larger one of both sides."""
        shares = []
        for side, other in ((0, 1), (1, 0)):
            total = sum(one.rows[side] for one in self.slices) + self.left_out_rows[side]
            lone = sum(one.rows[side] for one in self.slices if not one.rows[other])
            shares.append(lone / total if total else 0.0)
        return max(shares)

    @property
    def new(self) -> tuple[Any, ...]:
        return tuple(one.value for one in self.slices if not one.rows[0])

    @property
    def vanished(self) -> tuple[Any, ...]:
        return tuple(one.value for one in self.slices if not one.rows[1])

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        shown: dict[str, Any] = {
            "reference": self.reference,
            "current": self.current,
            "by": self.by,
            "drifted": self.drifted,
            "share_unmatched": self.share_unmatched,
            "slices": [one.to_dict(self.columns) for one in self.slices],
            "new": values.to_json(self.new),
            "vanished": values.to_json(self.vanished),
            "left_out": {
                "groups": self.left_out_groups,
                "exact": self.left_out_exact,
                "rows": dict(zip(("reference", "current"), self.left_out_rows, strict=True)),
            },
        }
        if self.io is not None:
            shown["io"] = self.io.to_dict()
        if self.skipped is not None:
            shown["skipped"] = [one.to_dict() for one in self.skipped]
        return shown

    def save_html(self, uri: str, title: str = "Drift by slice") -> int:
        """Write the slices as one self-contained page; its size in bytes."""
        page = slices_page(self.to_dict(), title=title).encode()
        storage.write(uri, page)
        return len(page)


def drift_by(
    reference: Table,
    current: Table,
    by: str,
    *,
    columns: Sequence[str] | None = None,
    method: str | None = None,
    threshold: float | None = None,
    cap: int = CAP,
    least_rows: int = LEAST_ROWS,
    engine: Engine,
) -> Slices:
    """Compare two tables within each value of ``by``, null included.

    The ``cap`` values with the largest share of either side are looked at (found by a scan of that
    column; known already for datasets that were profiled). Each side is then read once, or in
    several scans of other columns each where the sketches of all would take more than 128 MB.
    Columns that only one side has are left out. A slice with fewer than ``least_rows`` rows on a
    side is not judged. P-values are adjusted over all slices and columns.

    Raises :class:`~dsm_dask.errors.UnknownColumn`, :class:`~dsm_dask.errors.SchemaError` when
    ``by`` has values of different kinds on both sides, or a type without groups, and
    :class:`~dsm_dask.errors.UsageError` for the other arguments.
    """
    sides = (reference, current)
    for side in sides:
        check_columns(side, [by, *(columns or ())])
    both = [n for n in reference.schema.names if n in current.schema.names and n != by]
    names = both if columns is None else list(dict.fromkeys(columns))
    _check_by(sides, by)
    check_cap(cap)
    methods.check(method, threshold)
    mark = engine.mark()
    keys = _largest([engine.states(side, [TopValues(by)])[0] for side in sides], cap)
    parts = column_groups(names, len(keys), max(side.rows for side in sides))
    grouped = Grouped(by, Product(()), len(keys), only=keys, finished=False)
    first: tuple[Scan, Scan] | None = None
    measured: dict[str, list[Measured | None]] = {}
    for pair in zip(*(scans(s, parts, drift_folds, grouped, engine) for s in sides), strict=True):
        first = first or pair
        judged = [key for key, both in _pairs(first).items() if min(_rows(both)) >= least_rows]
        states = [[by_column(scan, key) for scan in pair] for key in judged]
        for name in pair[0].columns:
            types = tuple(side.schema.field(name).type for side in sides)
            measured[name] = [_measured(both, name, types) for both in states]
    assert first is not None
    rows = judge_all(measured, method, threshold)
    left = [scan.groups for scan in first]
    return Slices(
        reference=reference.uri,
        current=current.uri,
        by=by,
        slices=_ranked(first, rows, least_rows),
        columns=rows,
        left_out_groups=max(side.left_out_groups for side in left),
        left_out_exact=all(side.left_out_exact for side in left),
        left_out_rows=(left[0].left_out_rows, left[1].left_out_rows),
        io=mark.io,
        skipped=tuple(dict.fromkeys(mark.skipped)),
    )


def _ranked(
    first: Sequence[Scan], rows: Mapping[str, Row], least_rows: int
) -> tuple[SliceDrift, ...]:
    made, judged = [], 0
    for both in _pairs(first).values():
        value = next(group.value for group in both if group is not None)
        enough = min(_rows(both)) >= least_rows
        cells = {name: row.cells[judged] for name, row in rows.items()} if enough else {}
        judged += enough
        known = {name: cell for name, cell in cells.items() if cell is not None}
        made.append(SliceDrift(value, _rows(both), not enough, known))
    return tuple(sorted(made, key=lambda one: (-one.score, -max(one.rows))))


def _pairs(first: Sequence[Scan]) -> dict[int, list[Group | None]]:
    """The groups of both sides, by their key."""
    found: dict[int, list[Group | None]] = {}
    for place, scan in enumerate(first):
        for group in scan.groups.groups:
            found.setdefault(group.key, [None, None])[place] = group
    return found


def _rows(pair: Sequence[Group | None]) -> tuple[int, int]:
    first, second = (0 if group is None else group.rows for group in pair)
    return first, second


def _measured(both: Sequence[Mapping[str, Any]], name: str, types: Any) -> Measured | None:
    one, two = (side.get(name) for side in both)
    return None if one is None or two is None else without_pictures(measure(one, two, types))


def _check_by(sides: Sequence[Table], by: str) -> None:
    fields = [side.schema.field(by) for side in sides]
    for field in fields:
        check_groups(field, None)
    plain = [arrays.plain_type(field.type) for field in fields]
    kinds = [values.kind_of(dtype) for dtype in plain]
    exact = kinds[0] in {"decimal", "temporal", "binary"}  # told apart by more than their kind
    if "null" in kinds or kinds[0] != kinds[1] or (exact and plain[0] != plain[1]):
        raise SchemaError(
            f"Column {by!r} is {fields[0].type} on one side and {fields[1].type} on the other.",
            valid="Slices need values of one type on both sides.",
        )


def _largest(tops: Sequence[Any], cap: int) -> tuple[int, ...]:
    """Keys of the values with the largest share of either side, and null."""
    shares: dict[int, float] = {}
    for top in tops:
        total = max(1, int(top.counts.sum()))
        for key, count in zip(top.hashes[:, 0].tolist(), top.counts.tolist(), strict=True):
            shares[key] = max(shares.get(key, 0.0), count / total)
    return (0, *sorted(shares, key=lambda key: (-shares[key], key))[:cap])
