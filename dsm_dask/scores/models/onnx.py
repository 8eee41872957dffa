"""Models in ONNX files, applied by ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask.errors import CorruptFile, MissingExtra, UsageError
from dsm_dask.scores.models.files import Class, Model

_TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32, "tensor(string)": object,
}  # fmt: skip


def open_onnx(uri: str, data: bytes) -> Model:
    """A classifier with one input of all features, or one input for each, named as the columns;
    its probabilities are the last output of floats (a tensor, or a map from classes as converters
    of scikit-learn make it)."""
    session = _session(uri, data)
    inputs = session.get_inputs()
    for one in inputs:
        if one.type not in _TYPES:
            raise UsageError(f"The input {one.name!r} is of type {one.type}.", where=uri)
    wanted = [one for one in session.get_outputs() if "float" in one.type or "double" in one.type]
    if not wanted:
        raise UsageError(
            "The model has no output of probabilities.", where=uri, valid="A tensor of floats."
        )
    output = wanted[-1]
    mapped = output.type.startswith("seq")

    def run(columns: dict[str, npt.NDArray[Any]]) -> Any:
        return session.run([output.name], _feed(inputs, columns))[0]

    def predict(columns: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        found = run(columns)
        if mapped:
            found = np.array([list(row.values()) for row in found], np.float32)
        return np.asarray(found).reshape(len(found), -1)

    features = tuple(one.name for one in inputs) if len(inputs) > 1 else None
    return Model(predict, _mapped_classes(inputs, run) if mapped else None, features)


def _session(uri: str, data: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra(
            "Models in ONNX files need ONNX Runtime.", valid="pip install 'dsm-dask[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # workers are the threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class of their own
        raise CorruptFile(f"The model cannot be read: {error}.", where=uri) from error


def _feed(inputs: Any, columns: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    if len(inputs) == 1:
        together = np.column_stack(list(columns.values()))
        return {inputs[0].name: together.astype(_TYPES[inputs[0].type])}
    return {
        one.name: np.column_stack([columns[one.name]]).astype(_TYPES[one.type]) for one in inputs
    }


def _mapped_classes(inputs: Any, run: Any) -> tuple[Class, ...]:
    """The keys of the map that a row gets; nothing else in the file tells."""
    blank = {}
    for one in inputs:
        width = one.shape[1] if len(one.shape) > 1 and isinstance(one.shape[1], int) else 1
        fill: Any = "" if _TYPES[one.type] is object else 0
        blank[one.name] = np.full((1, width), fill, _TYPES[one.type])
    return tuple(run(blank)[0])
