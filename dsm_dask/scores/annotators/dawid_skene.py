"""Dawid-Skene: what each annotator says of items of each class, and what the items then are."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from dsm_dask import codec
from dsm_dask.scores.annotators.answers import Answers
from dsm_dask.scores.annotators.expectation import (
    ITERATIONS,
    TOLERANCE_AN_ANSWER,
    Counts,
    Floats,
    check_iterations,
)
from dsm_dask.scores.annotators.majority import Majority

LEAST = 1e-10
"""Probabilities and counts are at least this, so that no logarithm is infinite."""


@codec.state("scores.confusions", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Confusions:
    """``prior``: the share of each class. ``confusion`` (annotators, answers, true classes): the
    probability of an answer given the true class; an annotator's sum to 1 over the answers."""

    prior: Floats
    confusion: Floats

    @functools.cached_property
    def logs(self) -> tuple[Floats, Floats]:
        return (
            np.log(np.maximum(self.confusion, LEAST)),
            np.log(np.maximum(self.prior, LEAST)),
        )

    def posteriors(self, answers: Answers) -> Floats:
        """P(class | answers) ∝ prior(class) Π P(answer | class), of shape (items, classes); NaN
        for items without an answer."""
        from dsm_dask.scores.annotators import kernels as annotator_kernels

        found = np.empty((answers.items, len(self.prior)))
        annotator_kernels.dawid_skene(
            answers.starts, answers.annotators, answers.labels, *self.logs, found
        )
        return found

    def quality(self) -> Floats:
        """The probability that an annotator is right about an item: Σ prior(c) P(c | c); NaN
        without an answer."""
        right: Floats = np.einsum("akk->ak", self.confusion) @ self.prior
        return np.where(self.confusion.any(axis=(1, 2)), right, np.nan)


@codec.state("scores.dawid_skene", 1)
@dataclasses.dataclass(frozen=True)
class DawidSkene:
    """Maximum likelihood by expectation-maximisation, from the shares of votes (Dawid, Skene,
    "Maximum likelihood estimation of observer error-rates using the EM algorithm", 1979).

    Maximisation: P(answer | class) of an annotator is its expected count, at least 1e-10, over the
    sum for the answers that the annotator ever gave. The objective is the evidence lower bound per
    answer, with the prior counted for each answer. These choices, the tolerance and the number of
    iterations are crowd-kit's, so the posteriors are, too.

    >>> starts, keys = np.array([0, 2, 4, 6]), np.zeros(3, np.uint64)
    >>> labels = np.array([0, 0, 1, 1, 1, 1], np.int16)
    >>> answers = Answers(starts, np.array([0, 1] * 3, np.int32), labels, keys)
    >>> counts = Counts(tuple(np.zeros(s, np.int64) for s in DawidSkene().shapes(2, 2)))
    >>> _ = DawidSkene().add(counts, answers, Majority(2), 40)
    >>> DawidSkene().maximised(counts, 40, None).posteriors(answers).round(3).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """

    iterations: int = ITERATIONS
    tolerance: float = TOLERANCE_AN_ANSWER

    def __post_init__(self) -> None:
        check_iterations(self.iterations, self.tolerance)

    def shapes(self, annotators: int, classes: int) -> tuple[tuple[int, ...], ...]:
        return ((annotators, classes, classes), (classes,))

    def start(self, annotators: int, classes: int) -> Majority:
        return Majority(classes)

    def add(self, counts: Counts, answers: Answers, model: Any, bits: int) -> int:
        from dsm_dask.scores.annotators import kernels

        confusions, sums = counts.tables
        given, scale = (answers.starts, answers.annotators, answers.labels), 2.0**bits
        if isinstance(model, Confusions):
            return int(
                kernels.add_expected(
                    *given, *model.logs, LEAST, scale, 2.0 ** (bits - 6), confusions, sums
                )
            )
        for _, some in answers.blocks(len(sums)):  # of votes, before there is an objective
            found = model.posteriors(some)
            kernels.add_confusions(
                some.starts, some.annotators, some.labels, found, scale, confusions
            )
            kernels.add_classes(found, scale, sums)
        return 0

    def maximised(self, counts: Counts, bits: int, before: Any) -> Confusions:
        del before
        table, sums = (part / 2.0**bits for part in counts.tables)
        given = table.sum(axis=2, keepdims=True) > 0
        table = np.where(given, np.maximum(table, LEAST), 0)
        total = table.sum(axis=1, keepdims=True)
        confusion = np.divide(table, total, out=np.zeros_like(table), where=total > 0)
        return Confusions(sums / max(sums.sum(), LEAST), confusion)

    def objective(self, counts: Counts, bits: int, before: Any, maximised: Confusions) -> float:
        del before
        table = counts.tables[0] / 2.0**bits
        prior = np.log(np.maximum(maximised.prior, LEAST))
        logs = np.log(np.where(maximised.confusion > 0, maximised.confusion, 1))
        entropy = counts.objective / 2.0 ** (bits - 6)
        return float((table * (logs + prior)).sum() + entropy)
