"""How far a number would move if other items had been drawn: intervals, from one pass.

Items are put into groups by a hash of their names, and statistics are kept for each group. At the
end groups are drawn with replacement, as often as there are groups with items, and the number is
computed from the sums of what was drawn: the bootstrap of random groups (Efron, "Bootstrap methods:
another look at the jackknife", 1979; Wolter, "Introduction to variance estimation", 2007, on random
groups). With fewer items than groups that is nearly the bootstrap of items. Which group an item is
in depends on its name alone, so that statistics of groups merge, and an item costs the same however
many draws are made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dsm_dask import codec

Floats = npt.NDArray[np.float64]

GROUPS = 128
"""The standard error that they give is itself right to 1 / sqrt(2 * 127), 6 %."""
LEAST_GROUPS = 16
"""Fewer tell nothing."""
CELLS = 1 << 20
"""Numbers in all groups together: where there are more for one, there are fewer groups."""

DRAWS = 1000
LEVEL = 0.95
SEED = 1


@codec.state("scores.estimate", 1)
@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with the interval that holds the middle 95 % of its bootstrap distribution. None
    where it is not defined; no interval from fewer than two items."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        return dataclasses.asdict(self)


def groups_for(cells: int) -> int:
    """How many groups of so many numbers each are kept; 1 when they would be too few.

    >>> groups_for(100), groups_for(10_000), groups_for(1_000_000)
    (128, 104, 1)
    """
    fit = min(GROUPS, CELLS // max(cells, 1))
    return fit if fit >= LEAST_GROUPS else 1


def drawn(items: npt.NDArray[np.int64]) -> Floats:
    """How often each group is drawn, of shape (1 + draws, groups): first each once, then at random,
    the same every time. ``items`` of each group; empty ones are not drawn."""
    filled = np.flatnonzero(items)
    if len(filled) < 2:
        return np.ones((1, len(items)))
    random = np.random.default_rng(SEED)
    found = np.zeros((1 + DRAWS, len(items)))
    found[0] = 1
    found[1:, filled] = random.multinomial(
        len(filled), np.full(len(filled), 1 / len(filled)), size=DRAWS
    )
    return found


def estimate(weights: Floats, statistic: Callable[[Floats], Floats]) -> Estimate:
    """From what :func:`drawn` gave, and a function of it: the number for each row, NaN where it is
    not defined.

    >>> totals, counts = np.array([1.0, 3.0, 2.0]), np.array([2.0, 3.0, 3.0])
    >>> found = estimate(drawn(counts.astype(int)), lambda w: (w @ totals) / (w @ counts))
    >>> found.value, found.low, found.high
    (0.75, 0.5, 1.0)
    """
    rows = max(1, CELLS // max(weights.shape[1], 1))
    parts = [statistic(weights[i : i + rows]) for i in range(0, len(weights), rows)]
    numbers = np.concatenate(parts)
    first, rest = numbers[0], numbers[1:]
    rest = rest[np.isfinite(rest)]
    if not np.isfinite(first):
        return Estimate(None)
    if not len(rest):
        return Estimate(float(first))
    low, high = np.quantile(rest, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(first), float(low), float(high))
