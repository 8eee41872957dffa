"""Calibration of a model by annotators: how much surer, or less sure, it should have been."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.scores.annotators.answers import ReadsAnswers
from dsm_dask.scores.annotators.expectation import Floats
from dsm_dask.scores.labels import Class
from dsm_dask.scores.probabilities.class_values import Bools, Matrix
from dsm_dask.scores.probabilities.probabilities import ClassProbabilities
from dsm_dask.table import Table

Int64 = npt.NDArray[np.int64]

_COARSE = (0.1, 0.2, 0.5, 0.8, 1.0, 2.0, 3.0, 5.0, 8.0)
TEMPERATURES = np.interp(np.arange(33) / 4, np.arange(9), _COARSE)
"""Those that are tried: each of the coarse ones, and three evenly between it and the next."""

LEAST = 1e-30
"""Probabilities are at least this, so that no logarithm is infinite."""

_UNIT = 1 << 30


def scaled(probabilities: Matrix, temperature: float) -> Floats:
    """p^(1 / temperature), divided by its sum in each row: above 1 a model is made less sure of
    itself, below 1 surer (Guo et al., "On calibration of modern neural networks", ICML 2017).

    >>> scaled(np.array([[0.9, 0.1]]), 2.0).round(6).tolist()
    [[0.75, 0.25]]
    """
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST)) / temperature
    found = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


@codec.state("scores.calibrated", 1)
@dataclasses.dataclass(frozen=True)
class Calibrated:
    """Probabilities of a model, :func:`scaled` by a temperature."""

    probabilities: ClassProbabilities
    temperature: float

    @property
    def columns(self) -> tuple[str, ...]:
        return self.probabilities.columns

    @property
    def classes(self) -> tuple[Class, ...]:
        return self.probabilities.classes

    @property
    def multilabel(self) -> bool:
        return self.probabilities.multilabel

    @property
    def parameters(self) -> dict[str, Any]:
        return {**self.probabilities.parameters, "calibrated": self.temperature}

    def read(self, batch: pa.RecordBatch) -> tuple[Matrix, Bools]:
        numbers, nulls = self.probabilities.read(batch)
        return scaled(np.where(nulls[:, np.newaxis], 1.0, numbers), self.temperature), nulls


@codec.state("scores.cross_entropies", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class CrossEntropies:
    """Sums over ``items``, one of each of :data:`TEMPERATURES`: of the whole parts, and of what is
    left of each item, in units of 2^-30. They are the same however the items were cut."""

    whole: Int64
    rest: Int64
    items: int = 0


@dataclasses.dataclass(frozen=True)
class LearnTemperature:
    """The Fold that finds the temperature of :data:`TEMPERATURES` with which the model comes
    nearest to the annotators: the least mean over items of the cross-entropy

        -sum of q_k log p_k

    of the share q of the answers that are each class, and the scaled probabilities p, at least
    1e-30. Over items with an answer and with probabilities; the lowest of equally good ones, and 1
    without any item. That is cleanlab's ``calibrate_probs``, but for 8, which it never takes.
    """

    source: ReadsAnswers
    probabilities: ClassProbabilities

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.source.columns, *self.probabilities.columns]))

    def init(self) -> CrossEntropies:
        whole, rest = np.zeros((2, len(TEMPERATURES)), np.int64)
        return CrossEntropies(whole, rest)

    def update(self, state: CrossEntropies, batch: pa.RecordBatch) -> CrossEntropies:
        from dsm_dask.scores.annotators import kernels

        answers = self.source.read(batch)
        numbers, nulls = self.probabilities.read(batch)
        whole, rest = np.array(state.whole), np.array(state.rest)
        items = kernels.add_cross_entropies(
            answers.starts, answers.labels, numbers, ~nulls, TEMPERATURES, LEAST, _UNIT, whole, rest
        )
        return CrossEntropies(whole, rest, state.items + int(items))

    def merge(self, left: CrossEntropies, right: CrossEntropies) -> CrossEntropies:
        return CrossEntropies(
            left.whole + right.whole, left.rest + right.rest, left.items + right.items
        )

    def finish(self, state: CrossEntropies) -> float:
        if not state.items:
            return 1.0
        carried = state.rest // _UNIT
        total = list(zip(state.whole + carried, state.rest - carried * _UNIT, strict=True))
        return float(TEMPERATURES[total.index(min(total))])


def calibrated(
    table: Table, source: ReadsAnswers, probabilities: ClassProbabilities, engine: Engine
) -> Calibrated:
    """The probabilities, made as sure as the annotators say. One pass."""
    fold = LearnTemperature(source, probabilities)
    return Calibrated(probabilities, engine.fold(table, fold, label="Calibrating").result)


def check_calibrate(calibrate: bool, method: str) -> None:
    """Raise UsageError where there is no model to calibrate."""
    if calibrate and method != "crowdlab":
        raise UsageError(
            f"There is no model to calibrate for {method}.",
            valid="--consensus crowdlab --probs COL --calibrate",
        )
