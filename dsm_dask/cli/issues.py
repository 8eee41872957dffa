"""``dsm issues``."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import ON_ERROR, Outcome, verb
from dsm_dask.dataset.version import open_data
from dsm_dask.scores.review.measures import MEASURES
from dsm_dask.scores.review.queue_export import FORMATS
from dsm_dask.scores.review.queued import Queue, QueuedRow, plain_value
from dsm_dask.scores.review.review_queue import TOP, issues
from dsm_dask.scores.review.thumbnails import Image

PRINTED = 50
"""Rows in the terminal."""
SNIPPET = 60
"""Characters of a text there."""


@verb
@click.argument("data")
@click.option("--top", type=click.IntRange(1), default=TOP, show_default=True, help="Rows.")
@click.option("--by", type=click.Choice(MEASURES), help="What to rank by [labels].")
@click.option("--balance", metavar="COL", help="By turns from each of its values; or: class.")
@click.option("--where", metavar="EXPR", help="Only rows for which this SQL condition holds.")
@click.option("--label", metavar="COL", help="The labels [those that were scored].")
@click.option("--key", metavar="COL", help="What tells rows apart [id, if there is one].")
@click.option("--show", multiple=True, metavar="COL", help="To look at; repeatable.")
@click.option("--prefix", default="", help="Of the columns of scores.")
@click.option("--html", metavar="FILE", help="Write a page with the rows' texts and images.")
@click.option("--out", "out_uri", metavar="FILE", help="Write a form or tasks to be filled in.")
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), help="Of --out [its suffix].")
@ON_ERROR
def command(
    out: Outcome,
    data: str,
    html: str | None,
    out_uri: str | None,
    kind: str | None,
    show: tuple[str, ...],
    **given: Any,
) -> None:
    """Rows that people should look at first, with reasons, from the scores that are there.

    \b
    label_quality  labels that the model finds unlikely
    disagreement   rows that annotators disagree about
    neighbours     labels unlike those of the nearest rows
    labels         all of these that there are scores of (default)
    uncertainty    rows that the model is unsure of
    outlier        rows far from all others
    combined       everything that there are scores of

    --out FILE.csv is a form: fill in its empty column of labels, then
    dsm update DATASET FILE.csv --on COL brings them back, where COL is its first column.
    """
    shown = [name.strip() for one in show for name in one.split(",")]
    table = open_data(data, out.engine.map)
    found = issues(table, engine=out.engine, show=shown, **given)
    if html:
        dataclasses.replace(found, skipped=tuple(out.engine.skipped)).save_html(html, data)
    if out_uri:
        found.save(out_uri, kind)
    out.say(found.to_dict(), lambda: told(found))


def told(found: Queue) -> str:
    """A table for the terminal."""
    if not found.queued:
        return f"None of {found.rows:,} rows is to be looked at."
    heads = ["row", *([found.key] if found.key else []), "label", "suggested", "why"]
    heads += list(found.queued[0].shown)[:1]
    rows = [_line(one, bool(found.key)) for one in found.queued[:PRINTED]]
    if found.label is None:
        place = heads.index("label")
        heads, rows = _without(heads, place), [_without(row, place) for row in rows]
    turns = f", by turns from each value of {found.balance}" if found.balance else ""
    head = f"{len(found.queued):,} of {found.ranked:,} ranked rows, by {found.by}{turns}"
    more = len(found.queued) - PRINTED
    last = f"\n... and {more:,} more: --html or --out has them all." if more > 0 else ""
    return f"{head}\n{text.table(heads, rows, '0')}{last}"


def _line(one: QueuedRow, keyed: bool) -> list[Any]:
    key = [text.short(one.key, 24)] if keyed else []
    shown = [text.short(_snippet(value), SNIPPET) for value in list(one.shown.values())[:1]]
    why = "; ".join(one.reasons).replace("`", "'")
    return [
        str(one.row),
        *key,
        text.short(one.label, 24),
        text.short(one.suggested, 24),
        why,
        *shown,
    ]


def _without(row: list[Any], place: int) -> list[Any]:
    return row[:place] + row[place + 1 :]


def _snippet(value: Any) -> Any:
    return f"image, {text.size(value.size)}" if isinstance(value, Image) else plain_value(value)
