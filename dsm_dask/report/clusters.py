"""Clusters of duplicates as a person looks at them: the text that is kept, and what differs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dsm_dask.report import text
from dsm_dask.report.differences import differences, sameness

Json = Mapping[str, Any]

SHOWN = 40
"""Differences told of a text."""
_LONG = 800
"""Characters shown of a part that differs."""


@dataclasses.dataclass(frozen=True)
class Value:
    """What a column holds. ``kind`` is "empty" or "blank" for text that would not be seen."""

    name: str
    text: str
    kind: str


@dataclasses.dataclass(frozen=True)
class Changed:
    """A column of a row beside that of the kept one: ``same`` tells in what way they are equal,
    else ``parts`` are ("same" | "removed" | "added", words), and ``more`` of them are not shown."""

    name: str
    same: str
    parts: tuple[tuple[str, str], ...]
    more: int


@dataclasses.dataclass(frozen=True)
class Repeat:
    """Rows of a cluster that have the same values, and how they differ from the kept ones."""

    rows: str
    table: str
    where: str
    similarity: str
    changed: tuple[Changed, ...]

    @property
    def same(self) -> str:
        """In what way all columns are equal, when they are in one way."""
        ways = {one.same for one in self.changed}
        return ways.pop() if len(ways) == 1 else ""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Rows that are duplicates of each other. ``table`` is the other one that holds the kept row,
    ``where`` its name in full."""

    title: str
    row: str
    table: str
    where: str
    values: tuple[Value, ...]
    repeats: tuple[Repeat, ...]
    more: int
    """Rows that are not listed; those of exact copies never are."""


def clusters(found: Json) -> list[Cluster]:
    """The largest clusters.

    >>> members = [{"row": 7, "similarity": 0.9, "table": None, "values": {"x": "a c"}}]
    >>> one = {"size": 2, "survivor": 3, "values": {"x": "a b"}, "members": members}
    >>> made = clusters({"largest": [one]})[0]
    >>> made.title, made.row, made.repeats[0].rows, made.repeats[0].changed[0].parts
    ('2 rows', '3', 'row 7', (('same', 'a '), ('removed', 'b'), ('added', 'c')))
    """
    largest = found.get("largest") or ()
    names = _short(_tables(found, largest))
    return [_cluster(one, names) for one in largest]


def _tables(found: Json, largest: Iterable[Json]) -> set[str]:
    named = [one.get("against") for one in found.get("against") or ()]
    for cluster in largest:
        named += [row.get("table") for row in (cluster, *(cluster.get("members") or ()))]
    return {name for name in named if name}


def _short(names: set[str]) -> dict[str, str]:
    """The last part of each name, unless two have the same."""
    last = {name: text.visible(name.rstrip("/").rsplit("/", 1)[-1] or name) for name in names}
    often = Counter(last.values())
    return {name: last[name] if often[last[name]] == 1 else text.visible(name) for name in names}


def _cluster(one: Json, names: Mapping[str, str]) -> Cluster:
    members = one.get("members") or ()
    survivor, table = one.get("survivor"), one.get("table") or ""
    size = int(one.get("size") or 0)
    kept = {str(name): text.visible(value) for name, value in (one.get("values") or {}).items()}
    return Cluster(
        title=text.many(size, "row"),
        row="" if survivor is None else text.count(survivor),
        table=names.get(table, ""),
        where=text.visible(table),
        values=tuple(_value(name, value) for name, value in kept.items()),
        repeats=tuple(_repeats(kept, members, names)),
        more=max(0, size - 1 - len(members)),
    )


def _value(name: str, value: str) -> Value:
    kind = "" if value.strip() else "blank" if value else "empty"
    return Value(text.visible(name), value, kind)


def _repeats(
    kept: Mapping[str, str], members: Iterable[Json], names: Mapping[str, str]
) -> Iterable[Repeat]:
    """Rows with the same values and similarity, of one table, are told of together."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for row in members:
        values = tuple(sorted((row.get("values") or {}).items()))
        key = (row.get("table") or "", row.get("similarity"), values)
        alike.setdefault(key, []).append(row.get("row") or 0)
    for (table, strongest, values), rows in alike.items():
        yield Repeat(
            rows=f"row{'s' if len(rows) > 1 else ''} {', '.join(map(text.count, rows))}",
            table=names.get(table, ""),
            where=text.visible(table),
            similarity="" if strongest is None else similarity(strongest),
            changed=changed(kept, dict(values)),
        )


def similarity(number: float) -> str:
    """Three digits, of which nearly 1 is not 1.

    >>> similarity(1.0), similarity(0.99996), similarity(0.8058252)
    ('1', '0.999', '0.806')
    """
    return "1" if number >= 1 else f"{min(number, 0.999):.3f}"


def changed(kept: Mapping[str, str], values: Mapping[str, Any]) -> tuple[Changed, ...]:
    """What differs in ``values`` from ``kept``, column by column."""
    made = []
    for name, before in kept.items():
        if name not in values:
            continue
        other = text.visible(values[name])
        parts = differences(before, other)
        same = sameness(before, other, parts)
        some = [] if same else _first(parts)
        more = sum(kind != "same" for kind, _ in parts[len(some) :]) if some else 0
        made.append(Changed(text.visible(name), same, tuple(map(_cut, some)), more))
    return tuple(made)


def _first(parts: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """Parts up to some number of differences."""
    told = 0
    for place, (kind, _) in enumerate(parts):
        told += kind != "same"
        if told > SHOWN:
            return parts[:place]
    return parts


def _cut(part: tuple[str, str]) -> tuple[str, str]:
    kind, words = part
    return kind, words if len(words) <= _LONG else f"{words[: _LONG // 2]} … {words[-_LONG // 2 :]}"
