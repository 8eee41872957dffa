"""The n-th largest of many values, for many cells at once, exactly and in bounded memory.

A cell is a set of rows and a number for each of them (rows labelled i, and how much likelier class
j is; see ``label_filters``). Each pass over the data narrows the interval of
each cell that has the value in it: it counts the values by slots of the interval, or, when few
enough are left above, keeps them. Munro and Paterson, "Selection and sorting with limited storage",
Theoretical Computer Science 12, 1980. Intervals are of words that order as floats do, so there
is an end to it, and what is found is a value that some row has, or a limit that parts them alike.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.engine import Engine
from dsm_dask.scores.confident_learning.confident_joint import scale_for
from dsm_dask.scores.confident_learning.labelled import Labelled
from dsm_dask.scores.confident_learning.row_quality import Quality
from dsm_dask.scores.confident_learning.sparse_counts import SparseCounts
from dsm_dask.scores.probabilities.class_values import Bools
from dsm_dask.table import Table

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

SLOTS = 1 << 18
"""Words of all cells together that a pass counts or keeps."""
LEAST = 16
"""... but so many for each cell."""
LARGEST = np.uint64((1 << 64) - 1)
ZERO = np.uint64(1 << 63)
"""The word of 0.0."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """``groups``: int64, in order, which rows: problem · classes + label; or one past all of these
    for a cell of all rows, whose value is minus their quality. ``others``: int32, the class whose
    probability, less that of the label, is the value; -1: minus that of the label. ``ranks``:
    int64, from 1: which largest is wanted."""

    groups: Places
    others: npt.NDArray[np.int32]
    ranks: Places

    def starts(self, groups: int) -> Places:
        """Where the cells of each group begin."""
        return np.searchsorted(self.groups, np.arange(groups + 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """For each cell the interval of words that has the value (``low`` to ``high``, both in it), the
    rank of it there, and how many values there are. It has ended where ``low`` is
    the answer: where both are equal, or all in the interval are wanted."""

    low: Words
    high: Words
    ranks: Places
    counts: Places

    @property
    def open(self) -> Bools:
        found: Bools = (self.low < self.high) & (self.ranks != self.counts)
        return found


def words(numbers: npt.NDArray[np.float64]) -> Words:
    """Words that order as numbers do; no two zeros.

    >>> bool((np.diff(words(np.array([-1.5, -0.0, 0.5]))) > 0).all())
    True
    """
    bits = (np.asarray(numbers, np.float64) + 0.0).view(np.uint64)
    found: Words = np.where(bits < ZERO, bits ^ ZERO, ~bits)
    return found


def numbers(found: Words) -> npt.NDArray[np.float64]:
    """What :func:`words` was given; of words below all numbers, minus infinity."""
    bits = np.where(found >= ZERO, found ^ ZERO, ~found)
    values = bits.view(np.float64)
    return np.where(found < words(np.array([-np.inf]))[0], -np.inf, values)


def begin(cells: Cells, totals: Places, bins: SparseCounts, shape: tuple[int, int]) -> Search:
    """What the counts by bin of the confident joint tell of each cell. ``totals``: rows of each
    cell."""
    count = len(cells.groups)
    search = Search(np.zeros(count, np.uint64), np.full(count, LARGEST), cells.ranks, totals)
    problems, classes = shape
    scale = scale_for(problems, classes)
    inside = cells.groups < problems * classes
    if not scale or not inside.any():
        return search
    low, high = search.low.copy(), search.high.copy()
    ranks, counts = search.ranks.copy(), search.counts.copy()
    for place in np.flatnonzero(inside).tolist():
        group, other = int(cells.groups[place]), int(cells.others[place])
        is_class = other < 0
        first = (group * classes + (group % classes if is_class else other)) * (scale + 1)
        start, stop = np.searchsorted(bins.places, [first, first + scale + 1])
        edges, below = _edges(scale, is_class)
        held = bins.places[start:stop] - first
        found = _descend(held, bins.counts[start:stop], int(ranks[place]))
        if found is None:  # farther down than any bin
            high[place] = below
            ranks[place] -= bins.counts[start:stop].sum()
            counts[place] -= bins.counts[start:stop].sum()
        else:
            slot, ranks[place], counts[place] = found
            low[place] = edges[slot]
            high[place] = edges[slot + 1] - np.uint64(1) if slot < scale else LARGEST
    return Search(low, high, ranks, counts)


@functools.cache
def _edges(scale: int, is_class: bool) -> tuple[Words, np.uint64]:
    """Least words of the bins, and the greatest of what is in none."""
    edges = words(np.arange(scale + 1) / scale - (1 if is_class else 0))
    if is_class:
        edges[0] = 0
        return edges, np.uint64(0)
    edges[0] = ZERO + np.uint64(1)  # margins above zero only
    return edges, ZERO


def _descend(slots: Places, counts: Places, rank: int) -> tuple[int, int, int] | None:
    """The slot with the ``rank``-th largest, the rank of it there, and the slot's count."""
    above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(above, rank))
    if place == len(above):
        return None
    at = len(counts) - 1 - place
    return int(slots[at]), rank - int(above[place] - counts[at]), int(counts[at])


