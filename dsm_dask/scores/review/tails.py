"""How few rows have a score as suspicious as a given one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec
from dsm_dask.engine import Engine
from dsm_dask.fold import Fold
from dsm_dask.scores.review.measures import Measure
from dsm_dask.stats.extremes import Extremes
from dsm_dask.stats.quantiles import Quantiles, QuantilesState, ranks
from dsm_dask.table import Table

Floats = npt.NDArray[np.float64]


@codec.state("scores.distribution", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Distribution:
    """Different ``values`` of a column in order; how many rows have ``less`` than each, and how
    many have no more, ``upto``; ``count``: of all rows that have one."""

    values: Floats
    less: Floats
    upto: Floats
    count: int

    def tail(self, numbers: Floats, more: bool) -> Floats:
        """The share of rows with at least this much (at most, unless ``more``): from 1 / (2 count)
        to 1; NaN for NaN.

        >>> found = Distribution(*map(np.array, ([1.0, 2], [0.0, 3], [3.0, 4])), 4)
        >>> found.tail(np.array([1.0, 2.0]), True).tolist()
        [1.0, 0.25]
        """
        if not self.count:
            return np.full(len(numbers), np.nan)
        place = np.searchsorted(self.values, numbers)
        at = np.minimum(place, len(self.values) - 1)
        exact = self.values[at] == numbers
        # between two values, and beyond the last: in proportion
        known = np.stack([self.values, self.values], 1).reshape(-1)
        counts = np.stack([self.less, self.upto], 1).reshape(-1)
        between = np.interp(numbers, known, counts)
        if more:
            found = self.count - np.where(exact, self.less[at], between)
        else:
            found = np.where(exact, self.upto[at], between)
        return np.where(np.isnan(numbers), np.nan, np.clip(found, 0.5, self.count) / self.count)


def distributions(
    table: Table, measures: tuple[Measure, ...], engine: Engine
) -> dict[str, Distribution]:
    """Of the columns of some measures, by column, from states that are kept beside a dataset."""
    folds: list[Fold[Any, Any]] = []
    for measure in measures:
        folds += [Quantiles(measure.column), Extremes(measure.column)]
    states = iter(engine.states(table, folds, label="Reading scores")) if folds else iter(())
    found = {}
    for measure in measures:
        told, ends = next(states), Extremes(measure.column).finish(next(states))
        found[measure.column] = _distribution(told, ends.min, ends.max)
    return found


def _distribution(state: QuantilesState, low: Any, high: Any) -> Distribution:
    told = ranks(state)
    if not told.count:
        return Distribution(np.empty(0), np.empty(0), np.empty(0), 0)
    points = told.points.astype(np.float64)
    values, first, often = np.unique(points, return_index=True, return_counts=True)
    last = first + often - 1
    upto = told.ends[last]
    less = np.concatenate([[0.0], upto[:-1]])
    # A point that stands for several values is the one in their middle; several equal points, or
    # one of weight 1, are that many equal values.
    middle = (often == 1) & (upto - less > 1)
    centre = (less + upto) / 2
    less, upto = np.where(middle, centre, less), np.where(middle, centre, upto)
    ends = [(low, 0.0, 1.0), (high, told.count - 1.0, float(told.count))]
    for value, before, until in ends:
        if value is not None and value not in (values[0], values[-1]):
            at = 0 if value < values[0] else len(values)
            values = np.insert(values, at, value)
            less, upto = np.insert(less, at, before), np.insert(upto, at, until)
    return Distribution(values, less, upto, told.count)
