"""``dsm restore``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DRY_RUN, MESSAGE, TAG, Outcome, verb
from dsm_dask.dataset.naming import check_tag, restore, tag_result


@verb
@click.argument("dataset")
@click.argument("version")
@DRY_RUN
@MESSAGE
@TAG
def command(
    out: Outcome, dataset: str, version: str, dry_run: bool, message: str, tag_name: str | None
) -> None:
    """Make an older VERSION (or tag) current again, as a new version on top."""
    check_tag(dataset, tag_name)
    made = restore(dataset, version.lstrip("@"), message=message, dry_run=dry_run)
    if not dry_run:
        tag_result(dataset, made.version, tag_name)
    found = {**made.to_dict(), "dry_run": dry_run}
    out.say(found, lambda: text.written(found))
