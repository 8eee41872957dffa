"""``dsm branch``."""

from __future__ import annotations

import click

from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.dataset.naming import branch


@verb
@click.argument("dataset")
@click.argument("name")
def command(out: Outcome, dataset: str, name: str) -> None:
    """Start a line of versions of its own, sharing all stored rows."""
    made = branch(dataset, name)
    out.say(made.to_dict(), lambda: f"{made.dataset}@{name} starts at version {made.version}")
