"""Probabilities from a model that the user has, applied by the workers to columns of features."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec, storage
from dsm_dask.errors import (
    BadRows,
    DsmError,
    SchemaError,
    UnknownColumn,
    UsageError,
    nearest,
)
from dsm_dask.scores.probabilities import class_values
from dsm_dask.scores.probabilities.class_values import Bools, Matrix
from dsm_dask.scores.probabilities.probabilities import Class, Kind, Probabilities
from dsm_dask.scores.row_names import named


@codec.state("scores.model_probabilities", 1)
@dataclasses.dataclass(frozen=True)
class ModelProbabilities:
    """Probabilities that the model in a file gives each row, from columns of features:
    :func:`from_model` makes it. What ``Probabilities`` is for
    probabilities in columns; may be a field of a Fold.

    Features are columns of numbers, lists of numbers (as many features as they are long) or one
    column of texts; the model file is a whole pipeline, and nothing is scaled or encoded here.
    Numbers that are null are NaN for the model; rows where everything, a text or a list is null
    have no probabilities. Each process loads the file once.
    """

    model: str
    digest: str
    """Of the file, so that scores of another model are not taken for scores of this one."""
    columns: tuple[str, ...]
    output: Probabilities
    """What the model gives: its classes, probabilities or logits."""
    trusted: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[Class, ...]:
        return self.output.classes

    @property
    def multilabel(self) -> bool:
        return self.output.multilabel

    @property
    def parameters(self) -> dict[str, Any]:
        given = self.output.parameters
        return {
            **given, "columns": list(self.columns), "model": self.model, "digest": self.digest,
            "trusted": list(self.trusted),
        }  # fmt: skip

    def read(self, batch: pa.RecordBatch) -> tuple[Matrix, Bools]:
        """As :meth:`dsm_dask.scores.probabilities.probabilities.Probabilities.read` does.

        Raises SchemaError when the columns are no features, BadRows when the model fails on them or
        what it gives are no probabilities.
        """
        from dsm_dask.scores.models.files import load
        from dsm_dask.scores.probabilities.checks import of_matrix

        columns, nulls = _features(batch, self.columns)
        rows = np.flatnonzero(~nulls)
        if nulls.any():
            columns = {name: values[rows] for name, values in columns.items()}
        if not len(rows):
            return of_matrix(self.output, np.zeros((len(nulls), 1)), nulls, str), nulls
        model = load(self.model, self.digest, self.trusted)
        try:
            found = model.predict(columns)
        except DsmError:
            raise
        except Exception as error:  # whatever the model raises
            raise BadRows(
                f"The model {storage.name(self.model)} does not take the rows of a batch: "
                f"{type(error).__name__}: {error}.",
                valid="Columns as the model was trained on; an imputer in it, for nulls.",
            ) from error
        values = np.zeros((len(nulls), found.shape[1]), _float_of(found))
        values[rows] = found
        return of_matrix(self.output, values, nulls, functools.partial(named, batch)), nulls


def from_model(
    uri: str,
    columns: tuple[str, ...] = (),
    classes: tuple[Class, ...] = (),
    *,
    kind: Kind = "probabilities",
    temperature: float = 1.0,
    multilabel: bool = False,
    trusted: tuple[str, ...] = (),
) -> ModelProbabilities:
    """The model in a ``.skops`` or ``.onnx`` file, which is read here once to know its classes.

    ``columns`` may be left out when the model knows the names of its features; ``classes`` when it
    knows those (scikit-learn's do). An ONNX file often does not: they are then needed, in the order
    of its outputs. ``kind="logits"`` is for networks without a softmax. ``trusted`` are types in a
    skops file, beyond scikit-learn's, that may be loaded.

    Raises UsageError for pickles and for names that do not fit, and what
    :func:`dsm_dask.scores.models.files.load` does.
    """
    from dsm_dask.scores.models.files import check_name, digest_of, load

    uri = storage.normalise(uri)
    check_name(uri)
    digest = digest_of(uri)
    model = load(uri, digest, trusted)
    columns = _checked_columns(uri, columns, model.features)
    known = model.classes if model.classes is not None else classes
    if not known:
        raise UsageError(
            "The model does not say what its classes are.",
            where=uri,
            valid="--classes, in the order of its outputs.",
        )
    if classes and [str(one) for one in classes] != [str(one) for one in known]:
        raise UsageError(
            f"The classes of the model are {', '.join(map(str, known))}, in this order.",
            where=uri,
            valid="Leave out --classes, or name them so.",
        )
    output = Probabilities((storage.name(uri),), known, kind, temperature, multilabel=multilabel)
    return ModelProbabilities(uri, digest, columns, output, trusted)


def _checked_columns(
    uri: str, columns: tuple[str, ...], features: tuple[str, ...] | None
) -> tuple[str, ...]:
    if features is None:
        if not columns:
            raise UsageError(
                "Which columns the model takes is not known.",
                where=uri,
                valid="Name them, in the order it was trained on.",
            )
        return columns
    for column in columns:
        if column not in features:
            raise UnknownColumn(
                f"The model takes no feature {column!r}.",
                where=uri,
                valid=nearest(column, features),
            )
    missing = [one for one in features if columns and one not in columns]
    if missing:
        raise UsageError(f"The model also takes {', '.join(missing)}.", where=uri)
    return features


def _features(
    batch: pa.RecordBatch, names: tuple[str, ...]
) -> tuple[dict[str, npt.NDArray[Any]], Bools]:
    """An array for each column, of shape (rows,) or (rows, components); and which rows are null."""
    found = {}
    nulls, empty = np.zeros(batch.num_rows, np.bool_), np.ones(batch.num_rows, np.bool_)
    for name in names:
        column, types = arrays.plain(batch.column(name)), pa.types
        if types.is_string(column.type) or types.is_large_string(column.type):
            found[name] = np.array(column.to_pylist(), object)
            gone = column.is_null().to_numpy(zero_copy_only=False)
            nulls |= gone
        elif class_values.is_list(column.type):
            found[name], gone = class_values.read(batch, (name,))
            nulls |= gone
        else:
            found[name], gone = _numbers(column, name)
        empty &= gone
    return found, nulls | empty


def _numbers(column: pa.Array, name: str) -> tuple[npt.NDArray[Any], Bools]:
    """Numbers with NaN for null; booleans are 0 and 1."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    try:
        values, known = class_values.numbers(column, name)
    except SchemaError as error:
        raise SchemaError(
            f"The column {name!r} is of type {column.type}, which is no feature.",
            valid="Numbers, booleans, lists of numbers, or texts.",
        ) from error
    if known is None:
        return values, np.zeros(len(values), np.bool_)
    return np.where(known, values, np.nan), ~known


def _float_of(found: npt.NDArray[Any]) -> Any:
    return np.float32 if found.dtype in (np.float16, np.float32) else np.float64
