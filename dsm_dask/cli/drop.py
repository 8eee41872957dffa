"""``dsm drop``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DRY_RUN, MESSAGE, ON_ERROR, TAG, Outcome, verb
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.naming import check_tag, tag_result


@verb
@click.argument("dataset")
@click.option("--where", required=True, metavar="EXPR", help="An SQL condition on the columns.")
@DRY_RUN
@MESSAGE
@TAG
@ON_ERROR
def command(
    out: Outcome, dataset: str, where: str, dry_run: bool, message: str, tag_name: str | None
) -> None:
    """Drop the rows for which a condition holds, as a new version of a few kilobytes.

    EXPR is the WHERE clause of SQL: "rating < 3 AND lang IN ('en', 'de')". Older versions keep
    every row.
    """
    check_tag(dataset, tag_name)
    made = drop(dataset, where, engine=out.engine, message=message, dry_run=dry_run)
    if not dry_run:
        tag_result(dataset, made.version, tag_name)
    found = {**made.to_dict(), "dry_run": dry_run}
    out.say(found, lambda: text.written(found))
