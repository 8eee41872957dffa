"""Which rows a run dropped, or might have, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from dsm_dask.report import text
from dsm_dask.report.dedup import groups_of, row_that_stays
from dsm_dask.report.phrases import Phrase
from dsm_dask.report.steps import dropped_by, is_dropped, result, steps, version_of
from dsm_dask.report.story import duplicates

Json = Mapping[str, Any]

EXCERPTS = 4
"""Clusters shown at once; the others wait behind a click."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Some rows that are alike, and what they look like: (column, text) of the one that is kept, or
    a table of ``rows``. ``thing`` is "copies" when they are equal, else "rows"."""

    size: int
    thing: str
    survivor: str
    values: tuple[tuple[str, str], ...]
    names: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why rows were dropped, or might be."""

    title: tuple[Phrase, ...]
    text: str
    dropped: int
    rows: int
    committed: bool
    clusters: tuple[Cluster, ...]
    more: tuple[Cluster, ...]

    @property
    def kept_percent(self) -> float:
        """Of the rows, for a bar."""
        return 100 * (self.rows - self.dropped) / self.rows if self.rows else 100.0


def reasons(run: Json) -> list[Reason]:
    """What was dropped, or found to be droppable, and why."""
    return [_reason(run, step) for step in steps(run, "dedup", "drop")]


def _reason(run: Json, step: Json) -> Reason:
    found, gone, number = result(step), is_dropped(run, step), dropped_by(step)
    thing = "copies" if found.get("method", "exact") == "exact" else "rows"
    clusters = tuple(_cluster(item, thing) for item in found.get("largest") or ())
    kept = found.get("kept", found.get("rows"))
    rows = number + kept if kept is not None else 0
    return Reason(
        title=tuple(_title(run, step)),
        text=_explained(found, number, gone),
        dropped=number,
        rows=rows,
        committed=gone,
        clusters=clusters[:EXCERPTS],
        more=clusters[EXCERPTS:],
    )


def _title(run: Json, step: Json) -> Iterator[Phrase]:
    if step.get("verb") == "dedup":
        first, *rest = duplicates(result(step))
        yield Phrase(first.text[:1].upper() + first.text[1:])
        yield from rest
        return
    where = result(step).get("where") or (version_of(run, step).get("spec") or {}).get("where")
    yield Phrase("Rows where " if where else "Rows that a condition chose")
    if where:
        yield Phrase(text.visible(where), "code")


def _explained(found: Json, number: int, gone: bool) -> str:
    did = "dropped" if gone else "found, not dropped"
    sentence = f"{text.many(number, 'row')} {did}"
    if found.get("clusters") is not None:
        groups = text.many(found["clusters"], "group")
        sentence += f", in {groups} of {groups_of(found)}; {row_that_stays(found)} of each stays"
        if any(one.get("rows") for one in found.get("against") or ()):
            sentence += ", or none where another table has one"
    return sentence + "."


def _cluster(item: Json, thing: str) -> Cluster:
    survivor = item.get("survivor")
    values = dict(item.get("values") or {})
    if item.get("text") is not None:
        values.setdefault("", item["text"])
    examples = [row for row in item.get("examples") or () if isinstance(row, Mapping)]
    names = list(dict.fromkeys(name for row in examples for name in row))
    return Cluster(
        size=int(item.get("size") or 0),
        thing=thing,
        survivor="" if survivor is None else _cell(survivor),
        values=tuple((text.visible(n), text.visible(v)) for n, v in values.items()),
        names=tuple(text.visible(name) for name in names),
        rows=tuple(tuple(_cell(row.get(name)) for name in names) for row in examples),
    )


def _cell(value: Any) -> str:
    return text.count(value) if type(value) is int else text.visible(value)
