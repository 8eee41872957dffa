"""``dsm update``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DRY_RUN, MESSAGE, TAG, Outcome, verb
from dsm_dask.dataset.naming import check_tag, tag_result
from dsm_dask.dataset.update import update


@verb
@click.argument("dataset")
@click.argument("corrections")
@click.option("--on", required=True, metavar="COL", help="The key: a column of both, or _rowid.")
@click.option("--who", metavar="NAME", help="Who made the corrections [you].")
@DRY_RUN
@MESSAGE
@TAG
def command(
    out: Outcome,
    dataset: str,
    corrections: str,
    on: str,
    who: str | None,
    dry_run: bool,
    message: str,
    tag_name: str | None,
) -> None:
    """Change cells as a file of corrections says, as a new version.

    CORRECTIONS is a CSV, JSON lines or Parquet file with the key and the columns to change. A
    column annotator or who names who made each correction. Source files are never touched, and only
    the changed columns of the files with corrected rows are written.
    """
    check_tag(dataset, tag_name)
    made = update(
        dataset, corrections, on, engine=out.engine, who=who, message=message, dry_run=dry_run
    )
    if not dry_run:
        tag_result(dataset, made.version, tag_name)
    found = made.to_dict()
    out.say(found, lambda: text.update(found))
