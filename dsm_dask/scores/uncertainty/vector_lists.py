"""Several vectors of probabilities in each row: of the members of an ensemble, of repeated passes
with dropout, of the tokens of a text."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays
from dsm_dask.errors import BadRows, SchemaError
from dsm_dask.scores.probabilities import class_values
from dsm_dask.scores.probabilities.class_values import Bools, Matrix, Naming
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.scores.row_names import named

Offsets = npt.NDArray[np.int64]

LAYOUTS = (
    "A list of lists; a list of numbers, one vector after the other; or a column of lists for each "
    "member."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Vectors:
    """Row i has the vectors ``offsets[i]`` to ``offsets[i + 1]`` of ``values``, float32 or float64
    of shape (vectors, classes); those that are ``missing`` (null) mean nothing. ``nulls``: rows
    without any."""

    values: Matrix
    missing: Bools
    offsets: Offsets
    nulls: Bools


def read(source: Probabilities, batch: pa.RecordBatch) -> Vectors:
    """The vectors of a batch: of one column of lists of lists, of one column of lists of numbers
    (as many as there are classes for each vector, the vectors one after the other), or of a column
    of lists for each member.

    A vector that is null is left out; a row without vectors is null.

    Raises SchemaError and BadRows as :meth:`Probabilities.read` does.

    >>> column = pa.array([[[0.2, 0.8], [0.4, 0.6]], [], None])
    >>> source = Probabilities(("p",), ("cat", "dog"))
    >>> found = read(source, pa.record_batch({"p": column}))
    >>> found.values.shape, found.offsets.tolist(), found.nulls.tolist()
    ((2, 2), [0, 2, 2, 2], [False, True, True])
    """
    if len(source.columns) == 1:
        name = source.columns[0]
        return of_column(source, batch.column(name), name, functools.partial(named, batch))
    return _checked(source, *_of_columns(source, batch), functools.partial(named, batch))


def of_column(source: Probabilities, column: pa.Array, name: str, naming: Naming) -> Vectors:
    """As :func:`read`, of the items of one array, which errors name as ``naming`` does."""
    return _checked(source, *_of_column(source, arrays.plain(column), name, naming), naming)


def _checked(
    source: Probabilities, values: Matrix, missing: Bools, offsets: Offsets, naming: Naming
) -> Vectors:
    from dsm_dask.scores.probabilities.checks import of_matrix

    values = of_matrix(source, values, missing, lambda some: naming(_owners(some, offsets)))
    known = np.append(0, np.cumsum(~missing))[offsets]
    return Vectors(values, missing, offsets, known[1:] == known[:-1])


def check_members(
    batch: pa.RecordBatch, counts: npt.NDArray[np.integer[Any]], nulls: Bools, members: int
) -> None:
    """Raise BadRows for rows that are not null and have another number of ``members`` than asked
    for; 0 asks for none."""
    wrong = np.flatnonzero((counts != members) & ~nulls)
    if members and len(wrong):
        raise BadRows(
            f"There are {counts[wrong[0]]} vectors of probabilities in {named(batch, wrong)}.",
            valid=f"{members}, as --members says; or leave it out.",
        )


def _owners(vectors: npt.NDArray[np.int64], offsets: Offsets) -> npt.NDArray[np.int64]:
    """The rows of some vectors."""
    return np.unique(np.searchsorted(offsets, vectors, side="right") - 1)


def _of_columns(source: Probabilities, batch: pa.RecordBatch) -> tuple[Matrix, Bools, Offsets]:
    for name in source.columns:
        if not class_values.is_list(arrays.plain(batch.column(name)).type):
            raise SchemaError(f"The column {name!r} holds no lists.", valid=LAYOUTS)
    parts = [class_values.read(batch, (name,)) for name in source.columns]
    if len({values.shape[1] for values, nulls in parts if not nulls.all()}) > 1:
        raise SchemaError(
            f"The columns {', '.join(source.columns)} hold lists of different lengths.",
            valid="As many numbers as there are classes, from every member.",
        )
    size = len(source.classes)
    parts = [(np.zeros((len(v), size)) if n.all() else v, n) for v, n in parts]
    values = np.stack([values for values, _ in parts], axis=1)
    missing = np.stack([nulls for _, nulls in parts], axis=1).reshape(-1)
    offsets = np.arange(batch.num_rows + 1, dtype=np.int64) * len(parts)
    return np.ascontiguousarray(values.reshape(-1, values.shape[2])), missing, offsets


def _of_column(
    source: Probabilities, column: pa.Array, name: str, naming: Naming
) -> tuple[Matrix, Bools, Offsets]:
    size = len(source.classes)
    if not class_values.is_list(column.type):
        raise SchemaError(f"The column {name!r} is of type {column.type}.", valid=LAYOUTS)
    lengths = arrays.fixed_width(pc.list_value_length(column).fill_null(0)).astype(np.int64)
    items = arrays.plain(column.flatten())  # without what lies under nulls
    starts = np.append(0, np.cumsum(lengths))
    if class_values.is_list(items.type):
        values, missing = class_values.of_lists(
            items, name, lambda vectors: naming(_owners(vectors, starts))
        )
        return values, missing, starts
    uneven = np.flatnonzero(lengths % size)
    if len(uneven):
        raise BadRows(
            f"The lists of column {name!r} do not divide into vectors of {size} classes: "
            f"{naming(uneven)}, of length {lengths[uneven[0]]}.",
            valid=LAYOUTS,
        )
    numbers, known = class_values.numbers(items, name)
    values, starts = numbers.reshape(-1, size), starts // size
    missing = class_values.whole(
        values, known, np.zeros(len(values), np.bool_), name,
        lambda vectors: naming(_owners(vectors, starts)),
    )  # fmt: skip
    return values, missing, starts
