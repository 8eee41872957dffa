"""Files of trained models: what may be loaded, and what they have to be given.

A file from elsewhere must not run code. ``skops`` files list the types they are made of, and are
loaded only when all of these are known to be harmless or were named by the user; ONNX files are
graphs of numeric operators. Pickles (and joblib files, which are pickles) run whatever they say
while they are loaded, so they are refused.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.errors import CorruptFile, MissingExtra, SourceChanged, UsageError

Class = str | int
HARMLESS = ("numpy.dtype",)
"""What skops does not trust by itself, though it says no more than of which type numbers are;
imputers have one."""
VALID = "A file made by skops.io.dump(model, 'model.skops'), or an ONNX file."


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """``predict`` takes a dictionary of columns, an array for each (of shape (rows,) or (rows,
    components)), and gives float32 or float64 of shape (rows, classes).

    ``classes`` and ``features`` are what the file says of them; None when it does not."""

    predict: Callable[[dict[str, npt.NDArray[Any]]], npt.NDArray[Any]]
    classes: tuple[Class, ...] | None
    features: tuple[str, ...] | None


def digest_of(uri: str) -> str:
    """What tells a model file from others: its BLAKE2 hash, 32 hexadecimal digits."""
    return _digest(storage.read(uri))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@functools.lru_cache(maxsize=4)
def load(uri: str, digest: str, trusted: tuple[str, ...] = ()) -> Model:
    """The model in a file; loaded once by each process.

    ``trusted`` are types beyond the known ones, of which the user says that they are harmless.
    Raises UsageError for pickles, other files, and types that are not trusted; SourceChanged when
    the file is not the one of this digest; CorruptFile when it cannot be read; MissingExtra.
    """
    check_name(uri)
    data = storage.read(uri)
    if _digest(data) != digest:
        raise SourceChanged(
            "The model file has changed since the work began.", where=uri, valid="Run it again."
        )
    if data[:1] == b"\x80":  # how pickles begin
        raise _pickled(uri)
    if uri.lower().endswith(".onnx"):
        from dsm_dask.scores.models.onnx import open_onnx

        return open_onnx(uri, data)
    return _open_skops(uri, data, trusted)


def check_name(uri: str) -> None:
    """Raise UsageError for what is no model file by its name."""
    name = storage.name(uri).lower()
    if name.endswith((".pkl", ".pickle", ".joblib", ".pt", ".pth", ".dill")):
        raise _pickled(uri)
    if not name.endswith((".skops", ".onnx")):
        raise UsageError(f"{name} is of an unknown kind.", where=uri, valid=VALID)


def _pickled(uri: str) -> UsageError:
    return UsageError(
        "A pickled model is refused: loading it would run whatever code its author put in it.",
        where=uri,
        valid=f"{VALID} Both hold the trained model and no code.",
    )


def _open_skops(uri: str, data: bytes, trusted: tuple[str, ...]) -> Model:
    try:
        import sklearn  # noqa: F401
        import skops.io
    except ImportError as error:
        raise MissingExtra(
            "Models in skops files need skops and scikit-learn.",
            valid="pip install 'dsm-dask[models]'",
        ) from error
    allowed = [*trusted, *HARMLESS]
    try:
        unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(allowed))
        if not unknown:
            estimator = skops.io.loads(data, trusted=allowed)
    except Exception as error:  # of zip, JSON, NumPy and scikit-learn alike
        raise CorruptFile(
            f"The model cannot be read: {type(error).__name__}: {error}.", where=uri, valid=VALID
        ) from error
    if unknown:
        raise UsageError(
            f"The model is made of types that are not known to be harmless: {', '.join(unknown)}.",
            where=uri,
            valid="Models of scikit-learn's own parts; or --trusted TYPE for each, if you know it.",
        )
    return _of_estimator(uri, estimator)


def _of_estimator(uri: str, estimator: Any) -> Model:
    if not hasattr(estimator, "predict_proba"):
        raise UsageError(
            f"A {type(estimator).__name__} gives no probabilities.",
            where=uri,
            valid="A classifier with predict_proba; CalibratedClassifierCV makes one of others.",
        )
    names = getattr(estimator, "feature_names_in_", None)
    features = None if names is None else tuple(map(str, names))

    def predict(columns: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        given = _frame(columns, features) if features else _together(columns)
        found = estimator.predict_proba(given)
        if isinstance(found, list):  # of several labels, some give both sides of each
            found = np.stack([one[:, -1] for one in found], axis=1)
        return np.asarray(found)

    return Model(predict, _classes(estimator), features)


def _classes(estimator: Any) -> tuple[Class, ...] | None:
    found = getattr(estimator, "classes_", None)
    if found is None or isinstance(found, list):
        return None
    return tuple(str(one) if isinstance(one, str) else int(one) for one in np.asarray(found))


def _together(columns: dict[str, npt.NDArray[Any]]) -> Any:
    """A matrix of all columns; of one column of texts a list, as vectorizers take it."""
    parts = list(columns.values())
    if len(parts) == 1 and parts[0].dtype == object:
        return parts[0].tolist()
    return np.column_stack(parts)


def _frame(columns: dict[str, npt.NDArray[Any]], features: tuple[str, ...]) -> Any:
    """What a model takes that was trained on named columns."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra(
            "The model was trained on a data frame, which needs pandas.",
            valid="pip install 'dsm-dask[models]'",
        ) from error
    return pd.DataFrame({name: columns[name] for name in features})
