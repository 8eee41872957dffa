"""The driver of a job: runs its steps and keeps the record of the run.

The same code in the process of ``dsm run`` and in a task of the cluster (``dsm submit``). A driver
may die at any moment: whoever comes next runs the same job again, which finds the commits and the
states that are there (:mod:`dsm_dask.jobs.run`).
"""

from __future__ import annotations

import dataclasses
import json
import traceback
import warnings
from typing import Any, Literal

from dsm_dask import storage
from dsm_dask.dataset.lance_calls import from_lance
from dsm_dask.dataset.refs import Ref
from dsm_dask.dataset.version import Dataset, is_dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import (
    AccessDenied,
    CannotWrite,
    ClusterError,
    DsmError,
    InternalError,
    Interrupted,
)
from dsm_dask.jobs.estimate import estimate
from dsm_dask.jobs.heart import Heard, Heart, claim, driver_name, seconds_between_beats
from dsm_dask.jobs.record import Record, Run, State, job_text, load, now
from dsm_dask.jobs.run import JobRun, Meter, StepRun, run_job
from dsm_dask.jobs.spec import Job, Step, parse_job


def enter(job: Job, text: str, on: Literal["client", "cluster"]) -> Run | None:
    """Begin the record of a run; None where nothing can be recorded: there is no dataset and no
    step makes one, or one may not write here."""
    if job.steps[0].verb != "create" and not is_dataset(Ref.parse(job.dataset).uri):
        return None
    run = Run.new(job.dataset, job.name)
    steps = tuple({"verb": step.verb, "state": "waiting"} for step in job.steps)
    record = Record(
        str(run), job.name, "queued", on, began=now(), beat=now(), every=seconds_between_beats(),
        steps=steps,
    )  # fmt: skip
    try:
        storage.write(run.place("job.yaml"), text.encode(), durable=False)
        record.save()
    except (AccessDenied, CannotWrite) as error:
        if on == "cluster":
            raise
        warnings.warn(f"This run is not recorded: {error}", stacklevel=2)
        return None
    return run


def enter_again(run: Run) -> None:
    """Make a run that has ended, or died, wait for a driver."""
    storage.delete(run.place("cancel"))
    record = dataclasses.replace(
        load(run), state="queued", beat=now(), ended=None, error=None, exit_code=None
    )
    record.save()


def drive(run: Run, *, engine: Engine) -> JobRun:
    """Run the job of a record, or go on with it, and tell the record. Raises what the job raises;
    Interrupted when it was cancelled, CommitConflict when another driver took over."""
    record, job = load(run), parse_job(job_text(run), run.place("job.yaml"))
    record = dataclasses.replace(
        record, state="running", attempt=claim(run), driver=driver_name(), began=now(), ended=None,
        error=None, exit_code=None,
        steps=tuple({"verb": step.verb, "state": "waiting"} for step in job.steps),
    )  # fmt: skip
    outer = engine.progress
    with Heart(run, record) as heart:
        engine.progress = Heard(heart, outer)
        heart.say(f"Attempt {record.attempt} of {job.name} on {job.dataset}, by {record.driver}")
        try:
            found = run_job(job, engine=engine, watch=_Watch(heart, job))
        except BaseException as error:
            _told_error(heart, error, engine.is_leaving)
            raise
        finally:
            engine.progress = outer
        result = json.dumps(found.to_dict(), default=str).encode()
        storage.write(run.place("result.json"), result, durable=False)
        code = 1 if found.has_findings else 3 if engine.skipped else 0
        heart.say(f"Done, exit code {code}")
        heart.end(state="done", exit_code=code, version=found.version, io=found.io)
    return found


def _told_error(heart: Heart, error: BaseException, leaving: bool) -> None:
    if leaving and (isinstance(error, ClusterError) or not isinstance(error, DsmError)):
        heart.say("The worker of this driver goes away")
        heart.leave(
            ClusterError(
                "The worker of the driver went away.",
                valid="The cluster calls the driver again on another one, if it lives.",
            )
        )
        return
    if isinstance(error, KeyboardInterrupt):
        error = Interrupted("The driver was stopped by a signal.")
    elif not isinstance(error, DsmError):
        heart.say("".join(traceback.format_exception(error)))
        error = from_lance(error) or InternalError(f"{type(error).__name__}: {error}")
    heart.say(f"{error.code}: {error}")
    state: State = "cancelled" if isinstance(error, Interrupted) else "failed"
    steps = tuple(
        {**step, "state": state} if step["state"] == "running" else step
        for step in heart.record.steps
    )
    heart.end(state=state, steps=steps, error=error.to_dict(), exit_code=error.exit_code)


class _Watch:
    """Tells the record of each step when it begins and ends."""

    def __init__(self, heart: Heart, job: Job) -> None:
        self._heart, self._job = heart, job

    def begins(self, index: int, whole: Meter) -> None:
        self._heart.heed()
        verb = self._job.steps[index].verb
        self._heart.say(f"Step {index + 1} of {len(self._job.steps)}: {verb}")
        self._step(index, {"verb": verb, "state": "running"}, whole)

    def ended(
        self, index: int, step: StepRun, whole: Meter, *, before: Dataset | None, after: Dataset
    ) -> None:
        told = {"verb": step.verb, "state": "done", "seconds": step.seconds, "io": step.io}
        told["estimate"] = _estimated(self._job.steps[index], before, after)
        self._heart.say(f"{step.verb} took {step.seconds:.1f} s")
        self._step(index, told, whole)

    def _step(self, index: int, told: dict[str, Any], whole: Meter) -> None:
        steps = list(self._heart.record.steps)
        steps[index] = told
        self._heart.tell(steps=tuple(steps), io=whole.read(), progress=None)


def _estimated(step: Step, before: Dataset | None, after: Dataset) -> dict[str, Any]:
    """What ``dsm plan`` would have said of a step, from the footers that are known by now."""
    if step.verb in ("create", "append") or before is None:
        return estimate(step, after, known=before).to_dict()
    return estimate(step, before).to_dict()
