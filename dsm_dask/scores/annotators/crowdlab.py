"""CROWDLAB: answers of annotators and the probabilities of a model, weighed by how good each is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec, storage
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.scores.annotators.agreement import UNIT
from dsm_dask.scores.annotators.answers import Answers, ReadsAnswers
from dsm_dask.scores.annotators.expectation import Floats
from dsm_dask.scores.probabilities.probabilities import ClassProbabilities
from dsm_dask.scores.stored_model import load, store
from dsm_dask.table import Table

Int32 = npt.NDArray[np.int32]
LEAST = 1e-6
"""Weights and errors are at least this."""


@codec.state("scores.crowdlab_weights", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """``annotators``: the weight of each; ``model``: that of the model's probabilities; ``right``:
    how likely an answer is the consensus, over all annotators."""

    annotators: Floats
    model: float
    right: float

    def posteriors(self, answers: Answers, probabilities: Any, known: Any) -> Floats:
        """The average of what the model and each annotator say, by weight, of shape (items,
        classes); NaN for items without an answer. Where the model says nothing (``known`` is
        False) it has no weight."""
        from dsm_dask.scores.annotators import kernels as annotator_kernels

        found = np.empty((answers.items, probabilities.shape[1]))
        annotator_kernels.weighted(
            answers.starts, answers.annotators, answers.labels, probabilities, known,
            self.annotators, self.model, self.right, found,
        )  # fmt: skip
        return found


@codec.state("scores.crowdlab", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Crowdlab:
    """``first`` weights, by agreement with the majority, choose the consensus; ``second`` ones, by
    agreement with that, say how sure it is."""

    first: Weights
    second: Weights

    def decide(
        self, answers: Answers, probabilities: Any, known: Any
    ) -> tuple[Int32, npt.NDArray[np.float64]]:
        """The consensus of each item, -1 where there is no answer, and its probability."""
        labels = chosen(answers, probabilities, known, self.first)
        sure = self.second.posteriors(answers, probabilities, known)
        return labels, np.take_along_axis(sure, labels[:, np.newaxis].clip(0), axis=1)[:, 0]


def chosen(answers: Answers, probabilities: Any, known: Any, weights: Weights | None) -> Int32:
    """The consensus: by votes (of equal ones, what the model thinks likelier), or by weights."""
    from dsm_dask.scores.annotators import kernels as annotator_kernels

    labels = np.empty(answers.items, np.int32)
    annotator_kernels.best_votes(answers.starts, answers.labels, probabilities, known, labels)
    if weights is None:
        return labels
    found = weights.posteriors(answers, probabilities, known)
    best = found.argmax(axis=1).astype(np.int32)
    tied = (found == found.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return np.where(tied | (labels < 0), labels, best)


@codec.state("scores.crowdlab_counts", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class CrowdlabCounts:
    """``company`` (annotators, 2): answers of others to the same items, and how many are the same.
    ``classes``: consensus of items with several answers. ``right``: shares of their answers that
    are the consensus, in units of 1 / UNIT. ``judged``, ``wrong``: of these items, those of which
    the model says something, and of which it says something else. ``items``, ``answers`` in all."""

    company: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    right: int = 0
    judged: int = 0
    wrong: int = 0
    items: int = 0
    answers: int = 0


@dataclasses.dataclass(frozen=True)
class LearnWeights:
    """The Fold that finds :class:`Weights`; ``before`` is the URI of those that choose the
    consensus, None for votes.

    Weights are as in Goh, Tkachenko, Mueller, "CROWDLAB: supervised learning to infer consensus
    labels and quality scores for data with multiple annotators", 2022. With A the error of always
    giving the commonest consensus, an annotator who agrees with the others' answers at a share s
    has the weight 1 - (1 - s) / A, and the model, with an error of e, (1 - e / A) √(answers per
    item). Agreement is taken over items with two answers or more.
    """

    source: ReadsAnswers
    probabilities: ClassProbabilities
    before: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.source.columns, *self.probabilities.columns]))

    def init(self) -> CrowdlabCounts:
        company = np.zeros((self.source.annotators, 2), np.int64)
        return CrowdlabCounts(company, np.zeros(self.source.labels, np.int64))

    def update(self, state: CrowdlabCounts, batch: pa.RecordBatch) -> CrowdlabCounts:
        from dsm_dask.scores.annotators import kernels

        answers = self.source.read(batch)
        probabilities, nulls = self.probabilities.read(batch)
        weights = None if self.before is None else load(self.before)
        labels = chosen(answers, probabilities, ~nulls, weights)
        company = np.zeros((self.source.annotators, 4), np.int64)
        kernels.add_company(
            answers.starts, answers.annotators, answers.labels, self.source.labels, company
        )
        counts = np.diff(answers.starts)
        several = counts > 1
        judged = several & ~nulls
        votes = _right_votes(answers, labels)[several]
        shares = (votes * UNIT + counts[several] // 2) // counts[several]
        own = CrowdlabCounts(
            company[:, 1:3],
            np.bincount(labels[several], minlength=self.source.labels).astype(np.int64),
            int(shares.sum()),
            int(judged.sum()),
            int((probabilities.argmax(axis=1) != labels)[judged].sum()),
            int((counts > 0).sum()),
            len(answers.labels),
        )
        return self.merge(state, own)

    def merge(self, left: CrowdlabCounts, right: CrowdlabCounts) -> CrowdlabCounts:
        parts = (getattr(left, f.name) + getattr(right, f.name) for f in dataclasses.fields(left))
        return CrowdlabCounts(*parts)

    def finish(self, state: CrowdlabCounts) -> Weights:
        """Raises UsageError when no item has two answers."""
        several = int(state.classes.sum())
        if not several:
            raise UsageError(
                "No item has two answers: nothing tells how far annotators can be trusted.",
                valid="majority; or --label with --probs, for the labels of one annotator.",
            )
        others, same = state.company[:, 0], state.company[:, 1]
        share = np.divide(same, others, out=np.full(len(same), np.nan), where=others > 0)
        share = np.where(others > 0, share, np.nanmean(share))
        error = max(1 - float(state.classes.max()) / several, LEAST)
        wrong = state.wrong / state.judged if state.judged else 1.0
        model = max(1 - wrong / error, LEAST) * float(np.sqrt(state.answers / state.items))
        annotators = np.maximum(1 - (1 - share) / error, LEAST)
        return Weights(annotators, model, state.right / UNIT / several)


def _right_votes(answers: Answers, labels: Int32) -> npt.NDArray[np.int64]:
    counts = np.diff(answers.starts)
    same = np.append(0, np.cumsum(answers.labels == np.repeat(labels, counts)))
    found: npt.NDArray[np.int64] = same[answers.starts[1:]] - same[answers.starts[:-1]]
    return found


def learn(
    table: Table, source: ReadsAnswers, probabilities: ClassProbabilities, engine: Engine, work: str
) -> Crowdlab:
    """Two passes: weights by agreement with the majority, then by agreement with what these
    choose. ``work`` is the URI of a folder that the workers see."""
    fold = LearnWeights(source, probabilities)
    first: Weights = engine.fold(table, fold, label="Weighing").result
    again = dataclasses.replace(fold, before=store(first, storage.join(work, "weights")))
    second: Weights = engine.fold(table, again, cache=False, label="Weighing again").result
    return Crowdlab(first, second)
