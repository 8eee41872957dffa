"""``dsm log``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.dataset.history import log


@verb
@click.argument("dataset")
@click.option("--limit", "-n", type=click.IntRange(1), help="Only the newest.")
def command(out: Outcome, dataset: str, limit: int | None) -> None:
    """List the versions of a dataset, newest first."""
    found = log(dataset, limit).to_dict()
    out.say(found, lambda: text.log(found))
