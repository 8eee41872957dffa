"""Answers of people to tasks, whichever tool they come from; and one answer of several.

A task carries, as a text called :data:`MARK`, what it is about: the key of its row, the column that
the key is of, and the column that is asked for. Every tool gives it back as it is, while names such
as ``id`` are taken by the tools themselves.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from dsm_dask.errors import BadRows

MARK = "dsm"
SEVERAL = ("error", "last", "skip")
Several = Literal["error", "last", "skip"]
"""What becomes of tasks that annotators answered differently."""
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Mark:
    """What a task is about."""

    on: str
    key: str
    column: str

    def encode(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def of(cls, record: Mapping[str, Any] | None) -> Mark | None:
        """The mark among the data of a task; None when there is none.

        >>> Mark.of({"dsm": Mark("id", "7", "topic").encode()})
        Mark(on='id', key='7', column='topic')
        """
        text = (record or {}).get(MARK)
        try:
            told = json.loads(text) if isinstance(text, str) else None
        except json.JSONDecodeError:
            return None
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(told, dict) or set(told) != names:
            return None
        return cls(**{name: str(value) for name, value in told.items()})


@dataclasses.dataclass(frozen=True)
class Answer:
    """What ``who`` said of a row: the ``labels`` chosen, none when nothing was said."""

    mark: Mark
    labels: tuple[str, ...]
    who: str | None = None
    at: str = ""
    """When, as a text that sorts."""


@dataclasses.dataclass(frozen=True)
class Settled:
    """An answer for each row that has one; ``left`` tasks had none, or none that is settled."""

    answers: tuple[Answer, ...]
    left: int


def settle(answers: Iterable[Answer], several: Several, uri: str) -> Settled:
    """One answer a row. Of each annotator the last one counts; annotators that agree are named
    together.

    Raises BadRows, with the keys, for rows that were answered differently, unless ``several`` is
    ``last`` (the answer that was given last) or ``skip`` (no answer).

    >>> mark = Mark("id", "7", "topic")
    >>> both = [Answer(mark, ("art",), "ann"), Answer(mark, ("art",), "bob"), Answer(mark, ())]
    >>> settle(both, "error", "x.json").answers[0].who
    'ann, bob'
    """
    by_row: dict[str, list[Answer]] = {}
    for one in answers:
        by_row.setdefault(one.mark.key, []).append(one)
    found, disputed, left = [], [], 0
    for given in by_row.values():
        said = _last_of_each([one for one in given if one.labels])
        differing = len({frozenset(one.labels) for one in said}) > 1
        if differing and several == "error":
            disputed.append(said)
        if not said or (differing and several != "last"):
            left += 1
        elif differing:
            found.append(said[-1])
        else:
            who = ", ".join(sorted({one.who for one in said if one.who})) or None
            found.append(dataclasses.replace(said[-1], who=who))
    if disputed:
        raise _differ(disputed, uri)
    return Settled(tuple(found), left)


def _last_of_each(said: Sequence[Answer]) -> list[Answer]:
    """In order of time, one of each annotator; of those whose name is not known, all."""
    ordered = sorted(said, key=lambda one: one.at)
    last = {one.who: place for place, one in enumerate(ordered)}
    return [one for i, one in enumerate(ordered) if one.who is None or last[one.who] == i]


def _differ(disputed: Sequence[Sequence[Answer]], uri: str) -> BadRows:
    shown = "; ".join(
        f"{said[0].mark.key} ("
        + ", ".join(f"{one.who or 'unknown'}: {' + '.join(one.labels)}" for one in said)
        + ")"
        for said in disputed[:_SHOWN]
    )
    more = f"; and {len(disputed) - _SHOWN:,} more" if len(disputed) > _SHOWN else ""
    return BadRows(
        f"Annotators differ about {disputed[0][0].mark.on} {shown}{more} in {uri}.",
        where=uri,
        valid="Settle it in the tool; or --several last takes the last answer, skip takes none.",
    )
