"""``dsm embed``."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from dsm_dask.cli import text
from dsm_dask.cli.outcome import DRY_RUN, MESSAGE, ON_ERROR, TAG, Outcome, verb
from dsm_dask.dataset.naming import check_tag, tag_result
from dsm_dask.duplicates.embeddings import BATCH, embed
from dsm_dask.errors import UsageError


@verb
@click.argument("dataset")
@click.option("--column", required=True, metavar="COL", help="What vectors are made of.")
@click.option(
    "--function", "path", metavar="MODULE:NAME", help="Makes the vectors; needs --dimension."
)
@click.option("--dimension", type=click.IntRange(1), help="Components of a vector [128].")
@click.option("--name", metavar="NAME", help="Of the new column [COL_embedding].")
@click.option(
    "--batch-size", type=click.IntRange(1), default=BATCH, show_default=True,
    help="Values that the function is given at once.",
)  # fmt: skip
@DRY_RUN
@MESSAGE
@TAG
@ON_ERROR
def command(
    out: Outcome,
    dataset: str,
    column: str,
    path: str | None,
    dimension: int | None,
    name: str | None,
    batch_size: int,
    dry_run: bool,
    message: str,
    tag_name: str | None,
) -> None:
    """Make a column of embeddings next to the data, as a new version.

    Without --function, of texts: their n-grams of characters and words, hashed. These vectors are
    alike for texts that share most of their wording, and know nothing of meaning beyond that.

    A function is given a list of values, none of them None, and returns an array of shape (values,
    dimension). It is your own code, imported here (from this folder or the installed packages) and
    on the workers, which need the module, too. --dry-run tries it on a few rows. A job file cannot
    name a function: it is data, and runs no code.
    """
    check_tag(dataset, tag_name)
    function = None if path is None else function_at(path)
    made = embed(
        dataset, column, engine=out.engine, function=function, dimension=dimension,
        batch_size=batch_size, name=name, message=message, dry_run=dry_run,
    )  # fmt: skip
    if not dry_run:
        tag_result(dataset, made.version, tag_name)
    found = {**made.to_dict(), "column": name or f"{column}_embedding", "dry_run": dry_run}
    out.say(found, lambda: text.written(found))


def function_at(path: str) -> Callable[[list[Any]], Any]:
    """The function ``MODULE:NAME``, of this folder or the installed packages.

    Raises UsageError when there is none.

    >>> function_at("os.path:basename")("a/b")
    'b'
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise UsageError(f"{path!r} names no function.", valid="MODULE:NAME, as in models:embed.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as with `python -m`; local workers inherit it
    try:
        found = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except Exception as error:
        raise UsageError(
            f"{path!r} cannot be imported: {type(error).__name__}: {error}.",
            valid="A module of this folder or an installed package, and a name in it.",
        ) from error
    if not callable(found):
        raise UsageError(f"{path!r} is no function but of type {type(found).__name__}.")
    return found
