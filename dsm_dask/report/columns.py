"""What the profile part of a page shows: a card and a chart for each column."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dsm_dask.report import details, text

Column = Mapping[str, Any]

SHOWN = 6
"""Top values on a card."""
_BOX = ("0.05", "0.25", "0.5", "0.75", "0.95")


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of a column; ``was`` is that of the earlier profile, where it differs."""

    label: str
    value: str
    was: str = ""
    hint: str = ""


@dataclasses.dataclass(frozen=True)
class Top:
    """A frequent value. ``kind`` is "empty" or "blank" for text that would not be seen."""

    value: str
    kind: str
    count: str
    share: str


@dataclasses.dataclass(frozen=True)
class Card:
    """A column as the page shows it; ``state`` says whether only one profile has it."""

    name: str
    type: str
    kind: str
    state: str
    figures: tuple[Figure, ...]
    quantiles: tuple[Figure, ...]
    top: tuple[Top, ...]
    top_note: str
    lengths: str
    details: tuple[Figure, ...]
    chart: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Remark:
    """Something about some columns that is worth a look. ``columns`` are (card, name)."""

    text: str
    columns: tuple[tuple[int, str], ...]
    more: int


def kind_of(dtype: str) -> str:
    """The sort of column, from the name of its Arrow type.

    >>> [kind_of(name) for name in ("int64", "timestamp[us, tz=UTC]", "list<item: int64>")]
    ['number', 'moment', 'other']
    >>> kind_of("dictionary<values=string, indices=int32, ordered=0>")
    'text'
    """
    inner = dtype.removeprefix("dictionary<values=")
    if inner.startswith(("date", "timestamp", "time", "duration")):
        return "moment"
    if inner.startswith(("int", "uint", "float", "double", "half", "decimal")):
        return "number"
    if inner.startswith(("string", "large_string", "utf8", "large_utf8")):
        return "text"
    return "boolean" if inner.startswith("bool") else "other"


def type_name(dtype: str) -> str:
    """A type as people say it.

    >>> type_name("dictionary<values=string, indices=int32, ordered=0>"), type_name("date32[day]")
    ('string, dictionary', 'date')
    """
    if dtype.startswith("dictionary<values="):
        return type_name(dtype[18:].split(", indices=")[0]) + ", dictionary"
    return {"date32[day]": "date", "date64[ms]": "date"}.get(dtype, text.visible(dtype))


