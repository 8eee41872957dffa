"""``dsm append``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DRY_RUN, MESSAGE, ON_ERROR, TAG, Outcome, verb
from dsm_dask.dataset.naming import check_tag, tag_result
from dsm_dask.dataset.write import append


@verb
@click.argument("dataset")
@click.argument("sources", nargs=-1, required=True)
@DRY_RUN
@MESSAGE
@TAG
@ON_ERROR
def command(
    out: Outcome,
    dataset: str,
    sources: tuple[str, ...],
    dry_run: bool,
    message: str,
    tag_name: str | None,
) -> None:
    """Add the rows of Parquet files as a new version.

    Files that the dataset holds already are left out, so the same glob can be appended every week.
    """
    check_tag(dataset, tag_name)
    made = append(dataset, list(sources), engine=out.engine, message=message, dry_run=dry_run)
    if not dry_run:
        tag_result(dataset, made.version, tag_name)
    found = {**made.to_dict(), "dry_run": dry_run}
    out.say(found, lambda: text.written(found))
