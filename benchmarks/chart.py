"""A bar chart as an SVG file: horizontal bars in groups, each with its number."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

import measuring

WIDTH, LABELS, NUMBERS = 720, 210, 90
BAR, GAP, HEAD = 18, 6, 34
OURS, OTHERS = "#2563eb", "#94a3b8"
_STYLE = "text{font:13px system-ui,sans-serif;fill:#64748b}.t{font-weight:600}"


def save_bars(
    path: Path, groups: Mapping[str, Mapping[str, float]], unit: str = "s", ours: str = "dsm"
) -> None:
    """Write ``groups[title][label] = value``; labels that begin with ``ours`` stand out. Each group
    has a scale of its own."""
    parts: list[str] = []
    y = 0
    for title, bars in groups.items():
        y += HEAD
        parts.append(f'<text class="t" x="8" y="{y - 10}">{escape(title)}</text>')
        longest = max(bars.values(), default=0.0) or 1.0
        for label, value in bars.items():
            parts += _bar(
                y, label, value, longest, unit, OURS if label.startswith(ours) else OTHERS
            )
            y += BAR + GAP
    size = f'width="{WIDTH}" height="{y + GAP}" viewBox="0 0 {WIDTH} {y + GAP}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>\n"]))
    print(f"Written: {path}")


def _bar(y: int, label: str, value: float, longest: float, unit: str, colour: str) -> list[str]:
    width = max(1.0, value / longest * (WIDTH - LABELS - NUMBERS))
    middle = y + BAR - 5
    return [
        f'<text x="{LABELS - 8}" y="{middle}" text-anchor="end">{escape(label)}</text>',
        f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
        f'<text x="{LABELS + width + 6:.1f}" y="{middle}">{measuring.number(value, unit)}</text>',
    ]
