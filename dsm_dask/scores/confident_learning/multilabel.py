"""Labels of rows that have several, as one bool for each class."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays
from dsm_dask.errors import BadRows, SchemaError
from dsm_dask.scores.labels import Class, Naming, codes
from dsm_dask.scores.row_names import named

Bools = npt.NDArray[np.bool_]
VALID = "Lists of labels; or lists of booleans, one for each class."


def memberships(
    column: pa.Array,
    classes: Sequence[Class],
    name: str = "labels",
    naming: Naming | None = None,
) -> tuple[Bools, Bools]:
    """Which classes each row has: bools of shape (rows, classes); and which rows are null.

    A column of lists of labels (an empty list: of no class), or of lists of as many booleans as
    there are classes. A null within a list is no label.

    Raises SchemaError for other types, BadRows for labels that are no classes or a number of
    booleans that is not that of the classes; ``naming`` tells what to call rows.

    >>> found, nulls = memberships(pa.array([["b"], [], None]), ("a", "b"))
    >>> found.tolist(), nulls.tolist()
    ([[False, True], [False, False], [False, False]], [False, False, True])
    """
    naming = naming or functools.partial(named, pa.record_batch({name: column}))
    column, types = arrays.plain(column), pa.types
    kind = column.type
    if types.is_null(kind):
        return np.zeros((len(column), len(classes)), np.bool_), np.ones(len(column), np.bool_)
    if not any(
        check(kind)
        for check in (
            types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view,
            types.is_large_list_view,
        )
    ):  # fmt: skip
        raise SchemaError(
            f"The column {name!r} is of type {kind}, which holds one label a row at most.",
            valid=VALID,
        )
    valid = arrays.validity(column)
    nulls = np.zeros(len(column), np.bool_) if valid is None else ~valid
    lengths = arrays.fixed_width(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)
    items = column.flatten()  # without what lies under nulls
    found = np.zeros((len(column), len(classes)), np.bool_)
    if types.is_boolean(arrays.plain_type(items.type)):
        wrong = np.flatnonzero(~nulls & (lengths != len(classes)))
        if len(wrong):
            raise BadRows(
                f"The lists of {name!r} hold other numbers of booleans than the {len(classes)} "
                f"classes: {naming(wrong)}.",
                valid=VALID,
            )
        flags = arrays.fixed_width(pc.fill_null(arrays.plain(items), False))
        found[~nulls] = flags.reshape(-1, len(classes))
        return found, nulls
    rows = np.repeat(np.arange(len(column)), lengths)
    places = codes(items, classes, name, lambda items: naming(np.unique(rows[items])))
    found[rows[places >= 0], places[places >= 0]] = True
    return found, nulls
