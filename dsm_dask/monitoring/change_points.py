"""Where a series of distances changes its level."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DELTA = 0.5
THRESHOLD = 12.0
_MEDIAN_RANGE = 0.954
"""Median of the difference of two values of a normal distribution, in standard deviations."""
_FLOOR = 0.02


@dataclasses.dataclass(frozen=True)
class ChangePoint:
    """From ``index`` on the series has another level; ``before`` and ``after`` are the means up to
    the neighbouring change points."""

    index: int
    before: float
    after: float

    @property
    def rises(self) -> bool:
        return self.after > self.before


def page_hinkley(
    series: Sequence[float | None], *, delta: float = DELTA, threshold: float = THRESHOLD
) -> tuple[ChangePoint, ...]:
    """The change points of a series, by the test of Page ("Continuous inspection schemes",
    Biometrika 1954) and Hinkley ("Inference about the change-point from cumulative sum tests",
    Biometrika 1971), for rises and falls.

    With m the running mean since the last change, it adds up x - m - ``delta`` (and m - x -
    ``delta``). An alarm comes when the sum is ``threshold`` above its smallest value so far; the
    change was at the cut of the values since the last one into two levels with the least squares,
    and the test starts anew there. Both parameters are in standard deviations of the noise: the
    median difference of neighbours since the last change, divided by 0.954, so neither the unit nor
    a few jumps matter; but at least 2 % of the range of the series.

    Of simulated series of independent values without any change, normal or Kolmogorov-Smirnov
    distances of samples, at most 2 % with 10 to 100 values gave an alarm, and at most 5 % with
    1,000; of exponential values, 5 % of series of 30, and most of 1,000. A change by 5 standard
    deviations was found to within one value in 9 of 10 series of 30 or more, one by 10 also in
    series of 10. Values that are None have no part. A trend is no change of level, and gives alarms
    at several places.

    >>> page_hinkley([0.1, 0.11, 0.09, 0.1, 0.5, 0.52, 0.49])[0].index
    4
    >>> page_hinkley([0.1, 0.11, 0.09, 0.1, 0.12, None, 0.1])
    ()
    """
    known = [i for i, value in enumerate(series) if value is not None]
    numbers = np.array([series[i] for i in known], np.float64)
    if len(numbers) < 3 or not np.ptp(numbers):
        return ()
    starts, least = [0], _FLOOR * float(np.ptp(numbers))
    while (found := _first(numbers[starts[-1] :], least, delta, threshold)) is not None:
        starts.append(starts[-1] + found)
    ends = [*starts[1:], len(numbers)]
    means = [float(numbers[a:b].mean()) for a, b in zip(starts, ends, strict=True)]
    return tuple(
        ChangePoint(known[start], means[i], means[i + 1]) for i, start in enumerate(starts[1:])
    )


def _first(numbers: Floats, least: float, delta: float, threshold: float) -> int | None:
    """Where the level of a series that starts at one changes first."""
    if len(numbers) < 2:
        return None
    noise = max(float(np.median(np.abs(np.diff(numbers)))) / _MEDIAN_RANGE, least)
    scaled = (numbers - numbers[0]) / noise
    means = np.cumsum(scaled) / np.arange(1, len(scaled) + 1)
    alarms = []
    for sign in (1, -1):
        sums = np.concatenate([[0.0], np.cumsum(sign * (scaled - means) - delta)])
        above = np.flatnonzero(sums - np.minimum.accumulate(sums) >= threshold)
        alarms.extend(above[:1].tolist())
    return _split(scaled[: min(alarms)]) if alarms else None


def _split(numbers: Floats) -> int:
    """The cut into two levels with the least squares (the most likely one of normal values)."""
    left = np.arange(1, len(numbers))
    sums = np.cumsum(numbers)
    apart = sums[:-1] / left - (sums[-1] - sums[:-1]) / (len(numbers) - left)
    return int(np.argmax(left * (len(numbers) - left) * apart**2)) + 1
