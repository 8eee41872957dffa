"""What the steps of a run did, from the JSON object of ``dsm run --json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsm_dask.report import text

Json = Mapping[str, Any]


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


def version_costs(run: Json) -> list[int]:
    """Bytes written for each version that a step of this job made by dropping rows."""
    costs = []
    for step in steps(run, "dedup", "drop"):
        if is_dropped(run, step):
            logged = version_of(run, step).get("bytes_written")
            written = (step.get("io") or {}).get("bytes_written")
            costs += [int(known) for known in (logged or written,) if known is not None]
    return costs


def left_out(run: Json) -> list[tuple[str, str]]:
    """Partitions that steps skipped, with the cause of each."""
    found = {}
    for step in steps(run):
        for item in result(step).get("skipped") or ():
            name = text.visible(item.get("partition") or "a partition")
            found[name] = text.visible(item.get("cause") or "")
    return list(found.items())
