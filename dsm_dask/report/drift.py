"""What the page of a comparison shows: what moved, how far, and how sure that is."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from dsm_dask.report import columns, distance, text
from dsm_dask.report.phrases import Number, Phrase

Json = Mapping[str, Any]

_LISTED = 12
"""Columns in the overview; all have a card."""
_BAR = 10.0
"""Thresholds that the overview's bars have room for."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A category, and its share on both sides."""

    value: str
    kind: str
    shares: str


@dataclasses.dataclass(frozen=True)
class Moved:
    """A column as the page shows it. ``bar`` is the score in percent of the overview's width."""

    name: str
    type: str
    drift: bool
    certain: bool
    score: str
    bar: float
    reason: str
    figures: tuple[columns.Figure, ...]
    distances: tuple[tuple[str, str, str], ...]
    pairs: tuple[Pair, ...]
    new: tuple[str, ...]
    vanished: tuple[str, ...]
    note: str
    method_note: str
    chart: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Part:
    """What a column explains of the change of a score; the bar starts at ``start`` percent."""

    column: str
    change: str
    share: str
    unseen: str
    start: float
    width: float


def moved(found: Json) -> list[Moved]:
    """A card for each column, the one that moved farthest first."""
    return [_card(name, column) for name, column in (found.get("columns") or {}).items()]


def overview(cards: Sequence[Moved]) -> list[tuple[int, Moved]]:
    """The columns that moved farthest, by the number of their card."""
    drifted = [(i, card) for i, card in enumerate(cards) if card.drift]
    return (drifted or list(enumerate(cards)))[:_LISTED]


def verdict(found: Json) -> list[Phrase]:
    """The first sentences: did the data drift, what moved most, how far, how sure."""
    cols = found.get("columns") or {}
    drifted = sum(bool(c.get("drift")) for c in cols.values())
    head = "Drift." if found.get("drifted") else "No drift."
    told = [Phrase(head, "strong"), Phrase(f" {_of(drifted, len(cols))} moved past their limits. ")]
    reasons = found.get("reasons", [])
    if reasons:
        more = f" and {len(reasons) - 3:,} more" if len(reasons) > 3 else ""
        told.append(Phrase(f"Whatever the distances: {'; '.join(reasons[:3])}{more}. "))
    if found.get("share") and drifted and not found.get("drifted"):
        limit = text.share(found["share"], 1)
        told.append(Phrase(f"The data counts as drifted from {limit} of the columns on. "))
    if cols:
        told += _farthest(*next(iter(cols.items())))
    if cols and found.get("certain", True):
        told.append(Phrase("No error of the sketches could change this verdict."))
    elif cols:
        told += [Phrase("Uncertain", "strong"),
                 Phrase(": the errors of the sketches could change this verdict.")]  # fmt: skip
    return told


def numbers(found: Json) -> list[Number]:
    """The big figures."""
    cols, rows = found.get("columns") or {}, found.get("rows") or {}
    old, new = rows.get("reference") or 0, rows.get("current") or 0
    change = f"{100 * (new - old) / old:+.1f} % of the reference" if old and new != old else ""
    unsure = sum(not c.get("certain", True) for c in cols.values())
    shown = [
        Number("Columns that drifted", text.count(sum(bool(c.get("drift")) for c in cols.values())),
               f"of {text.count(len(cols))} compared"),
        Number("Reference rows", text.count(old)),
        Number("Current rows", text.count(new), change),
    ]  # fmt: skip
    if unsure:
        shown.append(Number("Uncertain", text.count(unsure), "within the sketches' error"))
    schema = found.get("schema") or {}
    if count := sum(len(schema.get(key) or []) for key in ("added", "removed", "changed")):
        shown.append(Number("Schema changes", text.count(count)))
    return shown


def schema(found: Json) -> dict[str, Any]:
    """Added and removed columns, and (column, before, after, note) of other types."""
    told = found.get("schema") or {}
    return {
        "added": [text.visible(name) for name in told.get("added") or []],
        "removed": [text.visible(name) for name in told.get("removed") or []],
        "changed": [
            (text.visible(one["column"]), text.visible(one["reference"]),
             text.visible(one["current"]),
             "compared all the same" if one.get("compared") else "not compared")
            for one in told.get("changed") or []
        ],
    }  # fmt: skip


def importance(found: Json) -> dict[str, Any] | None:
    """What drifted columns explain of the change of a mean score."""
    told = found.get("importance")
    if not told:
        return None
    parts = list((told.get("columns") or {}).items())
    changes = [_float(one.get("change")) for _, one in parts]
    low, high = min([0.0, *changes]), max([0.0, *changes])
    scale = 100 / (high - low or 1)
    mean = told.get("mean") or {}
    return {
        "score": text.visible(told.get("score")),
        "reference": text.number(mean.get("reference")),
        "current": text.number(mean.get("current")),
        "change": text.number(told.get("change")),
        "zero": -low * scale,
        "parts": [
            Part(
                column=text.visible(name),
                change=text.number(one.get("change")),
                share="" if one.get("share") is None else f"{100 * _float(one['share']):.0f} %",
                unseen=text.share(one["unseen"], 1) if one.get("unseen") else "",
                start=(min(0.0, change) - low) * scale,
                width=abs(change) * scale,
            )
            for (name, one), change in zip(parts, changes, strict=True)
        ],
    }


def _farthest(name: str, column: Json) -> list[Phrase]:
    if not column.get("score"):
        return []
    far = _reason(column)
    shown = text.excerpt(text.visible(name)) or "(no name)"
    told = [Phrase(shown, "code"), Phrase(f" moved farthest: {far}, ")]
    return [
        *told,
        Phrase(f"{text.number(column['score'])} × its threshold", "strong"),
        Phrase(". "),
    ]


