"""Rules about single values: which rows of a batch break one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays
from dsm_dask.arrays import Bools
from dsm_dask.stats import values, vectors
from dsm_dask.table import ROW_ID, Partition
from dsm_dask.validation.bounds import Side, beyond
from dsm_dask.validation.findings import Example

LIMIT = 200
"""Longest text of an example, in characters."""


class Violation(Protocol):
    """A test of each row."""

    @property
    def column(self) -> str: ...

    def mask(self, batch: pa.RecordBatch) -> Bools:
        """True for the rows that break the rule, of shape (rows,)."""
        ...


@dataclasses.dataclass(frozen=True)
class Null:
    """The value is null."""

    column: str

    def mask(self, batch: pa.RecordBatch) -> Bools:
        valid = arrays.validity(values.column(batch, self.column))
        return np.zeros(batch.num_rows, np.bool_) if valid is None else ~valid


@dataclasses.dataclass(frozen=True)
class NotFinite:
    """A float is NaN, or, with ``infinite``, infinite; of a vector: a component is."""

    column: str
    infinite: bool

    def mask(self, batch: pa.RecordBatch) -> Bools:
        array = values.column(batch, self.column)
        valid = arrays.validity(array)
        found: Any
        if vectors.is_vector(array.type):
            found = self._vectors(batch, array)
        else:
            numbers = arrays.fixed_width(array)
            found = np.isinf(numbers) if self.infinite else np.isnan(numbers)
        broken: Bools = np.asarray(found if valid is None else found & valid)
        return broken

    def _vectors(self, batch: pa.RecordBatch, array: pa.Array) -> Bools:
        # as VectorsState counts them: a null component is NaN, a vector with NaN is not infinite
        found, whole = vectors.matrix(batch, self.column)
        torn: Any = np.isnan(found)
        size = array.type.list_size
        known = arrays.validity(array.values.slice(array.offset * size, found.size))
        if known is not None:
            torn |= ~known.reshape(-1, size)
        nan: Bools = torn.any(axis=1)
        return ~whole & ~nan if self.infinite else nan


@dataclasses.dataclass(frozen=True)
class Beyond:
    """The value is below the smallest, or above the largest one allowed. ``kind`` is that of the
    bound (:func:`dsm_dask.validation.types.kind_of_name`)."""

    column: str
    text: str
    kind: str
    side: Side

    def mask(self, batch: pa.RecordBatch) -> Bools:
        dtype = batch.schema.field(self.column).type
        while pa.types.is_dictionary(dtype) or pa.types.is_run_end_encoded(dtype):
            dtype = dtype.value_type
        array = values.column(batch, self.column)
        return beyond(array, dtype, self.text, self.kind, self.side)


@dataclasses.dataclass(frozen=True)
class NotAmong:
    """The value is not among the categories."""

    column: str
    categories: tuple[str, ...]

    def mask(self, batch: pa.RecordBatch) -> Bools:
        array = values.column(batch, self.column)
        known = pc.is_in(array, value_set=categories_as(self.categories, array.type))
        found = ~arrays.fixed_width(known)
        valid = arrays.validity(array)
        return found if valid is None else found & valid


def categories_as(categories: Sequence[str], dtype: pa.DataType) -> pa.Array:
    """Categories as values of a type; those that it cannot hold are left out."""
    if pa.types.is_boolean(dtype):
        return pa.array([text == "true" for text in categories], dtype)
    if pa.types.is_integer(dtype):
        limits = np.iinfo(str(dtype))
        numbers = [int(text) for text in categories]
        return pa.array([n for n in numbers if limits.min <= n <= limits.max], dtype)
    return pa.array(list(categories), pa.string()).cast(dtype)


@dataclasses.dataclass(frozen=True)
class LengthOutside:
    """A text, binary or list is shorter or longer than allowed (``None``: no limit): characters,
    bytes, items."""

    column: str
    min: int | None
    max: int | None

    def mask(self, batch: pa.RecordBatch) -> Bools:
        array = values.column(batch, self.column)
        kind = values.kind_of(array.type)
        if kind == "string":
            found = pc.utf8_length(array)
        elif kind == "binary":
            found = pc.binary_length(array)
        elif pa.types.is_map(array.type):
            found = pc.subtract(array.offsets[1:], array.offsets[:-1])
        else:
            found = pc.list_value_length(array)
        lengths = arrays.fixed_width(found)
        outside = np.zeros(len(array), np.bool_)
        if self.min is not None:
            outside |= lengths < self.min
        if self.max is not None:
            outside |= lengths > self.max
        valid = arrays.validity(array)
        return outside if valid is None else outside & valid


@dataclasses.dataclass(frozen=True)
class NotUnit:
    """A vector whose norm is farther than ``slack`` from 1. Vectors with components that are null,
    NaN or infinite are left to other rules."""

    column: str
    slack: float

    def mask(self, batch: pa.RecordBatch) -> Bools:
        found, whole = vectors.matrix(batch, self.column)
        with np.errstate(invalid="ignore", over="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", found, found))
            far: Bools = whole & ~(np.abs(norms - 1) <= self.slack)
        return far


# ---------------------------------------------------------------------------------------------
# Reading


@dataclasses.dataclass(frozen=True)
class Seen:
    """How many rows of a partition break a rule, and the first of them."""

    count: int
    examples: tuple[Example, ...]


@dataclasses.dataclass(frozen=True)
class Inspect:
    """Apply rules to a partition, reading only their columns; one :class:`Seen` for each rule.
    ``cleared`` tells those that the partition is known not to break."""

    violations: tuple[Violation, ...]
    examples: int
    cleared: Callable[[Partition], Collection[Violation]] | None = None

    def __call__(self, partition: Partition) -> tuple[str, list[Seen]]:
        cleared = self.cleared(partition) if self.cleared is not None else ()
        suspects = [(i, v) for i, v in enumerate(self.violations) if v not in cleared]
        columns = dict.fromkeys(violation.column for _, violation in suspects)
        counts = [0] * len(self.violations)
        examples: list[list[Example]] = [[] for _ in self.violations]
        for batch in partition.read([*columns, ROW_ID]) if suspects else ():
            for i, violation in suspects:
                rows = np.flatnonzero(violation.mask(batch))
                counts[i] += len(rows)
                wanted = self.examples - len(examples[i])
                examples[i] += _examples(batch, violation.column, rows[:wanted])
        pairs = zip(counts, examples, strict=True)
        return partition.label, [Seen(count, tuple(found)) for count, found in pairs]


def _examples(batch: pa.RecordBatch, column: str, rows: npt.NDArray[np.int64]) -> list[Example]:
    ids, array = batch.column(ROW_ID), batch.column(column)
    return [Example(ids[i].as_py(), shown(array[i])) for i in rows.tolist()]


def shown(scalar: pa.Scalar) -> Any:
    """A value as JSON shows it, cut short."""
    if not scalar.is_valid:
        return None
    if values.is_list(scalar.type) and len(scalar) > LIMIT:
        return f"list of {len(scalar):,}"
    try:
        value = values.to_json(values.to_python(scalar))
    except (ValueError, OverflowError):  # a time inside that Python has no object for
        value = str(scalar)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= LIMIT else text[:LIMIT] + "…"
