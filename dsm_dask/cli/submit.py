"""``dsm submit``."""

from __future__ import annotations

import click

from dsm_dask.cli.jobs import end, follow
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.jobs.record import load
from dsm_dask.jobs.spec import parse_job, read_job
from dsm_dask.jobs.submit import submit
from dsm_dask.runner import Cluster


@verb
@click.argument("job")
@click.option("--allow-local", is_flag=True, help="Take local paths: all machines share them.")
@click.option("--wait", is_flag=True, help="Stay until the run has ended; its exit code.")
def command(out: Outcome, job: str, allow_local: bool, wait: bool) -> None:
    """Have the cluster run a JOB file (YAML), its driver included, and leave.

    Prints the name of the run, for `dsm jobs show RUN`.
    """
    written = read_job(job)
    loaded = parse_job(written, job)
    cluster = Cluster(out.scheduler, None)
    try:
        run = submit(loaded, written, cluster, allow_local=allow_local)
    finally:
        cluster.close()
    if wait:
        end(out, follow(run))
        return
    out.say(load(run).to_dict(), lambda: f"{run}\n(dsm jobs show '{run}')")
