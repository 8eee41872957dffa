"""What a run did, from the JSON object of ``dsm run --json``: the parts of its page."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from dsm_dask.report import text

Json = Mapping[str, Any]

EXCERPTS = 4
"""Clusters shown at once; the others wait behind a click."""


@dataclasses.dataclass(frozen=True)
class Phrase:
    """A piece of a sentence. ``kind`` is "strong" for figures, "code" for names."""

    text: str
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Number:
    """One of the big figures at the top."""

    label: str
    value: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Version:
    """A version on the timeline."""

    number: str
    tags: tuple[str, ...]
    message: str
    made_by: str
    rows: str
    change: str
    written: str


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Some equal rows, and what they look like: (column, text) of the one that is kept, or a
    table of ``rows``."""

    size: int
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


# ---------------------------------------------------------------------------------------------
# Steps


def steps(run: Json, *verbs: str) -> list[Json]:
    """The steps of some verbs, in order; all steps, when none is named."""
    found = run.get("steps") or []
    return [step for step in found if not verbs or step.get("verb") in verbs]


def result(step: Json) -> Json:
    """What a step gave; empty, when it gave nothing."""
    return step.get("result") or {}


def versions_of(run: Json) -> list[Json]:
    """The versions of the last log, newest first."""
    logs = [result(step).get("versions") for step in steps(run, "log")]
    return list(logs[-1] or []) if logs else []


def version_of(run: Json, step: Json) -> Json:
    """What the log says of the version that a step made, or that was there already."""
    number = result(step).get("version")
    return next((v for v in versions_of(run) if v.get("version") == number), {})


def is_dropped(run: Json, step: Json) -> bool:
    """Whether the rows that a step speaks of are gone from the dataset, by this run or by an
    earlier one of the same job."""
    found = result(step)
    if found.get("committed", found.get("version") is not None):
        return True
    return bool(version_of(run, step).get("job") == step.get("verb"))


def dropped_by(step: Json) -> int:
    """Rows that a step would drop or has dropped."""
    found = result(step)
    names = ("duplicates", "dropped", "removed")
    return int(next((found[name] for name in names if found.get(name) is not None), 0))


def rows_in(run: Json) -> int | None:
    """Rows before anything was dropped."""
    for step in steps(run, "dedup", "drop")[:1]:
        rows, gone = result(step).get("rows"), step.get("verb") == "drop"
        if rows is not None:
            return int(rows) + (dropped_by(step) if gone else 0)
    for verbs, place in ((("append", "create"), -1), (("profile",), 0)):
        found = [result(step).get("rows") for step in steps(run, *verbs)]
        known = [int(rows) for rows in found if rows is not None]
        if known:
            return known[place]
    return None


def rows_kept(run: Json) -> int | None:
    """Rows after the last drop."""
    for step in reversed(steps(run, "dedup", "drop")):
        if is_dropped(run, step):
            kept = result(step).get("kept", result(step).get("rows"))
            return None if kept is None else int(kept)
    return None


def dataset_of(run: Json) -> str:
    """The dataset that the run is about; empty when no step names one."""
    named = [run.get("dataset"), *(result(step).get("dataset") for step in steps(run))]
    return text.visible(next((name for name in named if name), ""))


# ---------------------------------------------------------------------------------------------
# Headline


def headline(run: Json) -> list[Phrase]:
    """What happened, in a sentence or two.

    >>> run = {"dataset": "d", "steps": [{"verb": "create", "result": {"rows": 5, "version": 1}}]}
    >>> "".join(phrase.text for phrase in headline(run))
    'Brought in 5 rows as d.'
    """
    deeds = [deed for step in steps(run) if (deed := _deed(run, step))]
    phrases: list[Phrase] = []
    for place, deed in enumerate(deeds):
        if place:
            phrases.append(Phrase(" and " if place == len(deeds) - 1 else ", "))
        phrases += deed
    if not deeds:
        phrases = _profiled(run)
    if phrases:
        first = phrases[0]
        phrases[0] = Phrase(first.text[:1].upper() + first.text[1:], first.kind)
        phrases.append(Phrase("."))
    return [*phrases, *_outcome(run)]


