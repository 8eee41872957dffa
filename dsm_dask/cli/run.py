"""``dsm run``."""

from __future__ import annotations

from typing import Any

import click

from dsm_dask import storage
from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.cli.plan import plan_text
from dsm_dask.errors import UsageError
from dsm_dask.jobs.driver import drive, enter
from dsm_dask.jobs.plan import plan_job
from dsm_dask.jobs.run import JobRun, run_job
from dsm_dask.jobs.spec import Job, json_schema, parse_job, read_job
from dsm_dask.report.text import many


@verb
@click.argument("job", required=False)
@click.option("--dry-run", is_flag=True, help="Print the plan: partitions, bytes to read, tasks.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of job files.")
def command(out: Outcome, job: str | None, dry_run: bool, schema: bool) -> None:
    """Run a JOB file (YAML). Run again, it goes on where it stopped.

    `dsm jobs DATASET` tells how far it is, from anywhere.
    """
    if schema:
        click.echo(json_schema(), nl=False)
        return
    if job is None:
        raise UsageError("Give a job file.", valid="dsm run JOB.yaml")
    written = read_job(job)
    loaded = parse_job(written, job)
    if dry_run:
        plan = plan_job(loaded, engine=out.engine)
        out.say(plan, lambda: plan_text(plan))
        return
    found, name = _run(out, loaded, written)
    told = {**found.to_dict(), "run": name}
    out.say(told, lambda: run_text(told), exit_code=1 if found.has_findings else 0)


def _run(out: Outcome, job: Job, written: str) -> tuple[JobRun, str | None]:
    out.engine.start()  # first: a cluster that cannot be used leaves no record
    with storage.using(out.engine.options):
        run = enter(job, written, "client")
        if run is None:
            return run_job(job, engine=out.engine), None
        return drive(run, engine=out.engine), str(run)


def run_text(found: dict[str, Any]) -> str:
    """One line a step, then the totals."""
    last = found["steps"][-1] if found["stopped"] else None
    rows = [
        [
            step["verb"], _told(step, step is last), f"{step['seconds']:.1f} s",
            text.size(step["io"]["bytes_read"]), text.size(step["io"]["bytes_written"]),
            text.size(step["io"]["client_bytes"]),
        ]
        for step in found["steps"]
    ]  # fmt: skip
    total = found["io"]
    rows.append(
        [
            "total", f"{text.size(found['bytes_in_dataset'])} in the dataset",
            f"{total['seconds']:.1f} s", text.size(total["bytes_read"]),
            text.size(total["bytes_written"]), text.size(total["client_bytes"]),
        ]
    )  # fmt: skip
    heads = ["step", "what", "time", "read", "written", "to client"]
    return text.table(heads, rows, "2 3 4 5")


def _told(step: dict[str, Any], stopped: bool) -> str:
    result, verb_ = step["result"], step["verb"]
    if verb_ in ("create", "append", "drop"):
        return text.written(result).split("/")[-1]
    if verb_ == "dedup":
        kept = f", version {result['version']} keeps {result['kept']:,}"
        duplicates = many(result["duplicates"], "duplicate")
        return f"{duplicates} in {many(result['clusters'], 'cluster')}{kept}"
    if verb_ == "profile":
        return f"{result['rows']:,} rows, {len(result['columns'])} columns"
    if verb_ == "check":
        count = len(result["findings"])
        stop = "; the job stopped here" if stopped else ""
        return f"{count:,} finding{'' if count == 1 else 's'} against {result['against']}{stop}"
    if verb_ == "drift":
        moved = sum(column["drift"] for column in result["columns"].values())
        stop = "; the job stopped here" if stopped else ""
        return f"{moved:,} of {many(len(result['columns']), 'column')} moved{stop}"
    if verb_ in ("tag", "branch"):
        return f"{result['name']} → version {result['version']}"
    if verb_ == "log":
        return f"{len(result['versions'])} versions"
    if verb_ == "diff":
        return f"{result['added']:,} added, {result['removed']:,} removed"
    if verb_ == "verify":
        return f"{result['objects']:,} objects, {len(result['damaged'])} damaged"
    return str(result.get("html", ""))
