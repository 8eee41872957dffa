"""``dsm profile``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DATA, ON_ERROR, Outcome, verb
from dsm_dask.dataset.version import open_data
from dsm_dask.stats.profile import profile


@verb
@DATA
@click.option("--columns", metavar="A,B,...", help="Only these columns.")
@click.option("--html", metavar="FILE", help="Write the profile as an HTML page, too.")
@ON_ERROR
def command(out: Outcome, data: str, columns: str | None, html: str | None) -> None:
    """Statistics of every column, in one scan.

    The states that they come from are kept beside a dataset, so a second profile, or one after an
    append, reads only what is new.
    """
    table = open_data(data, out.engine.map)
    chosen = [name.strip() for name in columns.split(",")] if columns else None
    made = profile(table, chosen, engine=out.engine)
    if html:
        made.save_html(html, data)
    found = made.to_dict()
    out.say({"data": data, **found}, lambda: text.profile(found))
