"""Majority vote: each answer counts the same."""

from __future__ import annotations

import dataclasses

import numpy as np

from dsm_dask import codec
from dsm_dask.scores.annotators.answers import Answers
from dsm_dask.scores.annotators.expectation import Floats


def votes(answers: Answers, classes: int) -> Floats:
    """The share of each class in the answers to each item, of shape (items, classes); NaN where
    there is none.

    >>> starts, keys = np.array([0, 3, 3]), np.zeros(2, np.uint64)
    >>> some = Answers(starts, np.arange(3, dtype=np.int32), np.array([0, 1, 1], np.int16), keys)
    >>> votes(some, 2).round(2).tolist()
    [[0.33, 0.67], [nan, nan]]
    """
    from dsm_dask.scores.annotators import kernels as annotator_kernels

    found = np.empty((answers.items, classes))
    annotator_kernels.vote_shares(answers.starts, answers.labels, found)
    return found


@codec.state("scores.majority", 1)
@dataclasses.dataclass(frozen=True)
class Majority:
    """The model that knows nothing of annotators."""

    classes: int

    def posteriors(self, answers: Answers) -> Floats:
        return votes(answers, self.classes)
