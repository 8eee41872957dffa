"""Jobs that the cluster drives: the client hands over a job and may leave.

The driver is one long-running task. It gives its thread back, so it occupies no slot, and sends its
work with the client of the worker it is on. When this worker dies, the scheduler calls it again on
another one, which goes on with the run; when the scheduler dies, the record says ``lost``, and the
run can be resumed.
"""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Iterator
from typing import Any

from dsm_dask import storage
from dsm_dask.dataset.refs import Ref
from dsm_dask.dataset.version import is_dataset, open_dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import CannotWrite, DsmError, UsageError
from dsm_dask.jobs.driver import drive, enter
from dsm_dask.jobs.record import Run, load
from dsm_dask.jobs.spec import Job
from dsm_dask.runner import Cluster

REMOTE = (
    "s3",
    "s3a",
    "gs",
    "gcs",
    "abfs",
    "abfss",
    "az",
    "adl",
    "oci",
    "oss",
    "hdfs",
    "webhdfs",
    "hf",
)
"""Schemes of stores that look the same from every machine."""


@dataclasses.dataclass(frozen=True)
class Drive:
    """What the cluster is given: the name of a run, and how its store is reached."""

    run: str
    options: storage.Options

    def __call__(self) -> int:
        """The exit code of the run; errors of the job are in its record."""
        run = Run.parse(self.run)
        with storage.using(self.options), Engine(options=self.options) as engine:
            record = load(run)
            if record.state in ("done", "cancelled"):
                return record.exit_code or 0  # its worker died when all was said
            try:
                drive(run, engine=engine)
            except DsmError as error:
                return error.exit_code
            return load(run).exit_code or 0


def submit(job: Job, text: str, cluster: Cluster, *, allow_local: bool = False) -> Run:
    """Enter the run of a job, and have the cluster drive it. Raises UsageError for local paths, and
    for a dataset with rows in such."""
    refuse_local(job, allow_local)
    if not allow_local:
        refuse_local_rows(job.dataset)
    _check_it_stays(cluster)
    cluster.start()
    run = enter(job, text, "cluster")
    if run is None:
        raise CannotWrite(
            f"There is no dataset at {job.dataset}, and the job does not begin with a create step.",
            where=job.dataset,
        )
    hand_over(run, cluster)
    return run


def hand_over(run: Run, cluster: Cluster) -> None:
    """Have the cluster drive a run that is entered, for the first time or again. Raises UsageError
    when the cluster would end with this process."""
    _check_it_stays(cluster)
    cluster.leave(Drive(str(run), storage.current_options()), key=f"dsm-job-{uuid.uuid4().hex}")


def _check_it_stays(cluster: Cluster) -> None:
    if cluster.is_local:
        raise UsageError(
            "There is no cluster that outlives this command.",
            valid="Name one with --scheduler, --scheduler-file or DASK_SCHEDULER_ADDRESS.",
        )


def refuse_local(job: Job, allowed: bool = False) -> None:
    """Raise UsageError when a job names a path that other machines do not see, or see otherwise."""
    for key, uri in uris(job):
        if "::" in uri or (storage.scheme(uri) not in REMOTE and not allowed):
            raise UsageError(
                f"{key} is {uri}, which is not the same on every machine.",
                where=key,
                valid="Give URIs of a store (s3://, gs://, ...), or --allow-local when all "
                "machines share their disks.",
            )


def refuse_local_rows(dataset: str) -> None:
    """Raise UsageError when rows of a dataset that is there are linked from local files: those of
    the machine where it was made, not of the workers."""
    if not is_dataset(Ref.parse(dataset).uri):
        return
    opened = open_dataset(dataset)
    for uri in opened.known_files if opened.is_linked else ():
        if storage.scheme(uri) not in REMOTE:
            raise UsageError(
                f"{dataset} has rows in {uri}, which is not the same on every machine.",
                where=dataset,
                valid="Make it of files in a store, or --allow-local when all machines share "
                "their disks.",
            )


def uris(job: Job) -> Iterator[tuple[str, str]]:
    """Every place that a job names, with the path of its key.

    >>> from dsm_dask.jobs.spec import parse_job
    >>> list(uris(parse_job("{name: x, dataset: s3://a/d, steps: [{create: {sources: b}}]}")))
    [('dataset', 's3://a/d'), ('steps[0].create.sources', 'b')]
    """
    yield "dataset", job.dataset
    for index, step in enumerate(job.steps):
        for name, value in step.arguments.model_dump(by_alias=True).items():
            if name in PLACES or (isinstance(value, str) and re.match(r"[a-z0-9+:]+://", value)):
                values: list[Any] = value if isinstance(value, list) else [value]
                for one in values:
                    if isinstance(one, str):
                        yield f"steps[{index}].{step.verb}.{name}", one


PLACES = ("sources", "data", "corrections", "against", "reference", "html", "out", "model")
"""Keys of steps that hold places."""
