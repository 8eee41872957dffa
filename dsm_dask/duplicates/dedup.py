"""Deduplication by any method, from its name and options."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dsm_dask.duplicates.alike import dedup_alike
from dsm_dask.duplicates.clusters import LARGEST
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.duplicates.methods import method_of
from dsm_dask.duplicates.near import dedup_near
from dsm_dask.duplicates.normalise import Normalise
from dsm_dask.duplicates.presets import settings
from dsm_dask.duplicates.result import Deduplicated
from dsm_dask.duplicates.rule import Rule
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError, nearest
from dsm_dask.table import Table

_ALL = {"drop", "out", "scratch", "message"}
_ENDS = {"keep", "prefer", "against", "columns", "show"}
METHODS = {
    "exact": _ENDS | {"normalise"},
    "minhash": _ENDS | {
        "threshold", "shingle", "permutations", "bands", "rows", "preset", "normalise", "verify",
        "seed", "match_empty",
    },
    "semantic": _ENDS | {"threshold", "embed", "dimension", "batch_size"},
    "phash": _ENDS | {"distance"},
    "dhash": _ENDS | {"distance"},
}  # fmt: skip
"""What each method takes besides what all take."""


def dedup(
    table: Table,
    on: Sequence[str],
    method: str = "exact",
    *,
    engine: Engine,
    against: Sequence[Table] = (),
    columns: bool = False,
    show: int | None = None,
    cut: int | None = None,
    ends: dict[str, Any],
    options: dict[str, Any],
) -> Deduplicated:
    """Find the rows of ``table`` that are duplicates on the columns ``on``.

    ``ends`` are what all methods take: drop, out, scratch, message, dry_run. ``options`` are those
    of the method: of :func:`dsm_dask.duplicates.presets.settings` for ``minhash``; ``keep`` and
    ``prefer`` for the others, with ``normalise`` for ``exact``, and with those of
    :func:`dsm_dask.duplicates.methods.method_of`. ``show`` clusters are described, with ``cut``
    characters of the texts of all their rows.

    Raises UsageError for a method that there is not, for what does not go with it, and for fewer
    than no clusters.
    """
    if show is not None and show < 0:
        raise UsageError(f"{show} clusters cannot be shown.", valid="show=20")
    given = {"against": against, "columns": columns, "show": show}
    check_options(method, [*options, *(name for name, value in given.items() if value)])
    if len(on) != 1 and method != "exact":
        raise UsageError(f"Method {method} compares one column.", valid="--on COL")
    ends = {**ends, "against": against, "columns": columns, "largest": max(show or 0, LARGEST)}
    if cut is not None:
        ends["cut"] = cut
    rest = dict(options)
    if method == "minhash":
        near = settings(rest.pop("preset", None), **rest)
        return dedup_near(table, on[0], near, engine=engine, **ends)
    rule = Rule(rest.pop("keep", "first"), prefer=rest.pop("prefer", None))
    if method == "exact":
        steps = Normalise.parse(rest.pop("normalise", ()))
        return dedup_exact(table, on, engine=engine, rule=rule, normalise=steps, **ends)
    found = method_of(method, on[0], **rest)
    return dedup_alike(table, found, engine=engine, rule=rule, **ends)


def check_options(method: str, names: Iterable[str]) -> None:
    """Raise UsageError for a method that there is not, or an option that belongs to others."""
    if method not in METHODS:
        raise UsageError(f"There is no method {method!r}.", valid=f"One of {', '.join(METHODS)}.")
    for name in names:
        if name not in METHODS[method]:
            takers = [one for one, takes in METHODS.items() if name in takes]
            raise UsageError(
                f"{name.replace('_', '-')} is not an option of method {method}.",
                valid=f"It goes with {' or '.join(takers)}." if takers
                else nearest(name, METHODS[method] | _ALL),
            )  # fmt: skip
