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
def roots(nodes: int, left: Any, right: Any) -> Any:
    """For each of ``nodes`` numbers, the smallest one that the edges connect it with.

    Union-find with halved paths (Tarjan and van Leeuwen, J. ACM 31, 1984); the smaller root wins,
    so the order of the edges makes no difference.
    """
    parents = np.arange(nodes)
    for i in range(len(left)):
        unite(parents, left[i], right[i])
    for node in range(nodes):
        parents[node] = parents[parents[node]]
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
def sort_pairs(keys: Any, values: Any) -> Any:
    """Sort uint64 keys, with the value of each; values of equal keys stay in their order.

    Least significant digit radix sort of the upper 33 bits that differ at all, then insertion: keys
    that are hashes are almost sorted by then. Three times as fast as ``np.argsort``.
    """
    size = len(keys)
    if size == 0:
        return keys, values
    low, high = keys[0], keys[0]
    for i in range(size):
        low, high = min(low, keys[i]), max(high, keys[i])
    bits = 0
    while bits < 64 and (high - low) >> np.uint64(bits):
        bits += 1
    source, other = keys.copy(), np.empty_like(keys)
    carried, spare = values.copy(), np.empty_like(values)
    mask = np.uint64((1 << 11) - 1)
    for step in range(3):
        if bits <= 11 * (2 - step):
            continue
        shift = np.uint64(max(0, bits - 11 * (3 - step)))
        counts = np.zeros(1 << 11, np.int64)
        for i in range(size):
            counts[((source[i] - low) >> shift) & mask] += 1
        total = 0
        for place in range(1 << 11):
            held = counts[place]
            counts[place] = total
            total += held
        for i in range(size):
            place = ((source[i] - low) >> shift) & mask
            at = counts[place]
            other[at], spare[at] = source[i], carried[i]
            counts[place] = at + 1
        source, other, carried, spare = other, source, spare, carried
    for i in range(1, size):
        key, value = source[i], carried[i]
        at = i
        while at > 0 and source[at - 1] > key:
            source[at], carried[at] = source[at - 1], carried[at - 1]
            at -= 1
        source[at], carried[at] = key, value
    return source, carried
