"""What the page of a review queue shows: which rows, why, and what they hold."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dsm_dask.report import text
from dsm_dask.report.phrases import Number, Phrase

Json = Mapping[str, Any]

CHARACTERS = 1500
"""Shown of a text."""
LINE = 60
"""Characters of a text that is shown on a line of its own, beside its name."""
IMAGES = 12 << 20
"""Bytes of images in a page, together; later rows go without."""
PAIRS = 12

_MEASURES = {
    "label_quality": "label quality", "disagreement": "annotators' disagreement",
    "uncertainty": "the model's uncertainty", "neighbours": "neighbours' labels",
    "outlier": "distance from neighbours",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Shown:
    """A value of a row: ``kind`` is "text", "image", "large" (an image that is not shown), "empty",
    "blank", "null" or "short"; ``text`` is a data URI for an image; ``more`` characters are left
    out."""

    name: str
    kind: str
    text: str
    more: str = ""


@dataclasses.dataclass(frozen=True)
class Item:
    """A row of the queue. ``label`` and ``suggested`` are None where there is none."""

    rank: str
    row: str
    key: str
    label: str | None
    suggested: str | None
    reasons: tuple[list[Phrase], ...]
    shown: tuple[Shown, ...]
    scores: tuple[tuple[str, str], ...]


def headline(found: Json) -> list[Phrase]:
    """What was ranked by what.

    >>> found = {"rows": 600, "ranked": 600, "queued": [{}] * 500, "by": "outlier",
    ...          "measures": ["outlier"], "balance": "y"}
    >>> "".join(phrase.text for phrase in headline(found))
    '500 of 600 rows to look at first, by distance from neighbours, by turns from each value of y.'
    """
    count, rows = len(found.get("queued") or ()), found.get("rows") or 0
    if not count:
        return [
            Phrase("None", "strong"),
            Phrase(f" of {text.many(rows, 'row')} is to be looked at."),
        ]
    measures = [_MEASURES.get(name, text.visible(name)) for name in found.get("measures") or ()]
    *most, last = measures or [text.visible(found.get("by") or "scores")]
    by = f"{', '.join(most)} and {last}" if most else last
    told = [
        Phrase(text.count(count), "strong"),
        Phrase(f" of {text.many(rows, 'row')} to look at first, by {by}"),
    ]
    if found.get("balance"):
        told += [
            Phrase(", by turns from each value of "), Phrase(text.visible(found["balance"]), "code")
        ]  # fmt: skip
    if found.get("where"):
        told += [Phrase(", where "), Phrase(text.visible(found["where"]), "code")]
    return [*told, Phrase(".")]


def numbers(found: Json) -> list[Number]:
    """The big figures."""
    rows, queued = found.get("rows") or 0, found.get("queued") or ()
    ranked = found.get("ranked") or 0
    made = [
        Number("Rows", text.count(rows)),
        Number("Ranked", text.count(ranked), f"{text.share(ranked, rows)} have a score"
               + (" and meet the condition" if found.get("where") else "")),
        Number("Shown here", text.count(len(queued)),
               f"{text.share(len(queued), ranked)} of those"),
    ]  # fmt: skip
    if found.get("label"):
        other = sum(one.get("suggested") is not None for one in queued)
        made.append(Number("Other label likely", text.count(other),
                           f"{text.share(other, len(queued))} of those shown"))  # fmt: skip
    return made


def pairs(found: Json) -> list[tuple[str, str, str]]:
    """What is labelled as one class and is likely another: label, suggestion, rows; the most
    frequent first.

    >>> row = {"label": "cat", "suggested": "dog"}
    >>> pairs({"label": "y", "queued": [row, row, {"label": "cat", "suggested": None}]})
    [('cat', 'dog', '2')]
    """
    both = Counter(
        (text.visible(one.get("label")), text.visible(one["suggested"]))
        for one in found.get("queued") or ()
        if one.get("suggested") is not None
    )
    ordered = sorted(both.items(), key=lambda item: (-item[1], item[0]))
    return [(*names, text.count(rows)) for names, rows in ordered[:PAIRS] if rows > 1]


def items(found: Json) -> list[Item]:
    """The rows, in order."""
    made, room = [], IMAGES
    for rank, one in enumerate(found.get("queued") or (), 1):
        shown = []
        for name, value in (one.get("shown") or {}).items():
            told = _shown(name, value, room)
            room -= len(told.text) if told.kind == "image" else 0
            shown.append(told)
        made.append(_item(found, rank, one, tuple(shown)))
    return made


def is_gallery(listed: Sequence[Item]) -> bool:
    """Whether rows are shown by images rather than texts."""
    kinds = [{one.kind for one in item.shown} for item in listed]
    return (
        bool(kinds)
        and all("text" not in some for some in kinds)
        and any("image" in some for some in kinds)
    )


def _item(found: Json, rank: int, one: Json, shown: tuple[Shown, ...]) -> Item:
    label, suggested, key = one.get("label"), one.get("suggested"), one.get("key")
    scores = (one.get("scores") or {}).items()
    return Item(
        text.count(rank),
        text.count(one.get("row") or 0),
        "" if found.get("key") is None else f"{text.visible(found['key'])} {text.visible(key)}",
        None if found.get("label") is None else text.visible(label),
        None if suggested is None else text.visible(suggested),
        tuple(phrases(text.visible(reason)) for reason in one.get("reasons") or ()),
        shown,
        tuple((text.visible(name), text.number(value)) for name, value in scores),
    )


def phrases(sentence: str) -> list[Phrase]:
    """A sentence with names in backticks, in pieces.

    >>> [(one.text, one.kind) for one in phrases("label `cat`")]
    [('label ', ''), ('cat', 'code')]
    """
    parts = sentence.split("`")
    return [Phrase(part, "code" if i % 2 else "") for i, part in enumerate(parts) if part]


def _shown(name: str, value: Any, room: int) -> Shown:
    name = text.visible(name)
    if value is None:
        return Shown(name, "null", "")
    if isinstance(value, Mapping) and "uri" in value:
        uri, size = str(value["uri"]), value.get("size") or 0
        if uri.startswith("data:image/") and len(uri) <= room:
            return Shown(name, "image", uri)
        return Shown(name, "large", text.size(size))
    if isinstance(value, Mapping):
        whole = str(value.get("text") or "")
        kind = "text" if whole.strip() else "blank" if whole else "empty"
        if kind == "text" and len(whole) <= LINE and "\n" not in whole:
            kind = "short"
        left = max(0, int(value.get("length") or 0) - CHARACTERS)
        cut = text.visible(whole[:CHARACTERS])
        return Shown(name, kind, cut, text.many(left, "character") if left else "")
    return Shown(name, "short", text.number(value))
