"""``dsm dedup``."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DATA, DRY_RUN, MESSAGE, ON_ERROR, TAG, Outcome, verb
from dsm_dask.dataset.naming import check_tag, tag_result
from dsm_dask.dataset.version import open_data
from dsm_dask.duplicates.dedup import METHODS, check_options, dedup
from dsm_dask.errors import UsageError
from dsm_dask.report.differences import CHARACTERS


@verb
@DATA
@click.option("--on", required=True, multiple=True, metavar="COL", help="Column; repeatable.")
@click.option("--method", type=click.Choice(list(METHODS)), default="exact", show_default=True)
@click.option("--threshold", type=float, help="Least similarity [0.8; cosine 0.95].")
@click.option("--shingle", metavar="UNIT:N", help="word:N or char:N [word:5].")
@click.option("--permutations", type=click.IntRange(1), help="Minima of a signature [128].")
@click.option("--bands", type=click.IntRange(1), help="Bands [chosen for the threshold].")
@click.option("--rows", type=click.IntRange(1), help="Minima in a band [chosen].")
@click.option(
    "--preset", metavar="TOOL", help="Parameters of datatrove, curator, datajuicer or text-dedup."
)
@click.option(
    "--normalise", multiple=True, metavar="STEPS",
    help="unicode, diacritics, case, numbers, punctuation, whitespace [none].",
)  # fmt: skip
@click.option(
    "--verify/--no-verify", default=None, help="Compare candidates exactly [yes; presets: no]."
)
@click.option("--seed", type=int, help="Of the permutations [1].")
@click.option(
    "--match-empty", is_flag=True, default=None, help="Empty and null texts are duplicates."
)
@click.option("--embed", is_flag=True, default=None, help="Make vectors of a text, on the way.")
@click.option("--dimension", type=click.IntRange(1), help="Of the vectors that are made [128].")
@click.option("--distance", type=int, help="Bits of 64 by which images may differ [6].")
@click.option("--keep", type=click.Choice(["first", "longest"]), help="The row that stays [first].")
@click.option("--prefer", metavar="COL", help="Keep the row with the greatest number here.")
@click.option(
    "--against", multiple=True, metavar="DATA", help="Also hold against this; repeatable."
)
@click.option("--drop", is_flag=True, help="Commit a version without the duplicates.")
@click.option("--columns", is_flag=True, default=None, help="Write roles next to the data.")
@click.option("--out", "out_uri", metavar="URI", help="Keep a table of the decisions here.")
@click.option(
    "--scratch",
    metavar="URI",
    help="A folder for what passes between tasks, that every worker can reach.",
)
@click.option(
    "--show", type=click.IntRange(1), metavar="N", help="Print N clusters with what differs."
)
@click.option("--html", metavar="FILE", help="Write what was found as an HTML page, too.")
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
    html: str | None,
    **given: Any,
) -> None:
    """Find duplicate rows; --drop all but one of each cluster.

    \b
    exact         rows that are equal on some columns;
                  null equals null; 1, 1.0 and '1' differ;
                  --normalise what texts may differ in
    minhash       texts of which the sets of shingles have a Jaccard
                  similarity of --threshold or more; candidates are
                  found by MinHash and compared exactly
    semantic      vectors of which the cosine is --threshold or more
    phash, dhash  images (bytes or URIs) of which the hashes differ in
                  --distance bits or less

    The similarity told of a row is that of the strongest of the pairs that connect it to its
    cluster, which may be with another row than the one that stays.

    The same rows stay however the data is cut: the ones with the smallest row ids, unless --keep or
    --prefer says otherwise.
    """
    columns = [name.strip() for one in on for name in one.split(",")]
    near = {name: value for name, value in given.items() if value not in (None, ())}
    check_options(method, near)
    writes = drop or bool(near.get("columns"))
    if writes:
        check_tag(data, tag_name)
    elif tag_name is not None:
        raise UsageError(
            "There is no new version to tag.", valid="--tag goes with --drop or --columns."
        )
    table = open_data(data, out.engine.map)
    show = near.pop("show", None)
    against = [open_data(other, out.engine.map) for other in near.pop("against", ())]
    differ = method != "exact" or "normalise" in near  # the rows of a cluster
    made = dedup(
        table, columns, method, engine=out.engine, against=against,
        columns=near.pop("columns", False), show=show,
        cut=CHARACTERS if show or (html and differ) else None, options=near,
        ends={
            "drop": drop, "out": out_uri, "scratch": scratch, "message": message,
            "dry_run": dry_run,
        },
    )  # fmt: skip
    if writes and not dry_run:
        tag_result(data, made.version, tag_name)
    if html:
        dataclasses.replace(made, skipped=tuple(out.engine.skipped)).save_html(html, data)
    found = made.to_dict()
    if not writes:
        found.pop("version")  # the contract: only with --drop or --columns
    out.say(found, lambda: text.dedup(found, show))
