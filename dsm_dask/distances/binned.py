"""Two distributions as shares of common bins, each share between bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Term = Callable[[Floats, Floats], Floats]


@dataclasses.dataclass(frozen=True, eq=False)
class Binned:
    """One side: bin i holds the share ``shares[i]`` of its ``count`` values, and certainly one
    between ``low[i]`` and ``high[i]``. Float64 arrays of one length, the same for both sides.

    ``rare``: when above 0, the last bin holds categories that the summary cannot tell apart, none
    of which has a larger share."""

    shares: Floats
    low: Floats
    high: Floats
    count: int
    rare: float = 0.0

    @classmethod
    def exact(cls, counts: npt.ArrayLike) -> Binned:
        """Bins whose counts are known.

        >>> Binned.exact([1, 3]).shares.tolist()
        [0.25, 0.75]
        """
        numbers = np.asarray(counts, np.float64)
        total = float(numbers.sum())
        shares = numbers / total if total else numbers
        return cls(shares, shares, shares, round(total))


def total(
    term: Term, reference: Binned, current: Binned, *, homogeneous: bool = True
) -> tuple[float, float, float]:
    """The sum of ``term(p, q)`` over the bins, between its smallest and its largest value.

    ``term`` has to be convex, not negative, and 0 where p = q, as those of all f-divergences are
    (Csiszár, "Information-type measures of difference of probability distributions", 1967). So
    within bounds of p and q it is largest at a corner, and smallest where they come nearest. If it
    is ``homogeneous``, cutting a bin in two never lowers the sum, and a bin of rare categories
    hides anything between what it shows and no overlap at all; otherwise it may hide that nothing
    is different, too.

    >>> total(lambda p, q: abs(p - q), Binned.exact([1, 1]), Binned.exact([1, 3]))
    (0.5, 0.5, 0.5)
    """
    p, q = reference, current
    value = term(p.shares, q.shares)
    high = np.maximum(term(p.low, q.high), term(p.high, q.low))
    apart = np.minimum(term(p.low, q.high), term(p.high, q.low))
    low = np.where((p.low <= q.high) & (q.low <= p.high), 0.0, apart)
    if p.rare or q.rare:
        nothing = np.zeros(1)
        high[-1] = (term(p.high[-1:], nothing) + term(nothing, q.high[-1:]))[0]
        low[-1] = low[-1] if homogeneous else 0.0
    sums = float(low.sum()), float(value.sum()), float(high.sum())
    return min(sums[0], sums[1]), sums[1], max(sums[1], sums[2])
