"""The WHERE clause of SQL over record batches, for ``--where``.

Parsed by sqlglot, evaluated by Arrow: comparisons, arithmetic, AND, OR, NOT, IN, BETWEEN, LIKE,
IS [NOT] NULL, and the functions LENGTH, LOWER, UPPER, ABS. Three-valued logic as in SQL: a row
for which the expression is NULL is not chosen. Expressions are data: nothing in one is ever
executed as code.
"""

from __future__ import annotations

import dataclasses
import decimal
import functools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import expressions as sql

from dsm_dask.arrays import plain
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
}
_UNARY: dict[type[Any], Callable[..., Any]] = {
    sql.Not: pc.invert,
    sql.Neg: lambda value: pc.negate_checked(_signed(value)),
    sql.Lower: pc.utf8_lower,
    sql.Upper: pc.utf8_upper,
    sql.Abs: lambda value: pc.abs_checked(_signed(value)),
}
_CASTS: dict[str, pa.DataType] = {
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPNTZ": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "INT": pa.int32(),
    "TEXT": pa.string(),
}
"""What CAST knows, by sqlglot's names. A plain TIMESTAMP is TIMESTAMPNTZ in this dialect."""

_ARGUMENTS = frozenset(
    [
        "this",
        "expression",
        "expressions",
        "negate",
        "low",
        "high",
        "to",
        "is_string",
        "quoted",
        "table",
        "db",
        "catalog",
    ]
)
"""Arguments of sqlglot's nodes that are looked at here."""


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
            value = _truth(_evaluate(_parse(self.text), batch))
        except pa.ArrowException as error:
            raise InvalidExpression(
                f"{self.text!r} cannot be computed: {str(error).rstrip('.')}.",
                valid="Compare columns with values of their own type.",
            ) from error
        except RecursionError:
            raise _too_deep(self.text) from None
        if isinstance(value, pa.Scalar):
            value = pa.array([value.as_py()] * batch.num_rows, value.type)
        if not pa.types.is_boolean(value.type):
            raise InvalidExpression(
                f"{self.text!r} is of type {value.type}, not a condition.",
                valid="Write a comparison, such as rating < 3.",
            )
        filled: Any = pc.fill_null(value, False)
        return filled.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _trouble(error: sqlglot.errors.SqlglotError) -> str:
    """What the parser stumbled over, without names of its classes, and where."""
    for one in getattr(error, "errors", ()):
        missing = one["description"].startswith("Required keyword")
        told = "something is missing" if missing else one["description"]
        return f"{told[0].lower()}{told[1:]} at character {one['col']}"
    return str(error).splitlines()[0].split(". Line")[0]


@functools.lru_cache(maxsize=64)
def _parse(text: str) -> Any:
    try:
        tree = sqlglot.parse_one(text, into=sql.Condition, dialect="duckdb")
        for node in tree.walk():
            _check_node(node, text)
    except sqlglot.errors.SqlglotError as error:
        raise InvalidExpression(
            f"{text!r} is not a condition: {_trouble(error)}.",
            valid="Write it as after WHERE in SQL: rating < 3 AND lang IN ('en', 'de').",
        ) from None
    except RecursionError:
        raise _too_deep(text) from None
    return tree


def _too_deep(text: str) -> InvalidExpression:
    return InvalidExpression(
        f"The condition {text[:60]!r}... is nested too deeply.",
        valid="Write a long list of values as column IN (...).",
    )


def _check_node(node: Any, text: str) -> None:
    # The very types, not subclasses of them: TRY_CAST is a Cast to sqlglot, but not to us.
    kind = type(node)
    parts = (sql.Identifier, sql.Paren, sql.DataType)
    # And no argument that is not looked at: versions of sqlglot add them, as with NOT in NOT LIKE.
    odd = any(value and name not in _ARGUMENTS for name, value in node.args.items())
    # Nor one that is missing: sqlglot takes "@ < 0" for the absolute value of nothing.
    whole = ("this", "expression") if kind in _BINARY else ("this",) if kind in _UNARY else ()
    odd = odd or any(node.args.get(name) is None for name in whole)
    odd = odd or (kind is sql.Date and node.expressions)
    odd = odd or (kind is sql.Is and not isinstance(node.expression, (sql.Null, sql.Boolean)))
    if odd or not (kind in _BINARY or kind in _UNARY or kind in _LEAVES or kind in parts):
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
        value = _evaluate(node.this, batch)
        return value if _is_null(value) else _UNARY[kind](value)
    if kind in _LEAVES:
        return _LEAVES[kind](node, batch)
    return _evaluate(node.this, batch)  # parentheses


