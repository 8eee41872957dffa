"""Compiled loops of uncertainty: all measures of a row in one pass over its numbers.

Numba (https://numba.pydata.org), compiled at first use and kept on disk. Import this module only
where a batch is at hand.

Logarithms are most of the work. They are taken here of a block of numbers at a time, by a loop
without calls or branches that compilers turn into vector instructions: on one core 18 M rows/s of
10 classes with ``math.log``, 40 M so.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_BLOCK = 2048
"""Numbers looked at together: 16 KB as float64."""
_LN2 = math.log(2.0)


def _bits(_context: Any, _number: Any) -> Any:
    """The bits of a float64 as an integer."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


def _number(_context: Any, _bits: Any) -> Any:
    """The float64 of some bits."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


_bits_of: Any = intrinsic(_bits)
_number_of: Any = intrinsic(_number)


@_compiled
def surprises(numbers: Any, found: Any, count: int) -> None:
    """-p ln p of the first ``count`` of some probabilities, 0 where p is 0.

    p = 2^k m with m from 0.71 to 1.41, and ln m = 2 artanh((m - 1) / (m + 1)), the series of which
    ends with the tenth term: right to 1e-15. Zero has k = -1023, and 0 times that is 0.
    """
    for i in range(count):
        bits = _bits_of(numbers[i])
        large = (bits & 0xFFFFFFFFFFFFF) > 0x6A09E667F3BCD  # m would be above the root of two
        power = (bits >> 52) - 1023 + large
        m = _number_of((bits & 0xFFFFFFFFFFFFF) | ((1023 - np.int64(large)) << 52))
        s = (m - 1.0) / (m + 1.0)
        z = s * s
        series = 1 / 17 + z * (1 / 19)
        series = 1 / 13 + z * (1 / 15 + z * series)
        series = 1 / 9 + z * (1 / 11 + z * series)
        series = 1 / 5 + z * (1 / 7 + z * series)
        series = 1.0 + z * (1 / 3 + z * series)
        found[i] = -numbers[i] * (power * _LN2 + 2.0 * s * series)


@_compiled
def measures(
    values: Any, least: Any, margin: Any, entropy: Any, ratio: Any, probability: Any, first: Any
) -> None:
    """The measures of each row of probabilities, and the largest of these, into arrays of float32;
    the position of the largest, the first of equal ones, into an array of int32."""
    rows, size = values.shape
    step = max(1, _BLOCK // size)
    block = np.empty(step * size)
    terms = np.empty(step * size)
    scale = 1.0 / math.log(size)
    for start in range(0, rows, step):
        some = min(step, rows - start)
        flat = values[start : start + some].reshape(some * size)
        for i in range(some * size):
            block[i] = flat[i]
        surprises(block, terms, some * size)
        for i in range(some):
            row, at = start + i, i * size
            best = second = total = 0.0
            place = 0
            for j in range(size):
                value = block[at + j]
                total += terms[at + j]
                second = max(second, min(best, value))
                place = j if value > best else place
                best = max(best, value)
            least[row] = max(0.0, 1.0 - best)
            margin[row] = max(0.0, 1.0 - (best - second))
            entropy[row] = min(1.0, max(0.0, total * scale))
            ratio[row] = second / best if best > 0.0 else 0.0
            probability[row] = min(1.0, best)
            first[row] = place


@_compiled
def members(
    values: Any, missing: Any, offsets: Any, predictive: Any, expected: Any, information: Any,
    variation: Any, probability: Any, first: Any,
) -> None:  # fmt: skip
    """The measures of rows that are predicted by several members each: vectors ``offsets[i]`` to
    ``offsets[i + 1]``, those that are ``missing`` aside. Rows without one are left as they are."""
    size = values.shape[1]
    scale = 1.0 / math.log(size)
    mean, own = np.empty(size), np.empty(size)
    block, terms = np.empty(size), np.empty(size)
    votes = np.empty(size, np.int64)
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        many = (stop - start) * size
        if many > len(block):
            block, terms = np.empty(many), np.empty(many)
        flat = values[start:stop].reshape(many)
        for i in range(many):
            block[i] = flat[i]
        surprises(block, terms, many)
        mean[:] = 0.0
        votes[:] = 0
        total, count = 0.0, 0
        for vector in range(stop - start):
            if missing[start + vector]:
                continue
            at, best, place = vector * size, -1.0, 0
            for j in range(size):
                value = block[at + j]
                mean[j] += value
                total += terms[at + j]
                place = j if value > best else place
                best = max(best, value)
            votes[place] += 1
            count += 1
        if not count:
            continue
        place, most, whole = 0, 0, 0.0
        for j in range(size):
            mean[j] /= count
            place = j if mean[j] > mean[place] else place
            most = max(most, votes[j])
        surprises(mean, own, size)
        for j in range(size):
            whole += own[j]
        predictive[row] = min(1.0, max(0.0, whole * scale))
        expected[row] = min(1.0, max(0.0, total * scale / count))
        information[row] = min(1.0, max(0.0, (whole - total / count) * scale))
        variation[row] = 1.0 - most / count
        probability[row] = min(1.0, mean[place])
        first[row] = place


@_compiled
def independent(values: Any, mean: Any, largest: Any, margin: Any) -> None:
    """The measures of rows with a probability of its own for each class: mean and largest binary
    entropy in bits, and one minus the least distance of p from 1 - p."""
    rows, size = values.shape
    block, other = np.empty(size), np.empty(size)
    terms, rest = np.empty(size), np.empty(size)
    for row in range(rows):
        for j in range(size):
            block[j] = values[row, j]
            other[j] = 1.0 - block[j]
        surprises(block, terms, size)
        surprises(other, rest, size)
        total = most = near = 0.0
        for j in range(size):
            term = (terms[j] + rest[j]) / _LN2
            total += term
            most = max(most, term)
            near = max(near, 1.0 - abs(block[j] - other[j]))
        mean[row] = min(1.0, max(0.0, total / size))
        largest[row] = min(1.0, most)
        margin[row] = near


@_compiled
def independent_members(
    values: Any, missing: Any, offsets: Any, mean: Any, entropy: Any, most: Any, expected: Any,
    information: Any, largest: Any, variation: Any,
) -> None:  # fmt: skip
    """The measures of rows in which several members give each class a probability of its own:
    vectors ``offsets[i]`` to ``offsets[i + 1]``, those that are ``missing`` aside; and the ``mean``
    probabilities, of shape (rows, classes). Rows without a vector are left as they are."""
    size = values.shape[1]
    block, other = np.empty(size), np.empty(size)
    terms, rest = np.empty(size), np.empty(size)
    own, votes = np.empty(size), np.empty(size, np.int64)
    for row in range(len(offsets) - 1):
        own[:], votes[:] = 0.0, 0
        count = 0
        for vector in range(offsets[row], offsets[row + 1]):
            if missing[vector]:
                continue
            for j in range(size):
                block[j] = values[vector, j]
                other[j] = 1.0 - block[j]
                mean[row, j] += block[j]
                votes[j] += block[j] >= 0.5
            surprises(block, terms, size)
            surprises(other, rest, size)
            for j in range(size):
                own[j] += terms[j] + rest[j]
            count += 1
        if not count:
            continue
        for j in range(size):
            mean[row, j] /= count
            block[j] = min(1.0, mean[row, j])
            other[j] = 1.0 - block[j]
        surprises(block, terms, size)
        surprises(other, rest, size)
        total = high = inner = shared = far = split = 0.0
        for j in range(size):
            whole, each = (terms[j] + rest[j]) / _LN2, own[j] / (_LN2 * count)
            apart = max(0.0, whole - each)
            total += whole
            high = max(high, whole)
            inner += each
            shared += apart
            far = max(far, apart)
            split += min(votes[j], count - votes[j])
        entropy[row] = min(1.0, max(0.0, total / size))
        most[row] = min(1.0, high)
        expected[row] = min(1.0, max(0.0, inner / size))
        information[row] = min(1.0, shared / size)
        largest[row] = min(1.0, far)
        variation[row] = split / (size * count)


@_compiled
def sequences(
    scores: Any, missing: Any, offsets: Any, probability: Any, how: int, found: Any, product: Any,
    typical: Any, weakest: Any,
) -> None:  # fmt: skip
    """Measures of tokens, of shape (measures, tokens), as measures of their rows: their mean, their
    largest or their smallest (``how`` 0, 1, 2); one minus the product of the tokens'
    ``probability``, and minus their geometric mean; and which token has the least. Rows without
    tokens are left as they are."""
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        count, log, least, place = 0, 0.0, np.inf, 0
        for token in range(start, stop):
            if missing[token]:
                continue
            count += 1
            log += math.log(probability[token])
            if probability[token] < least:
                least, place = probability[token], token - start
        if not count:
            continue
        product[row] = 1.0 - math.exp(min(0.0, log))
        typical[row] = 1.0 - math.exp(min(0.0, log / count))
        weakest[row] = place
        for measure in range(len(scores)):
            total, high, low = 0.0, 0.0, 1.0
            for token in range(start, stop):
                if not missing[token]:
                    score = np.float64(scores[measure, token])
                    total += score
                    high, low = max(high, score), min(low, score)
            found[measure, row] = total / count if how == 0 else high if how == 1 else low
