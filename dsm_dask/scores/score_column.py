"""Columns of scores, as scorers give them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def scores(found: npt.NDArray[Any], nulls: npt.NDArray[np.bool_]) -> pa.Array:
    """
    >>> scores(np.array([0.5, 7.0], np.float32), np.array([False, True])).to_pylist()
    [0.5, None]
    """
    return pa.array(found, mask=nulls) if nulls.any() else pa.array(found)