# ---------------------------------------------------------------------------------------------
# Types: what Arrow would refuse or get wrong is made alike first


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Both as types that Arrow compares exactly. A literal takes the type of what it meets:
    strings are read as dates and so on."""
    if _is_null(left) and _is_null(right):
        return _truth(left), _truth(right)
    if isinstance(left, pa.Scalar):
        left = _fitted(left, right.type)
        return left, _fitted(right, left.type)
    right = _fitted(right, left.type)
    return _fitted(left, right.type), right


def _fitted(value: Any, to: pa.DataType) -> Any:
    """A value as a type that goes with another's."""
    kind, types = value.type, pa.types
    if kind == to or types.is_null(to):
        return value
    if types.is_null(kind):
        return pa.scalar(None, to) if isinstance(value, pa.Scalar) else value.cast(to)
    if isinstance(value, pa.Scalar) and types.is_string(kind) and not _is_number(to):
        return _parsed(value, to)
    if isinstance(value, pa.Scalar) and types.is_floating(to):
        return value.cast(to, safe=False) if _is_number(kind) else value
    if isinstance(value, pa.Scalar) and types.is_float64(kind):
        return _exact_literal(value, to)
    if types.is_integer(kind):
        return _fitted_integer(value, to)
    if types.is_timestamp(to) and to.tz is not None and _is_naive(kind):
        unit = kind.unit if types.is_timestamp(kind) else "s"  # without an offset it is UTC
        return value.cast(pa.timestamp(unit)).cast(pa.timestamp(unit, "UTC"))
    return value


def _exact_literal(value: pa.Scalar, to: pa.DataType) -> pa.Scalar:
    """``0.1`` as a decimal next to decimals and long integers."""
    types = pa.types
    long = types.is_integer(to) and to.bit_width == 64
    if not (types.is_decimal(to) or long) or not math.isfinite(value.as_py()):
        return value
    exact = decimal.Decimal(repr(value.as_py()))
    _, digits, exponent = exact.as_tuple()
    scale, whole = max(0, -int(exponent)), max(1, len(digits) + int(exponent))
    precision, to_scale = (20, 0) if long else (to.precision, to.scale)
    if max(whole, precision - to_scale) + max(scale, to_scale) > 38:
        return value
    return pa.scalar(exact, pa.decimal128(max(1, whole + scale), scale))


def _fitted_integer(value: Any, to: pa.DataType) -> Any:
    types = pa.types
    if types.is_floating(to):
        return value.cast(pa.float64(), safe=False)  # Arrow refuses to, beyond 2 ** 53
    if not types.is_integer(to) or types.is_uint64(value.type) == types.is_uint64(to):
        return value
    if isinstance(value, pa.Scalar) and types.is_uint64(to) and (value.as_py() or 0) >= 0:
        return value.cast(to)
    if types.is_uint64(value.type) and types.is_unsigned_integer(to):
        return value
    return value.cast(pa.decimal128(20, 0))


def _is_null(value: Any) -> bool:
    return bool(pa.types.is_null(value.type))


def _is_naive(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None))


def _truth(value: Any) -> Any:
    """NULL by itself as a condition."""
    if not _is_null(value):
        return value
    return pa.scalar(None, pa.bool_()) if isinstance(value, pa.Scalar) else value.cast(pa.bool_())


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    )


def _signed(value: Any) -> Any:
    """Integers wide enough to have their sign turned."""
    if pa.types.is_uint64(value.type):
        return value.cast(pa.decimal128(20, 0))
    return value.cast(pa.int64()) if pa.types.is_integer(value.type) else value


def _double(value: Any) -> Any:
    if pa.types.is_boolean(value.type) or not (_is_number(value.type) or _is_null(value)):
        raise pa.ArrowInvalid(f"{value.type} cannot be divided")
    if _is_null(value):
        return _fitted(value, pa.float64())
    return value.cast(pa.float64(), safe=False)


def _divide(node: Any, batch: pa.RecordBatch) -> Any:
    """As in SQL: division of any numbers gives a float, and by zero NULL."""
    divisor = _double(_evaluate(node.right, batch))
    nothing = pa.scalar(None, pa.float64())
    divisor = pc.if_else(pc.equal(divisor, pa.scalar(0.0)), nothing, divisor)
    return pc.divide(_double(_evaluate(node.left, batch)), divisor)


