"""Partitions that look unlike the others, told from the states of a profile."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import codec
from dsm_dask.fold import Fold
from dsm_dask.stats.count import Count
from dsm_dask.stats.distinct import Distinct
from dsm_dask.stats.lengths import Lengths
from dsm_dask.stats.moments import Moments
from dsm_dask.stats.quantiles import Quantiles, ranks

WHOLE = 1024
"""Up to so many partitions, the figures of all are kept."""
SAMPLE = 256
ENDS = 3
"""Of more partitions: those of a sample, and of the so many lowest and highest of each figure."""
FEWEST = 8
"""Fewer partitions have no outliers."""
SHOWN = 50
LIMIT = 5.0
"""An outlier's score: robust standard deviations away from the median."""
EFFECT = 0.25
"""A mean or median has to be so many standard deviations of the values away, too."""
SHARE = 0.05
"""... a share of nulls so much, ..."""
DISTINCT = 0.2
"""... a share of distinct values so much, ..."""
RATIO = math.log(1.5)
"""... and rows, spreads and lengths by a factor of 1.5."""

STATISTICS = ("null_share", "nan_share", "mean", "std", "median", "distinct_share", "length")

Row = npt.NDArray[np.float64]


@codec.state("stats.partition_outliers", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class PartitionsState:
    """Labels and figures of some of ``count`` partitions, in order of the labels' hashes.
    ``figures`` has shape (kept, 1 + columns * statistics): rows, then :data:`STATISTICS` of each
    column; NaN where there is none."""

    count: int = 0
    labels: tuple[str, ...] = ()
    hashes: npt.NDArray[np.uint64] | None = None
    figures: npt.NDArray[np.float64] | None = None


@dataclasses.dataclass(frozen=True)
class PartitionOutlier:
    """``value`` of a partition, where the others have about ``typical``; ``score`` robust standard
    deviations apart. ``column`` is None for the number of rows."""

    partition: str
    column: str | None
    statistic: str
    value: Any
    typical: Any
    score: float


@dataclasses.dataclass(frozen=True)
class Outliers:
    """Highest scores first, for each partition and column the most telling statistic; ``more``
    were found than are listed. ``compared`` partitions of ``partitions`` were looked at."""

    partitions: int = 0
    compared: int = 0
    found: tuple[PartitionOutlier, ...] = ()
    more: int = 0


@dataclasses.dataclass(frozen=True)
class PartitionOutliers:
    """Which partitions look unlike the rest: a fold over partitions, given the states that
    ``folds`` left of each.

    Figures: rows, and for each column the shares of nulls, NaN and distinct values, mean, standard
    deviation, median, and mean length; dates and times as stored numbers, with the interquartile
    range / 1.349 for a standard deviation, which is not compared. A figure is an outlier when it is
    more than 5 robust standard deviations from the median of all partitions (1.4826 times the
    median absolute deviation: Rousseeuw and Croux, "Alternatives to the median absolute deviation",
    1993), to which the sampling error of a partition of its size is added; and when the difference
    matters: a quarter of a standard deviation of the values, 5 % of nulls, 20 % of distinct values
    (among partitions of about the same rows only), a factor of 1.5. Constant columns have none.

    Up to 1,024 partitions are compared. Of more, a sample of 256 (the smallest hashes of labels)
    says what is typical, and the three lowest and highest of each figure are compared with it. So
    at most max(1,024, 256 + 6 f) times f numbers are kept, where f is 1 + 7 for each column: 0.7 MB
    for 12 columns. The result does not depend on the order of merging.

    >>> import pyarrow as pa
    >>> from dsm_dask.fold import merge_all, update_all
    >>> outliers = PartitionOutliers((Count("x"), Moments("x")))
    >>> def states(low):
    ...     batch = pa.record_batch({"x": [low, low + 1.0, low + 2.0, low + 3.0]})
    ...     return tuple(update_all(fold, [batch]) for fold in outliers.folds)
    >>> seen = [outliers.observe(f"part-{i}", states(100 * (i == 7))) for i in range(20)]
    >>> [(o.partition, o.statistic) for o in outliers.finish(merge_all(outliers, seen)).found]
    [('part-7', 'mean')]
    """

    folds: tuple[Fold[Any, Any], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that have figures, in the order of the Folds."""
        return tuple(dict.fromkeys(f.column for f in self.folds if isinstance(f, Count)))

    def init(self) -> PartitionsState:
        return PartitionsState()

    def observe(self, label: str, states: Sequence[Any]) -> PartitionsState:
        """The state of one partition, given what :attr:`folds` left of it."""
        known: dict[str, dict[type[Any], Any]] = {name: {} for name in self.columns}
        for fold, state in zip(self.folds, states, strict=True):
            if type(fold) in _KINDS and fold.columns[0] in known:
                known[fold.columns[0]][type(fold)] = (fold, state)
        rows = [found[Count][0].finish(found[Count][1]).count for found in known.values()]
        figures = [float(max(rows, default=0))]
        for found in known.values():
            figures += _figures(found)
        seed = np.array([xxhash.xxh3_64_intdigest(label.encode())], np.uint64)
        return PartitionsState(1, (label,), seed, np.array([figures]))

    def merge(self, left: PartitionsState, right: PartitionsState) -> PartitionsState:
        if left.figures is None or right.figures is None:
            return right if left.figures is None else left
        hashes = np.concatenate([_known(left.hashes), _known(right.hashes)])
        figures = np.concatenate([left.figures, right.figures])
        labels = np.array([*left.labels, *right.labels], object)
        order = np.lexsort((labels.astype(str), hashes))
        count = left.count + right.count
        kept = order[_kept(figures[order])] if count > WHOLE else order
        return PartitionsState(count, tuple(labels[kept]), hashes[kept], figures[kept])

    def finish(self, state: PartitionsState) -> Outliers:
        if state.figures is None or state.count < FEWEST:
            return Outliers(state.count, 0 if state.figures is None else len(state.figures))
        figures = state.figures
        typical = figures if state.count <= WHOLE else figures[:SAMPLE]
        best: dict[tuple[int, str | None], PartitionOutlier] = {}
        for column, statistic, place in self._places():
            with np.errstate(over="ignore", invalid="ignore"):  # figures near 1e308
                scores, middle = _scores(figures, typical, place, statistic)
            for row in np.flatnonzero(scores > LIMIT).tolist():
                key, score = (row, column), float(scores[row])
                if key not in best or score > best[key].score:
                    value = float(figures[row, place])
                    best[key] = PartitionOutlier(
                        state.labels[row], column, statistic, value, middle, score
                    )
        found = sorted(best.values(), key=_rank)
        more = max(0, len(found) - SHOWN)
        return Outliers(state.count, len(figures), tuple(found[:SHOWN]), more)

    def _places(self) -> list[tuple[str | None, str, int]]:
        """Column, statistic, and where its figure is."""
        width = len(STATISTICS)
        places: list[tuple[str | None, str, int]] = [(None, "rows", 0)]
        spread = {f.columns[0] for f in self.folds if isinstance(f, Moments)}
        for i, column in enumerate(self.columns):
            places += [
                (column, name, 1 + i * width + j)
                for j, name in enumerate(STATISTICS)
                if name != "std" or column in spread
            ]
        return places


def combined(parts: Sequence[Outliers]) -> Outliers:
    """What several scans of the same table found, each of other columns."""
    best: dict[tuple[str, str | None], PartitionOutlier] = {}
    for one in (one for part in parts for one in part.found):
        best.setdefault((one.partition, one.column), one)
    found = sorted(best.values(), key=_rank)
    more = sum(part.more for part in parts) + max(0, len(found) - SHOWN)
    partitions = max((part.partitions for part in parts), default=0)
    compared = max((part.compared for part in parts), default=0)
    return Outliers(partitions, compared, tuple(found[:SHOWN]), more)


def _rank(one: PartitionOutlier) -> tuple[float, str, str]:
    return -one.score, one.partition, one.column or ""


_KINDS = frozenset({Count, Moments, Quantiles, Distinct, Lengths})


def _figures(found: dict[type[Any], Any]) -> list[float]:
    """The statistics of a column; NaN for those it does not have."""
    results = {
        kind: fold.finish(state) for kind, (fold, state) in found.items() if kind != Quantiles
    }
    moments, distinct, lengths = (results.get(kind) for kind in (Moments, Distinct, Lengths))
    counts = results[Count]
    median, spread = _middle(found[Quantiles][1]) if Quantiles in found else (math.nan, math.nan)
    rows = counts.count or math.nan
    known = counts.count - counts.nulls - counts.nan
    return [
        counts.nulls / rows,
        counts.nan / rows,
        _number(moments.mean if moments else None),
        _number(moments.std) if moments else spread,
        median,
        distinct.count / known if distinct and known else math.nan,
        _number(lengths.mean if lengths else None),
    ]


def _middle(state: Any) -> tuple[float, float]:
    """Median, and interquartile range as a standard deviation; of stored numbers."""
    found = ranks(state)
    if not found.count:
        return math.nan, math.nan
    slots = np.searchsorted(found.ends, np.array([0.25, 0.5, 0.75]) * found.count)
    points = found.points[np.minimum(slots, len(found.points) - 1)]
    low, median, high = points.astype(np.float64).tolist()
    return _number(median), _number((high - low) / 1.349)


def _number(value: float | None) -> float:
    return math.nan if value is None or not math.isfinite(value) else value


def _kept(figures: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Rows of the sample and of the ends of each figure; ties go to those that come first."""
    chosen = set(range(min(SAMPLE, len(figures))))
    for column in figures.T:
        known = np.flatnonzero(~np.isnan(column))
        for sign in (1, -1):
            order = np.argsort(sign * column[known], kind="stable")
            chosen.update(known[order[:ENDS]].tolist())
    return np.array(sorted(chosen), np.int64)


def _scores(
    figures: npt.NDArray[np.float64],
    typical: npt.NDArray[np.float64],
    place: int,
    statistic: str,
) -> tuple[Row, float]:
    """How far each partition is out, 0 where it does not matter; and the typical figure."""
    found, sample = figures[:, place], typical[:, place]
    sample = sample[~np.isnan(sample)]
    if len(sample) < FEWEST:
        return np.zeros(len(found)), math.nan
    middle = float(np.median(sample))
    rows = np.maximum(figures[:, 0], 1)
    effect, error = _least(typical, place, statistic, middle, rows)
    if statistic in {"rows", "std", "length"}:
        # as factors; a thousandth of the typical figure stands for nothing at all
        least = max(abs(middle), 1e-300) / 1000
        found, sample = (np.log(np.maximum(x, least)) for x in (found, sample))
    centre = np.median(sample)
    spread = 1.4826 * float(np.median(np.abs(sample - centre)))
    away = np.abs(found - centre)
    scale = np.maximum(np.hypot(spread, error), effect / LIMIT)
    scores = np.divide(away, scale, out=np.zeros(len(found)), where=scale > 0)
    scores[np.isnan(away) | (away < effect)] = 0
    if statistic == "distinct_share":
        usual = np.median(typical[:, 0])
        scores[(rows < usual / 2) | (rows > usual * 2)] = 0
    return scores, middle


def _least(
    typical: npt.NDArray[np.float64], place: int, statistic: str, middle: float, rows: Row
) -> tuple[float, Row | float]:
    """The difference that matters, and the standard error of a partition with so many rows."""
    if statistic in {"null_share", "nan_share"}:
        return SHARE, np.sqrt(middle * (1 - middle) / rows)
    if statistic == "distinct_share":
        return DISTINCT, 0.0
    if statistic not in {"mean", "median"}:
        return RATIO, 0.0
    spreads = typical[:, place + STATISTICS.index("std") - STATISTICS.index(statistic)]
    spreads = spreads[~np.isnan(spreads)]
    std = float(np.median(spreads)) if len(spreads) else 0.0
    # of a column that is constant within partitions, any difference but rounding matters
    return max(EFFECT * std, 1e-9 * abs(middle)), std / np.sqrt(rows)


def _known(hashes: npt.NDArray[np.uint64] | None) -> npt.NDArray[np.uint64]:
    return np.empty(0, np.uint64) if hashes is None else hashes
