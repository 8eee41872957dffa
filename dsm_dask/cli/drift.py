"""``dsm drift``."""

from __future__ import annotations

from typing import Any

import click

from dsm_dask.cli import text
from dsm_dask.cli.groups import refuse_without, run_drift_by, run_drift_over
from dsm_dask.cli.outcome import ON_ERROR, Outcome, verb
from dsm_dask.errors import UsageError
from dsm_dask.monitoring.comparison import SHARE
from dsm_dask.monitoring.drift import drift, open_side
from dsm_dask.monitoring.methods import THRESHOLDS
from dsm_dask.report.distance import categories, limit, method_notes

WIDTH = 6
"""Characters of a bar; half of it is the threshold."""
CALM = 20
"""Columns that did not drift and are shown."""


@verb
@click.argument("reference")
@click.argument("current", required=False)
@click.option("--columns", metavar="A,B,...", help="Only these columns.")
@click.option(
    "--method", metavar="NAME", help=f"Judge columns by this distance: {', '.join(THRESHOLDS)}."
)
@click.option("--threshold", type=float, help="Of --method: from where on a column has drifted.")
@click.option(
    "--share",
    type=float,
    default=SHARE,
    show_default=True,
    help="Share of columns that has to drift for the data to have drifted; any one by default.",
)
@click.option("--score", metavar="COLUMN", help="Attribute a change of this column's mean.")
@click.option("--by", metavar="COLUMN", help="Compare within each value of this column.")
@click.option("--over", metavar="COLUMN", help="Compare windows of this time, of one table.")
@click.option("--window", metavar="SPAN", help="With --over: 15min, 1h, 1d, 1w, 1mo, 1q, ...")
@click.option(
    "--reference",
    "against",
    metavar="WHICH",
    help="With --over: first (by default), previous, a tag or version, data, or saved sketches.",
)
@click.option("--groups", type=int, help="With --by or --over: how many to keep at most.")
@click.option("--html", metavar="FILE", help="Write what was found as an HTML page, too.")
@ON_ERROR
def command(
    out: Outcome,
    reference: str,
    current: str | None,
    columns: str | None,
    method: str | None,
    threshold: float | None,
    share: float,
    score: str | None,
    by: str | None,
    over: str | None,
    window: str | None,
    against: str | None,
    groups: int | None,
    html: str | None,
) -> None:
    """How far the columns of CURRENT moved from those of REFERENCE, the farthest first.

    REFERENCE and CURRENT are datasets (at any version), files, or saved sketches. The states kept
    beside a dataset are enough: a second comparison reads no rows. Exit code 1 when the data
    drifted.

    With --over, each window of a time column of one table is compared with a reference; with --by,
    the two tables are compared within each value of a column.
    """
    chosen = [name.strip() for name in columns.split(",")] if columns else None
    judged = {"method": method, "threshold": threshold}
    if by is not None or over is not None:
        whole = {"--share": share or None, "--score": score}
        refuse_without("a comparison of whole tables", whole)
    if over is not None:
        refuse_without("two tables", {"CURRENT": current, "--by": by})
        if window is None:
            raise UsageError("--over needs a window.", valid="--window 1d")
        run_drift_over(
            out, reference, chosen, over, window, against or "first", groups, judged, html
        )
        return
    refuse_without("--over", {"--window": window, "--reference": against})
    if current is None:
        raise UsageError("There is nothing to compare with.", valid="Give CURRENT, or --over.")
    if by is not None:
        run_drift_by(out, (reference, current), chosen, by, groups, judged, html)
        return
    refuse_without("--by or --over", {"--groups": groups})
    found = drift(
        open_side(reference, out.engine.map),
        open_side(current, out.engine.map),
        chosen,
        engine=out.engine,
        method=method,
        threshold=threshold,
        share=share,
        score=score,
    )
    if html:
        found.save_html(html, f"{reference} → {current}")
    shown = {**found.to_dict(), "reference": reference, "current": current}
    out.say(shown, lambda: _text(shown), exit_code=1 if found.drifted else 0)