def _reason(column: Json) -> str:
    """Which distance the verdict goes by, and how large it is."""
    method = column.get("method")
    values, errors = column.get("distances") or {}, column.get("errors") or {}
    p = column.get("adjusted_p_value")
    far = distance.ratio(method, column.get("threshold"), values.get(method), p)
    if method is None or (column.get("drift") and (far or 0.0) < 1 and "missing" in values):
        method = "missing"
    shown = distance.told(values.get(method), errors.get(method))
    if not shown:
        return "nothing to compare"
    tail = f", p = {distance.p_value(p)}" if p is not None and method in distance.BY_P_VALUE else ""
    return f"{distance.method_name(method)} {shown}{tail}"


def _card(name: str, column: Json) -> Moved:
    values, errors = column.get("distances") or {}, column.get("errors") or {}
    p_values = column.get("p_values") or {}
    chart, pairs = _chart(column)
    score = float(column.get("score") or 0.0)
    return Moved(
        name=text.visible(name) or "(no name)",
        type=columns.type_name(str(column.get("type", ""))),
        drift=bool(column.get("drift")),
        certain=bool(column.get("certain", True)),
        score=f"{text.number(round(score, 2))} ×",
        bar=100 * min(score, _BAR) / _BAR,
        reason=_reason(column),
        figures=tuple(_figures(column)),
        distances=tuple(
            (distance.method_name(method), distance.told(value, errors.get(method)),
             distance.p_value(p_values.get(method)))
            for method, value in values.items()
        ),
        pairs=pairs,
        new=tuple(text.visible(value) for value in column.get("new") or []),
        vanished=tuple(text.visible(value) for value in column.get("vanished") or []),
        note=text.visible(column["note"]) if column.get("note") else "",
        method_note=text.visible(column.get("method_note") or ""),
        chart=chart,
    )  # fmt: skip


def _figures(column: Json) -> list[columns.Figure]:
    method = column.get("method")
    values, errors = column.get("distances") or {}, column.get("errors") or {}
    nulls = column.get("nulls") or {}
    sides = [nulls.get(side) for side in ("reference", "current")]
    missing = "" if None in sides else " → ".join(text.share(part or 0.0, 1) for part in sides)
    limit = column.get("threshold")
    kind = "p-value" if method in distance.BY_P_VALUE else ""
    adjusted, p = column.get("adjusted_p_value"), column.get("p_value")
    shown = [
        ("Distance", f"{distance.method_name(method)} {text.number(values[method])}"
         if method in values else "", ""),
        ("Error bound", f"± {errors[method]:.2g}" if errors.get(method) else
         "exact" if method in errors else "", "The distance on all rows is at most so far away"),
        ("Threshold", f"{kind} {limit:g}".strip() if limit is not None else "", ""),
        ("p-value", "" if p is None else distance.p_value(p) if adjusted is None else
         f"{distance.p_value(p)}, adjusted {distance.p_value(adjusted)}",
         "Adjusted for the number of columns (Benjamini-Hochberg)"),
        ("Missing", missing, ""),
        *((f"{word} categories", distance.categories(column.get("categories"), word.lower()),
           "Not on the other side; the error is a 95 % bound") for word in ("New", "Vanished")),
    ]  # fmt: skip
    return [columns.Figure(label, value, hint=hint) for label, value, hint in shown if value]


def _chart(column: Json) -> tuple[dict[str, Any], tuple[Pair, ...]]:
    found = column.get("chart")
    if not found or not found.get("reference"):
        return {}, ()
    sides = {side: list(found[side]) for side in ("reference", "current")}
    if found.get("kind") == "numeric":
        return _numeric(found["edges"], str(column.get("type", "")), sides), ()
    show = columns.shower(columns.kind_of(str(column.get("type", ""))))
    pairs = [_pair(show(value), *both) for value, *both in zip(found["values"], *sides.values(),
                                                                strict=True)]  # fmt: skip
    other = found.get("other")
    if other and any(other.get(side) for side in sides):
        for side in sides:
            sides[side].append(other.get(side) or 0.0)
        before, after = (sides[side][-1] for side in ("reference", "current"))
        pairs.append(_pair("all other values", before, after, "other"))
    return {"pairs": True, **sides}, tuple(pairs)


def _pair(shown: str, before: float, after: float, kind: str = "") -> Pair:
    kind = kind or ("empty" if not shown else "" if shown.strip() else "blank")
    return Pair(shown, kind, f"{text.share(before, 1)} → {text.share(after, 1)}")


def _numeric(edges: Sequence[Any], dtype: str, sides: Json) -> dict[str, Any]:
    places = [columns.position(edge, dtype) for edge in edges]
    known = [place for place in places if place is not None]
    even: dict[str, Any] = {"density": False, **sides}
    if len(known) < len(edges) or any(a >= b for a, b in itertools.pairwise(known)):
        # no axis for them: bars of one width, in order
        labels = [columns.shower(columns.kind_of(dtype))(edge) for edge in edges]
        return {"edges": list(range(len(edges))), "unit": "number", "labels": labels, **even}
    widths = [b - a for a, b in itertools.pairwise(known)]
    uneven = max(widths) > 1.02 * min(widths)
    return {"edges": known, "unit": columns.unit(dtype), **even, "density": uneven}


def _of(part: int, whole: int) -> str:
    """
    >>> _of(1, 12), _of(0, 1)
    ('1 of 12 columns', '0 of 1 column')
    """
    return f"{text.count(part)} of {text.many(whole, 'column')}"


def _float(value: Any) -> float:
    """A number of JSON; what is not finite has no length on a chart."""
    return float(value) if isinstance(value, (int, float)) else 0.0
