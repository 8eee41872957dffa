"""MACE: annotators who know the answer, or do not and give one out of habit."""

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

KNOWING, SPAMMING, STRATEGY = 0.5, 0.5, 10.0
"""Parameters of the priors: Beta of whether one knows, symmetric Dirichlet of what one says when
one does not. Those of the paper."""


@codec.state("scores.competences", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Competences:
    """``knowing`` (annotators): how many answers were given by knowing; ``spamming`` (annotators,
    classes): how many out of habit, by the answer given. Both expected."""

    knowing: Floats
    spamming: Floats

    @functools.cached_property
    def _parameters(self) -> tuple[Floats, Floats]:
        """Weights of giving an answer by knowing (annotators, 1) and by habit (annotators,
        classes), exp(E[log p]) under the posterior of the parameters."""
        spamming = self.spamming.sum(axis=1)
        every = digamma(self.knowing + spamming + KNOWING + SPAMMING)
        knows = np.exp(digamma(self.knowing + KNOWING) - every)
        habit = np.exp(digamma(spamming + SPAMMING) - every)
        classes = self.spamming.shape[1]
        strategy = np.exp(
            digamma(self.spamming + STRATEGY)
            - digamma(spamming + classes * STRATEGY)[:, np.newaxis]
        )
        return knows[:, np.newaxis], habit[:, np.newaxis] * strategy

    @functools.cached_property
    def tables(self) -> tuple[Floats, Floats, Floats]:
        """Of shape (annotators, classes): log P(answer by habit), how much more likely the answer
        is when it is true (as a logarithm), and P(knew | the answer is true)."""
        knows, habit = self._parameters
        return np.log(habit), np.log1p(knows / habit), knows / (knows + habit)

    def posteriors(self, answers: Answers) -> Floats:
        """P(class | answers), of shape (items, classes); NaN for items without an answer."""
        return self.explained(answers, 1.0)[0]

    def explained(self, answers: Answers, scale: float) -> tuple[Floats, int]:
        """The posteriors, and the log-likelihood of the answers in units of 1 / ``scale``: rounded
        for each item, so that the sum does not depend on how the answers were cut."""
        from dsm_dask.scores.annotators import kernels as annotator_kernels

        found = np.empty((answers.items, self.spamming.shape[1]))
        log_habit, gain, _ = self.tables
        likelihood = annotator_kernels.mace(
            answers.starts, answers.annotators, answers.labels, log_habit, gain, scale, found
        )
        return found, int(likelihood)

    def quality(self) -> Floats:
        """The probability that an annotator knows: the mean of its posterior."""
        total = self.knowing + self.spamming.sum(axis=1)
        return np.asarray((self.knowing + KNOWING) / (total + KNOWING + SPAMMING))


@codec.state("scores.mace", 1)
@dataclasses.dataclass(frozen=True)
class Mace:
    """Multi-annotator competence estimation (Hovy, Berg-Kirkpatrick, Vaswani, Hovy, "Learning whom
    to trust with MACE", NAACL 2013), by variational Bayes.

    An annotator knows with probability θ and then gives the true class; else gives class k with
    probability ξ(k), whatever is true. All classes are equally likely at first. So there are
    classes + 1 numbers to learn of an annotator, where Dawid-Skene has classes²: better when each
    gave few answers. Starts from the shares of votes, not from random numbers: one run, the same
    every time. The objective is the log-likelihood per answer.
    """

    iterations: int = ITERATIONS
    tolerance: float = TOLERANCE_AN_ANSWER

    def __post_init__(self) -> None:
        check_iterations(self.iterations, self.tolerance)

    def shapes(self, annotators: int, classes: int) -> tuple[tuple[int, ...], ...]:
        return ((annotators, classes), (annotators,))

    def start(self, annotators: int, classes: int) -> Majority:
        return Majority(classes)

    def add(self, counts: Counts, answers: Answers, model: Any, bits: int) -> int:
        from dsm_dask.scores.annotators import kernels as annotator_kernels

        spamming, knowing = counts.tables
        knows, likelihood = np.ones(spamming.shape), 0
        for _, some in answers.blocks(spamming.shape[1]):
            if isinstance(model, Majority):
                found = model.posteriors(some)
            else:
                knows = model.tables[2]
                found, one = model.explained(some, 2.0 ** (bits - 6))
                likelihood += one
            annotator_kernels.add_spamming(
                some.starts, some.annotators, some.labels, found, knows, 2.0**bits,
                spamming, knowing,
            )  # fmt: skip
        return likelihood

    def maximised(self, counts: Counts, bits: int, before: Any) -> Competences:
        del before
        spamming, knowing = (part / 2.0**bits for part in counts.tables)
        return Competences(knowing, spamming)

    def objective(self, counts: Counts, bits: int, before: Any, maximised: Any) -> float:
        del before, maximised
        return counts.objective / 2.0 ** (bits - 6)


def digamma(x: Floats) -> Floats:
    """The derivative of log Γ for positive numbers: ψ(x) = ψ(x + 1) - 1/x up to 10, and from there
    the asymptotic series (Abramowitz, Stegun, "Handbook of mathematical functions", 6.3.18).

    >>> float(digamma(np.array([1.0]))[0].round(12))
    -0.577215664902
    """
    x = np.array(x, np.float64)
    found = np.zeros_like(x)
    for _ in range(10):
        small = x < 10
        found -= np.divide(1, x, out=np.zeros_like(x), where=small)
        x += small
    square = 1 / (x * x)
    tail = 1 / 252 - square * (1 / 240 - square / 132)
    series = square * (1 / 12 - square * (1 / 120 - square * tail))
    return np.asarray(found + np.log(x) - 0.5 / x - series)
