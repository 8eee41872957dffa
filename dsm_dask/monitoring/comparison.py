"""Comparison: how far two tables lie apart, column by column."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.distances.distance import Distance
from dsm_dask.distances.overlap import Overlap
from dsm_dask.errors import UnknownColumn, UsageError, nearest
from dsm_dask.monitoring import methods
from dsm_dask.monitoring.measure import Measured, measure
from dsm_dask.monitoring.verdict import Verdict, judge
from dsm_dask.report import drift_page, notebook
from dsm_dask.stats import values
from dsm_dask.stats.sketches import Sketches

SHARE = 0.0
"""The share of columns that has to drift for the dataset to have drifted: any one, unless said
otherwise."""


@dataclasses.dataclass(frozen=True)
class ColumnDrift:
    """How far one column moved. ``score`` is how far past its threshold: 1 is at it.
    ``method_note`` says so when it does not have the distance that was asked for."""

    name: str
    type: str
    method: str | None
    threshold: float | None
    verdict: Verdict
    measured: Measured
    method_note: str | None = None

    @property
    def drift(self) -> bool:
        return self.verdict.drift

    @property
    def score(self) -> float:
        return self.verdict.score

    @property
    def distance(self) -> Distance | None:
        """That of the method which judged the column; None when there was nothing to compare."""
        return None if self.method is None else self.measured.distances[self.method]

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe; see ``docs/drift.schema.json``."""
        found, judged = self.measured, self.distance
        distances = {**found.distances}
        if found.missing is not None:
            distances["missing"] = found.missing
        return {
            "type": self.type,
            "kind": found.kind,
            "drift": self.verdict.drift,
            "certain": self.verdict.certain,
            "method": self.method,
            "method_note": self.method_note,
            "distances": {name: d.value for name, d in distances.items()},
            "errors": {name: d.error for name, d in distances.items()},
            "p_values": {n: d.p_value for n, d in distances.items() if d.p_value is not None},
            "threshold": self.threshold,
            "p_value": None if judged is None else judged.p_value,
            "adjusted_p_value": self.verdict.adjusted_p_value,
            "score": self.verdict.score,
            "chart": found.chart,
            "bins": found.bins,
            "nulls": dict(zip(("reference", "current"), found.nulls, strict=True)),
            "new": list(found.new),
            "vanished": list(found.vanished),
            "categories": _categories(found.overlap),
            "note": found.note,
        }


def _categories(found: Overlap | None) -> dict[str, int] | None:
    if found is None:
        return None
    return {**dataclasses.asdict(found), "both": found.both}


@dataclasses.dataclass(frozen=True)
class TypeChange:
    """A column whose type is another one; ``compared``: its values could be compared all the
    same."""

    column: str
    reference: str
    current: str
    compared: bool


