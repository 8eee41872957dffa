"""``dsm gc``."""

from __future__ import annotations

import datetime as dt
import re

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DRY_RUN, Outcome, verb
from dsm_dask.dataset.gc import Collected
from dsm_dask.errors import UsageError
from dsm_dask.jobs.collect import collect


@verb
@click.argument("dataset")
@click.option("--older-than", default="14d", show_default=True, metavar="AGE", help="90d, 12h, 0d.")
@DRY_RUN
def command(out: Outcome, dataset: str, older_than: str, dry_run: bool) -> None:
    """Forget old versions, and remove what only they used.

    The newest version and tagged ones stay; source files are never touched. What deduplication
    keeps of rows that no version has, what runs that failed left behind, and records of jobs that
    are over go as well.
    """
    found = collect(dataset, older_than=_age(older_than), dry_run=dry_run)
    out.say(found.to_dict(), lambda: _text(found))


def _age(given: str) -> dt.timedelta:
    match = re.fullmatch(r"(\d+)([dhm])", given)
    if not match:
        raise UsageError(f"{given!r} is no age.", valid="Write 14d, 12h or 30m.")
    unit = {"d": "days", "h": "hours", "m": "minutes"}[match[2]]
    return dt.timedelta(**{unit: int(match[1])})


def _text(found: Collected) -> str:
    done = "would be removed" if found.dry_run else "removed"
    lines = [
        f"{found.versions:,} versions {done}: {found.data_files:,} data files, "
        f"{found.deletion_files:,} deletion files, {text.size(found.bytes)}"
    ]
    kinds = {
        "objects belong to no version (left by failed runs):": found.orphans,
        f"kept objects that serve no version {done}:": found.unused,
        f"temporary folders of killed runs {done}:": found.temporary,
        f"records of jobs {done}:": found.jobs,
    }
    for what, which in kinds.items():
        if which:
            lines.append(f"{len(which):,} {what}")
            lines += [f"  {one}" for one in which[:20]]
    return "\n".join(lines)
