"""How evenly the classes of a label column are filled."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from dsm_dask.stats.top_values import TopCounts

MOST = 512
"""Classes listed, at most."""


@dataclasses.dataclass(frozen=True)
class ClassBalance:
    """``classes``: value and rows of each class, largest first. ``imbalance``: rows of the largest
    class over those of the smallest. ``entropy``: -Σ pᵢ log₂ pᵢ of the classes' shares, in bits
    (Shannon, 1948); ``evenness`` is that over log₂ of their number (Pielou, 1966): 1 when all are
    the same size. Nulls and NaN are no class; ``unlabelled`` counts them.

    Not ``exact`` with more than 512 values: then only the most frequent are listed, their rows are
    lower bounds, and there are no figures of balance."""

    column: str
    classes: tuple[tuple[Any, int], ...]
    unlabelled: int
    exact: bool
    imbalance: float | None = None
    entropy: float | None = None
    evenness: float | None = None


def class_balance(column: str, found: TopCounts, unlabelled: int) -> ClassBalance:
    """From the counts of all values of a column.

    >>> from dsm_dask.stats.top_values import TopValue
    >>> three = TopCounts((TopValue("cat", 6, 0), TopValue("dog", 2, 0)), exact=True)
    >>> class_balance("label", three, 1).imbalance
    3.0
    """
    classes = tuple((top.value, top.count) for top in found.top)
    if not found.exact or not classes:
        return ClassBalance(column, classes, unlabelled, found.exact)
    counts = [count for _, count in classes]
    total = sum(counts)
    entropy = math.fsum(-count / total * math.log2(count / total) for count in counts)
    return ClassBalance(
        column,
        classes,
        unlabelled,
        exact=True,
        imbalance=max(counts) / min(counts),
        entropy=abs(entropy),  # of one class it is -0.0
        evenness=abs(entropy) / math.log2(len(counts)) if len(counts) > 1 else None,
    )
