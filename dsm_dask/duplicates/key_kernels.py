"""Compiled loops of exact deduplication: rows of equal 128-bit hashes told together.

Rows are laid out by the first bits of their hashes, a few hundred to a piece, and those of a piece
entered into a hash table that fits into the processor's cache (radix partitioning, as in Manegold,
Boncz and Kersten, "Optimizing main-memory join on modern hardware", IEEE TKDE 14(4), 2002): 25 ns a
row in all, where to sort the hashes takes 60. Numba; import this module only where keys are at
hand.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from dsm_dask.stats.kernels import hash_text
from dsm_dask.text_bytes import mixed

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def _by_prefix(prefixes: Any, bits: int) -> Any:
    """Where the keys of each prefix begin, and the numbers of the keys in that order; of one prefix
    as they come."""
    starts = np.zeros((1 << bits) + 1, np.int64)
    order = np.empty(len(prefixes), np.uint32)
    for i in range(len(prefixes)):
        starts[prefixes[i] + 1] += 1
    for prefix in range(1 << bits):
        starts[prefix + 1] += starts[prefix]
    place = starts.copy()
    for i in range(len(prefixes)):
        order[place[prefixes[i]]] = i
        place[prefixes[i]] += 1
    return starts, order


@_compiled
def _table(slots: Any, count: int) -> Any:
    """The mask of a table for ``count`` keys, its slots emptied."""
    size = 4
    while size < 2 * count:
        size *= 2
    slots[:size] = -1
    return np.uint64(size - 1)


@_compiled
def _most_slots(starts: Any) -> int:
    most = 0
    for prefix in range(len(starts) - 1):
        most = max(most, starts[prefix + 1] - starts[prefix])
    size = 4
    while size < 2 * most:
        size *= 2
    return size


@_compiled
def split(high: Any, low: Any, rows: Any, bits: int, firsts: Any, rest: Any, begins: Any) -> Any:
    """Fill ``firsts`` with the first row of each key and how often that occurs, ``rest`` with the
    number of its first for every other row, both in the order of the keys' first ``bits`` bits;
    ``begins[kind, prefix]`` says where those of a prefix begin. Gives how many there are of both.
    """
    prefixes = np.zeros(len(high), np.uint16)
    for i in range(len(high) if bits else 0):
        prefixes[i] = high[i] >> np.uint64(64 - bits)
    starts, order = _by_prefix(prefixes, bits)
    slots = np.empty(_most_slots(starts), np.int32)
    first = other = 0
    for prefix in range(len(starts) - 1):
        begins[0, prefix], begins[1, prefix] = first, other
        mask = _table(slots, starts[prefix + 1] - starts[prefix])
        for k in range(starts[prefix], starts[prefix + 1]):
            i = order[k]
            at = low[i] & mask
            while slots[at] >= 0 and (
                firsts[slots[at]].low != low[i] or firsts[slots[at]].high != high[i]
            ):
                at = (at + np.uint64(1)) & mask
            known = slots[at]
            if known < 0:
                slots[at] = first
                firsts[first].high, firsts[first].low = high[i], low[i]
                firsts[first].row, firsts[first].count = rows[i], 1
                first += 1
            else:
                firsts[known].count += 1
                rest[other].first, rest[other].row = known, rows[i]
                other += 1
    begins[0, -1], begins[1, -1] = first, other
    return first, other


@_compiled
def left(firsts: Any, rest: Any, live_firsts: Any, live_rest: Any, begins: Any) -> Any:
    """First rows, other rows and begins as of :func:`split`, of live rows only. Of a key whose
    first row is gone, the first live one of its other rows takes its place."""
    size, more = live_firsts.sum(), live_rest.sum()
    made, others = firsts[: size + more].copy(), rest[:more].copy()
    kept = np.empty_like(begins)
    numbers = np.full(len(firsts), -1, np.int64)
    first = other = 0
    for prefix in range(begins.shape[1] - 1):
        kept[0, prefix], kept[1, prefix] = first, other
        for k in range(begins[0, prefix], begins[0, prefix + 1]):
            if live_firsts[k]:
                made[first], numbers[k] = firsts[k], first
                made[first].count = 1
                first += 1
        for i in range(begins[1, prefix], begins[1, prefix + 1]):
            if not live_rest[i]:
                continue
            key = rest[i].first
            if numbers[key] < 0:
                made[first], numbers[key] = firsts[key], first
                made[first].row, made[first].count = rest[i].row, 1
                first += 1
            else:
                made[numbers[key]].count += 1
                others[other].row, others[other].first = rest[i].row, numbers[key]
                other += 1
    kept[0, -1], kept[1, -1] = first, other
    return made[:first], others[:other], kept


@_compiled
def group(records: Any, skipped: int, bits: int) -> Any:
    """Of records of keys that share the first ``skipped`` bits: for each the number of its key; of
    each key the least row, the number of its record, and how many rows. They are told together by
    the next ``bits`` bits."""
    prefixes = np.zeros(len(records), np.uint16)
    for i in range(len(records) if bits else 0):
        prefixes[i] = (records[i].high << np.uint64(skipped)) >> np.uint64(64 - bits)
    starts, order = _by_prefix(prefixes, bits)
    most = _most_slots(starts)
    slots = np.empty(most, np.int32)
    high, low = np.empty(most, np.uint64), np.empty(most, np.uint64)
    keys = np.empty(len(records), np.int32)
    least, places = np.empty(len(records), np.uint64), np.empty(len(records), np.int32)
    sizes = np.empty(len(records), np.int64)
    key = 0
    for prefix in range(len(starts) - 1):
        begin, end, base = starts[prefix], starts[prefix + 1], key
        mask = _table(slots, end - begin)
        for k in range(begin, end):
            one = records[order[k]]
            at = one.low & mask
            while slots[at] >= 0 and (low[slots[at]] != one.low or high[slots[at]] != one.high):
                at = (at + np.uint64(1)) & mask
            known = slots[at]
            if known < 0:
                known = slots[at] = key - base
                low[known], high[known] = one.low, one.high
                least[key], places[key], sizes[key] = one.row, order[k], 0
                key += 1
            found = base + known
            keys[order[k]] = found
            sizes[found] += one.count
            if one.row < least[found]:
                least[found], places[found] = one.row, order[k]
    return keys, least[:key], places[:key], sizes[:key]


@_compiled
def losing(records: Any, keys: Any, least: Any) -> Any:
    """The rows of records that are not the least of their key, and those that are."""
    rows, kept = np.empty(len(records), np.uint64), np.empty(len(records), np.uint64)
    count = 0
    for i in range(len(records)):
        rows[count], kept[count] = records[i].row, least[keys[i]]
        count += rows[count] != kept[count]
    return rows[:count], kept[:count]


@_compiled
def grouped(numbers: Any, nodes: Any, starts: Any) -> Any:
    """Nodes by the numbers of their groups, which begin at ``starts``, ascending in each; those of
    negative numbers are left out."""
    place, found = starts.copy(), np.empty(starts[-1], nodes.dtype)
    for i in range(len(nodes)):
        if numbers[i] >= 0:
            found[place[numbers[i]]] = nodes[i]
            place[numbers[i]] += 1
    for number in range(len(starts) - 1):
        found[starts[number] : starts[number + 1]].sort()
    return found


@_compiled
def sums(data: Any, begins: Any, size: int, salt: Any) -> Any:
    """A 64-bit checksum of the records of each prefix, of where they begin and end, and of a
    ``salt`` (uint64). ``data`` is bytes, from the first of the prefixes on; ``size`` is that of a
    record."""
    found = np.empty(len(begins) - 1, np.uint64)
    for prefix in range(len(found)):
        start, stop = np.int64(begins[prefix]), np.int64(begins[prefix + 1])
        seed = mixed(np.uint64(start) ^ salt) ^ np.uint64(stop)
        first = np.int64(begins[0])
        begin, end = (start - first) * size, (stop - first) * size
        found[prefix] = hash_text(data, begin, end, seed)  # type: ignore[arg-type]
    return found
