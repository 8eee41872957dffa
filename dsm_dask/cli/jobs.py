"""``dsm jobs``."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import click

from dsm_dask import storage
from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.errors import DatasetDamaged, NotFound, UsageError
from dsm_dask.jobs.driver import drive, enter_again
from dsm_dask.jobs.record import (
    MISSED,
    Record,
    Run,
    ask_to_cancel,
    find,
    is_alive,
    load,
    log_lines,
    runs,
)
from dsm_dask.jobs.submit import hand_over
from dsm_dask.runner import Cluster

ACTIONS = ("ls", "show", "logs", "cancel", "wait", "resume")


@verb
@click.argument("words", nargs=-1, metavar="[show|logs|cancel|wait|resume] DATASET[#RUN]")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Runs listed.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait.")
def command(out: Outcome, words: tuple[str, ...], limit: int, timeout: float | None) -> None:
    """List the runs of jobs on a DATASET; show, follow, cancel or resume one.

    A run is DATASET#RUN (the beginning of its id will do), or the newest of DATASET. `wait` ends
    with the run and has its exit code. `resume` goes on with a run that died, was cancelled or
    failed, where its driver was before: here, or on the cluster.
    """
    action, name = ("ls", *words) if len(words) == 1 else words if len(words) == 2 else ("", "")
    if action not in ACTIONS:
        raise UsageError(
            f"dsm jobs does not know {' '.join(words)!r}.",
            valid=f"dsm jobs DATASET, or dsm jobs {'|'.join(ACTIONS[1:])} DATASET#RUN",
        )
    if action == "ls":
        _list(out, name, limit)
        return
    run = find(name)
    if action == "show":
        record = load(run)
        out.say(record.to_dict(), lambda: show_text(record))
    elif action == "logs":
        lines = log_lines(run)
        out.say({"run": str(run), "lines": lines}, lambda: "\n".join(lines))
    elif action == "cancel":
        record = ask_to_cancel(run)
        out.say(record.to_dict(), lambda: _cancelled(record))
    elif action == "wait":
        end(out, follow(run, timeout))
    else:
        _resume(out, run)


def follow(run: Run, timeout: float | None = None) -> Record:
    """The record when the run is over, or lost for good: no new sign was seen for a while, whatever
    the clocks say. A driver on a cluster is called again when its worker died, and has as long
    again for that. Raises UsageError when it takes too long."""
    began = since = time.monotonic()
    last: Record | None = None
    while True:
        record, at = load(run), time.monotonic()
        if last is None or (record.beat, record.state) != (last.beat, last.state):
            last, since = record, at
        if record.is_over:
            return record
        missed = (at - since) / record.every
        if record.state == "running" and missed >= _patience(record):
            return dataclasses.replace(record, state="lost")
        if timeout is not None and at - began > timeout:
            raise UsageError(
                f"{run} is still {record.seen()} after {timeout:g} s.",
                valid="It goes on; wait again, or `dsm jobs cancel` it.",
            )
        time.sleep(min(2.0, record.every))


def _patience(record: Record) -> int:
    """How many signs may be missed in sight before a run is lost."""
    if record.seen() != "lost":
        return 2 * MISSED  # by the clocks it is well
    return MISSED if record.on == "cluster" else 2


def end(out: Outcome, record: Record) -> None:
    """Tell a record, and exit as the run did."""
    code = 3 if record.seen() == "lost" else record.exit_code or 0
    out.say(record.to_dict(), lambda: show_text(record), exit_code=code)


def _list(out: Outcome, dataset: str, limit: int) -> None:
    known = runs(dataset)
    if not known:
        storage.check_bucket(dataset)
    records, unreadable = [], []
    for run in known[:limit]:
        try:
            records.append(load(run))
        except NotFound:
            continue  # removed since it was listed
        except DatasetDamaged:
            unreadable.append(run.id)
    rows = [
        [
            Run.parse(one.run).id, one.seen(), _progress(one), text.size(_moved(one)),
            f"{one.seconds:,.1f} s", one.on,
        ]
        for one in records
    ]  # fmt: skip
    heads = ["run (began, UTC)", "state", "progress", "moved", "time", "driver on"]
    found = {
        "jobs": [one.to_dict() for one in records],
        "unreadable": unreadable,
        "more": max(0, len(known) - limit),
    }
    none = f"no run of a job on {dataset}"
    table = text.table(heads, rows, "3 4", whole="0 1 3 4 5") if rows else none
    told = [table, *(f"{name}: its record cannot be read" for name in unreadable)]
    out.say(found, lambda: "\n".join(told))


def _moved(record: Record) -> int:
    return int(record.io.get("bytes_read", 0)) + int(record.io.get("bytes_written", 0))


def _progress(record: Record) -> str:
    done = sum(step["state"] == "done" for step in record.steps)
    now = record.progress
    more = f", {now['label']} {now['done']} of {now['total']}" if now else ""
    return f"{done} of {len(record.steps)} steps{more}"


def show_text(record: Record) -> str:
    """State, steps with what was estimated and what happened, and what to do next."""
    state = record.seen()
    head = [
        record.run,
        f"{state}, attempt {record.attempt} on the {record.on}, {record.seconds:,.1f} s, "
        f"{_progress(record)}",
    ]
    rows = [_step(step) for step in record.steps]
    heads = [
        "step",
        "state",
        "time",
        "read",
        "planned",
        "written",
        "planned",
        "requests",
        "planned",
    ]
    foot = []
    if record.error:
        foot.append(f"{record.error['code']}: {record.error['what']}")
    if state in ("lost", "cancelled") or record.exit_code == 3:
        foot.append(f"Go on with: dsm jobs resume '{record.run}'")
    if state == "queued":
        foot.append("No driver has begun with it yet: does the cluster have workers?")
    return "\n".join([*head, text.table(heads, rows, "2 3 4 5 6 7 8"), *foot])


def _step(step: dict[str, Any]) -> list[Any]:
    if step["state"] != "done":
        return [step["verb"], step["state"], *[""] * 7]
    io, planned = step["io"], step["estimate"]
    return [
        step["verb"], "done", f"{step['seconds']:,.1f} s",
        text.size(io["bytes_read"]), text.size(planned["bytes_read"]),
        text.size(io["bytes_written"]), text.size(planned["bytes_written"]),
        io["requests"], planned["requests"],
    ]  # fmt: skip


def _cancelled(record: Record) -> str:
    if record.state == "cancelled" or record.is_over:
        return f"{record.run} is {record.state}."
    return f"{record.run} will stop with the next sign of its driver, in {record.every:g} s."


def _resume(out: Outcome, run: Run) -> None:
    record = load(run)
    if record.state == "done":
        out.say(record.to_dict(), lambda: f"{run} is done; there is nothing left to do.")
        return
    if record.seen() == "running" and is_alive(run, record):
        raise UsageError(
            f"{run} is running: its driver ({record.driver}) gives signs.",
            valid="Wait for it, or cancel it first.",
        )
    if record.on == "client":
        out.engine.start()  # first: a cluster that cannot be used leaves the record as it is
        enter_again(run)
        drive(run, engine=out.engine)
        found = load(run)
        out.say(found.to_dict(), lambda: show_text(found), exit_code=found.exit_code or 0)
        return
    cluster = Cluster(out.scheduler, None)
    try:
        cluster.start()
        enter_again(run)
        hand_over(run, cluster)
    finally:
        cluster.close()
    found = load(run)
    out.say(found.to_dict(), lambda: f"{run}\n(dsm jobs show '{run}')")