def _text(found: dict[str, Any]) -> str:
    columns = found["columns"]
    drifted = [name for name, column in columns.items() if column["drift"]]
    head = "Drift" if found["drifted"] else "No drift"
    sure = "" if found["certain"] else " (uncertain: within the error of the summaries)"
    lines = [f"{head}: {len(drifted):,} of {len(columns):,} columns moved{sure}"]
    lines += [f"  because {reason}" for reason in found["reasons"]]
    lines += [
        f"  {side:<9}  {found[side]}  ({found['rows'][side]:,} rows)"
        for side in ("reference", "current")
    ]
    calm = [name for name in columns if name not in set(drifted)]
    listed = [*drifted, *calm[:CALM]]
    if listed:
        heads = ["", "column", "moved", "distance", "", "threshold"]
        rows = [_row(name, columns[name]) for name in listed]
        lines.append(text.table(heads, rows, "4 5", whole="0 1 2 3 4 5"))
    if len(calm) > CALM:
        lines.append(f"... and {len(calm) - CALM:,} more columns that did not drift")
    notes = {name: _notes(columns[name]) for name in listed}
    lines += [f"{text.short(n, 24)}: {'; '.join(told)}" for n, told in notes.items() if told]
    lines += method_notes(columns.items())
    return "\n".join([*lines, *_schema(found["schema"]), *_importance(found.get("importance"))])


def _row(name: str, column: dict[str, Any]) -> list[Any]:
    method = column["method"]
    value = column["distances"].get(method)
    error = column["errors"].get(method)
    told = "" if value is None else text.number(value)
    if error:
        told += f" ±{error:.1g}"
    mark = ("●" if column["drift"] else " ") + ("" if column["certain"] else "?")
    if column["adjusted_p_value"] is not None and method in ("ks", "chi2"):
        told = f"p {column['adjusted_p_value']:.2g}"
    moved = f"{_bar(column['score'])} {column['score'] + 0.0:.2g}×"
    return [
        mark, text.short(name, 20), moved, method or "", told,
        limit(method, column["threshold"]),
    ]  # fmt: skip


def _bar(score: float) -> str:
    """
    >>> _bar(1.0), _bar(0.25), _bar(9.0)
    ('███', '█', '██████▶')
    """
    halves = round(min(score, 2.0) * WIDTH)
    return "█" * (halves // 2) + "▌" * (halves % 2) + ("▶" if score > 2 else "")


def _notes(column: dict[str, Any]) -> list[str]:
    notes = [column["note"]] if column["note"] else []
    shares = [column["nulls"][side] for side in ("reference", "current")]
    if None not in shares and abs(shares[0] - shares[1]) >= 0.01:
        notes.append(f"missing {shares[0]:.0%} → {shares[1]:.0%}")
    for kind in ("new", "vanished"):
        if column[kind]:
            more = "" if len(column[kind]) == 1 else f" and {len(column[kind]) - 1} more"
            notes.append(f"{kind}: {text.short(column[kind][0], 16)}{more}")
        elif told := categories(column["categories"], kind):
            notes.append(f"{kind}: {told} categories")
    return notes


def _schema(schema: dict[str, Any]) -> list[str]:
    lines = [
        f"Columns {kind}: {', '.join(schema[kind])}"
        for kind in ("added", "removed")
        if schema[kind]
    ]
    for change in schema["changed"]:
        how = "" if change["compared"] else " (not compared)"
        lines.append(
            f"Type of {change['column']}: {change['reference']} → {change['current']}{how}"
        )
    return lines


def _importance(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    mean = found["mean"]
    lines = [
        f"Mean {found['score']}: {text.number(mean['reference'])} → {text.number(mean['current'])}"
    ]
    rows = [
        [text.short(name, 24), text.number(one["change"]),
         "" if one["share"] is None else f"{one['share']:.0%}"]
        for name, one in found["columns"].items()
    ]  # fmt: skip
    return [*lines, text.table(["column", "explains", "of the change"], rows, "1 2")]