def _parsed(scalar: pa.Scalar, kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_null(kind) or not pa.types.is_timestamp(kind):
        return scalar.cast(kind)
    text = scalar.as_py()
    zoned = kind.tz is not None and _OFFSET.search(text) is not None
    tried = [pa.timestamp(unit, "UTC" if zoned else None) for unit in (kind.unit, "us", "ns")]
    for last, wanted in zip((False, False, True), tried, strict=True):
        try:
            found = scalar.cast(wanted)
            break
        except pa.ArrowInvalid:
            if last:
                raise
    return found if zoned else _fitted(found, kind)


_OFFSET = re.compile(r"(Z|[+-]\d\d(:?\d\d)?)$")


# ---------------------------------------------------------------------------------------------
# Everything that is not simply a function of two values


def _column(node: Any, batch: pa.RecordBatch) -> Any:
    name = _column_name(node)
    if name not in batch.schema.names:
        raise UnknownColumn(
            f"There is no column {name!r}.", valid=nearest(name, batch.schema.names)
        )
    return plain(batch.column(name))


def _literal(node: Any, _: pa.RecordBatch) -> pa.Scalar:
    text = node.this
    if node.is_string:
        return pa.scalar(text)
    if not text.isdigit():
        try:
            return pa.scalar(float(text))
        except ValueError:
            raise InvalidExpression(f"{text!r} is no number.") from None
    number = int(text)
    if number < 2**63:
        return pa.scalar(number, pa.int64())
    return pa.scalar(number, pa.uint64()) if number < 2**64 else pa.scalar(decimal.Decimal(text))


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
    pattern, value = _evaluate(node.expression, batch), _evaluate(node.this, batch)
    if not isinstance(pattern, pa.Scalar):
        raise InvalidExpression("LIKE takes a pattern in quotes.")
    if _is_null(pattern) or _is_null(value):
        return pa.scalar(None, pa.bool_())
    if not pa.types.is_string(pattern.type):
        raise InvalidExpression("LIKE takes a pattern in quotes.")
    exact = pattern.as_py().replace("\\", "\\\\")  # Arrow's escape; SQL has none
    found = pc.match_like(value, exact, ignore_case=isinstance(node, sql.ILike))
    return pc.invert(found) if node.args.get("negate") else found


def _is(node: Any, batch: pa.RecordBatch) -> Any:
    value = _evaluate(node.this, batch)
    if isinstance(node.expression, sql.Null):
        found = pc.is_null(value)
    else:
        found = pc.fill_null(pc.equal(_truth(value), _evaluate(node.expression, batch)), False)
    return pc.invert(found) if node.args.get("negate") else found


def _length(node: Any, batch: pa.RecordBatch) -> Any:
    value = _evaluate(node.this, batch)
    if _is_null(value):
        return value
    if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
        return pc.utf8_length(value)
    if pa.types.is_list(value.type) or pa.types.is_large_list(value.type):
        return pc.list_value_length(value)
    return pc.binary_length(value)


def _cast(node: Any, batch: pa.RecordBatch) -> Any:
    kind = _CASTS.get(node.to.this.value)
    if kind is None:
        raise InvalidExpression(
            f"CAST to {node.to.sql()} is not known here.", valid=f"Known: {', '.join(_CASTS)}."
        )
    value = _evaluate(node.this, batch)
    if pa.types.is_integer(kind) and pa.types.is_floating(value.type):
        value = pc.round(value, round_mode="half_to_even")
    if isinstance(value, pa.Scalar) and pa.types.is_string(value.type):
        return _parsed(value, kind)
    return value.cast(kind)


def _date(node: Any, batch: pa.RecordBatch) -> Any:
    return _evaluate(node.this, batch).cast(pa.date32())


_LEAVES: dict[type[Any], Callable[[Any, pa.RecordBatch], Any]] = {
    sql.Column: _column,
    sql.Literal: _literal,
    sql.Boolean: lambda node, _: pa.scalar(bool(node.this)),
    sql.Null: lambda node, _: pa.scalar(None),
    sql.In: _in,
    sql.Between: _between,
    sql.Like: _like,
    sql.ILike: _like,
    sql.Is: _is,
    sql.Length: _length,
    sql.Cast: _cast,
    sql.Date: _date,
    sql.Div: _divide,
}
