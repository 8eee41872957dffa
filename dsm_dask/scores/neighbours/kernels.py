"""Compiled loops over the neighbours of rows: the nearest few, their distances, their labels.

Numba (https://numba.pydata.org), compiled at first use and kept on disk. Import this module only
where vectors are at hand.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def keep_largest(scores: Any, start: int, best: Any, where: Any) -> None:
    """Take in ``scores`` (float32 of shape (queries, candidates), of which the first has the number
    ``start``): the largest so far of each row, largest first, the first of equals first."""
    rows, width = scores.shape
    most = best.shape[1]
    for row in range(rows):
        least = best[row, most - 1]
        for place in range(width):
            score = scores[row, place]
            if score > least:
                at = most - 1
                while at > 0 and score > best[row, at - 1]:
                    best[row, at] = best[row, at - 1]
                    where[row, at] = where[row, at - 1]
                    at -= 1
                best[row, at] = score
                where[row, at] = start + place
                least = best[row, most - 1]


@_compiled
def distances(vectors: Any, starts: Any, queries: Any, where: Any) -> Any:
    """Cosine distances of unit vectors, which are at ``starts``, in float64: half the square of how
    far apart they are, which is exact where 1 - cos would be all rounding. Infinite where there is
    no candidate."""
    rows, width = where.shape
    found = np.full((rows, width), np.inf)
    for row in range(rows):
        one = vectors[starts[queries[row]]]
        for place in range(width):
            if where[row, place] < 0:
                continue
            other = vectors[starts[where[row, place]]]
            total = 0.0
            for i in range(len(one)):
                apart = np.float64(one[i]) - np.float64(other[i])
                total += apart * apart
            found[row, place] = total / 2
    return found


@_compiled
def _expanded(where: Any, apart: Any, starts: Any, stops: Any, rows: Any, far: Any) -> int:
    """The rows of the nearest distinct vectors, nearest first, with their distances, as many as
    there is room for; gives how many."""
    count = 0
    for place in range(len(where)):
        if not np.isfinite(apart[place]):
            break
        vector = where[place]
        for row in range(starts[vector], stops[vector]):
            if count == len(rows):
                return count
            rows[count], far[count] = row, apart[place]
            count += 1
    return count


@_compiled
def _vote(labels: Any, far: Any, count: int, own: int) -> Any:
    """Label with the most weight, margin, agreement; see
    :mod:`dsm_dask.scores.neighbours.search`."""
    kinds = np.empty(count, np.int64)
    weights = np.zeros(count)
    different, total, labelled, agreeing = 0, 0.0, 0, 0
    farthest = far[count - 1] if count else 0.0
    for i in range(count):
        if labels[i] < 0:
            continue
        weight = math.exp(-far[i] / farthest) if farthest > 0 else 1.0
        slot = 0
        while slot < different and kinds[slot] != labels[i]:
            slot += 1
        if slot == different:
            kinds[slot] = labels[i]
            different += 1
        weights[slot] += weight
        total += weight
        labelled += 1
        if labels[i] == own:
            agreeing += 1
    if labelled == 0:
        return -1, np.nan, np.nan
    first = 0
    for slot in range(1, different):
        more = weights[slot] > weights[first]
        if more or (weights[slot] == weights[first] and kinds[slot] < kinds[first]):
            first = slot
    second = 0.0
    for slot in range(different):
        if slot != first and weights[slot] > second:
            second = weights[slot]
    agreement = agreeing / labelled if own >= 0 else np.nan
    return kinds[first], (weights[first] - second) / total, agreement


@_compiled
def tell(
    queries: Any, where: Any, apart: Any, starts: Any, stops: Any, listed: Any, labels: Any,
    neighbours: int, found: Any,
) -> None:  # fmt: skip
    """What the neighbours of each row say, into ``found``, an array of records for all rows.

    ``where`` and ``apart`` are the distinct vectors nearest to each of ``queries``, themselves
    included, nearest first; the rows ``starts[v]`` to ``stops[v]`` have vector ``v``, those up to
    ``listed[v]`` are candidates.
    """
    rows = np.empty(neighbours + 1, np.int64)
    far = np.empty(neighbours + 1)
    kept_labels = np.empty(neighbours, np.int64)
    kept_far = np.empty(neighbours)
    for i in range(len(queries)):
        count = _expanded(where[i], apart[i], starts, listed, rows, far)
        for row in range(starts[queries[i]], stops[queries[i]]):
            kept, total = 0, 0.0
            for j in range(count):
                if rows[j] == row or kept == neighbours:
                    continue
                kept_labels[kept], kept_far[kept] = labels[rows[j]], far[j]
                total += far[j]
                kept += 1
            label, margin, agreement = _vote(kept_labels, kept_far, kept, labels[row])
            found[row].distance = total / kept if kept else np.nan
            found[row].label = label
            found[row].margin = margin
            found[row].agreement = agreement
