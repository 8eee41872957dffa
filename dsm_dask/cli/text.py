"""Results as text for a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from dsm_dask.dataset.refs import Ref
from dsm_dask.report.text import many, visible
from dsm_dask.stats.class_balance import MOST

CLOSE = 0.7
"""Correlations that are told."""

UNSEEN = 1000
"""Width of a table that a program reads: nothing of it should be cut."""


def number(value: Any) -> str:
    """
    >>> number(1234567), number(0.123456), number(None)
    ('1,234,567', '0.1235', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
    return str(value)


def size(count: float) -> str:
    """
    >>> size(512), size(20_480), size(3_500_000_000)
    ('512 B', '20.5 KB', '3.5 GB')
    """
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("KB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.3g} {unit}" if count < 100 else f"{count:.0f} {unit}"
    return f"{count:.1f} PB"


def short(value: Any, width: int) -> str:
    """One line of at most ``width`` characters."""
    text = number(value).replace("\n", "⏎")
    return text if len(text) <= width else text[: width - 1] + "…"


def table(
    heads: Sequence[str], rows: Sequence[Sequence[Any]], right: str = "", whole: str = ""
) -> str:
    """A plain table; ``right`` names the columns (by position, as digits) to align right, ``whole``
    those that are never cut, however narrow the terminal: names that people copy, and figures."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    kept = [int(index) for index in whole.split()]
    cells = [[visible(number(cell)) for cell in row] for row in rows]
    widths = {index: max(len(row[index]) for row in [heads, *cells]) for index in kept}
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, head in enumerate(heads):
        grid.add_column(
            head,
            justify="right" if str(index) in right.split() else "left",
            no_wrap=index in widths,
            min_width=widths.get(index),
        )
    for row in cells:
        grid.add_row(*map(Text, row))
    least = sum(width + 2 for width in widths.values()) + 8 * (len(heads) - len(widths))
    return rendered(grid, Console, least=least)


def rendered(grid: Any, console: Any, unseen: int = UNSEEN, least: int = 0) -> str:
    """The text of a rich table, in colour only on a terminal; ``unseen`` columns wide where no
    terminal and no COLUMNS tell how wide it should be, and ``least`` at the least."""
    import shutil
    import sys

    sink = io.StringIO()
    width = max(shutil.get_terminal_size((unseen, 40)).columns, least)
    out = console(file=sink, width=width, force_terminal=sys.stdout.isatty(), highlight=False)
    out.print(grid)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines())


def profile(found: dict[str, Any]) -> str:
    """One line a column, and what stands out in the table as a whole."""
    rows = []
    for name, column in found["columns"].items():
        quantiles = column.get("quantiles") or {}
        top = column.get("top") or []
        low, high = column.get("min"), column.get("max")
        middle = quantiles.get("0.5")
        note = (
            ""
            if middle is not None or not top
            else f"{short(top[0]['value'], 18)} ×{top[0]['count']:,}"
        )
        rows.append(
            [
                short(name, 24), short(column["type"], 22), column["nulls"], _distinct(column),
                short(low, 16), short(middle, 12) if middle is not None else note, short(high, 16),
            ]
        )  # fmt: skip
    heads = ["column", "type", "nulls", "distinct", "min", "median or top", "max"]
    whole = found.get("table") or {}
    stored = f", {size(whole['bytes'])}" if whole.get("bytes") else ""
    head = f"{many(found['rows'], 'row')}{stored}"
    return "\n".join([head, table(heads, rows, "2 3"), *_remarks(found, whole)])


def _remarks(found: dict[str, Any], whole: dict[str, Any]) -> list[str]:
    lines = []
    if balance := whole.get("class_balance"):
        lines.append(_classes(balance, found["columns"].get(balance["column"], {})))
    strongest = (whole.get("correlation") or {}).get("strongest") or []
    lines += [
        f"Correlated: {_names(pair['columns'])} (r = {pair['r']:.3f})"
        for pair in strongest[:3]
        if abs(pair["r"]) >= CLOSE
    ]
    missing = whole.get("missing_together") or {}
    always = missing.get("always") or []
    lines += [f"Null in the same rows: {_names(names)}" for names in always[:3]]
    outliers = whole.get("partition_outliers") or {}
    for one in (outliers.get("found") or [])[:5]:
        what = " ".join(short(part, 24) for part in (one["column"], one["statistic"]) if part)
        figures = f"{short(one['value'], 24)}, typically {short(one['typical'], 24)}"
        lines.append(f"Unlike the rest: {one['partition']}: {what} {figures}")
    left_out = sum(
        column.get("nested", {}).get("left_out", 0) for column in found["columns"].values()
    )
    if left_out:
        lines.append(f"{left_out:,} nested fields are not shown.")
    return lines


def _classes(balance: dict[str, Any], column: dict[str, Any]) -> str:
    classes = [f"{short(c['value'], 20)} {c['count']:,}" for c in balance["classes"][:5]]
    told = ", ".join(classes)
    if balance["exact"]:
        more = len(balance["classes"]) - len(classes)
        rest = f", {more:,} more" if more > 0 else ""
        ratio = balance["imbalance"]
        told += rest + (f"; largest over smallest: {ratio:,.3g}" if ratio else "")
    else:
        number = _distinct(column) or f"more than {MOST:,}"
        most = f"; most frequent: {told}" if told else ""
        told = f"{number} classes: too many to list (limit {MOST:,}){most}"
    return f"Classes of {short(balance['column'], 24)}: {told}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(short(name, 24) for name in names[:6]) + (" …" if len(names) > 6 else "")


def log(found: dict[str, Any]) -> str:
    """One line a version, newest first."""
    rows = [
        [
            v["version"], v["at"].replace("T", " ")[:16], v["job"], v["rows"],
            size(v["bytes_written"]), ", ".join(v["tags"]), short(v["message"], 40),
        ]
        for v in found["versions"]
    ]  # fmt: skip
    return table(["version", "at (UTC)", "by", "rows", "written", "tags", "message"], rows, "0 3 4")


def diff(found: dict[str, Any]) -> str:
    """What changed, in words."""
    parts = [
        f"{many(found['added'], 'row')} added",
        f"{found['removed']:,} removed",
        f"{found['updated']:,} updated",
    ]
    for name, words in (("columns_added", "columns added"), ("columns_removed", "removed")):
        if found[name]:
            parts.append(f"{words}: {', '.join(found[name])}")
    return f"{found['before']} → {found['after']}\n" + "; ".join(parts)


def spec(found: dict[str, Any]) -> str:
    """What opens the version that a result is about."""
    return str(Ref(found["dataset"]).at(found["version"], found.get("branch")))


def written(found: dict[str, Any]) -> str:
    """What a verb that commits did."""
    told = ", ".join(_changes(found))
    if found["committed"]:
        return f"{spec(found)}: {told}; {many(found['rows'], 'row')}"
    state = "dry run, nothing written" if found.get("dry_run") else "nothing to commit"
    return f"{found['dataset']}: {told} ({state}); {many(found['rows'], 'row')}"


def _changes(found: dict[str, Any]) -> list[str]:
    """
    >>> _changes({"added": 1}), _changes({"restored": 3}), _changes({"dropped": 2000})
    (['1 row added'], ['version 3 restored'], ['2,000 rows dropped'])
    """
    changes = {
        "added": ("row", "added"), "dropped": ("row", "dropped"),
        "columns_added": ("column", "added"),
    }  # fmt: skip
    told = [f"{many(found[k], thing)} {done}" for k, (thing, done) in changes.items() if k in found]
    return [*told, f"version {found['restored']} restored"] if "restored" in found else told


def score(found: dict[str, Any]) -> str:
    """One line a column of scores, and what was stale."""
    rows = []
    for name, column in found["columns"].items():
        quantiles = column.get("quantiles") or {}
        top = ", ".join(f"{short(t['value'], 18)} ×{t['count']:,}" for t in column.get("top") or [])
        figures = [column["mean"], column["min"], quantiles.get("0.5"), column["max"]]
        shown = ["", short(top, 40), "", ""] if top else figures
        rows.append([short(name, 34), column["nulls"], *shown])
    lines = []
    if found["stale"]:
        lines.append(f"Stale: {_names(found['stale'])}")
    computed = [f"{name} of {many(count, 'row')}" for name, count in found["computed"].items()]
    told = "to compute" if found["dry_run"] else "computed"
    lines.append(f"{told.capitalize()}: {', '.join(computed)}")
    if not found["dry_run"]:
        lines.append(table(["column", "nulls", "mean", "min", "median", "max"], rows, "1 2 3 4 5"))
    lines += [note for one in found["summaries"].values() for note in one.get("notes", [])]
    lines.append(_version(found))
    return "\n".join(lines)


def update(found: dict[str, Any]) -> str:
    """Which cells changed, and by whom."""
    rows = [
        [column, who, count] for column, by in found["changes"].items() for who, count in by.items()
    ]
    lines = [f"{many(found['updated'], 'row')} of {found['rows']:,} changed"]
    if rows:
        lines.append(table(["column", "by", "cells"], rows, "2"))
    if found.get("left"):
        lines.append(f"{many(found['left'], 'task')} without a settled answer: left as they are")
    return "\n".join([*lines, _version(found)])


def _version(found: dict[str, Any]) -> str:
    if found["committed"]:
        return f"{spec(found)}: committed"
    state = "dry run, nothing written" if found["dry_run"] else "nothing to commit"
    return f"{spec(found)}: {state}"


def dedup(found: dict[str, Any], show: int | None = None) -> str:
    """Counts, what else was measured, and the largest clusters; ``show`` of them with what
    differs."""
    share = found["duplicates"] / found["rows"] if found["rows"] else 0
    lines = [
        f"{many(found['rows'], 'row')}: {many(found['duplicates'], 'duplicate')} ({share:.1%}) "
        f"in {many(found['clusters'], 'cluster')}; {found['kept']:,} to keep"
    ]
    if found.get("precision") is not None:
        recalled = " by an earlier run" * (not found["index"]["compared"])
        lines.append(
            f"{many(found['checked'], 'candidate pair')} compared{recalled}, "
            f"{found['accepted']:,} of them duplicates "
            f"(precision {found['precision']:.3f} before verification)"
        )
    lines += [
        f"{one['against']}: {many(one['rows'], 'row')} with a duplicate there "
        f"({many(one['other_rows'], 'row')} of it, {many(one['clusters'], 'cluster')})"
        for one in found.get("against", [])
    ]
    lines += map(visible, found.get("notes", []))
    if found["committed"]:
        done = "columns written" if found.get("columns") else "duplicates dropped"
        lines.append(f"{spec(found)}: {done}")
    if show is not None:
        from dsm_dask.cli.differences import clusters

        lines.append(clusters(found["largest"][:show]))
    elif found["largest"]:
        rows = [
            [
                c["size"],
                c["survivor"],
                short(" | ".join(c["values"].values()), 60),
                c.get("table", ""),
            ]
            for c in found["largest"]
        ]
        heads = ["copies", "kept row", "value"] + ["of"] * any(row[-1] for row in rows)
        told = "3" if len(heads) > 3 else ""
        lines.append(table(heads, [row[: len(heads)] for row in rows], "0 1", told))
    return "\n".join(lines)


def _distinct(column: dict[str, Any]) -> str:
    """Estimates with a sign that says so."""
    count = column.get("distinct")
    if count is None:
        return ""
    return f"{count:,}" if column.get("distinct_exact", True) else f"~{count:,}"
