"""How sure a model has to be of a class: as sure as it is, on average, of the rows labelled so."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.scores.confident_learning.labelled import Labelled

_HALF = 30
NEVER = 2.0
"""The threshold of a class without rows: no probability reaches it."""
LEAST = 2e-6
"""No threshold is lower: rows are compared with a slack of half of that."""


@codec.state("scores.class_thresholds", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class SelfSums:
    """By problem and class: rows with this label, and the sum of the probabilities of their label
    in multiples of 2^-30 and 2^-60. int64 arrays of shape (problems, classes)."""

    counts: npt.NDArray[np.int64]
    upper: npt.NDArray[np.int64]
    lower: npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """``counts``: labelled rows, int64; ``means``: float64, the thresholds. Both of shape
    (problems, classes); a class without rows has the threshold 2."""

    counts: npt.NDArray[np.int64]
    means: npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class ClassThresholds:
    """t_k = the mean of p(k) over the rows labelled k (Northcutt, Jiang, Chuang, "Confident
    learning: estimating uncertainty in dataset labels", JAIR 70, 2021, equation 2); at least 2e-6.

    Sums are of whole numbers (each probability is cut to a multiple of 2^-60), so they are the same
    bits however the data was cut. State: 24 bytes a class.

    >>> from dsm_dask.fold import run
    >>> from dsm_dask.scores.probabilities.probabilities import Probabilities
    >>> batch = pa.record_batch({"y": ["a", "a"], "p": [[0.5, 0.5], [1.0, 0.0]]})
    >>> labelled = Labelled("y", Probabilities(("p",), ("a", "b")))
    >>> run(ClassThresholds(labelled), [batch]).means.tolist()
    [[0.75, 2.0]]
    """

    labelled: Labelled

    @property
    def columns(self) -> tuple[str, ...]:
        return self.labelled.columns

    def init(self) -> SelfSums:
        shape = self.labelled.shape
        return SelfSums(*(np.zeros(shape, np.int64) for _ in range(3)))

    def update(self, state: SelfSums, batch: pa.RecordBatch) -> SelfSums:
        from dsm_dask.scores.confident_learning.kernels import add_self_sums

        fresh = self.init()
        for place, problem in enumerate(self.labelled.problems(batch)):
            sums = fresh.counts[place], fresh.upper[place], fresh.lower[place]
            add_self_sums(problem.probabilities, problem.labels, *sums)
        return self.merge(state, fresh)

    def merge(self, left: SelfSums, right: SelfSums) -> SelfSums:
        return SelfSums(
            left.counts + right.counts, left.upper + right.upper, left.lower + right.lower
        )

    def finish(self, state: SelfSums) -> Thresholds:
        means = np.full(state.counts.shape, NEVER)
        parts = (state.counts, state.upper, state.lower)
        for place in zip(*np.nonzero(state.counts), strict=True):
            count, upper, lower = (int(part[place]) for part in parts)
            mean = ((upper << _HALF) + lower) / (count << 2 * _HALF)  # of integers: rounds once
            means[place] = max(mean, LEAST)
        return Thresholds(state.counts, means)
