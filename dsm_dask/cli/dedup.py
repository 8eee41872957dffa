"""``dsm dedup``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DATA, DRY_RUN, MESSAGE, ON_ERROR, TAG, Outcome, verb
from dsm_dask.dataset.naming import check_tag, tag_result
from dsm_dask.dataset.version import open_data
from dsm_dask.duplicates.exact import dedup_exact


@verb
@DATA
@click.option("--on", required=True, multiple=True, metavar="COL", help="Column; repeatable.")
@click.option("--method", type=click.Choice(["exact"]), default="exact", show_default=True)
@click.option("--drop", is_flag=True, help="Commit a version without the duplicates.")
@click.option("--out", "out_uri", metavar="URI", help="Keep a table of the decisions here.")
@click.option("--scratch", metavar="URI", help="Where plain files are shuffled.")
@DRY_RUN
@MESSAGE
@TAG
@ON_ERROR
def command(
    out: Outcome,
    data: str,
    on: tuple[str, ...],
    method: str,
    drop: bool,
    out_uri: str | None,
    scratch: str | None,
    dry_run: bool,
    message: str,
    tag_name: str | None,
) -> None:
    """Find rows that are equal on some columns; --drop all but the first.

    Null equals null; 1, 1.0 and '1' differ. Of equal rows the one with the smallest row id stays,
    however the data is cut.
    """
    columns = [name.strip() for given in on for name in given.split(",")]
    if drop:
        check_tag(data, tag_name)
    table = open_data(data, out.engine.map)
    made = dedup_exact(
        table, columns, engine=out.engine, drop=drop, out=out_uri, scratch=scratch,
        message=message, dry_run=dry_run,
    )  # fmt: skip
    if drop and not dry_run:
        tag_result(data, made.version, tag_name)
    found = made.to_dict()
    if not drop:
        found.pop("version")  # the contract: only with --drop
    out.say(found, lambda: text.dedup(found))
