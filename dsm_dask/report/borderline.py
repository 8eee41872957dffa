"""Pairs near the threshold as a person looks at them: two rows, and what differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dsm_dask.report import text
from dsm_dask.report.clusters import Changed, changed, similarity

Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two rows beside each other. ``rows`` are (row, name of its table or nothing)."""

    similarity: str
    rows: tuple[tuple[str, str], tuple[str, str]]
    changed: tuple[Changed, ...]


def pairs(found: Json, *, joined: bool) -> list[Pair]:
    """The pairs that join two rows, or those that were refused, nearest to the threshold first.

    >>> rows = [{"row": 7, "values": {"x": "a b"}}, {"row": 9, "values": {"x": "a c"}}]
    >>> found = {"borderline": [{"similarity": 0.8, "joined": True, "rows": rows}]}
    >>> (made,) = pairs(found, joined=True)
    >>> made.similarity, made.rows, made.changed[0].parts
    ('0.800', (('7', ''), ('9', '')), (('same', 'a '), ('removed', 'b'), ('added', 'c')))
    """
    return [
        _pair(one) for one in found.get("borderline") or () if bool(one.get("joined")) == joined
    ]


def _pair(one: Json) -> Pair:
    left, right = one["rows"]
    values = {str(name): text.visible(value) for name, value in (left.get("values") or {}).items()}
    return Pair(
        similarity(one["similarity"]),
        (_row(left), _row(right)),
        changed(values, right.get("values") or {}),
    )


def _row(row: Json) -> tuple[str, str]:
    return text.count(row.get("row") or 0), text.visible(row.get("table") or "")
