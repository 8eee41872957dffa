"""How figures and values are written for people."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def count(number: float) -> str:
    """A whole number with its thousands set apart.

    >>> count(61234)
    '61,234'
    """
    return f"{number:,.0f}"


def many(number: int, thing: str, things: str | None = None) -> str:
    """A count and what is counted.

    >>> many(1, "row"), many(2000, "row"), many(2, "copy", "copies")
    ('1 row', '2,000 rows', '2 copies')
    """
    return f"{count(number)} {thing if number == 1 else things or thing + 's'}"


def size(number: float) -> str:
    """Bytes in the unit that suits them; a KB is 1,000 bytes.

    >>> size(812), size(31_240), size(999_999), size(41_800_000)
    ('812 B', '31.2 KB', '1.00 MB', '41.8 MB')
    """
    unit = 0
    while unit < len(_UNITS) - 1 and number >= (1000 if unit == 0 else 999.5):
        number, unit = number / 1000, unit + 1
    if unit == 0:
        return f"{number:.0f} B"
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{digits}f} {_UNITS[unit]}"


def seconds(number: float) -> str:
    """A span of time.

    >>> seconds(0.004), seconds(1.26), seconds(75), seconds(7380)
    ('4 ms', '1.3 s', '1 min 15 s', '2 h 3 min')
    """
    if number < 0.0995:
        return f"{number * 1000:.0f} ms"
    if number < 59.95:
        return f"{number:.1f} s"
    if number < 3599.5:
        return f"{round(number) // 60} min {round(number) % 60} s"
    return f"{round(number / 60) // 60} h {round(number / 60) % 60} min"


def share(part: float, whole: float) -> str:
    """A part in percent; nearly none is not none, and nearly all is not all.

    >>> share(1, 3), share(0, 5), share(1, 10**6), share(10**6 - 1, 10**6)
    ('33.3 %', '0 %', '< 0.01 %', '> 99.9 %')
    """
    if not part or not whole:
        return "0 %"
    if part == whole:
        return "100 %"
    percent = 100 * part / whole
    if percent < 0.01:
        return "< 0.01 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.2f} %" if percent < 1 else f"{percent:.1f} %"


def number(value: Any) -> str:
    """A number of a column: whole ones in full, others to five digits.

    >>> number(1234567), number(13.820475), number(0.00001234), number(2.5e20), number("Infinity")
    ('1,234,567', '13.82', '1.234e-05', '2.5e+20', '∞')
    """
    if isinstance(value, str):
        return {"Infinity": "∞", "-Infinity": "-∞"}.get(value, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return visible(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**21 else f"{value:.4e}"
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞" if value < 0 else "NaN"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e15:
        return f"{value:.4g}"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(value: Any) -> str:
    """A date or time as ISO 8601 has it, without what says nothing.

    >>> moment("2026-05-09T07:35:32+00:00"), moment("2026-01-01T00:00:00"), moment("2024-02-29")
    ('2026-05-09 07:35:32', '2026-01-01', '2024-02-29')
    >>> moment("PT5400.5S")
    '1 h 30 min'
    """
    text = visible(value)
    if text.startswith("PT") and text.endswith("S"):
        return seconds(float(text[2:-1]))
    if text.startswith("-PT") and text.endswith("S"):
        return "-" + seconds(float(text[3:-1]))
    text = text.replace("T", " ").removesuffix("+00:00").partition(".")[0]
    return text.removesuffix(" 00:00:00")


def minute(value: Any) -> str:
    """A moment to the minute, in UTC.

    >>> minute("2026-05-09T07:35:32+00:00")
    '2026-05-09 07:35'
    """
    return visible(value).replace("T", " ").removesuffix("+00:00")[:16]


def visible(value: Any) -> str:
    """Text that shows what is in it: control characters, marks that turn the direction of writing
    and halves of surrogate pairs are given by their code.

    >>> visible("a\\u202etxt.exe"), visible("tab\\tline\\nend\\x00"), visible(None), visible(True)
    ('a\\\\u202etxt.exe', 'tab\\tline\\nend\\\\u0000', 'null', 'true')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = value if isinstance(value, str) else str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_coded(mark) if _hidden(mark) else mark for mark in text)


def excerpt(name: str, most: int = 48) -> str:
    """A name as a sentence has room for it.

    >>> excerpt("price"), excerpt("x" * 99, 5)
    ('price', 'xxxx…')
    """
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _hidden(mark: str) -> bool:
    return mark in _BIDI or (mark not in "\t\n" and unicodedata.category(mark) in {"Cc", "Cs"})


def _coded(mark: str) -> str:
    return f"\\u{ord(mark):04x}"
