"""The demonstration: real data, a real S3 server, a local cluster, the main job."""

from __future__ import annotations

import dataclasses
import importlib.resources
import time
from pathlib import Path
from typing import Any

from dsm_dask import storage
from dsm_dask.demo.corpus import MAX_ROWS, WrittenCorpus, write_corpus
from dsm_dask.engine import Engine
from dsm_dask.errors import NotFound
from dsm_dask.jobs.run import JobRun, run_job
from dsm_dask.jobs.spec import Job, load_job
from dsm_dask.progress import Progress
from dsm_dask.testing.s3 import S3Server

BUCKET = "demo"


@dataclasses.dataclass(frozen=True)
class Demo:
    """What the demonstration did."""

    corpus: WrittenCorpus
    run: JobRun
    report: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        corpus = {k: v for k, v in dataclasses.asdict(self.corpus).items() if k != "names"}
        return {
            "corpus": corpus,
            "run": self.run.to_dict(),
            "report": self.report,
            "seconds": round(self.seconds, 1),
        }


def run_demo(
    *, workers: int | None = None, max_rows: int | None = None, progress: Progress | None = None
) -> Demo:
    """Start a server, put the corpus in it, run ``jobs/demo.yaml``, stop everything.

    The report is written below the current folder; everything else is gone afterwards.
    """
    began = time.monotonic()
    job = demo_job()
    with S3Server() as server, server.in_environment():
        server.make_bucket(BUCKET)

        def put(name: str, data: bytes) -> None:
            storage.write(f"s3://{BUCKET}/raw/{name}", data)

        corpus = write_corpus(put, max_rows=MAX_ROWS if max_rows is None else max_rows)
        with Engine(workers=workers, progress=progress) as engine:
            found = run_job(job, engine=engine)
    report = next(step.result["html"] for step in found.steps if step.verb == "report")
    return Demo(corpus, found, str(Path(report).resolve()), time.monotonic() - began)


def demo_job() -> Job:
    """``jobs/demo.yaml``, from the source tree or from the installed package."""
    in_tree = Path(__file__).parents[2] / "jobs" / "demo.yaml"
    installed = importlib.resources.files("dsm_dask.demo") / "demo.yaml"
    for place in (in_tree, Path(str(installed))):
        if place.exists():
            return load_job(place)
    raise NotFound("jobs/demo.yaml is not part of this installation.")
