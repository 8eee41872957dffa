"""Bounds as a schema writes them, and which values lie beyond."""

from __future__ import annotations

import decimal
import math
import re
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays
from dsm_dask.arrays import Bools

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_MOMENT = re.compile(r"([+-]?\d{4,}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(\.\d+)?)?(Z|\+00:00)?")
_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?")
_SPAN = re.compile(r"(-?)PT(\d+)(\.\d+)?S")
_DIGITS = 400
"""Powers of ten that a number may reach."""

Side = Literal["min", "max"]


def parse_bound(text: str, kind: str) -> Fraction:
    """The exact number behind a bound; of times, in seconds (since 1970, midnight, or none).

    Raises ValueError that says what would be valid.

    >>> parse_bound("1.10", "decimal"), parse_bound("1970-01-02", "moment")
    (Fraction(11, 10), Fraction(86400, 1))
    """
    if kind in ("integer", "float", "decimal"):
        return _number(text)
    readers = {"moment": _moment, "time": _time, "duration": _span}
    if kind not in readers:
        raise ValueError(f"values of this type ({kind}) have no bounds; numbers and times have")
    found = readers[kind](text)
    if found is None:
        shapes = {"moment": "2024-02-29 or 2024-02-29T12:00:00", "time": "23:59:00"}
        raise ValueError(f"{text!r} is not written like {shapes.get(kind, 'PT1.5S (seconds)')}")
    return found


def beyond(array: pa.Array, dtype: pa.DataType, text: str, kind: str, side: Side) -> Bools:
    """Which values of a plain array are below a smallest (``min``) or above a largest (``max``)
    one; nulls and NaN are neither. Exact; bounds of floats are rounded to ``dtype`` first, as the
    values were.

    >>> beyond(pa.array([1, 5, None]), pa.int64(), "2.5", "integer", "min").tolist()
    [True, False, False]
    """
    limit = parse_bound(text, kind)
    if pa.types.is_floating(array.type):
        number = _rounded(limit, dtype)
        numbers = arrays.fixed_width(array)
        with np.errstate(invalid="ignore"):
            found = numbers < number if side == "min" else numbers > number
    elif pa.types.is_decimal(array.type):
        found = _decimals(array, limit * Fraction(10) ** array.type.scale, side)
    else:
        found = _integers(array, limit * _units(array.type), side)
    valid = arrays.validity(array)
    return found if valid is None else found & valid


def _number(text: str) -> Fraction:
    try:
        number = decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    if not number.is_finite() or abs(number.adjusted()) > _DIGITS:
        raise ValueError(f"{text!r} is no bound; leave it out")
    return Fraction(number)


def _moment(text: str) -> Fraction | None:
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    try:
        days = int(np.datetime64(found[1], "D").astype(np.int64))
    except (ValueError, OverflowError):
        return None
    rest = _time(found[2] + (found[3] or "")) if found[2] and found[2].count(":") == 2 else None
    if rest is None:
        rest = _time(found[2]) if found[2] else Fraction(0)
    return None if rest is None else days * 86_400 + rest


def _time(text: str) -> Fraction | None:
    found = _TIME.fullmatch(text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59 or int(found[3] or 0) > 59:
        return None
    seconds = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)
    return seconds + Fraction("0" + (found[4] or ".0"))


def _span(text: str) -> Fraction | None:
    found = _SPAN.fullmatch(text)
    if found is None:
        return None
    seconds = int(found[2]) + Fraction("0" + (found[3] or ".0"))
    return -seconds if found[1] else seconds


def _units(dtype: pa.DataType) -> Fraction:
    """Stored integers a second (a number, for integers)."""
    if pa.types.is_date32(dtype):
        return Fraction(1, 86_400)
    if pa.types.is_date64(dtype):
        return Fraction(1000)
    return Fraction(_PER_SECOND.get(getattr(dtype, "unit", ""), 1))


def _rounded(limit: Fraction, dtype: pa.DataType) -> float:
    try:
        number = float(limit)
    except OverflowError:
        number = math.inf if limit > 0 else -math.inf
    kinds = {"halffloat": np.float16, "float": np.float32}
    with np.errstate(over="ignore"):
        kind: Any = kinds.get(str(dtype), np.float64)
        return float(kind(number))


def _integers(array: pa.Array, limit: Fraction, side: Side) -> Bools:
    numbers = arrays.fixed_width(array)
    info: Any = np.iinfo(numbers.dtype)
    whole = math.ceil(limit) if side == "min" else math.floor(limit)
    if side == "min":
        whole = min(whole, int(info.max) + 1)
        return numbers < whole if info.min <= whole <= info.max else _all(numbers, whole > info.max)
    return numbers > whole if info.min <= whole <= info.max else _all(numbers, whole < info.min)


def _all(numbers: Any, answer: bool) -> Bools:
    return np.full(len(numbers), answer)


def _decimals(array: pa.Array, limit: Fraction, side: Side) -> Bools:
    whole = math.ceil(limit) if side == "min" else math.floor(limit)
    most = 10**array.type.precision - 1
    if abs(whole) > most:
        return np.full(len(array), (whole > 0) == (side == "min"))
    context = decimal.Context(prec=100)
    scalar = pa.scalar(decimal.Decimal(whole).scaleb(-array.type.scale, context), array.type)
    found = (pc.less if side == "min" else pc.greater)(array, scalar)
    return arrays.fixed_width(found.fill_null(False))
