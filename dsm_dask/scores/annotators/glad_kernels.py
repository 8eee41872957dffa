"""Compiled loops of GLAD: how easy each item is, what it then is, and what that says of abilities.

Answers are three arrays, as in :mod:`dsm_dask.scores.annotators.kernels`. With x = ability * ease
the odds of a right answer are e^x, so the posterior of a class needs just the sum of the abilities
of those who gave it.

Numba (https://numba.pydata.org), compiled at first use and kept on disk. Import this module only
where a batch is at hand.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")

_STEPS = 100
_SETTLED = 1e-12


@_compiled
def glad(
    starts: Any, annotators: Any, labels: Any, abilities: Any, mean: float, reach: float,
    scale: float, found: Any, ease: Any,
) -> Any:  # fmt: skip
    """The posteriors (items, classes), NaN where there is no answer, and the logarithm of the ease
    of each item: what makes its answers likeliest, under a normal prior about ``mean``, at most
    ``reach`` from it. Gives the logarithm of the likelihood and that prior, in units of
    1 / ``scale``."""
    classes, total = found.shape[1], np.int64(0)
    others = math.log(max(classes - 1, 1))
    ability, odds = np.zeros(classes), np.zeros(classes)  # sums over who gave a class
    for i in range(len(starts) - 1):
        ease[i] = mean
        if starts[i] == starts[i + 1]:
            found[i, :] = np.nan
            continue
        ability[:], odds[:] = 0.0, 0.0
        for j in range(starts[i], starts[i + 1]):
            ability[labels[j]] += abilities[annotators[j]]
            odds[labels[j]] += others
        given = annotators[starts[i] : starts[i + 1]]
        ease[i] = _easiest(given, abilities, ability, odds, mean, reach, found[i])
        likelihood = _expect(math.exp(ease[i]), ability, odds, found[i]) - math.log(classes)
        for j in range(len(given)):
            likelihood -= others + _softplus(abilities[given[j]] * math.exp(ease[i]))
        total += np.int64(np.rint((likelihood - (ease[i] - mean) ** 2 / 2) * scale))
    return total


@_compiled
def _easiest(
    given: Any, abilities: Any, ability: Any, odds: Any, mean: float, reach: float, posterior: Any
) -> Any:
    """Newton's method from the mean of the prior, within a bracket that is halved where it would
    leave it, or go down."""
    low, high, at = mean - reach, mean + reach, mean
    for _ in range(_STEPS):
        times = math.exp(at)
        _expect(times, ability, odds, posterior)
        first, second = 0.0, 0.0  # moments of ease × ability of the class that is true
        for k in range(len(posterior)):
            x = times * ability[k]
            first += posterior[k] * x
            second += posterior[k] * x * x
        slope = first - (at - mean)
        bend = first + second - first * first - 1.0
        for j in range(len(given)):
            x = times * abilities[given[j]]
            right = 1.0 / (1.0 + math.exp(-x))
            slope -= right * x
            bend -= right * x * (1.0 + (1.0 - right) * x)
        if slope > 0:
            low = at
        else:
            high = at
        following = at - slope / bend
        if not (bend < 0 and low <= following <= high):
            following = (low + high) / 2
        settled = abs(following - at) < _SETTLED
        at = following
        if settled:
            break
    return at


@_compiled
def _expect(times: float, ability: Any, odds: Any, posterior: Any) -> Any:
    """The posterior of each class; gives the logarithm of the sum of their weights."""
    most = 0.0
    for k in range(len(posterior)):
        posterior[k] = times * ability[k] + odds[k]
        most = max(most, posterior[k])
    total = 0.0
    for k in range(len(posterior)):
        posterior[k] = math.exp(posterior[k] - most)
        total += posterior[k]
    for k in range(len(posterior)):
        posterior[k] /= total
    return most + math.log(total)


@_compiled
def _softplus(x: float) -> float:
    """log(1 + e^x)."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@_compiled
def add_slopes(
    starts: Any, annotators: Any, labels: Any, abilities: Any, posteriors: Any, ease: Any,
    slope_scale: float, bend_scale: float, slopes: Any,
) -> None:  # fmt: skip
    """``slopes`` (annotators, 3): the first derivative of the expected log-likelihood by the
    ability, in units of 1 / ``slope_scale``; minus the second, in units of 1 / ``bend_scale``; and
    so that of the parabola that touches it here and is nowhere above it."""
    for i in range(len(starts) - 1):
        times = math.exp(ease[i])
        for j in range(starts[i], starts[i + 1]):
            row = slopes[annotators[j]]
            x = abilities[annotators[j]] * times
            right = 1.0 / (1.0 + math.exp(-x))
            touching = (right - 0.5) / x if abs(x) > 1e-6 else 0.25
            row[0] += np.int64(np.rint((posteriors[i, labels[j]] - right) * times * slope_scale))
            row[1] += np.int64(np.rint(right * (1.0 - right) * times * times * bend_scale))
            row[2] += np.int64(np.rint(touching * times * times * bend_scale))
