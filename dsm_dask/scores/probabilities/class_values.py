"""One number for each class and row, however a table holds them: as a matrix.

A column of lists (fixed-size, or of any kind when all are of one length), or a column for each
class. A fixed-size list of floats is looked at where it lies; nothing is copied.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays
from dsm_dask.errors import BadRows, SchemaError
from dsm_dask.scores.row_names import named

Matrix = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Naming = Callable[[npt.NDArray[np.int64]], str]
"""What to call the rows at some positions."""

LAYOUTS = (
    "A fixed-size list, a list, or one column for each class, of floats, integers or decimals."
)


def read(batch: pa.RecordBatch, columns: Sequence[str]) -> tuple[Matrix, Bools]:
    """The numbers of some columns, float32 or float64 of shape (rows, classes), C-contiguous; and
    which rows are null. What the matrix holds in null rows means nothing.

    Halves are widened to float32; integers and decimals become float64, and so does everything
    when columns differ. A row is null when its list is, or when all its numbers are.

    Raises SchemaError for types that are no numbers, BadRows for lists of different lengths and for
    rows where some numbers are null and others are not.

    >>> batch = pa.record_batch({"a": [0.25, None], "b": [0.75, None]})
    >>> found, nulls = read(batch, ("a", "b"))
    >>> found[0].tolist(), nulls.tolist()
    ([0.25, 0.75], [False, True])
    """
    naming = functools.partial(named, batch)
    if len(columns) == 1:
        column = arrays.plain(batch.column(columns[0]))
        if is_list(column.type):
            return of_lists(column, columns[0], naming)
    return _side_by_side(batch, columns, naming)


def is_list(dtype: pa.DataType) -> bool:
    """Of lists of one fixed size, or of any?"""
    types = pa.types
    return bool(
        types.is_fixed_size_list(dtype) or types.is_list(dtype) or types.is_large_list(dtype)
    )


def numbers(array: pa.Array, column: str) -> tuple[Matrix, Bools | None]:
    """Every slot of an array of numbers as float32 or float64, and which hold one; None when all
    do."""
    array, types = arrays.plain(array), pa.types
    if types.is_null(array.type) or types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if not (types.is_integer(array.type) or types.is_floating(array.type)):
        raise SchemaError(
            f"The column {column!r} holds {array.type}, where numbers are needed.", valid=LAYOUTS
        )
    found = arrays.fixed_width(array)
    return (found if found.dtype.kind == "f" else found.astype(np.float64)), arrays.validity(array)


def of_lists(column: pa.Array, name: str, naming: Naming) -> tuple[Matrix, Bools]:
    """As :func:`read`, of an array of lists."""
    nulls = _nulls(column)
    if pa.types.is_fixed_size_list(column.type):
        size = column.type.list_size
        if not size:
            raise SchemaError(f"The lists of column {name!r} hold nothing.", valid=LAYOUTS)
        items = column.values.slice(column.offset * size, len(column) * size)
        found, known = numbers(items, name)
        found = found.reshape(-1, size)
        return found, whole(found, known, nulls, name, naming)
    lengths = arrays.fixed_width(pc.list_value_length(column).fill_null(0))
    size = _length(lengths, nulls, name, naming)
    packed, known = numbers(column.flatten(), name)  # without what lies under nulls
    packed = packed.reshape(-1, size)
    nulls_of = np.zeros(len(packed), np.bool_)
    rows = np.flatnonzero(~nulls)
    nulls[rows] = whole(packed, known, nulls_of, name, lambda places: naming(rows[places]))
    if len(rows) == len(column):
        return packed, nulls
    found = np.zeros((len(column), size), packed.dtype)
    found[rows] = packed
    return found, nulls


def _length(lengths: npt.NDArray[Any], nulls: Bools, name: str, naming: Naming) -> int:
    """The one that all lists have; 1 when all are null."""
    some = lengths[~nulls]
    if not len(some):
        return 1
    size = int(np.bincount(some).argmax())
    other = np.flatnonzero((lengths != size) & ~nulls)
    if len(other) or not size:
        rows = other if size else np.flatnonzero(~nulls)
        raise BadRows(
            f"The lists of column {name!r} are not all of one length: most hold {size} numbers, "
            f"{naming(rows)} {'not' if size else 'too'}.",
            valid="A number for each class, in every row that is not null.",
        )
    return size


def _side_by_side(
    batch: pa.RecordBatch, columns: Sequence[str], naming: Naming
) -> tuple[Matrix, Bools]:
    parts = [numbers(arrays.plain(batch.column(name)), name) for name in columns]
    kinds = {part.dtype for part, _ in parts}
    found = np.empty((batch.num_rows, len(parts)), kinds.pop() if len(kinds) == 1 else np.float64)
    known = np.ones(found.shape, np.bool_)
    for i, (part, valid) in enumerate(parts):
        found[:, i] = part
        if valid is not None:
            known[:, i] = valid
    return found, whole(found, known, np.zeros(len(found), np.bool_), ", ".join(columns), naming)


def _nulls(column: pa.Array) -> Bools:
    valid = arrays.validity(column)
    return np.zeros(len(column), np.bool_) if valid is None else ~valid


def whole(found: Matrix, known: Bools | None, nulls: Bools, name: str, naming: Naming) -> Bools:
    """Which rows are null, given which numbers are ``known``: those of ``nulls``, and those without
    any. Raises BadRows when some numbers of a row are null and others are not."""
    if known is None:
        return nulls
    known = known.reshape(found.shape)
    nulls = nulls | ~known.any(axis=1)
    torn = np.flatnonzero(~nulls & ~known.all(axis=1))
    if len(torn):
        raise BadRows(
            f"Some numbers of a row are null and others are not in {name!r}: {naming(torn)}.",
            valid="A number for each class, or null for the whole row.",
        )
    return nulls
