"""``dsm create``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DRY_RUN, MESSAGE, ON_ERROR, TAG, Outcome, verb
from dsm_dask.dataset.naming import check_tag, tag_result
from dsm_dask.dataset.write import create


@verb
@click.argument("dataset")
@click.argument("sources", nargs=-1, required=True)
@click.option("--link/--copy", default=True, help="Leave the rows in place (default), or copy.")
@DRY_RUN
@MESSAGE
@TAG
@ON_ERROR
def command(
    out: Outcome,
    dataset: str,
    sources: tuple[str, ...],
    link: bool,
    dry_run: bool,
    message: str,
    tag_name: str | None,
) -> None:
    """Make a dataset from Parquet files: version 1.

    SOURCES are files, folders or globs. The rows stay where they are (--link), or are copied into
    the dataset (--copy).
    """
    check_tag(dataset, tag_name)
    made = create(
        dataset, list(sources), engine=out.engine, copy=not link, message=message, dry_run=dry_run
    )
    if not dry_run:
        tag_result(dataset, made.version, tag_name)
    found = {**made.to_dict(), "dry_run": dry_run}
    out.say(found, lambda: text.written(found))
