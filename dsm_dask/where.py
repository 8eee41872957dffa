"""The WHERE clause of SQL over record batches, for ``--where``.

Parsed by sqlglot, evaluated by Arrow: comparisons, arithmetic, AND, OR, NOT, IN, BETWEEN, LIKE,
IS [NOT] NULL, and the functions LENGTH, LOWER, UPPER, ABS. Three-valued logic as in SQL: a row
for which the expression is NULL is not chosen. Expressions are data: nothing in one is ever
executed as code.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import expressions as sql

from dsm_dask.errors import InvalidExpression, UnknownColumn, nearest

_BINARY: dict[type[Any], Callable[..., Any]] = {
    sql.EQ: pc.equal,
    sql.NEQ: pc.not_equal,
    sql.LT: pc.less,
    sql.LTE: pc.less_equal,
    sql.GT: pc.greater,
    sql.GTE: pc.greater_equal,
    sql.And: pc.and_kleene,
    sql.Or: pc.or_kleene,
    sql.Add: pc.add_checked,
    sql.Sub: pc.subtract_checked,
    sql.Mul: pc.multiply_checked,
    sql.Div: pc.divide,
}
_UNARY: dict[type[Any], Callable[..., Any]] = {
    sql.Not: pc.invert,
    sql.Neg: pc.negate,
    sql.Lower: pc.utf8_lower,
    sql.Upper: pc.utf8_upper,
    sql.Abs: pc.abs,
}


@dataclasses.dataclass(frozen=True)
class Where:
    """A condition on rows.

    >>> batch = pa.record_batch({"a": [1, 2, None], "b": ["x", "yy", "z"]})
    >>> Where("a < 2 OR length(b) = 2").mask(batch)
    array([ True,  True, False])
    """

    text: str

    def __post_init__(self) -> None:
        _parse(self.text)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it looks at."""
        found = _parse(self.text).find_all(sql.Column)
        return tuple(dict.fromkeys(_column_name(column) for column in found))

    def check(self, schema: pa.Schema, where: str) -> None:
        """Raise UnknownColumn or InvalidExpression before any data is read."""
        for name in self.columns:
            if name not in schema.names:
                raise UnknownColumn(
                    f"There is no column {name!r}.",
                    where=where,
                    valid=nearest(name, schema.names),
                )
        self.mask(pa.RecordBatch.from_pylist([], schema=schema))

    def mask(self, batch: pa.RecordBatch) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Booleans, one a row: True where the condition holds (not where it is NULL)."""
        try:
            value = _evaluate(_parse(self.text), batch)
        except pa.ArrowException as error:
            raise InvalidExpression(
                f"{self.text!r} cannot be computed: {str(error).rstrip('.')}.",
                valid="Compare columns with values of their own type.",
            ) from error
        if isinstance(value, pa.Scalar):
            value = pa.array([value.as_py()] * batch.num_rows, value.type)
        if not pa.types.is_boolean(value.type):
            raise InvalidExpression(
                f"{self.text!r} is of type {value.type}, not a condition.",
                valid="Write a comparison, such as rating < 3.",
            )
        filled: Any = pc.fill_null(value, False)
        return filled.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=64)
def _parse(text: str) -> Any:
    try:
        tree = sqlglot.parse_one(text, into=sql.Condition, dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        message = str(error).splitlines()[0].split(". Line")[0]
        raise InvalidExpression(
            f"{text!r} is not a condition: {message}.",
            valid="Write it as after WHERE in SQL: rating < 3 AND lang IN ('en', 'de').",
        ) from None
    for node in tree.walk():
        _check_node(node, text)
    return tree


def _check_node(node: Any, text: str) -> None:
    known = (sql.Column, sql.Identifier, sql.Literal, sql.Boolean, sql.Null, sql.Paren, sql.In)
    more = (sql.Between, sql.Like, sql.ILike, sql.Is, sql.Length, sql.Cast, sql.DataType, sql.Date)
    if not isinstance(node, (*_BINARY, *_UNARY, *known, *more)):
        raise InvalidExpression(
            f"{text!r} uses {node.sql()!r}, which is not known here.",
            valid="`dsm explain invalid-expression` lists what is.",
        )


def _column_name(node: Any) -> str:
    return ".".join(part.name for part in node.parts)


def _evaluate(node: Any, batch: pa.RecordBatch) -> Any:
    kind = type(node)
    if kind in _BINARY:
        left, right = _alike(_evaluate(node.left, batch), _evaluate(node.right, batch))
        return _BINARY[kind](left, right)
    if kind in _UNARY:
        return _UNARY[kind](_evaluate(node.this, batch))
    if kind in _LEAVES:
        return _LEAVES[kind](node, batch)
    return _evaluate(node.this, batch)


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """A literal takes the type of what it is compared with; strings are read as dates and so on."""
    if isinstance(left, pa.Scalar) and not isinstance(right, pa.Scalar):
        right, left = _alike(right, left)
        return left, right
    if pa.types.is_dictionary(left.type):
        left = left.cast(left.type.value_type)
    if isinstance(right, pa.Scalar) and right.type != left.type:
        if pa.types.is_string(right.type) and not _is_number(left.type):
            right = _parsed(right, left.type)
        elif pa.types.is_null(right.type):
            right = pa.scalar(None, left.type)
    return left, right


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    )


def _parsed(scalar: pa.Scalar, kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        naive = scalar.cast(pa.timestamp(kind.unit))
        return pa.scalar(naive.value, pa.int64()).cast(kind)
    return scalar.cast(kind)


def _column(node: Any, batch: pa.RecordBatch) -> Any:
    array = batch.column(_column_name(node))
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def _literal(node: Any, _: pa.RecordBatch) -> pa.Scalar:
    if node.is_string:
        return pa.scalar(node.this)
    text = node.this
    return pa.scalar(int(text)) if text.isdigit() else pa.scalar(float(text))


def _in(node: Any, batch: pa.RecordBatch) -> Any:
    value = _evaluate(node.this, batch)
    found: Any = pa.scalar(False)
    for option in node.expressions:
        left, right = _alike(value, _evaluate(option, batch))
        found = pc.or_kleene(found, pc.equal(left, right))
    return found


def _between(node: Any, batch: pa.RecordBatch) -> Any:
    value = _evaluate(node.this, batch)
    low = pc.greater_equal(*_alike(value, _evaluate(node.args["low"], batch)))
    high = pc.less_equal(*_alike(value, _evaluate(node.args["high"], batch)))
    return pc.and_kleene(low, high)


def _like(node: Any, batch: pa.RecordBatch) -> Any:
    pattern = _evaluate(node.expression, batch)
    if not isinstance(pattern, pa.Scalar):
        raise InvalidExpression("LIKE takes a pattern in quotes.")
    ignore_case = isinstance(node, sql.ILike)
    return pc.match_like(_evaluate(node.this, batch), pattern.as_py(), ignore_case=ignore_case)


def _is(node: Any, batch: pa.RecordBatch) -> Any:
    value = _evaluate(node.this, batch)
    if isinstance(node.expression, sql.Null):
        return pc.is_null(value)
    return pc.fill_null(pc.equal(value, _evaluate(node.expression, batch)), False)


def _length(node: Any, batch: pa.RecordBatch) -> Any:
    value = _evaluate(node.this, batch)
    if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
        return pc.utf8_length(value)
    if pa.types.is_list(value.type) or pa.types.is_large_list(value.type):
        return pc.list_value_length(value)
    return pc.binary_length(value)


def _cast(node: Any, batch: pa.RecordBatch) -> Any:
    kinds = {"DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us"), "DOUBLE": pa.float64()}
    kinds |= {"BIGINT": pa.int64(), "INT": pa.int32(), "TEXT": pa.string()}
    kind = kinds.get(node.to.this.value)
    if kind is None:
        raise InvalidExpression(
            f"CAST to {node.to.sql()} is not known here.", valid=f"Known: {', '.join(kinds)}."
        )
    return _evaluate(node.this, batch).cast(kind)


_LEAVES: dict[type[Any], Callable[[Any, pa.RecordBatch], Any]] = {
    sql.Column: _column,
    sql.Literal: _literal,
    sql.Boolean: lambda node, _: pa.scalar(bool(node.this)),
    sql.Null: lambda node, _: pa.scalar(None, pa.bool_()),
    sql.In: _in,
    sql.Between: _between,
    sql.Like: _like,
    sql.ILike: _like,
    sql.Is: _is,
    sql.Length: _length,
    sql.Cast: _cast,
}
