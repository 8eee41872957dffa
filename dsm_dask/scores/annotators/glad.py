"""GLAD: annotators of different ability, and items of different difficulty."""

from __future__ import annotations

import dataclasses
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

MEAN = 1.0
"""Of the normal priors, of variance 1, of an ability and of the logarithm of an item's ease."""
REACH = 6.0
"""The logarithm of the ease is at most this far from the mean."""

_SLOPE, _BEND = 11, 20
"""Binary digits of the largest slope and bend that one answer can give: ease is below 2^11."""


@codec.state("scores.abilities", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Abilities:
    """``ability`` (annotators): 0 guesses, below 0 is wrong more often than that. ``labels`` is
    how many classes there are."""

    ability: Floats
    labels: int

    def posteriors(self, answers: Answers) -> Floats:
        """P(class | answers, ease), of shape (items, classes); NaN for items without an answer."""
        return self.explained(answers, 1.0)[0]

    def explained(self, answers: Answers, scale: float) -> tuple[Floats, Floats, int]:
        """The posteriors, the logarithm of each item's ease, and the log-likelihood of the answers
        and the prior of the ease in units of 1 / ``scale``: rounded for each item, so that the sum
        does not depend on how the answers were cut."""
        from dsm_dask.scores.annotators import glad_kernels

        found = np.empty((answers.items, self.labels))
        ease = np.empty(answers.items)
        likelihood = glad_kernels.glad(
            answers.starts, answers.annotators, answers.labels, self.ability, MEAN, REACH, scale,
            found, ease,
        )  # fmt: skip
        return found, ease, int(likelihood)

    def quality(self) -> Floats:
        """The probability that an annotator is right about an item of the prior's ease."""
        return np.asarray(1 / (1 + np.exp(-self.ability * np.exp(MEAN))))


@codec.state("scores.glad", 1)
@dataclasses.dataclass(frozen=True)
class Glad:
    """Generative model of labels, abilities and difficulties (Whitehill, Ruvolo, Wu, Bergsma,
    Movellan, "Whose vote should count more: optimal integration of labels from labelers of unknown
    expertise", NIPS 2009).

    An annotator of ability a is right about an item of ease e^b with odds of e^x to 1, x = a e^b,
    and else gives any other of the classes, all alike. Classes are equally likely at first; a and b
    have normal priors of mean and variance 1. So there is one number to learn of an annotator: good
    where each gave few answers, or where some items are hard for everybody.

    b of an item is what makes its own answers likeliest, given the abilities (a maximum over -5 to
    7, found from 1 on), so nothing is kept of items. Abilities take one step of a generalised
    expectation-maximisation in each iteration, from 1 on: Newton's away from zero, and towards it
    to the top of the touching parabola (Jaakkola, Jordan, "Bayesian parameter estimation via
    variational methods", 2000). Neither can pass the top of the expected log-likelihood, so the
    objective, the log-likelihood with the priors, never falls. Where it settles, abilities, ease
    and posteriors are those of crowd-kit run to the end.

    >>> starts, keys = np.array([0, 3, 6, 8]), np.zeros(3, np.uint64)
    >>> people, labels = np.array([0, 1, 2] * 2 + [0, 2]), np.array([0, 0, 1, 1, 1, 0, 0, 1])
    >>> answers = Answers(starts, people.astype(np.int32), labels.astype(np.int16), keys)
    >>> model = Abilities(np.array([1.0, 1.0, 0.1]), 2)
    >>> model.posteriors(answers).argmax(axis=1).tolist()
    [0, 1, 0]
    """

    iterations: int = ITERATIONS
    tolerance: float = TOLERANCE_AN_ANSWER

    def __post_init__(self) -> None:
        check_iterations(self.iterations, self.tolerance)

    def shapes(self, annotators: int, classes: int) -> tuple[tuple[int, ...], ...]:
        del classes
        return ((annotators, 3),)

    def start(self, annotators: int, classes: int) -> Abilities:
        return Abilities(np.full(annotators, MEAN), classes)

    def add(self, counts: Counts, answers: Answers, model: Abilities, bits: int) -> int:
        from dsm_dask.scores.annotators import glad_kernels

        (slopes,), likelihood = counts.tables, 0
        for _, some in answers.blocks(model.labels):
            found, ease, one = model.explained(some, 2.0 ** (bits - 6))
            likelihood += one
            glad_kernels.add_slopes(
                some.starts, some.annotators, some.labels, model.ability, found, ease,
                2.0 ** (bits - _SLOPE), 2.0 ** (bits - _BEND), slopes,
            )  # fmt: skip
        return likelihood

    def maximised(self, counts: Counts, bits: int, before: Abilities) -> Abilities:
        slope, newton, touching = counts.tables[0].T
        slope = slope / 2.0 ** (bits - _SLOPE) - (before.ability - MEAN)
        bend = np.where(slope * before.ability >= 0, newton, touching) / 2.0 ** (bits - _BEND) + 1
        return Abilities(before.ability + slope / bend, before.labels)

    def objective(self, counts: Counts, bits: int, before: Abilities, maximised: Any) -> float:
        del maximised
        prior = ((before.ability - MEAN) ** 2).sum() / 2
        return float(counts.objective / 2.0 ** (bits - 6) - prior)
