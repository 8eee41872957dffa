"""The versions of a dataset, and what lies between two of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dsm_dask.report import text
from dsm_dask.report.steps import result, steps, versions_of

Json = Mapping[str, Any]


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
