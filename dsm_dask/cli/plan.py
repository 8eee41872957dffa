"""``dsm plan``."""

from __future__ import annotations

from typing import Any

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.jobs.plan import plan_job, read_prices
from dsm_dask.jobs.spec import load_job


@verb
@click.argument("job")
@click.option("--prices", metavar="FILE", help="What requests, bytes and core hours cost (YAML).")
def command(out: Outcome, job: str, prices: str | None) -> None:
    """Estimate what a JOB will take: tasks, bytes, requests, memory, and money with --prices.

    Reads footers and metadata only. What was estimated is compared with what happened in
    `dsm jobs show`.
    """
    known = read_prices(prices) if prices else None
    found = plan_job(load_job(job), engine=out.engine, prices=known)
    out.say(found, lambda: plan_text(found))


def plan_text(plan: dict[str, Any]) -> str:
    """One line a step, then the totals."""
    steps = [(one["verb"], one) for one in plan["steps"]]
    rows = [_row(name, one) for name, one in [*steps, ("total", plan["total"])]]
    heads = [
        "step",
        "partitions",
        "tasks",
        "to read",
        "to write",
        "requests",
        "worker",
        "core time",
    ]
    heads += ["cost"] if "cost" in plan["total"] else []
    head = f"{plan['job']} on {plan['dataset']} (dry run)\n"
    return head + text.table(heads, rows, "1 2 3 4 5 6 7 8")


def _row(name: str, one: dict[str, Any]) -> list[Any]:
    seconds = one["core_seconds"]
    time = f"{seconds:,.0f} s" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
    row = [
        name, one["partitions"], one["tasks"], text.size(one["bytes_read"]),
        text.size(one["bytes_written"]), one["requests"], text.size(one["worker_memory"]), time,
    ]  # fmt: skip
    return [*row, f"{one['cost']:,.4f} {one['currency']}"] if "cost" in one else row
