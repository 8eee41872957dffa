"""Many comparisons of each column, over windows of time or slices, judged together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from dsm_dask.distances.distance import Distance
from dsm_dask.fold import Fold
from dsm_dask.monitoring.measure import Measured
from dsm_dask.monitoring.methods import THRESHOLDS, choose, note
from dsm_dask.monitoring.verdict import Verdict, judge
from dsm_dask.stats.count import Count
from dsm_dask.stats.group_profiles import Scan
from dsm_dask.stats.histogram import Histogram
from dsm_dask.stats.moments import Moments
from dsm_dask.stats.quantiles import Quantiles
from dsm_dask.stats.random_features import RandomFeatures
from dsm_dask.stats.top_values import TopValues

LEAST_ROWS = 30
"""Groups with fewer rows are not judged."""
_FOLDS: dict[type[Any], str] = {
    Count: "counts",
    Moments: "moments",
    Quantiles: "quantiles",
    TopValues: "top",
    Histogram: "histogram",
    RandomFeatures: "features",
}
"""The statistics that distances need, and how sketches name them. Of embeddings the smallest only:
the others take megabytes for each group."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One comparison of a column: a distance, and the verdict on it. ``level``: a distance that
    does not grow with the number of rows."""

    distance: Distance
    verdict: Verdict
    level: float


@dataclasses.dataclass(frozen=True)
class Row:
    """The comparisons of one column by one method; None where it could not be compared.
    ``method_note``: that it is not the one asked for."""

    method: str | None
    threshold: float | None
    cells: tuple[Cell | None, ...]
    method_note: str | None = None


def judge_all(
    measured: Mapping[str, Sequence[Measured | None]],
    method: str | None = None,
    threshold: float | None = None,
) -> dict[str, Row]:
    """Verdicts on all comparisons of all columns, with p-values adjusted over all of them.

    A column is judged by one method throughout: ``method`` where it suits the column, otherwise
    the one that suits the comparison with the median number of rows (see
    :func:`dsm_dask.monitoring.methods.choose`). Distances without a test of their own have to be
    significant by the Kolmogorov-Smirnov or chi-squared test, too, where there is one: groups
    differ in size, and small ones are always some distance apart.
    """
    methods = {name: _method(found, method) for name, found in measured.items()}
    thresholds = {
        name: THRESHOLDS[chosen] if threshold is None or chosen != method else threshold
        for name, chosen in methods.items()
        if chosen is not None
    }
    asked = [
        (name, index, one)
        for name, cells in measured.items()
        for index, one in enumerate(cells)
        if one is not None
    ]
    distances = [_tested(one, methods[name]) for name, _, one in asked]
    found = [
        None if distance is None else (methods[name] or "", thresholds[name], distance)
        for (name, _, _), distance in zip(asked, distances, strict=True)
    ]
    verdicts = judge(found, [one.missing for _, _, one in asked])
    made: dict[str, list[Cell | None]] = {name: [None] * len(c) for name, c in measured.items()}
    for (name, index, one), distance, verdict in zip(asked, distances, verdicts, strict=True):
        made[name][index] = _cell(one, distance, verdict, methods[name])
    return {
        name: Row(used, thresholds.get(name), tuple(made[name]), note(method, used))
        for name, used in methods.items()
    }


def _cell(
    one: Measured, distance: Distance | None, verdict: Verdict, method: str | None
) -> Cell | None:
    shown = distance or one.missing
    if shown is None:
        return None
    level = one.distances.get("js", shown) if method == "chi2" else shown
    return Cell(shown, verdict, level.value)


def _method(found: Sequence[Measured | None], wanted: str | None) -> str | None:
    known = [one for one in found if one is not None and one.distances]
    if not known:
        return None
    everywhere = set.intersection(*(set(one.distances) for one in known))
    if wanted in everywhere:
        return wanted
    typical = sorted(known, key=lambda one: one.fewest)[len(known) // 2]
    common = {k: v for k, v in typical.distances.items() if k in everywhere}
    return choose(common or typical.distances, fewest=typical.fewest, preferred=typical.preferred)


def _tested(one: Measured, method: str | None) -> Distance | None:
    distance = one.distances.get(method or "")
    tests = [one.distances[name] for name in ("ks", "chi2") if name in one.distances]
    if distance is None or distance.p_value is not None or not tests:
        return distance
    return dataclasses.replace(distance, p_value=tests[0].p_value, p_error=tests[0].p_error)


def drift_folds(schema: pa.Schema, names: Sequence[str]) -> list[Fold[Any, Any]]:
    """The statistics of columns that their distances need."""
    return [kind(n) for n in names for kind in _FOLDS if kind.accepts(schema.field(n).type)]


def by_column(scan: Scan, key: int) -> dict[str, dict[str, Any]]:
    """States of a group by column and kind, as :class:`~dsm_dask.stats.sketches.Sketches` has
    them; none for a group that the scan did not meet."""
    found: dict[str, dict[str, Any]] = {}
    for fold, state in zip(scan.folds, scan.results.get(key, ()), strict=False):
        found.setdefault(fold.columns[0], {})[_FOLDS[type(fold)]] = state
    return found


def without_pictures(one: Measured | None) -> Measured | None:
    """Only what verdicts need: there may be very many."""
    return None if one is None else dataclasses.replace(one, chart=None, bins=None)
