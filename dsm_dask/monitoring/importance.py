"""Importance: which drifted columns go with a change of a score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from dsm_dask.distances.bins import bin_edges
from dsm_dask.distances.categories import categories
from dsm_dask.distances.distribution import distribution, in_one_unit, seconds
from dsm_dask.errors import SchemaError
from dsm_dask.fold import Fold
from dsm_dask.monitoring.comparison import Comparison
from dsm_dask.monitoring.conditional_means import ConditionalMeans, MeansState
from dsm_dask.stats import values
from dsm_dask.stats.sketches import Sketches
from dsm_dask.table import Table, check_columns

Bins = tuple[ConditionalMeans, ConditionalMeans]
"""Of the reference and the current side."""

LARGEST = 64
"""Categories of a column with a bin of their own."""


class Engine(Protocol):
    """Whatever merges the states of a table."""

    def states(self, table: Table, folds: Sequence[Fold[Any, Any]]) -> tuple[Any, ...]: ...


@dataclasses.dataclass(frozen=True)
class Explained:
    """``change``: by how much the mean score would have changed had only this column's distribution
    moved, in units of the score; ``share``: of the whole change (None without one); ``unseen``: the
    share of current rows in bins that the reference has no rows in, for which nothing is known."""

    column: str
    change: float
    share: float | None
    unseen: float


@dataclasses.dataclass(frozen=True)
class Importance:
    """Mean scores of both sides, over the rows with a finite score, and what each drifted column
    explains of the difference, the most first."""

    score: str
    reference_mean: float
    current_mean: float
    columns: tuple[Explained, ...]
    skipped: tuple[int, int]

    @property
    def change(self) -> float:
        return self.current_mean - self.reference_mean

    def to_dict(self) -> dict[str, Any]:
        return {
            "score": self.score,
            "mean": {"reference": self.reference_mean, "current": self.current_mean},
            "change": self.change,
            "columns": {
                one.column: {"change": one.change, "share": one.share, "unseen": one.unseen}
                for one in self.columns
            },
            "skipped": {"reference": self.skipped[0], "current": self.skipped[1]},
        }


def importance(
    reference: Table,
    current: Table,
    found: Comparison,
    bins: Mapping[str, Bins | None],
    score: str,
    *,
    engine: Engine,
) -> Importance | None:
    """Attribute the change of the mean of ``score`` to the columns that drifted.

    A column explains Σ (q_b - p_b) (E[s | b] - E[s]) over its bins b: p and q are the shares of
    rows in the reference and the current data, and the expected scores those of the reference. It
    is the effect of composition in Kitagawa ("Components of a difference between two rates", JASA
    50, 1955) and Oaxaca and Blinder (1973): what the mean would have done had the column moved and
    the score stayed what it was for each of its values. Columns that depend on each other explain
    the same change more than once, so the shares need not add up to 1, and none is a proof of
    cause. ``bins`` are what :func:`score_bins` gave for each column.

    None when either side has no row with a score. Raises what :func:`check_score` does.
    """
    tables = reference, current
    for table in tables:
        check_score(table, score)
    drifted = [name for name, column in found.columns.items() if column.drift and name != score]
    folds = [pair for name in drifted if (pair := bins[name]) is not None]
    overall = ConditionalMeans(score, score, edges=())
    sides = [
        engine.states(table, [overall, *(pair[i] for pair in folds)])
        for i, table in enumerate(tables)
    ]
    counts = [int(side[0].counts.sum()) for side in sides]
    if not all(counts):
        return None
    means = [float(side[0].sums.sum()) / n for side, n in zip(sides, counts, strict=True)]
    made = [
        _explained(fold.column, old, new, means[1] - means[0])
        for (fold, _), old, new in zip(folds, sides[0][1:], sides[1][1:], strict=True)
    ]
    ranked = tuple(sorted(made, key=lambda one: -abs(one.change)))
    return Importance(score, means[0], means[1], ranked, (sides[0][0].skipped, sides[1][0].skipped))


def check_score(table: Table, score: str) -> None:
    """Raise UnknownColumn where the table lacks the column, SchemaError where it holds neither
    numbers nor booleans."""
    check_columns(table, [score])
    dtype = table.schema.field(score).type
    if values.kind_of(dtype) not in {"integer", "float", "decimal", "boolean"}:
        raise SchemaError(
            f"Scores have to be numbers, not {dtype}.", where=f"{table.uri}, column {score!r}"
        )


def _explained(column: str, old: MeansState, new: MeansState, change: float) -> Explained:
    p, q = old.counts / old.counts.sum(), new.counts / new.counts.sum()
    seen = old.counts > 0
    means = old.sums[seen] / old.counts[seen] - old.sums.sum() / old.counts.sum()
    part = float(np.dot(q[seen] - p[seen], means))
    return Explained(column, part, part / change if change else None, float(q[~seen].sum()))


def score_bins(name: str, score: str, sketches: Sequence[Sketches]) -> Bins | None:
    """The Folds that take the mean score of each bin of a column, with the same bins on both sides:
    those of :func:`~dsm_dask.distances.bins.bin_edges`, or the 64 most frequent categories. None
    for columns that have none."""
    types = [side.schema.field(name).type for side in sketches]
    states = [side.columns[name] for side in sketches]
    if all("quantiles" in side for side in states):
        one, two = (distribution(side) for side in states)
        if one is None or two is None:
            return ConditionalMeans(name, score, edges=()), ConditionalMeans(name, score, edges=())
        units = _units(types, one.points.dtype == two.points.dtype)
        one, two = in_one_unit(one, two, (types[0], types[1]))
        edges = tuple(bin_edges(one, two).tolist())
        return (
            ConditionalMeans(name, score, edges, units[0]),
            ConditionalMeans(name, score, edges, units[1]),
        )
    if all("top" in side for side in states):
        counts = states[0]["counts"].values, states[1]["counts"].values
        hashes = categories(states[0]["top"], states[1]["top"], counts).hashes[:LARGEST, 0]
        fold = ConditionalMeans(name, score, hashes=tuple(hashes.tolist()))
        return fold, fold
    return None


def _units(types: Sequence[Any], alike: bool) -> tuple[float | None, float | None]:
    """What :func:`~dsm_dask.distances.distribution.in_one_unit` multiplied each side with."""
    if values.kind_of(types[0]) == "temporal":
        one, two = (seconds(dtype) for dtype in types)
        return (None, None) if one == two else (one, two)
    return (None, None) if alike else (1.0, 1.0)
