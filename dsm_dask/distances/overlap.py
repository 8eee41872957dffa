"""How many values two sides have in common."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from dsm_dask.stats.distinct import Distinct, DistinctState

WIDE = 2.5
"""Standard errors in a bound."""


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Numbers of distinct values: of the ``reference``, of the ``current`` side, ``new`` on the
    current and ``vanished`` from the reference. Each ``error`` is 0 when exact, otherwise a 95 %
    bound; ``error`` is that of :attr:`both`, and no smaller than those of both sides."""

    reference: int
    current: int
    new: int
    vanished: int
    new_error: int = 0
    vanished_error: int = 0
    error: int = 0

    @property
    def both(self) -> int:
        """Values that both sides have."""
        return max(0, min(self.reference - self.vanished, self.current - self.new))


def overlap(reference: DistinctState, current: DistinctState, counts: tuple[int, int]) -> Overlap:
    """From the states of the distinct counts; ``counts`` are the numbers of values.

    Exact while both states hold the hashes of all values. Otherwise the merged state estimates the
    number u of values that A or B has, and those that only B has are u - a: what both estimates are
    off by cancels, for the same registers make both. As of a count that grows by steps which do not
    depend on those before (Ting, "Streamed approximate counting of distinct elements", KDD 2014),
    the variance of the difference is about r² (u² - a²), where r is the relative standard error; in
    simulations its root was 0.6 to 1.15 times that, for sides of 5,000 to 500,000 values. The bound
    of a difference d is the e with e = 2.5 r sqrt((a + d + e)² - a²): a side that seems to have no
    value of its own may still have a few that changed no register.

    >>> import pyarrow as pa
    >>> from dsm_dask.fold import update_all
    >>> batches = [pa.record_batch({"x": list(text)}) for text in ("abc", "bcde")]
    >>> one, two = (update_all(Distinct("x"), [batch]) for batch in batches)
    >>> overlap(one, two, (3, 4))
    Overlap(reference=3, current=4, new=2, vanished=1, new_error=0, vanished_error=0, error=0)
    """
    a, b = (Distinct("").finish(side) for side in (reference, current))
    first, second = min(a.count, counts[0]), min(b.count, counts[1])
    if a.exact and b.exact:
        both = len(np.intersect1d(reference.hashes, current.hashes, assume_unique=True))
        return Overlap(first, second, second - both, first - both)
    union = Distinct("").finish(Distinct("").merge(reference, current))
    new, vanished = (max(0, union.count - side.count) for side in (a, b))
    errors = [_error(union.error, side.count, d) for side, d in ((a, new), (b, vanished))]
    off = WIDE * max(a.error * first, b.error * second) + max(errors)
    return Overlap(
        first, second, min(new, second), min(vanished, first), *map(math.ceil, (*errors, off))
    )


def _error(relative: float, count: int, more: int) -> float:
    """How many values more than these may a side have that were not among ``count`` others."""
    k = (WIDE * relative) ** 2
    middle = more + k * count
    return (middle + math.sqrt(middle**2 - (1 - k) * more**2)) / (1 - k) - more
