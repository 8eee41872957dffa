"""``dsm profile``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.groups import refuse_without, run_profile_by
from dsm_dask.cli.outcome import DATA, ON_ERROR, Outcome, verb
from dsm_dask.dataset.version import open_data
from dsm_dask.monitoring.drift import sketch_for_drift
from dsm_dask.stats.profile import profile


@verb
@DATA
@click.option("--columns", metavar="A,B,...", help="Only these columns.")
@click.option("--label", metavar="COLUMN", help="Tell how even the classes in this column are.")
@click.option("--html", metavar="FILE", help="Write the profile as an HTML page, too.")
@click.option("--save", metavar="FILE", help="Keep the states: drift and check compare with them.")
@click.option("--by", metavar="COLUMN", help="A profile for each value of this column.")
@click.option("--window", metavar="SPAN", help="With --by: for each 15min, 1h, 1d, 1w, 1mo, ...")
@click.option("--groups", type=int, help="With --by: how many groups to keep, by default 100.")
@click.option("--group", multiple=True, metavar="VALUE", help="With --by: only this group.")
@ON_ERROR
def command(
    out: Outcome,
    data: str,
    columns: str | None,
    label: str | None,
    html: str | None,
    save: str | None,
    by: str | None,
    window: str | None,
    groups: int | None,
    group: tuple[str, ...],
) -> None:
    """Statistics of every column, in one scan.

    The states that they come from are kept beside a dataset, so a second profile, or one after an
    append, reads only what is new.
    """
    chosen = [name.strip() for name in columns.split(",")] if columns else None
    if by is not None:
        refuse_without("a profile of all rows", {"--html": html, "--label": label, "--save": save})
        run_profile_by(out, data, chosen, by, window, groups, group)
        return
    refuse_without("--by", {"--window": window, "--groups": groups, "--group": group})
    table = open_data(data, out.engine.map)
    made = profile(table, chosen, label=label, engine=out.engine)
    if html:
        made.save_html(html, data)
    if save:
        sketch_for_drift(table, chosen, engine=out.engine).save(save)
    found = made.to_dict()
    out.say({"data": data, **found}, lambda: text.profile(found))
