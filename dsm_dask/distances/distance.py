"""Distance: a value with the bound of its error."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Distance:
    """The distance on all rows lies in [``value - error``, ``value + error``]; and within
    ``bounds``, which may be nearer on one side.

    ``p_value``, where the distance has a test: the probability of a value at least as large when
    both sides are samples of one distribution. On all rows it differs from this by at most
    ``p_error``."""

    value: float
    error: float = 0.0
    p_value: float | None = None
    p_error: float = 0.0
    bounds: tuple[float, float] | None = None

    @property
    def low(self) -> float:
        """The smallest value that the summaries allow; a distance is never negative."""
        return max(0.0, self.value - self.error) if self.bounds is None else self.bounds[0]

    @property
    def high(self) -> float:
        """The largest value that the summaries allow."""
        return self.value + self.error if self.bounds is None else self.bounds[1]


def between(low: float, value: float, high: float) -> Distance:
    """A distance that lies between two bounds.

    >>> found = between(0.1, 0.2, 0.5)
    >>> found.value, found.error, found.low
    (0.2, 0.3, 0.1)
    """
    bounds = min(low, value), max(value, high)
    return Distance(value, max(value - bounds[0], bounds[1] - value), bounds=bounds)
