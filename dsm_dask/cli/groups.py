"""Profiles and drift by group, as verbs run and tell them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome
from dsm_dask.dataset.version import open_data
from dsm_dask.errors import UsageError, nearest
from dsm_dask.monitoring.drift import open_rows
from dsm_dask.monitoring.series import CAP as WINDOWS
from dsm_dask.monitoring.series import drift_over, open_reference
from dsm_dask.monitoring.slices import drift_by
from dsm_dask.report.distance import limit, method_notes
from dsm_dask.stats import values
from dsm_dask.stats.group_profiles import profile_by
from dsm_dask.stats.groups import CAP
from dsm_dask.stats.top_values import TopValues
from dsm_dask.table import Table

COLUMNS = 4
"""Numeric columns shown beside each group."""
LISTED = 40
"""Groups, columns or slices that are listed."""
_LEVELS = " ▁▂▃▄▅▆▇█"


def run_profile_by(
    out: Outcome,
    data: str,
    columns: list[str] | None,
    by: str,
    window: str | None,
    cap: int | None,
    only: Sequence[str],
) -> None:
    """``dsm profile --by``."""
    table = open_data(data, out.engine.map)
    made = profile_by(
        table, by, columns, window, cap=CAP if cap is None else cap,
        only=list(only) or None, engine=out.engine,
    )  # fmt: skip
    if len(made.groups) < len(set(only)):
        _refuse_unknown(out, table, by, only, [value for value, _ in made.groups])
    found = made.to_dict()
    out.say({"data": data, **found}, lambda: profile_text(found))


def _refuse_unknown(
    out: Outcome, table: Table, by: str, only: Sequence[str], found: Sequence[Any]
) -> None:
    """Raise for a group that was asked for and has no row, naming those most like it."""
    dtype = arrays.plain_type(table.schema.field(by).type)
    known = values.to_json(found)
    asked = pa.array(only, pa.string()).cast(dtype)
    unknown = [
        text
        for text, scalar in zip(only, asked, strict=True)
        if values.to_json(values.to_python(scalar)) not in known
    ]
    top = out.engine.states(table, [TopValues(by)])[0].values if TopValues.accepts(dtype) else None
    names = [] if top is None else [str(values.to_json(values.to_python(v))) for v in top]
    raise UsageError(
        f"Column {by!r} has no group {', '.join(map(repr, unknown))}.",
        where=table.uri,
        valid=nearest(unknown[0], names) if unknown else None,
    )


def run_drift_over(
    out: Outcome,
    data: str,
    columns: list[str] | None,
    over: str,
    window: str,
    reference: str,
    cap: int | None,
    judged: dict[str, Any],
    html: str | None = None,
) -> None:
    """``dsm drift --over``."""
    table = open_data(data, out.engine.map)
    made = drift_over(
        table, over, window, columns=columns, cap=WINDOWS if cap is None else cap,
        reference=open_reference(reference, table, over, columns, engine=out.engine),
        engine=out.engine, **judged,
    )  # fmt: skip
    if all(window_rows.too_few for window_rows in made.windows):
        raise UsageError(
            f"There is nothing to compare: no window of {window} has enough rows.",
            where=f"{data}, column {over!r}",
            valid="Take a longer window, or look at how many of these times are null.",
        )
    if html:
        made.save_html(html, data)
    found = {**made.to_dict(), "data": data, "reference": reference}
    out.say(found, lambda: series_text(found), exit_code=1 if made.drifted else 0)


def run_drift_by(
    out: Outcome,
    sides: tuple[str, str],
    columns: list[str] | None,
    by: str,
    cap: int | None,
    judged: dict[str, Any],
    html: str | None = None,
) -> None:
    """``dsm drift --by``."""
    reference, current = (open_rows(side, out.engine.map) for side in sides)
    made = drift_by(
        reference, current, by, columns=columns, cap=CAP if cap is None else cap,
        engine=out.engine, **judged,
    )  # fmt: skip
    if html:
        made.save_html(html, f"{sides[0]} → {sides[1]}")
    found = {**made.to_dict(), "reference": sides[0], "current": sides[1]}
    out.say(found, lambda: slices_text(found), exit_code=1 if made.drifted else 0)


def refuse_without(main: str, given: dict[str, Any]) -> None:
    """Raise :class:`~dsm_dask.errors.UsageError` for an option that goes with others."""
    for option, value in given.items():
        if value not in (None, ()):
            raise UsageError(
                f"{option} goes with {main} only.", valid="--help tells what goes with what."
            )


def profile_text(found: dict[str, Any]) -> str:
    """One line a group: its rows, and mean and median of the first numeric columns."""
    groups = found["groups"]
    names = list(dict.fromkeys(name for group in groups for name in group["columns"]))
    numeric = [n for n in names if any(_mean(group, n) is not None for group in groups)][:COLUMNS]
    rows = [
        [_name(group, found["window"]), group["rows"], *(_middle(group, name) for name in numeric)]
        for group in groups[-LISTED if found["window"] else 0 :][:LISTED]
    ]
    heads = [found["by"], "rows", *(f"{text.short(name, 16)}: mean / median" for name in numeric)]
    right = " ".join(str(i + 1) for i in range(len(numeric) + 1))
    left = found["left_out"]
    lines = [f"{found['rows']:,} rows", text.table(heads, rows, right)]
    if len(groups) > LISTED:
        lines.append(f"... and {len(groups) - LISTED:,} more groups (see --json)")
    return "\n".join([*lines, *_left_out(left["groups"], left["exact"], left["rows"], "groups")])


def series_text(found: dict[str, Any]) -> str:
    """One line a column: its distances as a row of bars, drifted windows; then change points."""
    windows, columns = found["windows"], found["columns"]
    drifted = [name for name, one in columns.items() if one["drifted"]]
    head = "Drift" if found["drifted"] else "No drift"
    lines = [
        f"{head}: {len(drifted):,} of {len(columns):,} columns in {len(windows):,} windows of "
        f"{found['window']} of {found['over']}, against {found['reference']}"
    ]
    listed = [*drifted, *(name for name in columns if name not in set(drifted))][:LISTED]
    rows = [_series_row(name, columns[name]) for name in listed]
    if rows:
        heads = ["", "column", "distance over time", "method", "largest", "threshold", "drifted"]
        lines.append(text.table(heads, rows, "4 5 6", whole="0 1 2 3 4 5 6"))
    if len(columns) > LISTED:
        lines.append(f"... and {len(columns) - LISTED:,} more columns (see --json)")
    changes = {name: _changes(columns[name], windows) for name in listed}
    lines += [f"{text.short(name, 24)} changes at {at}" for name, at in changes.items() if at]
    lines += method_notes(columns.items())
    few, left = sum(window["too_few"] for window in windows), found["left_out"]
    if few:
        lines.append(f"{few:,} windows have too few rows to be judged")
    if left["null_rows"]:
        lines.append(f"{left['null_rows']:,} rows without a time")
    return "\n".join([*lines, *_left_out(left["windows"], left["exact"], left["rows"], "windows")])


def slices_text(found: dict[str, Any]) -> str:
    """One line a slice, the one that moved farthest first."""
    slices, left = found["slices"], found["left_out"]
    drifted = sum(one["drifted"] for one in slices)
    head = "Drift" if found["drifted"] else "No drift"
    lines = [f"{head}: {drifted:,} of {len(slices):,} values of {found['by']} moved"]
    if found["share_unmatched"]:
        share = found["share_unmatched"]
        lines.append(f"  {share:.0%} of the rows of one side have values that the other lacks")
    rows = []
    for one in slices[:LISTED]:
        moved = [name for name, column in one["columns"].items() if column["drift"]]
        note = ", ".join(moved[:COLUMNS]) + (" ..." if len(moved) > COLUMNS else "")
        sizes = one["rows"]["reference"], one["rows"]["current"]
        if one["too_few"]:
            note = "new" if not sizes[0] else "vanished" if not sizes[1] else "too few rows"
        mark = "●" if one["drifted"] else ""
        rows.append([mark, _value(one["value"]), *sizes, f"{one['score']:.2f}", note])
    heads = ["", found["by"], "reference rows", "current rows", "score", "columns"]
    lines.append(text.table(heads, rows, "2 3 4"))
    if len(slices) > LISTED:
        lines.append(f"... and {len(slices) - LISTED:,} more slices (see --json)")
    judged = {name: column for one in slices for name, column in one["columns"].items()}
    lines += [*_methods(judged), *method_notes(judged.items())]
    most = max(left["rows"].values())
    return "\n".join([*lines, *_left_out(left["groups"], left["exact"], most, "values")])


def _methods(columns: dict[str, Any]) -> list[str]:
    """
    >>> _methods({"a": {"method": "js", "threshold": 0.1}, "b": {"method": "js", "threshold": 0.1}})
    ['Judged by js, threshold 0.1: a, b']
    """
    names: dict[tuple[str, str], list[str]] = {}
    for name, one in columns.items():
        told = one["method"] or "missing values", limit(one["method"], one["threshold"])
        names.setdefault(told, []).append(text.short(name, 24))
    return [
        f"Judged by {method}{', threshold ' if at else ''}{at}: {', '.join(known[:COLUMNS])}"
        + (f" and {len(known) - COLUMNS:,} more" if len(known) > COLUMNS else "")
        for (method, at), known in names.items()
    ]


def _series_row(name: str, one: dict[str, Any]) -> list[Any]:
    known = [distance for distance in one["distance"] if distance is not None]
    return [
        "●" if one["drifted"] else "", text.short(name, 24), _bars(one["distance"][-LISTED:]),
        one["method"] or "missing", max(known, default=None),
        limit(one["method"], one["threshold"]), sum(map(bool, one["drift"])),
    ]  # fmt: skip


def _changes(one: dict[str, Any], windows: Sequence[dict[str, Any]]) -> str:
    return ", ".join(_day(windows[point["index"]]["start"]) for point in one["change_points"])


def _bars(distances: Sequence[float | None]) -> str:
    """
    >>> _bars([None, 0.0, 0.5, 1.0])
    '·▁▄█'
    """
    most = max((d for d in distances if d is not None), default=0.0) or 1.0
    steps = [None if d is None else max(1, round(8 * d / most)) for d in distances]
    return "".join("·" if step is None else _LEVELS[step] for step in steps)


def _name(group: dict[str, Any], window: str | None) -> str:
    return _value(group["value"]) if window is None else _day(group["start"])


def _value(value: Any) -> str:
    return "(null)" if value is None else text.short(value, 32)


def _day(start: str | None) -> str:
    """
    >>> _day("2024-02-01T00:00:00+00:00"), _day("2024-02-01T05:30:00+00:00"), _day(None)
    ('2024-02-01', '2024-02-01 05:30:00', '(null)')
    """
    if start is None:
        return "(null)"
    return start.removesuffix("+00:00").replace("T", " ").removesuffix(" 00:00:00")


def _mean(group: dict[str, Any], name: str) -> Any:
    return group["columns"].get(name, {}).get("mean")


def _middle(group: dict[str, Any], name: str) -> str:
    median = group["columns"].get(name, {}).get("quantiles", {}).get("0.5")
    return f"{text.number(_mean(group, name))} / {text.number(median)}"


def _left_out(groups: int, exact: bool, rows: int, things: str) -> list[str]:
    about = "" if exact else "about "
    return [f"Left out: {about}{groups:,} {things} with {rows:,} rows"] if rows else []
