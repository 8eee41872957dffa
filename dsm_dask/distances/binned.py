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
    of which has a larger share. Of these, ``alone`` is the least share that lies in categories
    which the other side lacks, ``about`` an estimate of it; and at least ``common`` categories are
    on both sides."""

    shares: Floats
    low: Floats
    high: Floats
    count: int
    rare: float = 0.0
    alone: float = 0.0
    about: float = 0.0
    common: int = 0

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
    is ``homogeneous`` (of degree 1), cutting a bin in two never lowers the sum, and a bin of rare
    categories hides anything between what it shows and no overlap at all (see :func:`_hidden`);
    otherwise it may hide that nothing is different, too.

    >>> total(lambda p, q: abs(p - q), Binned.exact([1, 1]), Binned.exact([1, 3]))
    (0.5, 0.5, 0.5)
    """
    p, q = reference, current
    value = term(p.shares, q.shares)
    high = np.maximum(term(p.low, q.high), term(p.high, q.low))
    apart = np.minimum(term(p.low, q.high), term(p.high, q.low))
    low = np.where((p.low <= q.high) & (q.low <= p.high), 0.0, apart)
    if (p.rare or q.rare) and homogeneous:
        low[-1], value[-1], high[-1] = _hidden(term, p, q)
    elif p.rare or q.rare:
        nothing = np.zeros(1)
        high[-1] = (term(p.high[-1:], nothing) + term(nothing, q.high[-1:]))[0]
        low[-1] = 0.0
    sums = float(low.sum()), float(value.sum()), float(high.sum())
    return min(sums[0], sums[1]), sums[1], max(sums[1], sums[2])


def _hidden(term: Term, p: Binned, q: Binned) -> tuple[float, float, float]:
    """What the bin of rare categories adds: at least, about, and at most.

    With the shares P and Q of the bin, u and v of them in categories that the other side lacks
    (``alone``), and k categories on both sides (``common``) of n and m values:

        term(u, 0) + term(0, v) + term(P - u, Q - v)
        <= Σ <= k term(1/n, 1/m) + term(P - k/n, 0) + term(0, Q - k/m)

    The first is what is left when all that both sides have is one category. The second, since a
    category that a side has is of one row at least, and all other rows may lie apart. They meet
    when each value occurs once. Neither is less sharp for taking the least u, v and k.
    """

    def one(x: float, y: float) -> float:
        return float(term(np.array([max(0.0, x)]), np.array([max(0.0, y)]))[0])

    (p_low, p_share, p_high), (q_low, q_share, q_high) = (
        (float(side.low[-1]), float(side.shares[-1]), float(side.high[-1])) for side in (p, q)
    )
    lone = one(p.alone, 0.0) + one(0.0, q.alone)
    left = p_low - p.alone, p_high - p.alone, q_low - q.alone, q_high - q.alone
    apart = left[0] > left[3] or left[2] > left[1]
    low = lone + (min(one(left[0], left[3]), one(left[1], left[2])) if apart else 0.0)
    about = one(p.about, 0.0) + one(0.0, q.about) + one(p_share - p.about, q_share - q.about)
    n, m, k = max(p.count, 1), max(q.count, 1), p.common
    high = k * one(1 / n, 1 / m) + one(p_high - k / n, 0.0) + one(0.0, q_high - k / m)
    return min(low, about), about, max(high, about)
