"""``dsm diff``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.dataset.history import diff
from dsm_dask.dataset.refs import Ref


@verb
@click.argument("before")
@click.argument("after")
def command(out: Outcome, before: str, after: str) -> None:
    """Rows and columns that differ between two versions, by stable row id.

    AFTER may be just a version, tag or branch of the same dataset: dsm diff DATASET@1 @curated.
    """
    if after.startswith("@"):
        after = f"{Ref.parse(before).uri}{after}"
    found = diff(before, after).to_dict()
    out.say(found, lambda: text.diff(found))