def _deed(run: Json, step: Json) -> list[Phrase]:
    verb, found = step.get("verb"), result(step)
    if verb == "create" and found.get("rows") is not None:
        rows = Phrase(text.many(found["rows"], "row"), "strong")
        did = {True: "copied ", False: "linked "}.get(_copied(run, step), "brought in ")
        return [Phrase(did), rows, Phrase(" as "), Phrase(dataset_of(run), "code")]
    if verb == "append" and found.get("added") is not None:
        return [Phrase("appended "), Phrase(text.many(found["added"], "row"), "strong")]
    if verb == "dedup":
        did = "dropped " if is_dropped(run, step) else "found "
        number = Phrase(text.count(dropped_by(step)), "strong")
        return [Phrase(did), number, Phrase(" "), *_duplicates(found, dropped_by(step))]
    if verb == "drop":
        return [Phrase("dropped "), Phrase(text.many(dropped_by(step), "row"), "strong")]
    return []


def _copied(run: Json, step: Json) -> Any:
    """Whether rows were copied into the dataset; None when the log does not say."""
    return (version_of(run, step).get("spec") or {}).get("copy")


def _duplicates(found: Json, number: int = 2) -> list[Phrase]:
    method = text.visible(found["method"]) + " " if found.get("method") else ""
    phrases = [Phrase(f"{method}duplicate" + ("s" if number != 1 else ""))]
    on = found.get("on") or []
    for place, name in enumerate([on] if isinstance(on, str) else on):
        phrases += [Phrase(" on " if not place else ", "), Phrase(text.visible(name), "code")]
    return phrases


def _profiled(run: Json) -> list[Phrase]:
    profiles = steps(run, "profile")
    if not profiles:
        return []
    found = result(profiles[-1])
    columns = text.many(len(found.get("columns") or {}), "column")
    rows = text.many(found.get("rows") or 0, "row")
    phrases = [
        Phrase("profiled "),
        Phrase(rows, "strong"),
        Phrase(" in "),
        Phrase(columns, "strong"),
    ]
    name = dataset_of(run)
    return phrases + ([Phrase(" of "), Phrase(name, "code")] if name else [])


def _outcome(run: Json) -> list[Phrase]:
    makers = [s for s in steps(run, "dedup", "drop", "append", "create") if is_dropped(run, s)]
    if not makers or result(makers[-1]).get("version") is None:
        return []
    found = result(makers[-1])
    kept = found.get("kept", found.get("rows"))
    tags = [result(step).get("name") for step in steps(run, "tag")]
    tags = [name for name in tags if name]
    if kept is None or (len(makers) == 1 and makers[0].get("verb") == "create" and not tags):
        return []  # all of it was said
    phrases = [Phrase(f" Version\u00a0{text.visible(found['version'])}")]
    if tags:
        phrases += [Phrase(", tagged "), Phrase(text.visible(tags[-1]), "code"), Phrase(",")]
    phrases += [Phrase(" holds "), Phrase(text.many(kept, "row"), "strong")]
    cost = sum(version_costs(run)[-1:])
    if cost:
        phrases += [Phrase(" and cost "), Phrase(text.size(cost), "strong")]
    if not any(result(step).get("committed", True) for step in makers):
        return [*phrases, Phrase("; all of it was committed by an earlier run of this job.")]
    return [*phrases, Phrase(".")]


def numbers(run: Json) -> list[Number]:
    """The big figures; those that are not known are left out.

    >>> [number.value for number in numbers({"bytes_in_dataset": 41_800_000})]
    ['41.8 MB']
    """
    rows, kept = rows_in(run), rows_kept(run)
    found = [Number("Rows in", text.count(rows))] if rows is not None else []
    found += _dropped_number(run, rows)
    if kept is not None:
        found.append(Number("Rows kept", text.count(kept), _of(kept, rows, "of the rows")))
    stored = run.get("bytes_in_dataset")
    if stored is not None:
        linked = any(_copied(run, step) is False for step in steps(run, "create"))
        note = "linked where it lies" if linked else ""
        found.append(Number("In the dataset", text.size(stored), note))
    costs = version_costs(run)
    if costs:
        cost = sum(costs)
        small = stored and cost < stored / 100
        note = _of(cost, stored, "of it, not a copy" if small else "of it")
        found.append(
            Number(f"Cost of the new version{'s' * (len(costs) > 1)}", text.size(cost), note)
        )
    client = (run.get("io") or {}).get("client_bytes")
    if client is not None:
        found.append(Number("Reached the client", text.size(client), "results only"))
    return found


def _dropped_number(run: Json, rows: int | None) -> list[Number]:
    curating = steps(run, "dedup", "drop")
    if not curating:
        return []
    gone = all(is_dropped(run, step) for step in curating)
    things = "Rows" if steps(run, "drop") else "Duplicates"
    total = sum(dropped_by(step) for step in curating)
    label = f"{things} {'dropped' if gone else 'found'}"
    return [Number(label, text.count(total), _of(total, rows, "of the rows"))]


def _of(part: float, whole: float | None, what: str) -> str:
    return f"{text.share(part, whole)} {what}" if whole else ""