def cards(profile: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> list[Card]:
    """A card for each column of ``profile``, then for those that only ``before`` has.

    >>> column = {"type": "int64", "count": 3, "nulls": 1, "min": 1, "max": 2}
    >>> [card.name for card in cards({"rows": 3, "columns": {"x": column}})]
    ['x']
    """
    columns = profile.get("columns") or {}
    old = (before or {}).get("columns") or {}
    made = []
    for name, column in columns.items():
        state = "new" if before is not None and name not in old else ""
        made.append(_card(name, column, old.get(name), state))
    gone = [name for name in old if name not in columns]
    return made + [_card(name, old[name], None, "gone") for name in gone]


def remarks(made: Sequence[Card], profile: Mapping[str, Any]) -> list[Remark]:
    """Columns without values, with one value only, or with as many as there are rows.

    >>> column = {"type": "int64", "count": 3, "nulls": 3, "distinct": 0}
    >>> profile = {"rows": 3, "columns": {"x": column}}
    >>> [remark.text for remark in remarks(cards(profile), profile)]
    ['All null']
    """
    rows, columns = profile.get("rows") or 0, profile.get("columns") or {}
    tests: dict[str, Callable[[Column], bool]] = {
        "All null": lambda c: c.get("count") != 0 and c.get("nulls") == c.get("count", rows),
        "One value only": lambda c: c.get("distinct") == 1 and rows > 1,
        "Mostly null": lambda c: 0.5 < (c.get("nulls") or 0) / (c.get("count") or rows) < 1,
        "A different value in every row": lambda c: bool(
            c.get("distinct_exact") and c.get("distinct") == rows > 1 and not c.get("path")
        ),
    }
    found = []
    for remark, test in tests.items():
        hits = [
            (i, card.name)
            for i, (card, column) in enumerate(zip(made, columns.values(), strict=False))
            if rows and test(column)
        ]
        if hits:
            found.append(Remark(remark, tuple(hits[:8]), max(0, len(hits) - 8)))
    return found


def _card(name: str, column: Column, old: Column | None, state: str) -> Card:
    dtype = str(column.get("type", ""))
    kind = kind_of(dtype)
    show = shower(kind)
    top = _top(column, show) if kind in {"text", "boolean", "other"} else ()
    chart = _histogram_chart(column, old, dtype) if kind in {"number", "moment"} else {}
    chart = chart or details.dimensions(column)
    return Card(
        name=text.visible(name) or "(no name)",
        type=type_name(dtype),
        kind=kind,
        state=state,
        figures=tuple(_figures(column, old, show)),
        quantiles=tuple(_quantiles(column, old, show)),
        top=top,
        top_note=_top_note(column, top) if kind in {"text", "boolean"} else "",
        lengths=_lengths(column),
        details=tuple(Figure(*told) for told in details.details(column)),
        chart=chart or _top_chart(column, old, top),
    )


def shower(kind: str) -> Callable[[Any], str]:
    """What writes a value of some kind of column."""
    return {"number": text.number, "moment": text.moment}.get(kind, text.visible)


def _figures(column: Column, old: Column | None, show: Callable[[Any], str]) -> list[Figure]:
    rows = column.get("count") or 0
    makers: dict[str, Callable[[Column], str]] = {
        "Nulls": lambda c: _part(c, "nulls"),
        "NaN": lambda c: _part(c, "nan") if c.get("nan") else "",
        "Distinct": _distinct,
        "Min": lambda c: _end(c, "min", show),
        "Max": lambda c: _end(c, "max", show),
        "Mean ± std": _mean,
        **{
            label: functools.partial(details.some, key=key)
            for label, key in (
                ("Zeros", "zeros"),
                ("Negative", "negatives"),
                ("Infinite", "infinities"),
            )
        },
        "Skewness": lambda c: details.plain(c, "skewness"),
        "Kurtosis": lambda c: details.plain(c, "kurtosis"),
    }
    found = []
    for label, make in makers.items():
        value, was = make(column), make(old) if old else ""
        if value and (rows or label == "Nulls"):
            found.append(Figure(label, value, was if was != value else "", _hint(label, column)))
    return found


def _part(column: Column, key: str) -> str:
    number = column.get(key)
    if number is None:
        return ""
    if not number:
        return "0"
    return f"{text.count(number)} ({text.share(number, column.get('count') or 0)})"


def _distinct(column: Column) -> str:
    number = column.get("distinct")
    if number is None:
        return ""
    return text.count(number) if column.get("distinct_exact", True) else f"≈ {text.count(number)}"


def _hint(label: str, column: Column) -> str:
    error = column.get("distinct_error")
    if label == "Distinct" and error and not column.get("distinct_exact", True):
        return f"Estimated; the standard error is {100 * error:.1f} %"
    if label.lower() in {"min", "max"} and isinstance(column.get(label.lower()), str):
        return text.visible(column[label.lower()])
    return ""


def _end(column: Column, key: str, show: Callable[[Any], str]) -> str:
    value = column.get(key)
    if value is None or isinstance(value, bool) or column.get("quantiles"):
        return ""  # of no use, or shown with the quantiles
    shown = show(value)
    if not isinstance(value, str):
        return shown
    shown = " ".join(shown.split()) if shown.strip() else "(empty)" if not shown else "(blank)"
    cut = len(shown) > 48 or column.get(f"{key}_truncated")
    return shown[:47].rstrip() + "…" if cut else shown


def _mean(column: Column) -> str:
    mean, std = column.get("mean"), column.get("std")
    if mean is None:
        return ""
    return text.number(mean) + (f" ± {text.number(std)}" if std is not None else "")


def _quantiles(column: Column, old: Column | None, show: Callable[[Any], str]) -> list[Figure]:
    values, before = _ranks(column), _ranks(old or {})
    found = []
    for label, value in values.items():
        shown = show(value)
        was = show(before[label]) if label in before else shown
        found.append(Figure(label, shown, was if was != shown else "", _hint(label, column)))
    return found


def _ranks(column: Column) -> dict[str, Any]:
    """The minimum, the quantiles and the maximum, in this order, by their labels."""
    values = column.get("quantiles") or {}
    ranked = {"0": column.get("min"), **values, "1": column.get("max")} if values else {}
    named = {0.0: "min", 0.5: "median", 1.0: "max"}
    return {
        named.get(float(key), f"{100 * float(key):g} %"): value
        for key, value in sorted(ranked.items(), key=lambda item: float(item[0]))
        if value is not None
    }


def _top(column: Column, show: Callable[[Any], str]) -> tuple[Top, ...]:
    rows = (column.get("count") or 0) - (column.get("nulls") or 0)
    found = []
    for item in (column.get("top") or [])[:SHOWN]:
        shown = show(item.get("value"))
        kind = "empty" if not shown else "" if shown.strip() else "blank"
        found.append(Top(shown, kind, text.count(item["count"]), text.share(item["count"], rows)))
    return tuple(found)


def _top_note(column: Column, top: tuple[Top, ...]) -> str:
    values = column.get("distinct") or 0
    if not top:
        return "No value stands out." if values > 1 else ""
    if values <= len(top):
        return ""
    about = "" if column.get("distinct_exact", True) else "about "
    more = text.many(values - len(top), "other value")
    counts = "" if column.get("top_exact", True) else " Counts are lower bounds."
    return f"and {about}{more}.{counts}"


def _lengths(column: Column) -> str:
    found = column.get("lengths") or {}
    low, high, mean = (found.get(key) for key in ("min", "max", "mean"))
    if low is None or high is None:
        return ""
    unit = text.visible(found.get("unit") or "long")
    if low == high:
        return f"always {text.count(low)} {unit}"
    average = "" if mean is None else f", {text.number(float(mean))} on average"
    return f"{text.count(low)} to {text.count(high)} {unit}{average}"


# ---------------------------------------------------------------------------------------------
# Charts: what the script draws


def _top_chart(column: Column, old: Column | None, top: tuple[Top, ...]) -> dict[str, Any]:
    chart: dict[str, Any] = {}
    lengths = column.get("lengths") or {}
    if lengths.get("max"):
        mean = lengths.get("mean")
        chart["lengths"] = [
            lengths["min"],
            lengths["max"] if mean is None else mean,
            lengths["max"],
        ]
    if not top:
        return chart
    items = (column.get("top") or [])[: len(top)]
    chart["bars"] = [item["count"] for item in items]
    if old:
        known = {repr(item.get("value")): item["count"] for item in old.get("top") or []}
        chart["old"] = [known.get(repr(item.get("value")), 0) for item in items]
    return chart


def _histogram_chart(column: Column, old: Column | None, dtype: str) -> dict[str, Any]:
    bins = _bins(column, dtype)
    if not bins:
        return {}
    quantiles = column.get("quantiles") or {}
    box = [position(quantiles.get(key), dtype) for key in _BOX]
    chart = {**bins, "unit": unit(dtype)}
    if all(place is not None for place in box):
        chart["box"] = box
    earlier = _bins(old, dtype) if old else {}
    if earlier:
        chart["old"] = earlier
    return chart


def _bins(column: Column, dtype: str) -> dict[str, Any]:
    found = column.get("histogram") or {}
    edges, counts = found.get("edges") or [], found.get("counts") or []
    if not counts or len(edges) != len(counts) + 1:
        return {}
    low, high = position(edges[0], dtype), position(edges[-1], dtype)
    if low is None or high is None or not low < high:
        return {}
    return {"low": low, "high": high, "counts": counts}


def unit(dtype: str) -> str:
    """How places on the axis of a column are written; see :func:`position`."""
    inner = dtype.removeprefix("dictionary<values=")
    for start, name in (("date", "date"), ("timestamp", "moment"), ("time", "clock")):
        if inner.startswith(start):
            return name
    if inner.startswith("duration"):
        return "seconds"
    return "whole" if inner.startswith(("int", "uint")) else "number"


def position(value: Any, dtype: str) -> float | None:
    """Where a value lies on the axis of a chart: a number, or seconds since the origin."""
    if value is None or isinstance(value, bool):
        return None
    try:
        if not isinstance(value, str) or kind_of(dtype) == "number":
            place = float(value)
        else:
            place = _seconds(value)
    except (ValueError, OverflowError):
        return None
    return place if abs(place) < 1e300 else None


def _seconds(value: str) -> float:
    if value.endswith("S") and "PT" in value:
        return float(value.replace("PT", "")[:-1])
    if ":" in value and "-" not in value:
        hours, minutes, seconds = value.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    import numpy as np

    moment = np.datetime64(value.removesuffix("+00:00")).astype("datetime64[us]")
    return int(moment.astype(np.int64)) / 1e6
