"""The record of a run: what the driver of a job tells while it works, kept beside the dataset.

Objects below ``DATASET/_dsm/jobs/ID/``, so that a record outlives driver, scheduler and laptop:

* ``job.yaml``: the job as it was given;
* ``record.json``: state, steps, progress, bytes; written again with every heartbeat;
* ``log-0001.txt``: the lines of the first attempt, ``log-0002.txt`` of the next;
* ``attempt-0001``: made by just one driver; a driver that sees a later attempt gives up;
* ``cancel``: somebody asked the driver to stop;
* ``result.json``: what every step found, when the run has ended.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import secrets
import time
from typing import Any, Literal

from dsm_dask import storage
from dsm_dask.about import __version__
from dsm_dask.dataset.refs import Ref
from dsm_dask.errors import DatasetDamaged, NotFound, UsageError

State = Literal["queued", "running", "done", "failed", "cancelled", "lost"]

MISSED = 12
"""A driver that has missed this many heartbeats is lost."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a job on a dataset: ``DATASET#ID``.

    >>> Run.parse("s3://lake/reviews#20261123T160102-weekly-9f3c").folder
    's3://lake/reviews/_dsm/jobs/20261123T160102-weekly-9f3c'
    """

    dataset: str
    id: str

    def __str__(self) -> str:
        return f"{self.dataset}#{self.id}"

    @classmethod
    def new(cls, dataset: str, job: str) -> Run:
        """A name that sorts by time."""
        at = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]  # milliseconds
        return cls(Ref.parse(dataset).uri, f"{at}-{job}-{secrets.token_hex(2)}")

    @classmethod
    def parse(cls, text: str) -> Run:
        """Raises UsageError for what is not ``DATASET#ID``."""
        dataset, mark, id_ = text.rpartition("#")
        if not mark or not dataset or not _ID.fullmatch(id_):
            raise UsageError(
                f"{text!r} does not name a run.",
                valid="Write DATASET#RUN; `dsm jobs DATASET` lists them.",
            )
        return cls(Ref.parse(dataset).uri, id_)

    @property
    def folder(self) -> str:
        return storage.join(jobs_folder(self.dataset), self.id)

    def place(self, name: str) -> str:
        return storage.join(self.folder, name)

    def attempts(self) -> int:
        """How many drivers this run has had."""
        names = [storage.name(item.uri) for item in storage.listing(self.folder)]
        return max((int(n[8:]) for n in names if re.fullmatch(r"attempt-\d+", n)), default=0)


@dataclasses.dataclass(frozen=True)
class Record:
    """What is known of a run. Times are in UTC, ISO 8601, by the driver's clock."""

    run: str
    job: str
    state: State
    on: Literal["client", "cluster"]
    """Where its driver runs."""
    began: str
    beat: str
    """When the driver gave the last sign."""
    every: float
    """Seconds between signs."""
    attempt: int = 0
    driver: str = ""
    ended: str | None = None
    seconds: float = 0.0
    version: int | None = None
    """The version that the last step left."""
    steps: tuple[dict[str, Any], ...] = ()
    """verb, state, and when done: seconds, io, estimate."""
    progress: dict[str, Any] | None = None
    """What is going on: label, done, total."""
    io: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: dict[str, Any] | None = None
    exit_code: int | None = None
    software: str = f"dsm-dask {__version__}"

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "state": self.seen(), "steps": list(self.steps)}

    def seen(self, at: dt.datetime | None = None) -> State:
        """The state as others see it: ``lost`` when the driver has given no sign for long."""
        silent = (at or dt.datetime.now(dt.UTC)) - dt.datetime.fromisoformat(self.beat)
        lost = self.state == "running" and silent.total_seconds() > MISSED * self.every
        return "lost" if lost else self.state

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def save(self) -> None:
        data = json.dumps(dataclasses.asdict(self), default=str).encode()
        storage.write(Run.parse(self.run).place("record.json"), data, durable=False)


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def jobs_folder(dataset: str) -> str:
    return storage.join(Ref.parse(dataset).uri, "_dsm", "jobs")


