"""Which row of a cluster stays."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask.arrays import plain, plain_type
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.table import Table, check_columns

Keep = Literal["first", "longest"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which row of a cluster stays: the ``first``, the ``longest`` value of ``column`` (in
    characters, bytes or items), or the one with the greatest number in column ``prefer`` (null and
    NaN come last)."""

    keep: Keep = "first"
    column: str | None = None
    prefer: str | None = None

    def __post_init__(self) -> None:
        kinds = get_args(Keep)
        if self.keep not in kinds:
            raise UsageError(
                f"The {self.keep!r} row is not known.", valid=f"keep: {' or '.join(kinds)}."
            )

    @property
    def reads(self) -> str | None:
        """The column that is looked at."""
        return self.prefer or (self.column if self.keep == "longest" else None)

    def check(self, table: Table) -> None:
        """Raise UnknownColumn or SchemaError when the rule cannot be applied to a table."""
        if self.reads is None:
            return
        check_columns(table, [self.reads])
        dtype = plain_type(table.schema.field(self.reads).type)
        if self.prefer is not None and not _is_number(dtype):
            raise SchemaError(
                f"Column {self.prefer!r} is of type {dtype}: there is no best of it.",
                where=table.uri,
                valid="--prefer takes a column of numbers, dates, timestamps or booleans.",
            )
        if self.prefer is None and not _has_length(dtype):
            raise SchemaError(
                f"Column {self.column!r} is of type {dtype}: there is no longest of it.",
                where=table.uri,
                valid="--keep longest takes a column of texts, binaries or lists.",
            )

    def ranks(self, column: pa.Array) -> npt.NDArray[np.float64]:
        """The greatest stays."""
        values = plain(column)
        if self.prefer is None:
            ranks = _lengths(values)
        else:
            ranks = values if pa.types.is_floating(values.type) else _as_float(values)
        found = pc.fill_null(ranks.cast(pa.float64()), -np.inf).to_numpy(zero_copy_only=False)
        numbers: npt.NDArray[np.float64] = np.where(np.isnan(found), -np.inf, found)
        return numbers


def _is_number(dtype: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_integer(dtype) or types.is_floating(dtype) or types.is_boolean(dtype)
        or types.is_decimal(dtype) or types.is_timestamp(dtype) or types.is_date(dtype)
    )  # fmt: skip


def _has_length(dtype: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_null(dtype) or types.is_string(dtype) or types.is_large_string(dtype)
        or types.is_binary(dtype) or types.is_large_binary(dtype)
        or types.is_fixed_size_binary(dtype) or types.is_list(dtype) or types.is_large_list(dtype)
        or types.is_fixed_size_list(dtype)
    )  # fmt: skip


def _as_float(values: pa.Array) -> pa.Array:
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    elif pa.types.is_timestamp(values.type) or pa.types.is_date64(values.type):
        values = values.cast(pa.int64())
    return values.cast(pa.float64(), safe=False)


def _lengths(values: pa.Array) -> pa.Array:
    types = pa.types
    if types.is_null(values.type):
        return values
    if types.is_string(values.type) or types.is_large_string(values.type):
        return pc.utf8_length(values)
    if types.is_binary(values.type) or types.is_large_binary(values.type):
        return pc.binary_length(values)
    if types.is_fixed_size_binary(values.type):
        return pc.binary_length(values.cast(pa.large_binary()))
    return pc.list_value_length(values)
