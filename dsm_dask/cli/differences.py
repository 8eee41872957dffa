"""Texts of a cluster side by side, with what differs from the kept one highlighted."""

from __future__ import annotations

import difflib
import re
from typing import Any

CONTEXT = 6
"""Words told on either side of a difference."""

SHOWN = 12
"""Differences told of a text."""

CHARACTERS = 10_000
"""Fetched of a text."""

WORDS = 2000
"""Words of a text that are compared."""


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
        shown.append(f"   {_cut(kept)}\n")
        for member in cluster.get("members", []):
            alike = member["similarity"]
            told = "" if alike is None else f", similarity {alike:.3f}"
            shown.append(f"   row {_row(member, 'row')}{told}: ", style="dim")
            _append_difference(shown, kept, _text_of(member))
            shown.append("\n")
        more = cluster["size"] - 1 - len(cluster.get("members", []))
        if more > 0:
            shown.append(f"   and {more:,} more\n", style="dim")
    return rendered(shown, Console)


def _row(entry: dict[str, Any], key: str) -> str:
    table = entry.get("table")
    return f"{entry[key]:,}" + (f" of {table}" if table else "")


def _text_of(entry: dict[str, Any]) -> str:
    return " | ".join(entry["values"].values())


def _cut(text: str, width: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _append_difference(shown: Any, kept: str, other: str) -> None:
    if kept == other:
        shown.append("the same")
        return
    told = 0
    for kind, words in differences(kept, other):
        if kind == "same":
            shown.append(words)
            continue
        if told == SHOWN:
            shown.append(" …", style="dim")
            return
        told += 1
        mark = ("[-", "-]", "red") if kind == "removed" else ("{+", "+}", "green")
        shown.append(f"{mark[0]}{words}{mark[1]}", style=mark[2])


def differences(kept: str, other: str) -> list[tuple[str, str]]:
    """Parts of ``other`` beside ``kept``: ("same" | "removed" | "added", words), where what is the
    same is cut down to a few words around a difference.

    >>> differences("the quick brown fox", "the quick red fox")
    [('same', 'the quick '), ('removed', 'brown'), ('added', 'red'), ('same', ' fox')]
    """
    left, right = _words(kept), _words(other)
    found: list[tuple[str, str]] = []
    steps = difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    for index, (step, a, b, c, d) in enumerate(steps):
        if step == "equal":
            found.append(("same", _context(left[a:b], index == 0, index == len(steps) - 1)))
            continue
        if a < b:
            found.append(("removed", "".join(left[a:b]).strip() or "␣"))
        if c < d:
            found.append(("added", "".join(right[c:d]).strip() or "␣"))
    return found


def _words(text: str) -> list[str]:
    """Words and the white space between them."""
    return re.findall(r"\s+|[^\s]+", text)[:WORDS]


def _context(words: list[str], first: bool, last: bool) -> str:
    room = 2 * CONTEXT
    head = [] if first else words[:room]
    tail = [] if last else words[-room:]
    if len(words) <= len(head) + len(tail) or (len(words) <= room and (first or last)):
        return re.sub(r"\s+", " ", "".join(words))
    return re.sub(r"\s+", " ", "".join(head) + " … " + "".join(tail))
