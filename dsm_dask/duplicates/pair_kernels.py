"""Compiled loops of verification: which sets are alike. Numba, compiled at first use."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from dsm_dask.duplicates.kernels import find, unite

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def gather(values: Any, starts: Any, ends: Any, order: Any) -> Any:
    """Some runs of ``values``, in the order given."""
    total = 0
    for row in order:
        total += ends[row] - starts[row]
    found = np.empty(total, values.dtype)
    filled = 0
    for row in order:
        for i in range(starts[row], ends[row]):
            found[filled] = values[i]
            filled += 1
    return found


@_compiled
def place(values: Any, counts: Any, targets: Any, found: Any) -> None:
    """Put runs of ``counts`` values, one after the other, where each belongs in ``found``."""
    at = 0
    for row in range(len(counts)):
        for i in range(counts[row]):
            found[targets[row] + i] = values[at + i]
        at += counts[row]


@_compiled
def digests(hashes: Any, starts: Any, ends: Any) -> Any:
    """Two sums over each set, of shape (sets, 2)."""
    found = np.zeros((len(starts), 2), np.uint64)
    for row in range(len(starts)):
        first, second = np.uint64(0), np.uint64(0)
        for i in range(starts[row], ends[row]):
            x = hashes[i]
            first += x
            second += (x ^ (x >> np.uint64(29))) * np.uint64(0xFF51AFD7ED558CCD)
        found[row, 0], found[row, 1] = first, second
    return found


@_compiled
def jaccard(left: Any, right: Any) -> float:
    """Size of the intersection over size of the union of two ascending arrays; 1 for two empty."""
    shared, i, j = 0, 0, 0
    while i < len(left) and j < len(right):
        a, b = left[i], right[j]
        shared += a == b
        i += a <= b
        j += b <= a
    together = len(left) + len(right) - shared
    return shared / together if together else 1.0


@_compiled
def _alike(hashes: Any, starts: Any, ends: Any, a: int, b: int, threshold: float) -> float:
    """The Jaccard similarity of two sets; 0 when their sizes alone keep it below the threshold."""
    left, right = ends[a] - starts[a], ends[b] - starts[b]
    if min(left, right) < threshold * max(left, right):
        return 0.0
    return jaccard(hashes[starts[a] : ends[a]], hashes[starts[b] : ends[b]])


@_compiled
def strongest(hashes: Any, starts: Any, ends: Any, group: Any, pairs: Any, most: int) -> Any:
    """Of the pairs (n x 2) of each group, those of the greatest Jaccard similarity, and it; of
    equal ones the first. Pairs of a group follow on. No similarity is above the smaller set's share
    of the larger one: pairs of which that is too small are not compared."""
    chosen, told = np.empty((len(pairs), 2), np.int64), np.empty(len(pairs), np.float32)
    count = begin = 0
    for p in range(len(pairs)):
        a, b = pairs[p, 0], pairs[p, 1]
        if p and group[pairs[p - 1, 0]] != group[a]:
            begin = count
        full = count - begin == most
        left, right = ends[a] - starts[a], ends[b] - starts[b]
        bound = min(left, right) / max(left, right, 1)
        if full and np.float32(bound) <= told[count - 1]:
            continue
        s = np.float32(jaccard(hashes[starts[a] : ends[a]], hashes[starts[b] : ends[b]]))
        if full and s <= told[count - 1]:
            continue
        at = count - 1 if full else count
        count = at + 1
        while at > begin and told[at - 1] < s:
            chosen[at], told[at] = chosen[at - 1], told[at - 1]
            at -= 1
        chosen[at, 0], chosen[at, 1], told[at] = a, b, s
    return chosen[:count], told[:count]


@_compiled
def compare(
    hashes: Any, starts: Any, ends: Any, group: Any, first: Any, pairs: Any, threshold: float,
    all_pairs: int,
) -> Any:  # fmt: skip
    """Pairs of members that are alike, as a forest: (left, right, similarity, a member of each of
    ``pairs`` that was checked, and of each of those that was accepted).

    Members are numbered in the order of their groups; ``first`` is the first member with the same
    set; ``pairs`` (n x 2) are candidates among first members, ascending.
    """
    members = len(starts)
    parents = np.arange(members)
    left, right = np.empty(members, np.int64), np.empty(members, np.int64)
    alike = np.empty(members, np.float32)
    found = 0
    for i in range(members):
        if first[i] != i and unite(parents, first[i], i):
            left[found], right[found], alike[found] = first[i], i, 1.0
            found += 1
    checked, accepted = np.empty(len(pairs), np.int64), np.empty(len(pairs), np.int64)
    tried = taken = 0
    for p in range(len(pairs)):
        a, b = pairs[p, 0], pairs[p, 1]
        if find(parents, a) == find(parents, b):
            continue
        checked[tried] = a
        tried += 1
        s = _alike(hashes, starts, ends, a, b, threshold)
        if s >= threshold:
            accepted[taken] = a
            taken += 1
            unite(parents, a, b)
            left[found], right[found], alike[found] = a, b, s
            found += 1
    chosen = np.empty(members, np.int64)
    begin = 0
    while begin < members:
        end = begin
        count = 0
        while end < members and group[end] == group[begin]:
            if first[end] == end:
                chosen[count] = end
                count += 1
            end += 1
        if count > all_pairs:  # the smallest of what is connected so far
            kept = 0
            for i in range(count):
                if find(parents, chosen[i]) == chosen[i] and kept < all_pairs:
                    chosen[kept] = chosen[i]
                    kept += 1
            count = kept
        for i in range(count):
            for j in range(i + 1, count):
                a, b = chosen[i], chosen[j]
                if find(parents, a) == find(parents, b):
                    continue
                s = _alike(hashes, starts, ends, a, b, threshold)
                if s >= threshold:
                    unite(parents, a, b)
                    left[found], right[found], alike[found] = a, b, s
                    found += 1
        begin = end
    return left[:found], right[:found], alike[:found], checked[:tried], accepted[:taken]
