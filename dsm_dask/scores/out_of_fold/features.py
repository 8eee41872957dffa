"""What a linear model sees of a row: numbers, vectors and texts, as one matrix; and the part of the
data that a row belongs to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.duplicates.embeddings import HashedNgrams
from dsm_dask.errors import BadRows, SchemaError, UsageError
from dsm_dask.hashing import hash_rows
from dsm_dask.scores.probabilities import class_values
from dsm_dask.scores.row_names import named
from dsm_dask.table import Table, check_columns

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
DIMENSION = 512
MOST = 1 << 14
"""Features of a row."""
_STEP = 2048
"""Rows at once: a matrix of them is no larger than a few hundred megabytes."""
VALID = "Numbers, booleans, lists of numbers of one length, or texts."


@codec.state("scores.features", 1)
@dataclasses.dataclass(frozen=True)
class Features:
    """Columns as features: a number is one, a list of numbers one for each component, a text
    ``dimension`` of them, the hashed n-grams of :mod:`dsm_dask.duplicates.ngrams`.

    ``widths``: how many each column gives, as :func:`features_of` finds; at most 16,384 in all.
    ``group``: a column of which equal values stay together; without one, rows of equal features do.

    >>> batch = pa.record_batch({"a": [1.0, None], "v": [[2.0, 3.0], [4.0, 5.0]]})
    >>> Features(("a", "v"), (1, 2)).read(batch)[0].tolist()
    [[1.0, 2.0, 3.0], [nan, 4.0, 5.0]]
    """

    on: tuple[str, ...]
    widths: tuple[int, ...]
    group: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return self.on if self.group is None else tuple(dict.fromkeys((*self.on, self.group)))

    @property
    def width(self) -> int:
        return sum(self.widths)

    def pieces(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """A batch in slices of a bounded size."""
        for start in range(0, batch.num_rows, _STEP):
            yield batch.slice(start, _STEP)

    def read(self, batch: pa.RecordBatch) -> tuple[Floats, Bools]:
        """float64 of shape (rows, :attr:`width`), NaN where there is no value; and which rows have
        none at all. Raises SchemaError for other types or lengths, BadRows for infinite numbers."""
        parts = [
            self._column(batch, name, width)
            for name, width in zip(self.on, self.widths, strict=True)
        ]
        found = np.concatenate(parts, axis=1)
        infinite = np.flatnonzero(np.isinf(found).any(axis=1))
        if len(infinite):
            raise BadRows(
                f"Features are infinite: {named(batch, infinite)}.",
                valid="Finite numbers, or null.",
            )
        empty: Any = np.isnan(found).all(axis=1)
        return found, empty

    def folds(self, batch: pa.RecordBatch, count: int) -> npt.NDArray[np.int64]:
        """The part of the data, of ``count``, that each row belongs to: by the hash of its group or
        its features, so that equal rows are in one part wherever they are."""
        names = self.on if self.group is None else (self.group,)
        hashed = hash_rows([batch.column(name) for name in names])[:, 0]
        return (hashed % np.uint64(count)).astype(np.int64)

    def _column(self, batch: pa.RecordBatch, name: str, width: int) -> Floats:
        column = arrays.plain(batch.column(name))
        if _is_text(column.type):
            made = HashedNgrams(name, width).apply(pa.record_batch({name: column})).column(0)
            batch, name = pa.record_batch({name: made}), name
        elif pa.types.is_boolean(column.type):
            batch = pa.record_batch({name: column.cast(pa.int8())})
        values, nulls = class_values.read(batch, (name,))
        if values.shape[1] != width and not nulls.all():
            raise SchemaError(
                f"The lists of {name!r} hold {values.shape[1]} numbers, and elsewhere {width}.",
                valid="Vectors of one length.",
            )
        found = np.full((batch.num_rows, width), np.nan)
        found[~nulls] = values[~nulls]
        return found


def features_of(
    table: Table, on: tuple[str, ...], group: str | None = None, dimension: int = DIMENSION
) -> Features:
    """Features from columns of a table; of lists of any length the first batch with one is read.

    Raises UnknownColumn, SchemaError for types that give no features, UsageError for too many.
    """
    if not on:
        raise UsageError("No column of features is named.", valid=VALID)
    check_columns(table, [*on, *([] if group is None else [group])])
    widths = tuple(_width(table, name, dimension) for name in on)
    if not 0 < sum(widths) <= MOST:
        raise UsageError(f"{sum(widths):,} features are too many.", valid=f"From 1 to {MOST:,}.")
    return Features(on, widths, group)


def _width(table: Table, name: str, dimension: int) -> int:
    kind, types = arrays.plain_type(table.schema.field(name).type), pa.types
    if _is_text(kind):
        return dimension
    if types.is_fixed_size_list(kind):
        return int(kind.list_size)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return 1
    if types.is_decimal(kind):
        return 1
    if types.is_list(kind) or types.is_large_list(kind):
        for partition in table.partitions():
            for batch in partition.read((name,)):
                values, nulls = class_values.read(batch, (name,))
                if not nulls.all():
                    return int(values.shape[1])
        raise SchemaError(f"The column {name!r} holds nothing.", where=table.uri, valid=VALID)
    raise SchemaError(
        f"The column {name!r} is of type {kind}, of which features cannot be made.",
        where=table.uri,
        valid=VALID,
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
