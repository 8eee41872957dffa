"""Verdict: has a column drifted, how far past its threshold, and how sure is that."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from dsm_dask.distances.distance import Distance
from dsm_dask.monitoring.methods import BY_P_VALUE, LEAST, MISSING, SIGNIFICANCE

FARTHEST = 10.0
"""The largest score that a p-value can give."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """``drift`` is that ``score`` is at least 1; ``certain`` is that no error of the summaries
    could change it."""

    drift: bool = False
    certain: bool = True
    score: float = 0.0
    adjusted_p_value: float | None = None


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: those up to q hold a share of at most q of false findings.

    min over j >= i of p(j) n / j, for the i-th smallest of n (Benjamini and Hochberg, "Controlling
    the false discovery rate", JRSS B 57, 1995).

    >>> benjamini_hochberg([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    numbers = np.asarray(p_values, np.float64)
    order = np.argsort(numbers, kind="stable")
    scaled = numbers[order] * len(numbers) / np.arange(1, len(numbers) + 1)
    least = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    found = np.empty_like(numbers)
    found[order] = least
    return [float(x) for x in found]


def judge(
    found: Sequence[tuple[str, float, Distance] | None], missing: Sequence[Distance | None]
) -> list[Verdict]:
    """One verdict a column: of its (method, threshold, distance), and of its change in missing
    values, whichever is farther; none is certain where both are None, as without any row. P-values
    are adjusted over the columns.

    An effect has to reach its threshold, and to be significant where it has a p-value.
    """
    adjusted = _adjusted([None if one is None else one[2] for one in found])
    adjusted_missing = _adjusted(missing)
    verdicts = []
    for one, p, gap, gap_p in zip(found, adjusted, missing, adjusted_missing, strict=True):
        made = Verdict(certain=gap is not None) if one is None else _of(*one, p)
        lost = made if gap is None else _of("missing", MISSING, gap, gap_p)
        if lost.score >= max(1.0, made.score) or one is None:
            made = dataclasses.replace(lost, adjusted_p_value=made.adjusted_p_value)
        elif lost.drift and made.drift:
            made = dataclasses.replace(made, certain=True)
        verdicts.append(made)
    return verdicts


P = tuple[float, float, float]
"""A p-value: the least that the summaries allow, that they give, the most."""


def _adjusted(found: Sequence[Distance | None]) -> list[P | None]:
    tested = [i for i, one in enumerate(found) if one is not None and one.p_value is not None]
    ranges = [_p_range(found[i]) for i in tested]
    columns = [benjamini_hochberg([r[k] for r in ranges]) for k in range(3)] if ranges else []
    made: list[P | None] = [None] * len(found)
    for i, triple in zip(tested, zip(*columns, strict=True), strict=True):
        made[i] = triple
    return made


def _p_range(one: Distance | None) -> P:
    p, error = (1.0, 0.0) if one is None or one.p_value is None else (one.p_value, one.p_error)
    return max(0.0, p - error), p, min(1.0, p + error)


def _of(method: str, threshold: float, distance: Distance, p: P | None) -> Verdict:
    values = (distance.low, distance.value, distance.high)
    p_values = (None, None, None) if p is None else (p[2], p[1], p[0])
    low, score, high = (
        _score(method, threshold, value, p_value)
        for value, p_value in zip(values, p_values, strict=True)
    )
    drift = score >= 1
    certain = (low >= 1) == drift == (high >= 1)
    return Verdict(drift, certain, score, None if p is None else p[1])


def _score(method: str, threshold: float, value: float, p_value: float | None) -> float:
    """1 at the threshold, more beyond it."""
    if method in BY_P_VALUE:
        if p_value is None:
            return 0.0
        if p_value <= threshold**FARTHEST:
            return FARTHEST
        score = math.log(p_value) / math.log(threshold) + 0.0
        return max(score, 1.0) if p_value <= threshold else min(score, _BELOW)
    least = LEAST.get(method, 0.0)
    score = max(0.0, (value - least) / (threshold - least))
    reached = value >= threshold and (p_value is None or p_value <= SIGNIFICANCE)
    return max(score, 1.0) if reached else min(score, _BELOW)


_BELOW = math.nextafter(1.0, 0.0)