def load(run: Run) -> Record:
    """Raises NotFound when there is no such run, DatasetDamaged when its record is none."""
    place = run.place("record.json")
    try:
        found = json.loads(storage.read(place))
        known = {field.name for field in dataclasses.fields(Record)}
        given = {key: value for key, value in found.items() if key in known}
        record = Record(**given | {"steps": tuple(found["steps"])})
        record.seen()
    except NotFound:
        raise NotFound(
            f"There is no run {run.id} of {run.dataset}.",
            where=run.folder,
            valid=f"`dsm jobs {run.dataset}` lists them.",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetDamaged(
            f"The record of the run {run.id} cannot be read: {type(error).__name__}: {error}.",
            where=place,
            valid=f"Run the job again ({run.place('job.yaml')}): what was done is not repeated.",
        ) from None
    return record


def runs(dataset: str) -> list[Run]:
    """The runs of a dataset, newest first."""
    root = Ref.parse(dataset).uri
    records = [item.uri for item in storage.listing(jobs_folder(root))]
    ids = {storage.name(storage.parent(u)) for u in records if u.endswith("/record.json")}
    return [Run(root, id_) for id_ in sorted(ids, reverse=True)]


def find(text: str) -> Run:
    """The run of ``DATASET#ID``, of the beginning of an ID, or the newest of ``DATASET``.

    Raises NotFound, and UsageError when several begin so."""
    dataset, mark, begin = text.rpartition("#")
    if mark and _ID.fullmatch(begin):
        run = Run.parse(text)
        if storage.exists(run.place("record.json")):
            return run
    named = [run for run in runs(dataset) if run.id.startswith(begin)] if mark else []
    if begin and len(named) > 1:
        listed = ", ".join(run.id for run in named[:5])
        raise UsageError(f"{len(named)} runs begin with {begin}.", valid=f"They are: {listed}.")
    found = named or runs(text)  # of a dataset that may have the sign in its own name
    if not found:
        raise NotFound(
            f"There is no run {text}.",
            where=jobs_folder(dataset or text),
            valid="A run is named DATASET#RUN; `dsm jobs DATASET` lists them.",
        )
    return found[0]


def job_text(run: Run) -> str:
    return storage.read(run.place("job.yaml")).decode()


def log_lines(run: Run) -> list[str]:
    """The lines of all attempts."""
    names = [item.uri for item in storage.listing(run.folder)]
    logs = sorted(uri for uri in names if storage.name(uri).startswith("log-"))
    return [line for uri in logs for line in storage.read(uri).decode().splitlines()]


def is_alive(run: Run, record: Record) -> bool:
    """Whether its driver gives another sign than that of ``record`` in the time that it has for
    one. This is seen, so it holds where clocks disagree."""
    until = time.monotonic() + MISSED * record.every
    while time.monotonic() < until:
        now_ = load(run)
        if (now_.beat, now_.state) != (record.beat, record.state):
            return now_.state == "running"
        time.sleep(min(1.0, record.every / 2))
    return False


def ask_to_cancel(run: Run) -> Record:
    """Have the driver stop with its next heartbeat; what has none is cancelled at once."""
    record = load(run)
    if record.is_over:
        return record
    storage.write(run.place("cancel"), now().encode(), durable=False)
    if record.seen() in ("queued", "lost"):
        record = dataclasses.replace(record, state="cancelled", ended=now(), exit_code=3)
        record.save()
    return record


def outdated(dataset: str, older_than: dt.timedelta) -> list[Run]:
    """Runs that are over, or lost, and gave their last sign longer ago than that. One with a record
    that cannot be read is none of them: ``dsm jobs`` names it."""
    at = dt.datetime.now(dt.UTC)
    found = []
    for run in runs(dataset):
        try:
            record = load(run)
        except (NotFound, DatasetDamaged):
            continue  # removed since it was listed; or nobody can tell whether it is over
        last = dt.datetime.fromisoformat(record.ended or record.beat)
        if record.seen(at) not in ("queued", "running") and at - last >= older_than:
            found.append(run)
    return found


def forget(run: Run) -> None:
    """Remove all that is told of a run."""
    storage.delete_folder(run.folder)
