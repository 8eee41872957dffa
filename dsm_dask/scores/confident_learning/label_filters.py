"""Which labels confident learning takes for issues: how many of each kind, and where they are."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from dsm_dask.errors import UsageError
from dsm_dask.scores.confident_learning.confident_joint import Joint, calibrated
from dsm_dask.scores.confident_learning.nth_largest import Cells

Counts = npt.NDArray[np.int64]
FilterName = Literal[
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_self_confidence",
    "low_normalized_margin",
]
FILTERS: tuple[str, ...] = get_args(FilterName)
_PRUNING = ("prune_by_noise_rate", "prune_by_class", "both")


@dataclasses.dataclass(frozen=True)
class LabelFilter:
    """Which labels are issues. n(i, j) is the number of rows labelled i that are j in truth, as the
    calibrated joint estimates it:

    * ``prune_by_noise_rate``: for each i ≠ j, the n(i, j) rows labelled i of largest p_j - p_i;
    * ``prune_by_class``: for each i, the Σ_{j≠i} n(i, j) rows labelled i of smallest p_i;
    * ``both``: what both of these find;
    * ``confident_learning``: rows of which the model is confident that they are of another class;
    * ``predicted_neq_given``: rows of which another class is the likeliest;
    * ``low_self_confidence``, ``low_normalized_margin``: as many rows as ``confident_learning``
      finds, those of lowest quality.

    But for the last two, a label that is the likeliest class, or would be with 1e-6 more, is no
    issue. Rows that tie with the last one are issues, too, so that the choice does not depend on
    the order of rows. ``min_examples``: so many rows of each class are left (ties aside), and
    classes with no more have no issues; ``noise_share``: this share of each n(i, j). Both for the
    first three only. Northcutt, Jiang, Chuang, JAIR 70, 2021, section 3.2, and their package.
    """

    name: FilterName = "prune_by_noise_rate"
    min_examples: int = 1
    noise_share: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in FILTERS:
            raise UsageError(
                f"There is no filter of labels called {self.name!r}.",
                valid=f"{', '.join(FILTERS)}.",
            )
        if self.min_examples < 0:
            raise UsageError(
                f"{self.min_examples} rows cannot be left of a class.", valid="0 or more."
            )
        if not 0 < self.noise_share <= 1:
            raise UsageError(
                f"{self.noise_share} is no share of the noise.", valid="Above 0, up to 1."
            )
        if self.name not in _PRUNING and (self.min_examples, self.noise_share) != (1, 1.0):
            raise UsageError(
                f"The filter {self.name} does not go by counts of issues.",
                valid=f"A share or rows to leave are for {', '.join(_PRUNING)}.",
            )

    @property
    def needs_quality(self) -> bool:
        """Does it go by the quality of labels?"""
        return self.name.startswith("low_")

    def cells(self, joint: Joint, counts: Counts) -> Cells:
        """Where to find how many: empty for a filter that looks at each row alone. ``counts``:
        labelled rows by problem and class."""
        problems, classes = counts.shape
        if self.needs_quality:
            rank = [joint.rows] if joint.rows else []
            return _cells([problems * classes] * len(rank), [-1] * len(rank), rank)
        groups: list[int] = []
        others: list[int] = []
        ranks: list[int] = []
        for problem in range(problems if self.name in _PRUNING else 0):
            pruned = self.pruned(calibrated(joint.joint[problem], counts[problem]))
            for label in np.flatnonzero(counts[problem] > self.min_examples).tolist():
                wanted = pruned[label].copy()
                wanted[label] = 0
                found = np.flatnonzero(wanted) if self.name != "prune_by_class" else wanted[:0]
                others += found.tolist()
                ranks += wanted[found].tolist()
                issues = int(counts[problem][label] - pruned[label, label])
                by_class = self.name != "prune_by_noise_rate" and issues > 0
                others += [-1] * by_class
                ranks += [issues] * by_class
                groups += [problem * classes + label] * (len(found) + by_class)
        return _cells(groups, others, ranks)

    def pruned(self, joint: Counts) -> Counts:
        """Of the calibrated joint (given, true): how many to take for issues, off the diagonal, and
        how many to leave, on it.

        >>> LabelFilter(min_examples=5).pruned(np.array([[3, 2, 4], [0, 9, 0], [1, 0, 6]])).tolist()
        [[5, 1, 3], [0, 9, 0], [1, 0, 6]]
        """
        kept = joint.diagonal()
        more = np.maximum(kept, self.min_examples) - kept
        noisy = np.maximum(np.count_nonzero(joint, axis=1) - 1.0, 1.0)
        found = np.maximum(joint - (more / noisy)[:, None], 0)
        np.fill_diagonal(found, kept + more)
        taken = found * self.noise_share
        np.fill_diagonal(taken, kept + more)
        np.fill_diagonal(taken, kept + more + (found - taken).T.sum(axis=0))
        counts: Counts = taken.astype(np.int64)
        return counts


def _cells(groups: list[int], others: list[int], ranks: list[int]) -> Cells:
    return Cells(np.array(groups, np.int64), np.array(others, np.int32), np.array(ranks, np.int64))
