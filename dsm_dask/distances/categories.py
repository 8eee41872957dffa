"""Common bins of two categorical columns."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask.distances.binned import Binned, Floats
from dsm_dask.distances.overlap import Overlap
from dsm_dask.hashing import U64
from dsm_dask.stats.top_values import TopValuesState

Int64 = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Categories:
    """Both sides in bins of one category each, the largest in the reference first: ``values`` has
    them as (shortened) Arrow values, ``hashes`` (n, 2) as hashes. The last bin holds all categories
    that have none, and is there even if there are none.

    ``new`` and ``vanished`` are the positions of categories that are certainly missing on the other
    side."""

    reference: Binned
    current: Binned
    values: pa.Array
    hashes: U64
    new: Int64
    vanished: Int64


def categories(
    reference: TopValuesState,
    current: TopValuesState,
    counts: tuple[int, int],
    common: Overlap | None = None,
) -> Categories:
    """Match the categories of two summaries by their hashes; ``counts`` are the numbers of values
    of both sides.

    Of a summary that is not exact, counts may be too small by its ``error``, so a category has a
    bin only if it is certainly among the more frequent ones of either side (counted at more than
    the error). What the other bin hides widens the error of every distance, but for what is known
    of it from the numbers of distinct values that both sides have in ``common``.

    >>> from dsm_dask.fold import update_all
    >>> from dsm_dask.stats.top_values import TopValues
    >>> a, b = (update_all(TopValues("x"), [pa.record_batch({"x": list(t)})]) for t in ("aab", "b"))
    >>> found = categories(a, b, (3, 1))
    >>> found.values.to_pylist(), found.current.shares.tolist(), found.vanished.tolist()
    (['a', 'b'], [0.0, 1.0, 0.0], [0])
    """
    sides = reference, current
    named = [side.counts > side.error if side.error else side.counts > 0 for side in sides]
    hashes = np.concatenate([s.hashes[keep] for s, keep in zip(sides, named, strict=True)])
    hashes = np.unique(hashes, axis=0) if len(hashes) else hashes.reshape(0, 2)
    slots = [_find(side.hashes, hashes) for side in sides]
    found = [_at(side.counts, slot) for side, slot in zip(sides, slots, strict=True)]
    order = np.lexsort((hashes[:, 0], -found[1], -found[0]))
    one, other = (
        _binned(side, n, count[order], slot[order])
        for side, n, count, slot in zip(sides, counts, found, slots, strict=True)
    )
    if common is not None and reference.error and current.error:
        one, other = _overlapping((one, other), found, common)
    return Categories(
        reference=one,
        current=other,
        values=_values(sides, [slot[order] for slot in slots]),
        hashes=hashes[order],
        new=_missing(slots[0][order], reference),
        vanished=_missing(slots[1][order], current),
    )


def _find(known: U64, wanted: U64) -> Int64:
    """Where each hash is among those known, or -1."""
    slots = {(low, high): slot for slot, (low, high) in enumerate(known.tolist())}
    return np.array([slots.get((low, high), -1) for low, high in wanted.tolist()], np.int64)


def _at(counts: Int64, slots: Int64) -> Int64:
    return np.where(slots >= 0, np.append(counts, 0)[slots], 0)


def _binned(side: TopValuesState, count: int, counts: Int64, slots: Int64) -> Binned:
    """Counts lie in [count, count + error]; the middle is off by half the error at most. The rest
    has no more than what the named ones leave."""
    known = counts.astype(np.float64)
    high = np.minimum(known + side.error, count)
    middle = (known + high) / 2
    if not side.error:
        rest_low = rest_high = max(0.0, count - float(known.sum()))
    else:
        rest_low, rest_high = max(0.0, count - float(high.sum())), count - float(known.sum())
        middle = _fitting(middle, known, count)
    rest = max(0.0, count - float(middle.sum()))
    total = max(count, 1)
    return Binned(
        shares=np.append(middle, rest) / total,
        low=np.append(known, rest_low) / total,
        high=np.append(high, rest_high) / total,
        count=count,
        rare=min(1.0, 2 * side.error / total),
    )


def _overlapping(
    sides: tuple[Binned, Binned], named: list[Int64], common: Overlap
) -> tuple[Binned, Binned]:
    """Both sides with what is known of their rare categories.

    Of the categories that a side has for itself all but the named ones are rare, and have one row
    each at least; those on both sides are no larger than the largest rare one. The estimate takes
    all rare categories of a side for equally large.
    """
    bins, both = len(named[0]), int(np.count_nonzero((named[0] > 0) & (named[1] > 0)))
    least = max(0, common.both - common.error - bins)
    about, most = (max(0, common.both + e - both) for e in (0, common.error))
    room = min(int(side.high[-1] * side.count) for side in sides)
    made = []
    lone = common.vanished - common.vanished_error, common.new - common.new_error
    known = common.reference, common.current
    for side, counts, least_own, distinct in zip(sides, named, lone, known, strict=True):
        share, low, high = (float(x[-1]) for x in (side.shares, side.low, side.high))
        own = least_own - (bins - both)
        alone = min(high, max(0.0, own / side.count, low - most * side.rare))
        rare = max(1, about, distinct - int(np.count_nonzero(counts)))
        guess = min(share * (1 - about / rare), share - about / side.count)
        made.append(
            dataclasses.replace(side, alone=alone, about=max(alone, guess), common=min(least, room))
        )
    return made[0], made[1]


def _fitting(middle: Floats, low: Floats, count: int) -> Floats:
    """Estimates that add up to no more than there are values."""
    excess = float(middle.sum()) - count
    spare = float((middle - low).sum())
    return middle - (middle - low) * (excess / spare) if excess > 0 and spare > 0 else middle


def _missing(slots: Int64, side: TopValuesState) -> Int64:
    """Positions of categories that a side does not have; none are sure unless it is exact."""
    return np.flatnonzero(slots < 0) if not side.error else np.empty(0, np.int64)


def _values(sides: tuple[TopValuesState, ...], slots: list[Int64]) -> pa.Array:
    """The value of each category, from whichever side has it."""
    first, second = (side.values for side in sides)
    if first is None or second is None:
        found, slot = (second, slots[1]) if first is None else (first, slots[0])
        return pa.nulls(0) if found is None else found.take(pa.array(slot[slot >= 0]))
    if first.type != second.type:
        second = second.cast(first.type)
    at = np.where(slots[0] >= 0, slots[0], len(first) + slots[1])
    return pa.concat_arrays([first, second]).take(pa.array(at))
