"""Compiled loops of confident learning: over rows of probabilities and the positions of their
labels among the classes, in one pass and without temporaries.

Numba (https://numba.pydata.org), compiled at first use and kept on disk. Import this module only
where a batch is at hand.

Differences of probabilities are taken in the type of these (a float32 stays one), as NumPy does it.
A row with a label below zero is left out.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_compiled = numba.njit(cache=True, nogil=True)
_in_any_order = numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})
_SIGN = np.uint64(1 << 63)
_UNIT = float(1 << 30)
CLASS = -1
"""Of a cell that is about the given class alone: its value is minus the probability of it."""
PRUNED, BOTH, CONFIDENT, PREDICTED = range(4)
"""Rules of :func:`flag`."""


def _as_bits(_context: Any, _number: Any) -> Any:
    """The bits of a float64."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


_bits: Any = intrinsic(_as_bits)


@_compiled
def order_key(number: Any) -> Any:
    """A word that orders as the float64 does."""
    word = _bits(number)
    return word ^ _SIGN if word < _SIGN else ~word


@_compiled
def add_self_sums(probabilities: Any, labels: Any, counts: Any, upper: Any, lower: Any) -> None:
    """Add, by label, how many rows, and the sum of the probabilities of their own labels: its
    multiple of 2^-30, and of 2^-60. Whole numbers add up to the same in any order."""
    for i in range(len(labels)):
        label = labels[i]
        if label < 0:
            continue
        scaled = np.float64(probabilities[i, label]) * _UNIT
        whole = np.floor(scaled)
        counts[label] += 1
        upper[label] += np.int64(whole)
        lower[label] += np.int64((scaled - whole) * _UNIT)


@_in_any_order
def _largest(row: Any) -> Any:
    top = row[0]
    for j in range(1, len(row)):
        top = max(top, row[j])
    return top


@_in_any_order
def _reached(row: Any, limits: Any) -> int:
    """How many classes are at their limit or above."""
    count = 0
    for j in range(len(row)):
        count += row[j] >= limits[j]
    return count


@_compiled
def _first(row: Any, value: Any) -> int:
    for j in range(len(row)):
        if row[j] == value:
            return j
    return len(row)


@_compiled
def _confident(row: Any, top: Any, limits: Any) -> int:
    """The class that a row is confidently of; -1: of none."""
    count = _reached(row, limits)
    if count > 1:
        return _first(row, top)
    if count == 1:
        for j in range(len(row)):
            if row[j] >= limits[j]:
                return j
    return -1


@_compiled
def _is_likely(row: Any, label: int, top: Any, slack: Any) -> bool:
    """Is the label the likeliest class, or would be with ``slack`` more? The first of equal ones
    is."""
    own = row[label] + slack
    return own > top or (own == top and label < _first(row, top))


@_compiled
def add_joint(
    probabilities: Any, labels: Any, limits: Any, slack: Any, scale: int, joint: Any, issues: Any,
    bins: Any, found_any: Any,
) -> None:  # fmt: skip
    """Add to the confident joint (given class, confident class), and to the rows by label that are
    issues, which are marked in ``found_any``; and to the counts of values of cells, ``bins`` of
    shape (given, other, scale + 1): of margins above zero by their multiple of 1 / scale, and on
    the diagonal of minus the label's probability, likewise, from -1 on."""
    for i in range(len(labels)):
        label = labels[i]
        if label < 0:
            continue
        row = probabilities[i]
        own, top = row[label], _largest(row)
        found = _confident(row, top, limits)
        if found >= 0:
            joint[label, found] += 1
            if found != label and not _is_likely(row, label, top, slack):
                issues[label] += 1
                found_any[i] = True
        if scale:
            bins[label, label, max(scale - np.int64(np.ceil(own * scale)), 0)] += 1
            if own < top:
                _add_margins(row, own, scale, bins[label])


@_compiled
def _add_margins(row: Any, own: Any, scale: int, bins: Any) -> None:
    for j in range(len(row)):
        if row[j] > own:
            bins[j, min(np.int64((row[j] - own) * scale), scale)] += 1


