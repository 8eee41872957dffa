"""What a run did, in a sentence or two and in big figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsm_dask.report import text
from dsm_dask.report.phrases import Number, Phrase
from dsm_dask.report.steps import (
    dataset_of,
    dropped_by,
    is_dropped,
    result,
    rows_in,
    rows_kept,
    steps,
    version_costs,
    version_of,
)

Json = Mapping[str, Any]


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
        return [Phrase(did), number, Phrase(" "), *duplicates(found, dropped_by(step))]
    if verb == "drop":
        return [Phrase("dropped "), Phrase(text.many(dropped_by(step), "row"), "strong")]
    return []


def _copied(run: Json, step: Json) -> Any:
    """Whether rows were copied into the dataset; None when the log does not say."""
    return (version_of(run, step).get("spec") or {}).get("copy")


def duplicates(found: Json, number: int = 2) -> list[Phrase]:
    """The duplicates that a step found, by method and columns."""
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
