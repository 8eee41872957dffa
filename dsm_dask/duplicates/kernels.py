"""Compiled loops over edges: telling equal edges together, and trees of connected nodes.

Numba (https://numba.pydata.org), compiled at first use and kept on disk. Import this module only
where edges are at hand.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def _slot(left: Any, right: Any, mask: Any) -> Any:
    x = (left * np.uint64(0x9E3779B97F4A7C15)) ^ right
    x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return (x ^ (x >> np.uint64(32))) & mask


@_compiled
def index_edges(slots: Any, left: Any, right: Any, count: int) -> None:
    """Enter the first ``count`` edges, all different, into an empty hash table of positions.

    ``slots`` is int32, of a power of two entries, -1 where empty.
    """
    mask = np.uint64(len(slots) - 1)
    for i in range(count):
        at = _slot(left[i], right[i], mask)
        while slots[at] >= 0:
            at = (at + np.uint64(1)) & mask
        slots[at] = i


@_compiled
def add_edges(slots: Any, left: Any, right: Any, similarity: Any, count: int, more: Any) -> int:
    """Append the edges of ``more`` that are new; of equal edges the greatest similarity stays.

    Gives the new count. The arrays must have room for all of ``more``.
    """
    mask = np.uint64(len(slots) - 1)
    for i in range(len(more)):
        a, b, s = more[i].left, more[i].right, more[i].similarity
        at = _slot(a, b, mask)
        while slots[at] >= 0 and (left[slots[at]] != a or right[slots[at]] != b):
            at = (at + np.uint64(1)) & mask
        known = slots[at]
        if known < 0:
            slots[at] = count
            left[count], right[count], similarity[count] = a, b, s
            count += 1
        elif s > similarity[known] or np.isnan(similarity[known]):
            similarity[known] = s
    return count


@_compiled
def find(parents: Any, node: int) -> int:
    """The root of a node's tree; paths are halved on the way."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@_compiled
def unite(parents: Any, left: int, right: int) -> bool:
    """Join two trees under the smaller root; False when they are one already."""
    a, b = find(parents, left), find(parents, right)
    if a == b:
        return False
    if a < b:
        parents[b] = a
    else:
        parents[a] = b
    return True


@_compiled
def join(parents: Any, left: Any, right: Any) -> None:
    """Join what edges connect, in place: then each node's parent is the smallest of its tree."""
    for i in range(len(left)):
        unite(parents, left[i], right[i])
    for node in range(len(parents)):
        parents[node] = parents[parents[node]]  # a parent comes before its children


@_compiled
def roots(nodes: int, left: Any, right: Any) -> Any:
    """For each of ``nodes`` numbers, the smallest one that the edges connect it with.

    Union-find with halved paths (Tarjan and van Leeuwen, J. ACM 31, 1984); the smaller root wins,
    so the order of the edges makes no difference.
    """
    parents = np.arange(nodes)
    join(parents, left, right)
    return parents


@_compiled
def strongest(nodes: int, left: Any, right: Any, similarity: Any) -> Any:
    """The greatest similarity of the edges of each node; NaN where none was measured."""
    found = np.full(nodes, np.nan, np.float32)
    for i in range(len(left)):
        s = similarity[i]
        if np.isnan(s):
            continue
        a, b = left[i], right[i]
        if np.isnan(found[a]) or s > found[a]:
            found[a] = s
        if np.isnan(found[b]) or s > found[b]:
            found[b] = s
    return found


@_compiled
def sums_of_rows(words: Any, factors: Any) -> Any:
    """Of each row, the sum of its 32-bit words, each times its factor, modulo 2^64."""
    rows, width = words.shape
    found = np.zeros(rows, np.uint64)
    for row in range(rows):
        total = np.uint64(0)
        for place in range(width):
            total += np.uint64(words[row, place]) * factors[place]
        found[row] = total
    return found