@dataclasses.dataclass(frozen=True)
class Comparison:
    """``columns`` are those that both sides have, the one that moved farthest first; ``added``,
    ``removed`` and ``changed`` tell of the schema. ``drifted``: the share of columns that drifted
    is above zero, and at least ``share``; or there are ``reasons`` that no distance tells."""

    reference: str
    current: str
    rows: tuple[int, int]
    columns: dict[str, ColumnDrift]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[TypeChange, ...] = ()
    share: float = SHARE
    importance: Any = None
    io: Any = None
    skipped: Any = None

    @property
    def share_drifted(self) -> float:
        """Drifted columns as a share of those compared; 0 without any."""
        drifted = sum(column.drift for column in self.columns.values())
        return drifted / len(self.columns) if self.columns else 0.0

    @property
    def reasons(self) -> tuple[str, ...]:
        """What makes the data drifted whatever the distances: no rows on just one side, columns
        that are gone or can no longer be compared, nothing in common."""
        found = []
        if bool(self.rows[0]) != bool(self.rows[1]):
            found.append(f"the {'current' if self.rows[0] else 'reference'} side has no rows")
        if not self.columns and not self.changed:
            found.append("no column can be compared")
        found += [f"column {name!r} is gone" for name in self.removed]
        unlike = [change for change in self.changed if not change.compared]
        found += [f"column {c.column!r} was {c.reference}, is {c.current}" for c in unlike]
        return tuple(found)

    @property
    def drifted(self) -> bool:
        return bool(self.reasons) or 0 < self.share_drifted >= self.share

    @property
    def certain(self) -> bool:
        """Whether no error of the summaries could change the verdict for the dataset."""
        if self.reasons or not self.columns:
            return True
        sure = [c.drift for c in self.columns.values() if c.verdict.certain]
        open_ = len(self.columns) - len(sure)
        bounds = [count / len(self.columns) for count in (sum(sure), sum(sure) + open_)]
        return all((0 < bound >= self.share) == self.drifted for bound in bounds)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe; see ``docs/drift.schema.json``."""
        shown: dict[str, Any] = {
            "drifted": self.drifted,
            "certain": self.certain,
            "reasons": list(self.reasons),
            "reference": self.reference,
            "current": self.current,
            "rows": {"reference": self.rows[0], "current": self.rows[1]},
            "share_drifted": self.share_drifted,
            "share": self.share,
            "columns": {name: column.to_dict() for name, column in self.columns.items()},
            "schema": {
                "added": list(self.added),
                "removed": list(self.removed),
                "changed": [dataclasses.asdict(change) for change in self.changed],
            },
        }
        if self.importance is not None:
            shown["importance"] = self.importance.to_dict()
        if self.io is not None:
            shown["io"] = self.io.to_dict()
        if self.skipped:
            shown["skipped"] = [one.to_dict() for one in self.skipped]
        return values.to_json(shown)  # type: ignore[no-any-return]

    def save_html(self, uri: str, title: str = "Drift") -> int:
        """Write the comparison as one self-contained page; its size in bytes."""
        page = drift_page(self.to_dict(), title=title).encode()
        storage.write(uri, page)
        return len(page)

    def to_arrow(self) -> pa.Table:
        """One row a column, in order; distances and errors as maps."""
        rows = []
        for name, column in self.columns.items():
            shown = column.to_dict()
            row = {"column": name, **{key: shown[key] for key in _SCHEMA.names if key in shown}}
            row.update({key: list(shown[key].items()) for key in ("distances", "errors")})
            row.update({f"nulls_{side}": share for side, share in shown["nulls"].items()})
            rows.append(row)
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def _repr_html_(self) -> str:
        heads = ("column", "type", "drift", "method", "distance", "threshold", "score")
        rows = []
        for name, c in self.columns.items():
            verdict = ("drift" if c.drift else "") + ("" if c.verdict.certain else " (uncertain)")
            distance = c.distance.value if c.distance else None
            cells = (name, c.type, verdict, c.method, distance, c.threshold, c.score)
            rows.append([notebook.cell(cell, 4) for cell in cells])
        head = "Drifted" if self.drifted else "No drift"
        caption = f"{head}: {self.share_drifted:.0%} of columns"
        return notebook.table(caption, heads, rows)


_SCHEMA = pa.schema(
    {
        "column": pa.string(),
        "type": pa.string(),
        "kind": pa.string(),
        "drift": pa.bool_(),
        "certain": pa.bool_(),
        "score": pa.float64(),
        "method": pa.string(),
        "method_note": pa.string(),
        "threshold": pa.float64(),
        "p_value": pa.float64(),
        "adjusted_p_value": pa.float64(),
        "nulls_reference": pa.float64(),
        "nulls_current": pa.float64(),
        "distances": pa.map_(pa.string(), pa.float64()),
        "errors": pa.map_(pa.string(), pa.float64()),
        "note": pa.string(),
    }
)


def compare(
    reference: Sketches,
    current: Sketches,
    columns: Sequence[str] | None = None,
    *,
    method: str | None = None,
    threshold: float | None = None,
    share: float = SHARE,
    measured: Mapping[str, Measured | None] | None = None,
) -> Comparison:
    """Compare two tables by their sketches; no row is read.

    ``columns``: only these. ``method`` and its ``threshold`` judge the columns that have that
    distance; the others keep the method that suits them (:mod:`dsm_dask.monitoring.methods`), which
    their ``method_note`` says. ``measured``: what :func:`measure_columns` gave already; then the
    sketches need no states.

    Raises UsageError for an unknown method or a threshold without one, and UnknownColumn for a
    column that neither side has.
    """
    methods.check(method, threshold)
    if not 0 <= share <= 1:
        raise UsageError(f"{share} is no share of columns.", valid="It lies between 0 and 1.")
    sides = reference, current
    names = wanted([side.columns for side in sides], columns)
    if measured is None:
        measured = measure_columns(reference, current, names)
    types = {name: (_type(reference, name), _type(current, name)) for name in measured}
    return Comparison(
        reference=reference.uri,
        current=current.uri,
        rows=(reference.rows, current.rows),
        columns=_ranked(
            {n: one for n, one in measured.items() if one is not None}, types, method, threshold
        ),
        added=tuple(n for n in names if n not in reference.columns),
        removed=tuple(n for n in names if n not in current.columns),
        changed=tuple(
            TypeChange(name, str(old), str(new), measured[name] is not None)
            for name, (old, new) in types.items()
            if old != new
        ),
        share=share,
    )


def measure_columns(
    reference: Sketches, current: Sketches, names: Sequence[str]
) -> dict[str, Measured | None]:
    """The distances of those columns that both sides have; None where types cannot be compared."""
    sides = reference, current
    return {
        name: measure(
            reference.columns[name],
            current.columns[name],
            (_type(reference, name), _type(current, name)),
        )
        for name in names
        if all(name in side.columns for side in sides)
    }


def wanted(sides: Sequence[Iterable[str]], columns: Sequence[str] | None) -> list[str]:
    """The columns to look at, in order: those asked for, or all that either side has."""
    known = dict.fromkeys(name for side in sides for name in side)
    for name in columns or ():
        if name not in known:
            raise UnknownColumn(f"Neither side has a column {name!r}.", valid=nearest(name, known))
    return list(dict.fromkeys(known if columns is None else columns))


def _ranked(
    measured: Mapping[str, Measured],
    types: Mapping[str, tuple[pa.DataType, pa.DataType]],
    method: str | None,
    threshold: float | None,
) -> dict[str, ColumnDrift]:
    chosen: list[tuple[str, float, Distance] | None] = []
    for found in measured.values():
        if method in found.distances and method is not None:
            limit = methods.THRESHOLDS[method] if threshold is None else threshold
            chosen.append((method, limit, found.distances[method]))
            continue
        known = {} if found.identifying else found.distances
        name = methods.choose(known, fewest=found.fewest, preferred=found.preferred)
        limit = methods.THRESHOLDS[name] if name else 0.0
        chosen.append((name, limit, found.distances[name]) if name else None)
    verdicts = judge(chosen, [found.missing for found in measured.values()])
    made = [
        ColumnDrift(
            name=name,
            type=str(types[name][1]),
            method=one[0] if one else None,
            threshold=one[1] if one else None,
            verdict=verdict,
            measured=found,
            method_note=methods.note(method, one[0] if one else None, found.identifying),
        )
        for (name, found), one, verdict in zip(measured.items(), chosen, verdicts, strict=True)
    ]
    return {column.name: column for column in sorted(made, key=lambda column: -column.score)}


def _type(side: Sketches, name: str) -> pa.DataType:
    return side.schema.field(name).type
