"""Cells of two states of the same rows: which of them differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays
from dsm_dask.dataset.partition import Fragment
from dsm_dask.dataset.version import Dataset
from dsm_dask.table import ROW_ID

Bools = npt.NDArray[np.bool_]


def differing(left: pa.Array, right: pa.Array) -> Bools:
    """Where two columns of one type differ. Null equals null, and NaN equals NaN.

    >>> nan = float("nan")
    >>> differing(pa.array([1.0, None, nan]), pa.array([1.0, 2.0, nan])).tolist()
    [False, True, False]
    """
    left, right = arrays.plain(left), arrays.plain(right)
    if pa.types.is_nested(left.type) or left.type != right.type:
        pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
        return np.array([repr(one) != repr(other) for one, other in pairs], np.bool_)
    same = pc.fill_null(pc.equal(left, right), pa.scalar(False))
    same = pc.or_(same, pc.and_(left.is_null(), right.is_null()))
    if pa.types.is_floating(left.type):
        both = pc.and_(pc.is_nan(left), pc.is_nan(right))
        same = pc.or_(same, pc.fill_null(both, pa.scalar(False)))
    found: Bools = ~same.to_numpy(zero_copy_only=False)
    return found


def updated_rows(old: Dataset, new: Dataset, before: Fragment, after: Fragment) -> int:
    """Rows of a fragment that live in both versions with different values. Only columns of which
    the files are not the same are read."""
    names = [
        name
        for name in old.schema.names
        if name in new.schema.names and before.files_of([name]) != after.files_of([name])
    ]
    if not names:
        return 0
    was, now = _rows(old, before, names), _rows(new, after, names)
    _, here, there = np.intersect1d(
        was[ROW_ID].to_numpy(), now[ROW_ID].to_numpy(), assume_unique=True, return_indices=True
    )
    if not len(here):
        return 0
    masks = [differing(_some(was, name, here), _some(now, name, there)) for name in names]
    return int(np.logical_or.reduce(masks).sum())


def _rows(dataset: Dataset, fragment: Fragment, names: list[str]) -> pa.Table:
    partition = next(p for p in dataset.partitions() if fragment in p.fragments)
    batches = list(partition.read_fragment(fragment, [ROW_ID, *names]))
    if not batches:
        return pa.table({name: [] for name in [ROW_ID, *names]})
    return pa.Table.from_batches(batches)


def _some(table: pa.Table, name: str, rows: npt.NDArray[Any]) -> pa.Array:
    column = arrays.plain(pa.concat_arrays([arrays.plain(c) for c in table[name].chunks]))
    return column.take(pa.array(rows))
