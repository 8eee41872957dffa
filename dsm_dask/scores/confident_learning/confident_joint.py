"""The confident joint: how many rows labelled i a model is confident are of class j."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.errors import UsageError
from dsm_dask.scores.confident_learning.labelled import Labelled
from dsm_dask.scores.confident_learning.sparse_counts import SparseCounts

Counts = npt.NDArray[np.int64]

SLACK = 1e-6
"""A model is confident of a class from its threshold less this on; and a label is as likely as the
likeliest class when this would make it so. As in Northcutt's package."""
MOST_CLASSES = 2048
_SLOTS = 1 << 17
"""Counts that help to find cuts, at most; see :func:`scale_for`."""
_FINEST = 128


@codec.state("scores.confident_joint", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class JointCounts:
    """Counts by (problem, given, confident); confident rows by (problem, given) that are issues;
    rows with an issue in any problem; values of cells by (problem, given, other, bin)."""

    joint: SparseCounts
    issues: Counts
    rows: int
    bins: SparseCounts


@dataclasses.dataclass(frozen=True)
class Joint:
    """``joint``: confident rows by problem, given and confident class, int64 of shape (problems,
    classes, classes). ``issues``: those confident of another class than the label, which is not
    about as likely: int64 of shape (problems, classes) by given class; ``rows``: how many rows have
    such an issue. ``bins``: counts of values of cells (see ``nth_largest``)."""

    joint: Counts
    issues: Counts
    rows: int
    bins: SparseCounts


def scale_for(problems: int, classes: int) -> int:
    """How many bins make up 1 in the counts of values: a power of two, 0 for none.

    >>> scale_for(1, 10), scale_for(1, 1000)
    (128, 0)
    """
    each = _SLOTS // (problems * classes * classes)
    return 0 if each < 8 else min(_FINEST, 1 << (each - 1).bit_length() - 1)


@dataclasses.dataclass(frozen=True)
class ConfidentJoint:
    """C[i, j] = the number of rows labelled i with p(j) >= t_j - 1e-6; the class of largest p when
    that holds for several (Northcutt, Jiang, Chuang, JAIR 70, 2021, equation 1).

    ``thresholds``: t by problem and class, in one row. State: counts of cells with rows: 16 bytes
    each, at most as many as confident rows or pairs of classes; and of up to 131,072 bins.

    Raises UsageError for more than 2,048 classes.

    >>> from dsm_dask.fold import run
    >>> from dsm_dask.scores.probabilities.probabilities import Probabilities
    >>> batch = pa.record_batch({"y": ["a", "a", "b"], "p": [[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]})
    >>> labelled = Labelled("y", Probabilities(("p",), ("a", "b")))
    >>> run(ConfidentJoint(labelled, (0.55, 0.9)), [batch]).joint.tolist()
    [[[1, 0], [0, 1]]]
    """

    labelled: Labelled
    thresholds: tuple[float, ...]
    values: bool = True
    """Are values of cells counted by bin?"""

    def __post_init__(self) -> None:
        _, classes = self.labelled.shape
        if classes > MOST_CLASSES:
            raise UsageError(
                f"Confident learning counts pairs of classes: {classes:,} are too many.",
                valid=f"Up to {MOST_CLASSES:,} classes.",
            )

    @property
    def columns(self) -> tuple[str, ...]:
        return self.labelled.columns

    def limits(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """By problem and class, from where on the model is confident; see :func:`limits`."""
        return limits(np.array(self.thresholds).reshape(self.labelled.shape), dtype)

    def init(self) -> JointCounts:
        issues = np.zeros(self.labelled.shape, np.int64)
        return JointCounts(SparseCounts.none(), issues, 0, SparseCounts.none())

    def update(self, state: JointCounts, batch: pa.RecordBatch) -> JointCounts:
        from dsm_dask.scores.confident_learning import kernels

        problems, classes = self.labelled.shape
        scale = scale_for(problems, classes) if self.values else 0
        joint = np.zeros((problems, classes, classes), np.int64)
        bins = np.zeros((problems, classes, classes, scale + 1 if scale else 0), np.int64)
        issues = np.zeros((problems, classes), np.int64)
        any_issue = np.zeros(batch.num_rows, np.bool_)
        for place, one in enumerate(self.labelled.problems(batch)):
            dtype = one.probabilities.dtype
            kernels.add_joint(
                one.probabilities, one.labels, self.limits(dtype)[place], dtype.type(SLACK), scale,
                joint[place], issues[place], bins[place], any_issue,
            )  # fmt: skip
        fresh = JointCounts(
            SparseCounts.of(joint), issues, int(any_issue.sum()), SparseCounts.of(bins)
        )
        return self.merge(state, fresh)

    def merge(self, left: JointCounts, right: JointCounts) -> JointCounts:
        return JointCounts(
            left.joint + right.joint,
            left.issues + right.issues,
            left.rows + right.rows,
            left.bins + right.bins,
        )

    def finish(self, state: JointCounts) -> Joint:
        problems, classes = self.labelled.shape
        shape = (problems, classes, classes)
        dense = state.joint.dense(problems * classes * classes).reshape(shape)
        return Joint(dense, state.issues, state.rows, state.bins)


def limits(thresholds: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The least numbers of ``dtype`` that are not below the thresholds less the slack: comparing
    with them is comparing in double precision.

    >>> float(limits(np.array([0.1 + 1e-6]), np.dtype(np.float32))[0]) >= 0.1
    True
    """
    wide = thresholds - SLACK
    found = wide.astype(dtype)
    above = np.nextafter(found, dtype.type(np.inf))
    return np.where(found.astype(np.float64) < wide, above, found)


def calibrated(joint: Counts, counts: Counts) -> Counts:
    """The joint of all rows, estimated from the confident ones: each row of the matrix sums to the
    number of rows with that label.

    J[i, j] = C[i, j] / Σ_j C[i, j] · n_i, rounded so that rows keep their sums (equation 3); every
    class is taken to have one confident row at least. Done in the order of operations, and with
    NumPy's sort of equal remainders, as in Northcutt's package, so that the counts are equal: which
    of equal remainders is rounded up is the sort's choice.

    ``joint``: (classes, classes); ``counts``: rows by label.

    >>> calibrated(np.array([[3, 1], [0, 4]]), np.array([8, 6])).tolist()
    [[6, 2], [0, 6]]
    """
    turned = joint.T.copy()  # (confident, given): sums of floats depend on their order
    np.fill_diagonal(turned, np.maximum(turned.diagonal(), 1))
    scaled: Any = turned / turned.sum(axis=0) * counts
    scaled = scaled / max(float(np.sum(scaled)), 1e-100) * counts.sum()
    return np.stack([rounded(row) for row in scaled.T])


def rounded(row: npt.NDArray[np.float64]) -> Counts:
    """Whole numbers of the same sum as ``row`` (rounded): those farthest from their rounding give.

    >>> rounded(np.array([1.4, 1.3, 1.3])).tolist()
    [2, 1, 1]
    """
    found = row.round()
    total = row.sum().round()
    while abs(missing := total - found.sum()) > SLACK:
        step = 1 if missing > 0 else -1
        order = np.argsort(row - found)[::-step]
        found[order[: min(int(abs(missing)), len(row))]] += step
    return found.astype(np.int64)