def version_costs(run: Json) -> list[int]:
    """Bytes written for each version that a step of this job made by dropping rows."""
    costs = []
    for step in steps(run, "dedup", "drop"):
        if is_dropped(run, step):
            logged = version_of(run, step).get("bytes_written")
            written = (step.get("io") or {}).get("bytes_written")
            costs += [int(known) for known in (logged or written,) if known is not None]
    return costs


# ---------------------------------------------------------------------------------------------
# Versions


def versions(run: Json) -> list[Version]:
    """The timeline, newest first."""
    logged = versions_of(run)
    rows = {str(v.get("version")): v.get("rows") for v in logged}
    return [_version(entry, rows.get(str(entry.get("parent")))) for entry in logged]


def _version(entry: Json, before: int | None) -> Version:
    rows, written = entry.get("rows"), entry.get("bytes_written")
    change = "" if rows is None or before is None else f"{rows - before:+,}".replace("-", "−")
    at = text.minute(entry["at"]) + " UTC" if entry.get("at") else ""
    by = [text.visible(entry[key]) for key in ("job", "software") if entry.get(key)]
    return Version(
        number=text.visible(entry.get("version", "?")),
        tags=tuple(text.visible(tag) for tag in entry.get("tags") or ()),
        message=text.visible(entry.get("message") or ""),
        made_by=" · ".join([*by, at] if at else by),
        rows="" if rows is None else text.count(rows),
        change="" if change == "+0" else change,
        written="" if written is None else text.size(written),
    )


def differences(run: Json) -> list[str]:
    """A sentence for each diff.

    >>> found = {"before": "d@1", "after": "d@2", "added": 0, "removed": 12, "updated": 0}
    >>> differences({"steps": [{"verb": "diff", "result": found}]})
    ['From d@1 to d@2: 12 rows removed, none added or updated.']
    """
    return [_difference(result(step)) for step in steps(run, "diff") if result(step)]


def _difference(found: Json) -> str:
    names = ("removed", "added", "updated")
    some = [f"{text.many(found[n], 'row')} {n}" for n in names if found.get(n)]
    none = [name for name in names if found.get(name) == 0]
    if none:
        some.append(("none " if some else "no rows ") + " or ".join(none))
    for key in ("columns_added", "columns_removed"):
        listed = [text.visible(name) for name in found.get(key) or ()]
        if listed:
            some.append(f"{key.replace('_', ' ')}: {', '.join(listed)}")
    ends = [text.visible(found.get(key) or "?") for key in ("before", "after")]
    return f"From {ends[0]} to {ends[1]}: {', '.join(some)}."


def left_out(run: Json) -> list[tuple[str, str]]:
    """Partitions that steps skipped, with the cause of each."""
    found = {}
    for step in steps(run):
        for item in result(step).get("skipped") or ():
            name = text.visible(item.get("partition") or "a partition")
            found[name] = text.visible(item.get("cause") or "")
    return list(found.items())


# ---------------------------------------------------------------------------------------------
# Dropped


def reasons(run: Json) -> list[Reason]:
    """What was dropped, or found to be droppable, and why."""
    return [_reason(run, step) for step in steps(run, "dedup", "drop")]


def _reason(run: Json, step: Json) -> Reason:
    found, gone, number = result(step), is_dropped(run, step), dropped_by(step)
    clusters = tuple(_cluster(item) for item in found.get("largest") or ())
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
        first, *rest = _duplicates(result(step))
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
        sentence += f", in {groups} of equal rows; the first row of each group stays"
    return sentence + "."


def _cluster(item: Json) -> Cluster:
    survivor = item.get("survivor")
    values = dict(item.get("values") or {})
    if item.get("text") is not None:
        values.setdefault("", item["text"])
    examples = [row for row in item.get("examples") or () if isinstance(row, Mapping)]
    names = list(dict.fromkeys(name for row in examples for name in row))
    return Cluster(
        size=int(item.get("size") or 0),
        survivor="" if survivor is None else _cell(survivor),
        values=tuple((text.visible(n), text.visible(v)) for n, v in values.items()),
        names=tuple(text.visible(name) for name in names),
        rows=tuple(tuple(_cell(row.get(name)) for name in names) for row in examples),
    )


def _cell(value: Any) -> str:
    return text.count(value) if type(value) is int else text.visible(value)


# ---------------------------------------------------------------------------------------------
# Bytes moved

_KINDS = (("read", "bytes_read"), ("written", "bytes_written"), ("client", "client_bytes"))
_LEAST = 2  # the axis begins at 100 bytes


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
