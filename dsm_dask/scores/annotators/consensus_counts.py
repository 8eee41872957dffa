"""What became of the answers: how often each annotator was right by the consensus, which labels it
gave, and which items were disputed most."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.scores.annotators import (  # noqa: F401 - a worker has to know models
    crowdlab,
    dawid_skene,
    glad,
    mace,
)
from dsm_dask.scores.annotators.answers import Answers, ReadsAnswers
from dsm_dask.scores.annotators.majority import Majority
from dsm_dask.scores.probabilities.probabilities import ClassProbabilities
from dsm_dask.scores.stored_model import load

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
U64 = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

MOST = 20
"""Disputed items that are listed."""


@codec.state("scores.disputed", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Disputed:
    """Items, one number of each in every array: the key, the share of pairs of answers that
    differ, the number of answers, the consensus (class) and its probability."""

    keys: U64
    disagreement: Floats
    answers: Int64
    labels: Int32
    confidence: Floats

    def most(self, other: Disputed | None = None) -> Disputed:
        """The :data:`MOST` most disputed items of this and another, those first: by the share of
        pairs that differ, then answers, then key."""
        parts = [
            getattr(self, f.name)
            if other is None
            else np.concatenate([getattr(self, f.name), getattr(other, f.name)])
            for f in dataclasses.fields(self)
        ]
        kept = np.flatnonzero(parts[1] > 0)
        if len(kept) > 50 * MOST:
            least = np.partition(parts[1][kept], -MOST)[-MOST]
            kept = kept[parts[1][kept] >= least]
        order = np.lexsort((parts[0][kept], -parts[2][kept], -parts[1][kept]))
        return Disputed(*(part[kept[order[:MOST]]] for part in parts))


@codec.state("scores.consensus_counts", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class ConsensusCounts:
    """``right`` (annotators): answers that are the consensus. ``classes``: items of each consensus
    label. ``disputed``: the most disputed items."""

    right: Int64
    classes: Int64
    disputed: Disputed


@dataclasses.dataclass(frozen=True)
class CountConsensus:
    """The Fold that compares answers with the consensus. ``model`` is the URI of what gives that;
    None: the majority. ``probabilities`` are for CROWDLAB."""

    source: ReadsAnswers
    model: str | None = None
    probabilities: ClassProbabilities | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        more = () if self.probabilities is None else self.probabilities.columns
        return tuple(dict.fromkeys([*self.source.columns, *more]))

    def init(self) -> ConsensusCounts:
        return ConsensusCounts(
            np.zeros(self.source.annotators, np.int64),
            np.zeros(self.source.labels, np.int64),
            Disputed(*(np.empty(0, kind) for kind in ("u8", "f8", "i8", "i4", "f8"))),
        )

    def update(self, state: ConsensusCounts, batch: pa.RecordBatch) -> ConsensusCounts:
        from dsm_dask.scores.annotators import kernels as annotator_kernels

        answers = self.source.read(batch)
        labels, sure = self.decided(answers, batch)
        right = np.zeros(self.source.annotators, np.int64)
        annotator_kernels.add_right(
            answers.starts, answers.annotators, answers.labels, labels, right
        )
        split = disagreement(answers, self.source.labels)
        found = Disputed(answers.keys, split, np.diff(answers.starts), labels, sure)
        classes = np.bincount(labels[labels >= 0], minlength=self.source.labels)
        own = ConsensusCounts(right, classes.astype(np.int64), found.most())
        return self.merge(state, own)

    def decided(self, answers: Answers, batch: pa.RecordBatch) -> tuple[Int32, Floats]:
        """The consensus of each item, and how sure it is."""
        if self.model is None:
            return decided(Majority(self.source.labels).posteriors(answers))
        model = load(self.model)
        if self.probabilities is None:
            return decided(model.posteriors(answers))
        probabilities, nulls = self.probabilities.read(batch)
        return model.decide(answers, probabilities, ~nulls)  # type: ignore[no-any-return]

    def merge(self, left: ConsensusCounts, right: ConsensusCounts) -> ConsensusCounts:
        return ConsensusCounts(
            left.right + right.right,
            left.classes + right.classes,
            left.disputed.most(right.disputed),
        )

    def finish(self, state: ConsensusCounts) -> ConsensusCounts:
        return state


def decided(posteriors: Floats) -> tuple[Int32, Floats]:
    """The likeliest class of each item, of equal ones the first; -1 for items without an answer;
    and its probability, NaN then.

    >>> labels, sure = decided(np.array([[0.2, 0.8], [0.5, 0.5], [np.nan, np.nan]]))
    >>> labels.tolist(), sure.tolist()
    ([1, 0, -1], [0.8, 0.5, nan])
    """
    if not len(posteriors) or not posteriors.shape[1]:
        return np.full(len(posteriors), -1, np.int32), np.full(len(posteriors), np.nan)
    labels = posteriors.argmax(axis=1).astype(np.int32)
    sure = np.take_along_axis(posteriors, labels[:, np.newaxis], axis=1)[:, 0]
    labels[np.isnan(sure)] = -1
    return labels, sure


def disagreement(answers: Answers, classes: int) -> Floats:
    """The share of the pairs of answers to each item that differ; NaN for fewer than two."""
    from dsm_dask.scores.annotators import kernels as annotator_kernels

    found = np.empty(answers.items)
    annotator_kernels.disagreement(answers.starts, answers.labels, classes, found)
    return found
