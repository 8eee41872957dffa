"""``dsm demo``."""

from __future__ import annotations

from typing import Any

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.cli.run import run_text
from dsm_dask.demo.run import run_demo


@verb
@click.option("--rows", type=click.IntRange(1), help="At most this many rows of demo data.")
def command(out: Outcome, rows: int | None) -> None:
    """The main job on real data: the Python functions on this machine.

    Starts an S3 server of its own on loopback, writes the functions as Parquet files, links them,
    profiles them, drops exact duplicates as a new version, and writes an HTML report. Everything
    but the report is gone afterwards.
    """
    engine = out.engine
    found = run_demo(workers=out.workers, max_rows=rows, progress=engine.progress).to_dict()
    out.say(found, lambda: _text(found))


def _text(found: dict[str, Any]) -> str:
    corpus, run = found["corpus"], found["run"]
    steps = {step["verb"]: step["result"] for step in run["steps"]}
    dedup, cost = steps["dedup"], _cost(run)
    total = run["bytes_in_dataset"]
    largest = [
        [c["size"], text.short(c["values"].get("source", ""), 70)] for c in dedup["largest"][:5]
    ]
    parts = [
        f"{corpus['rows']:,} Python functions from {corpus['files']:,} files of this machine, as "
        f"Parquet on an S3 server ({text.size(corpus['bytes'])})",
        "",
        run_text(run),
        "",
        text.log(steps["log"]),
        "",
        text.table(["copies", "most repeated functions"], largest, "0"),
        "",
        f"The curated version leaves out {dedup['duplicates']:,} rows and cost {text.size(cost)}: "
        f"{cost / total:.2%} of the {text.size(total)} it describes.",
        f"Of all that was moved, {text.size(run['io']['client_bytes'])} reached the client.",
        f"Report: {found['report']}   ({found['seconds']:.0f} s in all)",
    ]
    return "\n".join(parts)


def _cost(run: dict[str, Any]) -> int:
    """Bytes that the deduplicated version added to the store."""
    (log,) = (step["result"] for step in run["steps"] if step["verb"] == "log")
    return next((int(v["bytes_written"]) for v in log["versions"] if v["job"] == "dedup"), 0)
