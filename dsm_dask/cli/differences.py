"""Texts of a cluster side by side, with what differs from the kept one highlighted."""

from __future__ import annotations

import re
from typing import Any

from dsm_dask.report.differences import differences, sameness
from dsm_dask.report.text import visible

SHOWN = 12
"""Differences told of a text."""

PROSE = 100
"""Columns of lines that are read, not parsed."""


def clusters(largest: list[dict[str, Any]]) -> str:
    """Each cluster: the kept text, then what differs in the others. Removed words are red in
    ``[-brackets-]``, added ones green in ``{+braces+}``; colour only on a terminal."""
    from rich.console import Console
    from rich.text import Text

    from dsm_dask.cli.text import rendered

    shown = Text()
    for number, cluster in enumerate(largest, 1):
        kept = _text_of(cluster)
        shown.append(
            f"\n{number}. {cluster['size']:,} rows; kept: row {_row(cluster, 'survivor')}\n"
        )
        if cluster["values"]:
            shown.append(f"   {_cut(kept)}\n")
        for member in cluster.get("members", []):
            alike = member["similarity"]
            told = "" if alike is None else f", strongest pair {alike:.3f}"
            shown.append(f"   row {_row(member, 'row')}{told}", style="dim")
            if member["values"]:  # of images, say, there may be no text to tell
                shown.append(": ", style="dim")
                _append_difference(shown, kept, _text_of(member))
            shown.append("\n")
        more = cluster["size"] - 1 - len(cluster.get("members", []))
        if more > 0:
            shown.append(f"   and {more:,} more\n", style="dim")
    return rendered(shown, Console, PROSE)


def _row(entry: dict[str, Any], key: str) -> str:
    table = entry.get("table")
    return f"{entry[key]:,}" + (f" of {table}" if table else "")


def _text_of(entry: dict[str, Any]) -> str:
    return visible(" | ".join(entry["values"].values()))


def _cut(text: str, width: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _append_difference(shown: Any, kept: str, other: str) -> None:
    parts = differences(kept, other)
    shown.append(sameness(kept, other, parts))
    if all(kind == "same" for kind, _ in parts):
        return
    told = 0
    for kind, part in parts:
        words = re.sub(r"\s+", " ", part)
        if kind == "same":
            shown.append(words)
            continue
        if told == SHOWN:
            shown.append(" …", style="dim")
            return
        told += 1
        mark = ("[-", "-]", "red") if kind == "removed" else ("{+", "+}", "green")
        shown.append(f"{mark[0]}{words}{mark[1]}", style=mark[2])
