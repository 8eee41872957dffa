"""Keep the values among which a cut will be, before it is known which one it is.

How many rows of each cell are issues is known once the confident joint of all rows is; thresholds
from a few rows tell it within a few per cent. The values whose ranks are near to that are kept in
the same scan that counts the joint, so that no further one is needed to find the cut.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from dsm_dask.scores.confident_learning.nth_largest import (
    SLOTS,
    Cells,
    Places,
    Search,
    Words,
    begin,
    plan_of,
)
from dsm_dask.scores.confident_learning.sparse_counts import SparseCounts

_SPARE = 8
_SHARE = 32
"""Kept on either side: a few values, and one of so many of those above."""


@dataclasses.dataclass(frozen=True, eq=False)
class Brackets:
    """For each cell the interval of words of which all values are kept (both ends in it), and how
    many these are; ``plan`` for ``Narrowing``."""

    cells: Cells
    low: Words
    high: Words
    sizes: Places
    plan: bytes


def brackets(
    cells: Cells, totals: Places, bins: SparseCounts, shape: tuple[int, int]
) -> Brackets | None:
    """Around the ranks of ``cells``, by the counts of values by bin; ``totals``: rows of each cell.
    None where there are no such counts, or too many values would be kept."""
    spare = _SPARE + cells.ranks // _SHARE
    first = np.maximum(cells.ranks - spare, 1)
    last = np.minimum(cells.ranks + spare, totals)
    above = begin(dataclasses.replace(cells, ranks=first), totals, bins, shape)
    below = begin(dataclasses.replace(cells, ranks=last), totals, bins, shape)
    sizes = last - below.ranks + below.counts - (first - above.ranks)
    if not 0 < sizes.sum() <= SLOTS:
        return None
    problems, classes = shape
    shifts = np.full(len(sizes), -1)
    plan = plan_of(cells, below.low, above.high, sizes, shifts, problems * classes)
    return Brackets(cells, below.low, above.high, sizes, plan)


def answered(cells: Cells, search: Search, kept: Brackets, found: Words, classes: int) -> Search:
    """The search of ``cells``, ended where the value wanted is among those kept."""
    low, high = search.low.copy(), search.high.copy()
    ends = np.cumsum(kept.sizes)
    known = {name: i for i, name in enumerate(_names(kept.cells, classes))}
    names = _names(cells, classes)
    for place in np.flatnonzero(search.open).tolist():
        i = known.get(names[place])
        if i is None or low[place] < kept.low[i] or high[place] > kept.high[i]:
            continue
        values = found[ends[i] - kept.sizes[i] : ends[i]]  # in order
        stop = int(np.searchsorted(values, high[place], "right"))
        low[place] = high[place] = values[stop - int(search.ranks[place])]
    return Search(low, high, search.ranks, search.counts)


def _names(cells: Cells, classes: int) -> list[int]:
    names: list[int] = (cells.groups * (classes + 1) + cells.others + 1).tolist()
    return names
