"""``dsm index``."""

from __future__ import annotations

import dataclasses

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DRY_RUN, Outcome, verb
from dsm_dask.dataset.version import open_dataset
from dsm_dask.duplicates.indexes import indexes, remove_indexes, verify_indexes


@verb
@click.argument("action", type=click.Choice(["ls", "verify", "rm"]))
@click.argument("dataset")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@DRY_RUN
def command(out: Outcome, action: str, dataset: str, names: tuple[str, ...], dry_run: bool) -> None:
    """List, verify or remove what deduplication keeps beside a dataset.

    An index is computed again when it is needed and not there. `exact` are the keys of exact
    deduplication, of all columns. `verify` exits with 1 when a file is damaged. Without NAME all
    indexes are meant.
    """
    data = open_dataset(dataset)
    if action == "verify":
        checked = verify_indexes(data, names, engine=out.engine)
        damaged = [uri for one in checked for uri in one.damaged]
        found = {"dataset": data.uri, "indexes": [dataclasses.asdict(one) for one in checked]}
        lines = [
            f"{one.name}: {one.files:,} files, {len(one.damaged):,} damaged" for one in checked
        ]
        told = "\n".join([*lines, *(f"  {uri}" for uri in damaged)]) or "no index"
        out.say(found, lambda: told, exit_code=1 if damaged else 0)
        return
    removes = action == "rm" and not dry_run
    listed = remove_indexes(data, names) if removes else indexes(data, names)
    found = {"dataset": data.uri, "indexes": [dataclasses.asdict(one) for one in listed]}
    rows = [
        [one.name, *(one.about.get(key, "") for key in ("method", "on")), one.files,
         text.size(one.bytes)]
        for one in listed
    ]  # fmt: skip
    table = text.table(["index", "method", "column", "files", "bytes"], rows, "3 4", whole="0")
    head = "removed:\n" if removes else ""
    out.say(found, lambda: head + table if rows else "no index")
