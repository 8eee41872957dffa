"""Multinomial logistic regression on all data but one part of it, for each part, in the same scans.

The gradient and the loss of all models at some weights are one Fold. Its arithmetic is exact:
features, weights and residuals are whole multiples of powers of two, so small that every product
and every sum in a matrix product is a whole number below 2^53, which float64 holds exactly; sums
over batches are int64. So the models are the same bits however the data is cut or sent around.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.scores.labels import Class, codes_of
from dsm_dask.scores.out_of_fold.feature_scale import UNIT, Scale
from dsm_dask.scores.out_of_fold.features import Features, Floats

Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FINE = 1 << 16
"""Weights, residuals and losses are multiples of its inverse."""
LARGEST = float(1 << 26)
"""Weights, in these multiples, are no larger: up to 1,024."""
GRAM = 1024
"""Products of features with one another are summed up to so many; they speed up training."""


@codec.state("scores.parts", 1)
@dataclasses.dataclass(frozen=True)
class Parts:
    """Rows with features and a label, dealt to ``count`` parts, or folds."""

    features: Features
    label: str
    classes: tuple[Class, ...]
    count: int

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.features.columns, self.label)))

    def labels(self, batch: pa.RecordBatch, empty: Bools) -> npt.NDArray[np.int32]:
        """-1 for rows without a label or without any feature."""
        found = codes_of(batch, self.label, self.classes)
        found[empty] = -1
        return found


@dataclasses.dataclass(frozen=True)
class LabelsByFold:
    """How many labelled rows of each class each fold has: int64 of shape (folds, classes)."""

    parts: Parts

    @property
    def columns(self) -> tuple[str, ...]:
        return self.parts.columns

    def init(self) -> Int64:
        return np.zeros((self.parts.count, len(self.parts.classes)), np.int64)

    def update(self, state: Int64, batch: pa.RecordBatch) -> Int64:
        found = state.copy()
        for piece in self.parts.features.pieces(batch):
            _, empty = self.parts.features.read(piece)
            labels = self.parts.labels(piece, empty)
            known = labels >= 0
            folds = self.parts.features.folds(piece, self.parts.count)
            np.add.at(found, (folds[known], labels[known]), 1)
        return found

    def merge(self, left: Int64, right: Int64) -> Int64:
        return left + right

    def finish(self, state: Int64) -> Int64:
        return state


@codec.state("scores.gradient", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Sums:
    """``gradient``: int64 of shape (models, classes, features + 1); ``losses``: int64 by model;
    ``gram``: int64, products of features, of no size unless asked for."""

    gradient: Int64
    losses: Int64
    gram: Int64


@dataclasses.dataclass(frozen=True)
class Gradient:
    """Sums over the rows outside of each model's fold: (p - y) x and -ln p_y, where
    p = softmax(W x); and, with ``gram``, Σ x xᵀ over all labelled rows.

    ``weights`` encodes whole numbers of shape (models, classes, features + 1) and ``present``,
    bools of shape (models, classes): which classes a model knows. State: 8 bytes a
    weight, and 8 a pair of features.
    """

    parts: Parts
    scale: Scale
    weights: bytes
    gram: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.parts.columns

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self.parts.count, len(self.parts.classes), self.parts.features.width + 1

    def init(self) -> Sums:
        models, _, width = self._shape
        side = width if self.gram else 0
        return Sums(
            np.zeros(self._shape, np.int64),
            np.zeros(models, np.int64),
            np.zeros((side, side), np.int64),
        )

    def update(self, state: Sums, batch: pa.RecordBatch) -> Sums:
        for piece in self.parts.features.pieces(batch):
            state = self.merge(state, self._of(piece))
        return state

    def _of(self, batch: pa.RecordBatch) -> Sums:
        from dsm_dask.scores.out_of_fold.linear_kernels import residuals

        weights, present = decoded(self.weights)
        values, empty = self.parts.features.read(batch)
        labels = self.parts.labels(batch, empty)
        folds = self.parts.features.folds(batch, self.parts.count)
        x = self.scale.apply(values)
        scores = scores_of(x, weights)
        losses = np.zeros(self.parts.count, np.int64)
        residuals(scores, folds, labels, present, 1 / (UNIT * FINE), float(FINE), losses)
        gradient = scores.reshape(len(x), -1).T @ x
        known = x[labels >= 0] if self.gram else x[:0, :0]
        return Sums(
            gradient.astype(np.int64).reshape(self._shape),
            losses,
            (known.T @ known).astype(np.int64),
        )

    def merge(self, left: Sums, right: Sums) -> Sums:
        return Sums(
            left.gradient + right.gradient, left.losses + right.losses, left.gram + right.gram
        )

    def finish(self, state: Sums) -> Sums:
        return state


def scores_of(x: Floats, weights: Floats) -> Floats:
    """Of shape (rows, models, classes): whole multiples of 2^-26."""
    models, classes, width = weights.shape
    return np.ascontiguousarray(x @ weights.reshape(-1, width).T).reshape(len(x), models, classes)


def encoded(weights: Floats, present: Bools) -> bytes:
    """Whole weights and the classes that each model knows, for :class:`Gradient`."""
    return codec.encode((weights.astype(np.int32), present))


@functools.lru_cache(maxsize=4)
def decoded(data: bytes) -> tuple[Floats, Bools]:
    """What :func:`encoded` was given."""
    weights, present = codec.decode(data)
    return weights.astype(np.float64), present


def rounded(weights: Floats) -> Floats:
    """Whole numbers: multiples of 2^-16.

    >>> rounded(np.array([0.5, 1e9])).tolist()
    [32768.0, 67108864.0]
    """
    found: Floats = np.clip(np.rint(weights * FINE), -LARGEST, LARGEST)
    return found
