"""Slack: how far beyond the data seen the bounds of its schema lie."""

from __future__ import annotations

import decimal
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.stats import values
from dsm_dask.stats.extremes import Extremes
from dsm_dask.stats.quantiles import Quantiles, QuantilesState
from dsm_dask.validation.bounds import parse_bound

RANGE = Fraction(1, 10)
"""Slack on each side, as a share of the range."""
TAIL = 0.01
"""The tail whose length is the slack where that is longer."""
DAY = 86_400
_PLAIN = 20
"""Powers of ten up to which a number is written out."""


def null_share(nulls: int, count: int) -> float:
    """The share of nulls to allow: none if there were none, else half as many again and one in a
    hundred, rounded up to a tenth of a percent.

    >>> null_share(0, 50), null_share(1, 50), null_share(50, 50)
    (0.0, 0.04, 1.0)
    """
    if not nulls:
        return 0.0
    share = Fraction(3 * nulls, 2 * count) + Fraction(1, 100)
    return min(1000, math.ceil(share * 1000)) / 1000


def bounds(
    kind: str, dtype: pa.DataType, extremes: Any, quantiles: QuantilesState
) -> dict[str, str]:
    """``min`` and ``max`` of a column, as a schema writes them; none where there is no value, or
    where the type itself has no value beyond.

    Each side is a tenth of the range away from the data, or as far as the last hundredth of the
    values reaches, if that is more; then it is rounded outwards to two digits of that. Where all
    values are on one side of zero, so are the bounds. A constant column has no slack. Dates and
    timestamps have no ``max``, for time goes on. ``kind`` is that of
    :func:`dsm_dask.validation.types.kind_of_name`; infinities raise ValueError.
    """
    found = Extremes("").finish(extremes)
    if found.min is None:
        return {}
    tails = Quantiles("", (TAIL, 1 - TAIL)).finish(quantiles).values
    try:
        low, start, end, high = (
            parse_bound(text(one), kind) for one in (found.min, *tails, found.max)
        )
    except ValueError:  # not a time: the smallest integer stands for none in most libraries
        return {}
    spread = (high - low) * RANGE
    # quantiles of decimals are floats, and may lie beyond
    tails_long = min(start, high) - low, high - max(end, low)
    sides = {"min": (low, max(spread, tails_long[0])), "max": (high, max(spread, tails_long[1]))}
    if kind == "moment":
        del sides["max"]
    seen = {"min": text(found.min), "max": text(found.max)}
    made = {side: _bound(side, *rest, kind, dtype) if rest[1] else seen[side]
            for side, rest in sides.items()}  # fmt: skip
    return {side: bound for side, bound in made.items() if bound is not None}


def text(value: Any) -> str:
    """A value as a schema writes it."""
    shown = values.to_json(value)
    return repr(shown) if isinstance(shown, float) else str(shown)


def _bound(side: str, end: Fraction, slack: Fraction, kind: str, dtype: pa.DataType) -> str | None:
    """``end`` and its slack outwards; None if nothing of the type is out there."""
    sign = -1 if side == "min" else 1
    exponent = 0 if kind in ("moment", "time") else _digits(slack) - 2
    if kind == "integer":
        exponent = max(0, exponent)
    unit = Fraction(DAY) if kind == "moment" else Fraction(10) ** exponent
    steps = sign * math.ceil((sign * end + slack) / unit)
    if kind not in ("moment", "time") and sign * end <= 0:
        steps = sign * min(0, sign * steps)  # not across zero
    if _is_outside(steps * unit, kind, dtype):
        return None
    if kind == "moment":
        return str(np.datetime64(steps, "D"))
    if kind == "time":
        minutes, seconds = divmod(steps, 60)
        return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    if abs(exponent) > _PLAIN:
        return f"{steps}e{exponent}"
    number = decimal.Decimal(steps).scaleb(exponent, decimal.Context(prec=100))
    shown = f"{number:f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    if kind != "duration":
        return shown
    return f"{'-' if steps < 0 else ''}PT{shown.removeprefix('-')}S"


def _digits(number: Fraction) -> int:
    """Digits before the decimal point; 0 or less for numbers below 1."""
    guess = len(str(number.numerator)) - len(str(number.denominator))
    return guess + (number >= Fraction(10) ** guess)


def _is_outside(bound: Fraction, kind: str, dtype: pa.DataType) -> bool:
    dtype = arrays.plain_type(dtype)
    if kind == "time":
        return not 0 < bound < DAY
    if kind == "integer":
        info: Any = np.iinfo(str(dtype))
        return not int(info.min) <= bound <= int(info.max)
    if kind == "decimal":
        return bool(abs(bound) >= Fraction(10) ** (dtype.precision - dtype.scale))
    if kind == "float":
        name = {"halffloat": "float16", "float": "float32"}.get(str(dtype), "float64")
        return abs(bound) > Fraction(float(np.finfo(name).max))
    return False
