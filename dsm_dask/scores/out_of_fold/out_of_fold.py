"""Probabilities of classes where there are none: each row's by a model that has not seen it, nor
any row like it."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec, storage
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.fold import Product
from dsm_dask.scores.data_digest import data_digest
from dsm_dask.scores.labels import Class
from dsm_dask.scores.out_of_fold.feature_scale import UNIT, FeatureScale, LargestFeatures, Scale
from dsm_dask.scores.out_of_fold.features import DIMENSION, Features, Floats, features_of
from dsm_dask.scores.out_of_fold.linear_model import (
    FINE,
    GRAM,
    Gradient,
    LabelsByFold,
    Parts,
    Sums,
    decoded,
    encoded,
    rounded,
    scores_of,
)
from dsm_dask.scores.out_of_fold.quasi_newton import QuasiNewton
from dsm_dask.scores.scorer import Quantities
from dsm_dask.table import Table

Counts = npt.NDArray[np.int64]

FOLDS = 5
ROUNDS = 30
MOST_WEIGHTS = 1 << 22
SMALL = 1 << 20
"""Bytes of models that are sent to workers; larger ones are left in the work folder."""
TOLERANCE = 1e-4
"""Training ends when no component of the gradient of the mean loss is larger, as in
scikit-learn."""


@dataclasses.dataclass(frozen=True)
class OutOfFold:
    """``probabilities``: of each class, by a linear model trained on the other parts of the data;
    a list of float32, null for a row without any feature. A row without a label is predicted, too.

    Rows are dealt to ``folds`` parts by the hash of their features, or of the column ``group``:
    duplicates, or all rows of a group, are in one part. For each part there is a multinomial
    logistic regression of the rows outside of it (features standardised, ``penalty`` / 2 · ‖W‖²
    added to the sum of losses, as scikit-learn's C = 1 / penalty), found by limited-memory BFGS
    of at most ``rounds`` scans. Texts are hashed n-grams of ``dimension`` features; a row has
    16,384 features at most. Exact arithmetic (see ``linear_model``) gives the
    same probabilities however the data is cut.

    A class that a model has not seen (all its rows are in one part; so of a class with one row) has
    probability 0 there; a UserWarning names such classes.

    >>> OutOfFold("y", ("text",), ("ham", "spam")).schema.field(0).type
    FixedSizeListType(fixed_size_list<item: float>[2])
    """

    label: str
    on: tuple[str, ...]
    classes: tuple[Class, ...]
    group: str | None = None
    folds: int = FOLDS
    rounds: int = ROUNDS
    penalty: float = 1.0
    dimension: int = DIMENSION

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise UsageError(
                f"There is nothing to learn of {len(self.classes)} classes.", valid="Two or more."
            )
        for value, least, what in (
            (self.folds, 2, "parts of the data"), (self.rounds, 1, "rounds of training"),
            (self.dimension, 1, "features of a text"),
        ):  # fmt: skip
            if value < least:
                raise UsageError(f"{value} are too few {what}.", valid=f"{least} or more.")
        if not 0 < self.penalty < np.inf:
            raise UsageError(f"A penalty of {self.penalty} is none.", valid="A number above 0.")

    @property
    def name(self) -> str:
        return "out_of_fold"

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.on, *([] if self.group is None else [self.group]))))

    @property
    def sources(self) -> tuple[str, ...]:
        """What the probabilities depend on: the labels, too."""
        return tuple(dict.fromkeys((*self.columns, self.label)))

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("probabilities", pa.list_(pa.float32(), len(self.classes)))])

    @property
    def parameters(self) -> dict[str, Any]:
        given = dataclasses.asdict(self)
        return {"method": "logistic_regression", **given, "classes": list(self.classes)}

    def data_digest(self, table: Table) -> str:
        """Of all that the models are trained on."""
        return data_digest(table, self.sources)

    def prepare(self, table: Table, engine: Engine, work: str) -> Quantities:
        """Trains the models. Raises UsageError when there are fewer than two labelled classes, or
        too many weights; SchemaError and BadRows for columns that give no features."""
        features = features_of(table, self.on, self.group, self.dimension)
        parts = Parts(features, self.label, self.classes, self.folds)
        size = self.folds * len(self.classes) * (features.width + 1)
        if size > MOST_WEIGHTS:
            raise UsageError(
                f"{self.folds} models of {len(self.classes):,} classes and {features.width:,} "
                f"features have {size:,} weights.",
                valid=f"Up to {MOST_WEIGHTS:,}: fewer features or folds.",
            )
        first = Product((LargestFeatures(features), LabelsByFold(parts)))
        largest, counts = engine.fold(table, first, label="Looking at features").result
        present = self._present(counts)
        fold = FeatureScale(features, largest)
        scale: Scale = engine.fold(table, fold, label="Scales of features").result
        models = _train(table, engine, parts, scale, counts, present, self.rounds, self.penalty)
        told = {"widths": list(features.widths), "scale": scale}
        if len(models) <= SMALL:
            return {**told, "models": models}
        uri = storage.join(work, "models.dsm")
        storage.write(uri, models)
        return {**told, "_models": uri, "digest": codec.encode(models)[4:12]}

    def _present(self, counts: Counts) -> npt.NDArray[np.bool_]:
        """Which classes each model has rows of."""
        seen = counts.sum(axis=0) - counts
        present: npt.NDArray[np.bool_] = seen > 0
        if not present.any(axis=1).all() or (counts.sum(axis=0) > 0).sum() < 2:
            raise UsageError(
                f"{int(counts.sum()):,} labelled rows of {int((counts.sum(axis=0) > 0).sum())} "
                "classes are too few to learn from.",
                valid="Rows of two classes at least, in more than one part of the data.",
            )
        lost = np.flatnonzero((counts.sum(axis=0) > 0) & ~present.all(axis=0))
        if len(lost):
            names = ", ".join(repr(self.classes[i]) for i in lost[:10].tolist())
            warnings.warn(
                f"All rows of {len(lost)} classes are in one part of the data, where they have the "
                f"probability 0 (too few rows, or one group): {names}.",
                stacklevel=2,
            )
        return present

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises what reading the features does."""
        from dsm_dask.scores.out_of_fold.linear_kernels import probabilities

        weights, present = decoded(_models(quantities))
        features = Features(self.on, tuple(quantities["widths"]), self.group)
        found = np.zeros((batch.num_rows, len(self.classes)), np.float32)
        nulls = np.zeros(batch.num_rows, np.bool_)
        start = 0
        for piece in features.pieces(batch):
            values, empty = features.read(piece)
            rows = slice(start, start + piece.num_rows)
            scores = scores_of(quantities["scale"].apply(values), weights)
            folds = features.folds(piece, self.folds)
            probabilities(scores, folds, present, 1 / (UNIT * FINE), found[rows])
            nulls[rows], start = empty, rows.stop
        column = pa.FixedSizeListArray.from_arrays(
            pa.array(found.reshape(-1)), len(self.classes), mask=pa.array(nulls)
        )
        return pa.record_batch([column], schema=self.schema)


def _models(quantities: Quantities) -> bytes:
    if "models" in quantities:
        found: bytes = quantities["models"]
        return found
    return storage.read(quantities["_models"])


def _train(
    table: Table, engine: Engine, parts: Parts, scale: Scale, counts: Counts,
    present: npt.NDArray[np.bool_], rounds: int, penalty: float,
) -> bytes:  # fmt: skip
    """The weights of all models, encoded. Every scan evaluates all that are not done."""
    rows = (counts.sum() - counts.sum(axis=1)).tolist()
    width = parts.features.width + 1
    shrunk = np.append(np.full(width - 1, penalty), 0.0)
    weights = np.zeros((parts.count, len(parts.classes), width))
    searches: list[QuasiNewton] = []
    for done in range(rounds):
        gram = done == 0 and width <= GRAM
        fold = Gradient(parts, scale, encoded(weights, present), gram)
        # Only the first gradient is the same in the next run: the others would pile up.
        sums: Sums = engine.fold(table, fold, label="Training", cache=not done).result
        if not searches:
            searches = [
                QuasiNewton(
                    weights[m] / FINE,
                    _inverse(sums.gram, rows[m] / int(counts.sum()), rows[m], shrunk),
                    lambda point: rounded(point) / FINE,
                    TOLERANCE * rows[m],
                )
                for m in range(parts.count)
            ]
        for m, search in enumerate(searches):
            point = search.next
            loss = int(sums.losses[m]) / FINE + 0.5 * float((shrunk * point * point).sum())
            search.told(loss, sums.gradient[m] / (FINE * UNIT) + shrunk * point)
        if all(search.done for search in searches):
            break
        weights = np.stack([search.next for search in searches]) * FINE
    return encoded(np.stack([search.point for search in searches]) * FINE, present)


def _inverse(gram: Counts, share: float, rows: int, shrunk: Floats) -> Any:
    """The inverse of a bound of the Hessian: that of a multinomial logistic regression is at most
    (1/2) I ⊗ X'X (Böhning, "Multinomial logistic regression algorithm", Annals of the Institute of
    Statistical Mathematics 44, 1992); of X'X that was not summed, the diagonal."""
    if not len(gram):
        diagonal = 0.5 * rows + shrunk
        return lambda gradient: gradient / diagonal
    bound = 0.5 * share * gram.astype(np.float64) / UNIT**2 + np.diag(shrunk + 1e-6 * rows)
    inverse = np.linalg.inv(bound)
    return lambda gradient: gradient @ inverse