@codec.state("scores.narrowing", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Slots:
    """uint64: counts by slot, or the largest words kept, cell after cell."""

    words: Words


@dataclasses.dataclass(frozen=True)
class Narrowing:
    """One pass of the search: for each open cell, counts of the values by slots of its interval, or
    the largest values in it.

    ``plan`` are the open cells, as :func:`planned` gives them. State: 8 bytes for each of at most
    262,144 slots, or 16 for each cell if that is more.
    """

    labelled: Labelled
    quality: Quality | None
    plan: bytes

    @property
    def columns(self) -> tuple[str, ...]:
        return self.labelled.columns

    def init(self) -> Slots:
        return Slots(np.zeros(int(_plan(self.plan)["firsts"][-1]), np.uint64))

    def update(self, state: Slots, batch: pa.RecordBatch) -> Slots:
        from dsm_dask.scores.confident_learning.kernels import offer_cells, offer_values

        plan, found = _plan(self.plan), state.words.copy()
        problems, classes = self.labelled.shape
        starts, firsts = plan["starts"], plan["firsts"]
        offered = plan["others"], plan["low"], plan["high"], plan["shifts"], firsts
        if starts[problems * classes]:
            for place, one in enumerate(self.labelled.problems(batch)):
                group = place * classes
                offer_cells(one.probabilities, one.labels, group, starts, *offered, found)
        if self.quality is not None:
            values, nulls = self.quality.read(batch)
            for cell in range(starts[problems * classes], len(firsts) - 1):
                slots = found[firsts[cell] : firsts[cell + 1]]
                bounds = plan["low"][cell], plan["high"][cell], plan["shifts"][cell]
                offer_values(-values, nulls, *bounds, slots)
        return Slots(found)

    def merge(self, left: Slots, right: Slots) -> Slots:
        plan = _plan(self.plan)
        firsts = plan["firsts"]
        found = left.words + right.words
        for cell in np.flatnonzero(plan["shifts"] < 0).tolist():
            own = slice(firsts[cell], firsts[cell + 1])
            both = np.concatenate([left.words[own], right.words[own]])
            both.sort()
            found[own] = both[-(own.stop - own.start) :]  # sorted is a heap, too
        return Slots(found)

    def seal(self, state: Slots) -> Slots:
        return self.merge(self.init(), state)

    def finish(self, state: Slots) -> Words:
        return self.seal(state).words


def planned(cells: Cells, search: Search, groups: int) -> bytes:
    """The open cells and their slots, for :class:`Narrowing`; ``groups``: problems · classes."""
    places = np.flatnonzero(search.open)
    ranks, low, high = search.ranks[places], search.low[places], search.high[places]
    each = max(LEAST, SLOTS // max(1, len(places)))
    sizes, shifts = np.minimum(ranks, each), np.full(len(places), -1)
    for i in np.flatnonzero(ranks > each).tolist():
        width = int(high[i]) - int(low[i]) + 1
        shift = (-(-width // each) - 1).bit_length()
        shifts[i], sizes[i] = shift, -(-width >> shift)
    chosen = Cells(cells.groups[places], cells.others[places], ranks)
    return plan_of(chosen, low, high, sizes, shifts, groups)


def plan_of(
    cells: Cells, low: Words, high: Words, sizes: Places, shifts: Places, groups: int
) -> bytes:
    """Intervals of cells, and what is made of the values in them: counts by ``sizes`` slots of
    2^shift words each; or, with a shift of -1, as many of the largest are kept."""
    return codec.encode(
        {
            "starts": cells.starts(groups + 1),
            "others": cells.others,
            "low": low,
            "high": high,
            "shifts": shifts.astype(np.int64),
            "firsts": np.append(0, np.cumsum(sizes)).astype(np.int64),
        }
    )


@functools.lru_cache(maxsize=4)
def _plan(encoded: bytes) -> dict[str, Any]:
    found: dict[str, Any] = codec.decode(encoded)
    return found


def narrowed(search: Search, plan: bytes, found: Words) -> Search:
    """The search after a pass."""
    low, high = search.low.copy(), search.high.copy()
    ranks, counts = search.ranks.copy(), search.counts.copy()
    told = _plan(plan)
    firsts, shifts = told["firsts"], told["shifts"].tolist()
    for i, place in enumerate(np.flatnonzero(search.open).tolist()):
        slots = found[firsts[i] : firsts[i + 1]]
        if shifts[i] < 0:
            low[place] = high[place] = slots[0]
            continue
        held = np.flatnonzero(slots)
        at = _descend(held, slots[held].astype(np.int64), int(ranks[place]))
        if at is None:
            raise AssertionError("fewer values than were counted")
        slot, ranks[place], counts[place] = at
        start = int(low[place]) + (slot << shifts[i])
        end = min(int(high[place]), start + (1 << shifts[i]) - 1)
        low[place], high[place] = np.uint64(start), np.uint64(end)
    return Search(low, high, ranks, counts)


def cuts(
    table: Table, labelled: Labelled, quality: Quality | None, cells: Cells, search: Search,
    engine: Engine,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """The value of each cell from which on rows are wanted: float64. Ties with it are, too."""
    problems, classes = labelled.shape
    while search.open.any():
        plan = planned(cells, search, problems * classes)
        fold = Narrowing(labelled, quality, plan)
        search = narrowed(search, plan, engine.fold(table, fold, label="Finding cuts").result)
    return numbers(search.low)
