"""Results as small tables in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

_LONGEST = 60


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of texts, all of them escaped.

    >>> table("1 row", ["a"], [["<b>"]])
    '<table><caption>1 row</caption><tr><th>a</th></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """
    lines = [_line("th", heads), *(_line("td", row) for row in rows)]
    return f"<table><caption>{html.escape(caption)}</caption>{''.join(lines)}</table>"


def cell(value: Any, digits: int) -> str:
    """A value as a short text; floats to some digits.

    >>> cell(None, 4), cell(2 / 3, 4), cell("x" * 70, 4) == "x" * 59 + "…"
    ('', '0.6667', True)
    """
    if value is None:
        return ""
    text = f"{value:.{digits}g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _line(tag: str, texts: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts) + "</tr>"
