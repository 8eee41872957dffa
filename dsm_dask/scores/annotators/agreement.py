"""Agreement of annotators: percent, Fleiss' kappa, Krippendorff's alpha."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.scores.annotators import krippendorff
from dsm_dask.scores.annotators.answers import ReadsAnswers
from dsm_dask.scores.annotators.bootstrap import CELLS, Estimate, drawn, estimate, groups_for

Int64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

UNIT = 720_720 << 10
"""Shares are counted in units of one over this. Every share of up to 16 answers is a whole number
of them, 720720 being the least common multiple of 1 to 16; other shares are rounded at 1e-9."""


@codec.state("scores.coincidences", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Coincidences:
    """For each group of items, in units of 1 / :data:`UNIT`: pairs of labels given to the same item
    (groups, classes, classes), shares of the classes in the answers to an item (groups, classes).
    ``counters`` (groups, 3): the shares of pairs that agree; items with two answers or more, and
    with any (these two in ones). ``rows`` and ``answers`` in all."""

    pairs: Int64
    shares: Int64
    counters: Int64
    rows: int = 0
    answers: int = 0


@codec.state("scores.agreement", 1)
@dataclasses.dataclass(frozen=True)
class AgreementNumbers:
    """``items`` were answered, ``unanswered`` not, ``shared`` were answered twice or more, and the
    numbers are about these. ``alpha_ordinal`` is None when the classes have no order that is known,
    ``alpha_interval`` when they are no numbers."""

    items: int
    unanswered: int
    shared: int
    answers: int
    percent: Estimate
    fleiss: Estimate
    alpha_nominal: Estimate
    alpha_ordinal: Estimate | None = None
    alpha_interval: Estimate | None = None


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far all annotators agree, each number with a bootstrap interval.

    * ``percent``: the mean over items with two answers or more of the share of pairs of answers
      that are the same, P̄.
    * ``fleiss``: (P̄ - Pe) / (1 - Pe), Pe = Σ p_k², p_k being the mean over the answered items of
      the share of class k in their answers (Fleiss, "Measuring nominal scale agreement among many
      raters", 1971; for items with different numbers of answers as Gwet, "Handbook of inter-rater
      reliability", 2014).
    * ``alpha``: see :func:`dsm_dask.scores.annotators.krippendorff.alpha`.

    A number is None where it is not defined: no item has two answers, or there is but one class in
    all answers. ``ordered`` says that the classes stand in their order; classes that are numbers
    do. At most 8 MB of state (1,024 classes), 120 KB for 10 classes.
    """

    source: ReadsAnswers
    values: tuple[float, ...] | None = None
    ordered: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.source.columns

    def init(self) -> Coincidences:
        classes = self.source.labels
        groups = groups_for(classes * classes)
        shapes = ((groups, classes, classes), (groups, classes), (groups, 3))
        pairs, shares, counters = (np.zeros(shape, np.int64) for shape in shapes)
        return Coincidences(pairs, shares, counters)

    def update(self, state: Coincidences, batch: pa.RecordBatch) -> Coincidences:
        from dsm_dask.scores.annotators import kernels

        pairs, shares, counters = map(np.array, (state.pairs, state.shares, state.counters))
        found = self.source.read(batch)
        group = kernels.groups_of(found.keys, len(pairs))
        kernels.add_coincidences(found.starts, found.labels, group, UNIT, pairs, shares, counters)
        rows, answers = state.rows + found.items, state.answers + len(found.labels)
        return Coincidences(pairs, shares, counters, rows, answers)

    def merge(self, left: Coincidences, right: Coincidences) -> Coincidences:
        return Coincidences(
            left.pairs + right.pairs,
            left.shares + right.shares,
            left.counters + right.counters,
            left.rows + right.rows,
            left.answers + right.answers,
        )

    def finish(self, state: Coincidences) -> AgreementNumbers:
        weights = drawn(state.counters[:, 2])
        numbers = _Numbers(
            state.counters[:, 0] / UNIT, state.counters[:, 1], state.counters[:, 2],
            state.shares / UNIT, state.pairs.reshape(len(state.pairs), -1) / UNIT,
        )  # fmt: skip
        items = int(state.counters[:, 2].sum())
        ordered = self.ordered or self.values is not None
        places = None if self.ordered else self.values  # texts such as "10" stand before "2"
        return AgreementNumbers(
            items,
            state.rows - items,
            int(state.counters[:, 1].sum()),
            state.answers,
            estimate(weights, numbers.percent),
            estimate(weights, numbers.fleiss),
            estimate(weights, numbers.alpha("nominal")),
            estimate(weights, numbers.alpha("ordinal", places)) if ordered else None,
            estimate(weights, numbers.alpha("interval", self.values)) if self.values else None,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Numbers:
    """Sums of each group, as functions of how often each is drawn (draws, groups)."""

    agreeing: Floats
    shared: Int64
    items: Int64
    shares: Floats
    pairs: Floats

    def percent(self, weights: Floats) -> Floats:
        return _over(weights @ self.agreeing, weights @ self.shared)

    def fleiss(self, weights: Floats) -> Floats:
        share = (weights @ self.shares) / (weights @ self.items)[:, np.newaxis].clip(1)
        chance = (share**2).sum(axis=1)
        return _over(self.percent(weights) - chance, np.where(chance < 1, 1 - chance, 0))

    def alpha(self, level: krippendorff.Level, values: Any = None) -> Callable[[Floats], Floats]:
        classes = self.shares.shape[1]
        rows = max(1, CELLS // max(classes, 1) ** 2)

        def some(weights: Floats) -> Floats:
            drawn = (weights @ self.pairs).reshape(len(weights), classes, classes)
            return krippendorff.alpha(drawn, level, values)

        def found(weights: Floats) -> Floats:
            return np.concatenate(
                [some(weights[i : i + rows]) for i in range(0, len(weights), rows)]
            )

        return found


def _over(part: Floats, whole: Floats) -> Floats:
    found: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return found
