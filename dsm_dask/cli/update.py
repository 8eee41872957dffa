"""``dsm update``."""

from __future__ import annotations

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DRY_RUN, MESSAGE, TAG, Outcome, verb
from dsm_dask.dataset.annotation_tools.answers import SEVERAL, Several
from dsm_dask.dataset.annotation_tools.exports import TOOLS
from dsm_dask.dataset.naming import check_tag, tag_result
from dsm_dask.dataset.update import update


@verb
@click.argument("dataset")
@click.argument("corrections")
@click.option("--on", metavar="COL", help="The key: a column of both, or _rowid.")
@click.option("--from", "tool", type=click.Choice(list(TOOLS)), help="The tool [recognised].")
@click.option(
    "--several", type=click.Choice(SEVERAL), default="error", help="If annotators differ [error]."
)
@click.option("--who", metavar="NAME", help="Who made the corrections [you].")
@DRY_RUN
@MESSAGE
@TAG
def command(
    out: Outcome,
    dataset: str,
    corrections: str,
    on: str | None,
    tool: str | None,
    several: Several,
    who: str | None,
    dry_run: bool,
    message: str,
    tag_name: str | None,
) -> None:
    """Change cells as a file of corrections says, as a new version.

    CORRECTIONS is a CSV, JSON lines or Parquet file with the key and the columns to change. A
    column annotator or who names who made each correction. Source files are never touched, and only
    the changed columns of the files with corrected rows are written.

    Or it is what Label Studio (JSON, JSON_MIN, CSV), Argilla (records as JSON or Parquet) or
    doccano (JSONL, or its archive) exports of tasks that dsm issues --out wrote. Tasks know their
    key; annotators are those of the export.
    """
    check_tag(dataset, tag_name)
    made = update(
        dataset, corrections, on, engine=out.engine, who=who, tool=tool, several=several,
        message=message, dry_run=dry_run,
    )  # fmt: skip
    if not dry_run:
        tag_result(dataset, made.version, tag_name)
    found = made.to_dict()
    out.say(found, lambda: text.update(found))