@_compiled
def _offer(key: Any, low: Any, shift: Any, slots: Any) -> None:
    """Count a key, or keep it if it is among the largest: ``slots`` are then a heap of words, the
    least of them first."""
    if shift >= 0:
        slots[np.int64((key - low) >> np.uint64(shift))] += np.uint64(1)
        return
    if key <= slots[0]:
        return
    size, at = len(slots), 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and slots[child + 1] < slots[child]:
            child += 1
        if slots[child] >= key:
            break
        slots[at] = slots[child]
        at = child
    slots[at] = key


@_compiled
def offer_cells(
    probabilities: Any, labels: Any, group: int, starts: Any, others: Any, low: Any, high: Any,
    shifts: Any, firsts: Any, slots: Any,
) -> None:  # fmt: skip
    """Offer the values of rows to the cells of their labels: those from ``starts[group + label]``
    on."""
    for i in range(len(labels)):
        label = labels[i]
        if label < 0:
            continue
        own = probabilities[i, label]
        for cell in range(starts[group + label], starts[group + label + 1]):
            other = others[cell]
            if other >= 0:
                key = order_key(np.float64(probabilities[i, other] - own))
            else:
                key = order_key(0.0 - np.float64(own))
            if low[cell] <= key <= high[cell]:
                _offer(key, low[cell], shifts[cell], slots[firsts[cell] : firsts[cell + 1]])


@_compiled
def offer_values(values: Any, nulls: Any, low: Any, high: Any, shift: Any, slots: Any) -> None:
    """Offer numbers to one cell."""
    for i in range(len(values)):
        key = order_key(np.float64(values[i]))
        if low <= key <= high and not nulls[i]:
            _offer(key, low, shift, slots)


@_compiled
def flag(
    probabilities: Any, labels: Any, limits: Any, slack: Any, rule: int, group: int, starts: Any,
    others: Any, cuts: Any, found: Any,
) -> None:  # fmt: skip
    """Set ``found`` where a label is an issue by a rule; leave the rest as it is."""
    for i in range(len(labels)):
        label = labels[i]
        if label < 0:
            continue
        row = probabilities[i]
        top = _largest(row)
        if _is_likely(row, label, top, slack):
            continue
        if rule == PREDICTED:
            found[i] = True
        elif rule == CONFIDENT:
            confident = _confident(row, top, limits)
            found[i] |= confident >= 0 and confident != label
        else:
            first, last = starts[group + label], starts[group + label + 1]
            found[i] |= _is_pruned(row, row[label], rule, others[first:last], cuts[first:last])


@_compiled
def _is_pruned(row: Any, own: Any, rule: int, others: Any, cuts: Any) -> bool:
    by_margin, by_class = False, False
    for cell in range(len(others)):
        other = others[cell]
        if other >= 0:
            by_margin |= np.float64(row[other] - own) >= cuts[cell]
        else:
            by_class |= 0.0 - np.float64(own) >= cuts[cell]
    return (by_margin and by_class) if rule == BOTH else (by_margin or by_class)


@_compiled
def self_confidence(probabilities: Any, labels: Any, found: Any) -> None:
    """The probability of the label."""
    for i in range(len(labels)):
        if labels[i] >= 0:
            found[i] = probabilities[i, labels[i]]


@_compiled
def normalized_margin(probabilities: Any, labels: Any, one: Any, found: Any) -> None:
    """Half of one more than the probability of the label less that of the likeliest other class;
    ``one`` is 1 of the type to compute in."""
    for i in range(len(labels)):
        label = labels[i]
        if label < 0:
            continue
        row, largest = probabilities[i], 0 * one
        for j in range(len(row)):
            if j != label and row[j] > largest:
                largest = row[j]
        found[i] = (row[label] - largest + one) / (one + one)


@_compiled
def confidence_weighted_entropy(probabilities: Any, labels: Any, least: float, found: Any) -> None:
    """log(1 + e) / e, e the entropy over its maximum and over the probability of the label; both
    divisors at least ``least``."""
    classes = probabilities.shape[1]
    for i in range(len(labels)):
        label = labels[i]
        if label < 0:
            continue
        total = 0.0
        for j in range(classes):
            value = np.float64(probabilities[i, j])
            if value > 0:
                total -= value * np.log(value)
        weighted = total / np.log(classes) / max(np.float64(probabilities[i, label]), least)
        found[i] = np.log(weighted + 1.0) / max(weighted, least)
