"""``dsm tag``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import Outcome, verb
from dsm_dask.dataset.naming import delete_tag, tag


@verb
@click.argument("dataset")
@click.argument("name")
@click.option("--force", is_flag=True, help="Move a tag that names another version.")
@click.option("--delete", is_flag=True, help="Take the tag away.")
def command(out: Outcome, dataset: str, name: str, force: bool, delete: bool) -> None:
    """Name a version: dsm tag DATASET@3 clean."""
    made = delete_tag(dataset, name) if delete else tag(dataset, name, force=force)
    verb_ = "no longer names" if delete else "names"
    found = made.to_dict()
    out.say(found, lambda: f"{name} {verb_} {text.spec(found)}")
