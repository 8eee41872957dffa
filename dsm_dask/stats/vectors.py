"""Embedding columns: fixed-size lists of floats, as matrices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.stats import values

LARGEST = 1e100
"""Components past this are no embedding; their squares would overflow."""

Matrix = npt.NDArray[np.float64]


def is_vector(dtype: pa.DataType) -> bool:
    """
    >>> is_vector(pa.list_(pa.float32(), 3)), is_vector(pa.list_(pa.float32()))
    (True, False)
    """
    dtype = arrays.plain_type(dtype)
    if not pa.types.is_fixed_size_list(dtype) or not dtype.list_size:
        return False
    return bool(pa.types.is_floating(dtype.value_type))


def matrix(batch: pa.RecordBatch, column: str) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """The vectors of a column, float64 of shape (rows, dimension), with ``-0.0`` as ``0.0``; and
    which rows hold one: neither null nor with a component that is null, NaN, infinite or beyond
    :data:`LARGEST`.

    >>> batch = pa.record_batch({"v": pa.array([[1, 2], None], pa.list_(pa.float32(), 2))})
    >>> found, whole = matrix(batch, "v")
    >>> found[whole].tolist()
    [[1.0, 2.0]]
    """
    array = values.column(batch, column)
    size = array.type.list_size
    items = array.values.slice(array.offset * size, len(array) * size)
    found = arrays.fixed_width(items).astype(np.float64).reshape(-1, size) + 0.0
    whole: npt.NDArray[np.bool_] = np.all(np.abs(found) <= LARGEST, axis=1)
    valid, all_valid = arrays.validity(array), arrays.validity(items)
    if valid is not None:
        whole &= valid
    if all_valid is not None:
        whole &= np.all(all_valid.reshape(-1, size), axis=1)
    return found, whole
