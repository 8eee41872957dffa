"""Run a job: its steps one after another, each on the version that the last one left.

A step that commits is found again by its key (see :mod:`dsm_dask.dataset.commit`), so a job that
died may simply be run again: what was committed is not committed twice, what was computed is not
computed twice.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Protocol

from dsm_dask import storage
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import diff, log
from dsm_dask.dataset.naming import branch, tag
from dsm_dask.dataset.refs import Ref
from dsm_dask.dataset.update import update
from dsm_dask.dataset.verify import verify
from dsm_dask.dataset.version import Dataset, open_data, open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates.dedup import dedup
from dsm_dask.engine import Engine
from dsm_dask.jobs import score_steps, spec
from dsm_dask.monitoring.drift import drift, open_side
from dsm_dask.report import run_page
from dsm_dask.scores.annotators.score_answers import score_answers
from dsm_dask.scores.review.review_queue import issues
from dsm_dask.scores.score_by import score_by
from dsm_dask.stats.profile import profile
from dsm_dask.storage import IO
from dsm_dask.validation.check import check
from dsm_dask.validation.schema_file import is_schema_file, load_schema


@dataclasses.dataclass(frozen=True)
class StepRun:
    """What one step did."""

    verb: str
    result: dict[str, Any]
    io: dict[str, Any]

    @property
    def seconds(self) -> float:
        return float(self.io["seconds"])

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "seconds": self.seconds}


@dataclasses.dataclass(frozen=True)
class JobRun:
    """What a job did."""

    job: str
    dataset: str
    version: int | None
    steps: tuple[StepRun, ...]
    io: dict[str, Any]
    bytes_in_dataset: int
    """Stored bytes of the rows' files."""
    stopped: bool = False
    """Whether the last step was a check with findings, or drift, and kept those after it from being
    run."""

    @property
    def has_findings(self) -> bool:
        """Whether a step found something: damage, a broken rule, drift."""
        finding = ("check", "verify", "drift")
        results = [step.result for step in self.steps if step.verb in finding]
        names = ("damaged", "findings", "drifted")
        return any(result.get(name) for result in results for name in names)

    def to_dict(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        return {
            **found,
            "steps": [step.to_dict() for step in self.steps],
            "seconds": self.io["seconds"],
        }

    def save_html(self, uri: str, title: str | None = None) -> int:
        """Write the report of the run as one self-contained page; its size in bytes."""
        page = run_page(self.to_dict(), title=title or self.job).encode()
        storage.write(uri, page)
        return len(page)


class Meter:
    """What was moved since it was made: by workers, and by this process."""

    def __init__(self, engine: Engine, driver: Callable[[], IO]) -> None:
        self._engine, self._driver = engine, driver
        self._began = time.monotonic()
        self._io, self._client = engine.io + driver(), engine.client_bytes

    def read(self) -> dict[str, Any]:
        """The ``io`` object of ``--json``."""
        io = self._engine.io + self._driver() - self._io
        return {
            **io.to_dict(),
            "client_bytes": self._engine.client_bytes - self._client,
            "seconds": round(time.monotonic() - self._began, 3),
        }


class Watch(Protocol):
    """Is told of every step, by its index, and what all of them have moved so far."""

    def begins(self, index: int, whole: Meter) -> None: ...

    def ended(
        self, index: int, step: StepRun, whole: Meter, *, before: Dataset | None, after: Dataset
    ) -> None: ...


def run_job(job: spec.Job, *, engine: Engine, watch: Watch | None = None) -> JobRun:
    """Run every step of a job, or all up to a check that fails."""
    engine.start()
    engine.on_error = job.on_error
    runner = _Runner(job, engine)
    with storage.counting() as driver:
        whole = Meter(engine, driver)
        for index, step in enumerate(job.steps):
            if watch is not None:
                watch.begins(index, whole)
            meter, before = Meter(engine, driver), runner.current
            result = runner.run(step, whole)
            runner.done.append(StepRun(step.verb, result, meter.read()))
            if watch is not None:
                before = before or (None if step.verb == "create" else runner.first)
                watch.ended(index, runner.done[-1], whole, before=before, after=runner.here)
            if _stops(step, result):
                return dataclasses.replace(runner.so_far(whole), stopped=True)
        return runner.so_far(whole)


def _stops(step: spec.Step, result: dict[str, Any]) -> bool:
    """Whether what a step found keeps those after it from being run."""
    found = {"check": not result.get("passed", True), "drift": bool(result.get("drifted"))}
    return found.get(step.verb, False) and bool(step.arguments.fail)


class _Runner:
    def __init__(self, job: spec.Job, engine: Engine) -> None:
        self.job, self.engine = job, engine
        self.done: list[StepRun] = []
        self.current: Dataset | None = None
        self.first: Dataset | None = None

    def run(self, step: spec.Step, whole: Meter) -> dict[str, Any]:
        if step.verb == "report":
            return self._report(step.arguments, whole)
        return getattr(self, f"_{step.verb}")(step.arguments)  # type: ignore[no-any-return]

    def so_far(self, whole: Meter) -> JobRun:
        here = self.current
        return JobRun(
            self.job.name,
            self.job.dataset,
            here.version if here else None,
            tuple(self.done),
            whole.read(),
            here.size if here else 0,
        )

    @property
    def here(self) -> Dataset:
        """The version that the last step left; the newest one when the job begins."""
        if self.current is None:
            self._at(open_dataset(self.job.dataset))
        assert self.current is not None
        return self.current

    @property
    def _shared(self) -> str | None:
        """A folder that all workers see for what passes between them, where they need one."""
        if self.engine.is_local:
            return None
        return storage.join(self.here.uri, "_dsm", "runs")

    def _at(self, dataset: Dataset) -> None:
        self.current = dataset
        self.first = self.first or dataset

    def _moved_to(self, written: dict[str, Any]) -> dict[str, Any]:
        uri, name = Ref.parse(self.job.dataset).uri, str(written["version"])
        branch_name = self.current.branch if self.current else None
        self._at(open_dataset(Ref(uri, f"{branch_name}:{name}" if branch_name else name)))
        return written

    def _create(self, args: spec.Create) -> dict[str, Any]:
        made = create(
            self.job.dataset, args.sources, engine=self.engine, copy=args.copy_rows,
            message=args.message, resume=True,
        )  # fmt: skip
        return self._moved_to(made.to_dict())

    def _append(self, args: spec.Append) -> dict[str, Any]:
        made = append(self.here, args.sources, engine=self.engine, message=args.message)
        return self._moved_to(made.to_dict())

    def _profile(self, args: spec.Profile) -> dict[str, Any]:
        found = profile(self.here, args.columns, engine=self.engine)
        if args.html:
            found.save_html(args.html, self.here.name)
        return {"dataset": self.here.name, **found.to_dict()}

    def _check(self, args: spec.Check) -> dict[str, Any]:
        reference: Any
        if is_schema_file(args.against):
            reference = load_schema(args.against)
        else:
            reference = open_side(args.against, self.engine.map)
        found = check(
            self.here, reference, args.columns, engine=self.engine, examples=args.examples,
            scratch=self._shared,
        )  # fmt: skip
        if args.html:
            found.save_html(args.html, self.here.name)
        return {**found.to_dict(), "against": args.against}

    def _drift(self, args: spec.Drift) -> dict[str, Any]:
        found = drift(
            open_side(args.reference, self.engine.map), self.here, args.columns,
            engine=self.engine, method=args.method, threshold=args.threshold, share=args.share,
            score=args.score,
        )  # fmt: skip
        if args.html:
            found.save_html(args.html, f"{args.reference} → {self.here.name}")
        return {**found.to_dict(), "reference": args.reference, "current": self.here.name}

    def _dedup(self, args: spec.Dedup) -> dict[str, Any]:
        found = dedup(
            self.here, args.on, args.method, engine=self.engine, columns=args.columns,
            against=[open_data(other, self.engine.map) for other in args.against or ()],
            ends={"drop": args.drop, "out": args.out, "message": args.message},
            options=args.options,
        )  # fmt: skip
        told = found.to_dict()
        return self._moved_to(told) if args.drop or args.columns else told

    def _score(self, args: score_steps.Score) -> dict[str, Any]:
        made = score_by(
            self.here, args.options, engine=self.engine, replace=args.replace,
            message=args.message, prefix=args.prefix,
        )  # fmt: skip
        return self._moved_to(made.to_dict())

    def _score_answers(self, args: score_steps.ScoreAnswers) -> dict[str, Any]:
        here, other = self.here, args.data
        table = open_data(other, self.engine.map) if other else here
        found = score_answers(
            table, args.columns, engine=self.engine, scratch=self._shared if other else None,
            **args.options,
        )  # fmt: skip
        return {"dataset": here.name, "data": other or here.name, **found.to_dict()}

    def _update(self, args: score_steps.Update) -> dict[str, Any]:
        made = update(
            self.here, args.corrections, args.on, engine=self.engine, who=args.who,
            tool=args.tool, several=args.several, message=args.message,
        )  # fmt: skip
        return self._moved_to(made.to_dict())

    def _issues(self, args: score_steps.Issues) -> dict[str, Any]:
        found = issues(self.here, engine=self.engine, **args.options)
        if args.html:
            found.save_html(args.html, self.here.name)
        if args.out:
            found.save(args.out, args.format)
        told = found.to_dict()
        for row in told["queued"]:
            del row["shown"]  # a job's result is kept and mailed around
        return told

    def _drop(self, args: spec.Drop) -> dict[str, Any]:
        made = drop(self.here, args.where, engine=self.engine, message=args.message)
        return self._moved_to(made.to_dict())

    def _tag(self, args: spec.Tag) -> dict[str, Any]:
        return tag(self.here, args.name, force=args.force).to_dict()

    def _branch(self, args: spec.Branch) -> dict[str, Any]:
        return branch(self.here, args.name).to_dict()

    def _log(self, args: spec.Log) -> dict[str, Any]:
        return log(self.here, args.limit).to_dict()

    def _diff(self, args: spec.Diff) -> dict[str, Any]:
        uri, here = self.here.uri, self.here
        before = Ref(uri, args.before) if args.before else (self.first or here)
        after = Ref(uri, args.after) if args.after else here
        return diff(open_dataset(before), open_dataset(after)).to_dict()

    def _verify(self, args: spec.Verify) -> dict[str, Any]:
        return verify(self.here, engine=self.engine).to_dict()

    def _report(self, args: spec.Report, whole: Meter) -> dict[str, Any]:
        title = args.title or self.job.description or self.job.name
        return {"html": args.html, "bytes": self.so_far(whole).save_html(args.html, title)}
