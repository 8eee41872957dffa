"""Bytes that the steps of a run moved, on one axis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from dsm_dask.report import text
from dsm_dask.report.steps import steps

Json = Mapping[str, Any]

_KINDS = (("read", "bytes_read"), ("written", "bytes_written"), ("client", "client_bytes"))
_LEAST = 2  # the axis begins at 100 bytes


@dataclasses.dataclass(frozen=True)
class Mark:
    """An amount of bytes, and where it lies on the axis in percent; nothing has no place."""

    kind: str
    text: str
    at: float | None


@dataclasses.dataclass(frozen=True)
class Moved:
    """What one step moved."""

    verb: str
    time: str
    marks: tuple[Mark, ...]

    @property
    def moved(self) -> bool:
        """Whether there is anything to draw."""
        return any(mark.at is not None for mark in self.marks)


@dataclasses.dataclass(frozen=True)
class Bytes:
    """What all steps moved, on one logarithmic axis."""

    steps: tuple[Moved, ...]
    total: Moved | None
    ticks: tuple[tuple[float, str], ...]
    dataset: Mark | None


def moved(run: Json) -> Bytes | None:
    """Bytes that the steps moved; None when no step says so."""
    counted = [step for step in steps(run) if step.get("io")]
    if not counted:
        return None
    stored = run.get("bytes_in_dataset")
    amounts = [step["io"].get(key) or 0 for step in counted for _, key in _KINDS]
    most = max([*amounts, stored or 0, 1000])
    end = math.log10(most) + 0.25
    total = {**run["io"], "seconds": run.get("seconds")} if run.get("io") else None
    return Bytes(
        steps=tuple(_moved(text.visible(s.get("verb", "")), s["io"], s, end) for s in counted),
        total=_moved("all steps", total, total, end) if total else None,
        ticks=tuple(_ticks(end)),
        dataset=Mark("dataset", text.size(stored), _place(stored, end)) if stored else None,
    )


def _moved(verb: str, io: Json, timed: Json, end: float) -> Moved:
    marks = []
    for kind, key in _KINDS:
        amount = io.get(key)
        shown = "" if amount is None else text.size(amount) if amount else "0"
        marks.append(Mark(kind, shown, _place(amount, end)))
    spent = timed.get("seconds")
    return Moved(verb, "" if spent is None else text.seconds(spent), tuple(marks))


def _place(amount: float | None, end: float) -> float | None:
    if not amount:
        return None
    place = 100 * (math.log10(amount) - _LEAST) / (end - _LEAST)
    return round(min(max(place, 0.0), 100.0), 2)


def _ticks(end: float) -> Iterator[tuple[float, str]]:
    for power in range(_LEAST + 1, math.floor(end) + 1):
        place = _place(10.0**power, end)
        label = text.size(10.0**power).replace(".00", "") if power % 3 == 0 else ""
        if place is not None:
            yield place, label
