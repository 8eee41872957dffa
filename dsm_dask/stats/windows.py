"""Windows of time: consecutive spans of the calendar, none overlapping (tumbling windows)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.errors import SchemaError, UsageError

Int64 = npt.NDArray[np.int64]

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_DAYS = {"d": 1, "w": 7}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_DAY = 86_400
_MONDAY = 4
"""1970-01-05, in days since 1970-01-01."""
_LONGEST = 10**6
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True)
class Window:
    """A span of time, from ``start`` up to but not including ``end``: datetimes in UTC (Arrow
    scalars before year 1 and after 9999)."""

    start: Any
    end: Any


@dataclasses.dataclass(frozen=True)
class Windows:
    """Spans of ``count`` units, in UTC: ``s``, ``min``, ``h``, ``d``, ``w``, ``mo``, ``q``, ``y``.

    Windows of seconds to days are counted from 1970-01-01T00:00, of weeks from Monday 1970-01-05,
    of months to years from January 1970; so the borders depend on the calendar alone. Timestamps
    without a time zone count as UTC, and a date as its midnight.

    >>> windows = Windows.parse("1mo")
    >>> found = windows.number(pa.array([dt.date(2024, 2, 29), dt.date(1969, 12, 31)]))
    >>> found.tolist()
    [649, -1]
    >>> windows.window(649).start.isoformat(), windows.window(649).end.isoformat()
    ('2024-02-01T00:00:00+00:00', '2024-03-01T00:00:00+00:00')
    """

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Windows:
        """Windows from a text such as ``15min``, ``1h``, ``7d``, ``1w``, ``1mo``, ``1q``, ``1y``.

        Raises :class:`~dsm_dask.errors.UsageError` for any other.
        """
        found = re.fullmatch(r"([1-9][0-9]{0,6})(s|min|h|d|w|mo|q|y)", text, re.ASCII)
        if not found or int(found[1]) > _LONGEST:
            raise UsageError(
                f"{text!r} is no window of time.",
                valid="A whole number from 1 to 1,000,000 and s, min, h, d, w, mo, q or y: "
                "15min, 1h, 7d, 1w, 1mo, 1q, 1y.",
            )
        return cls(int(found[1]), found[2])

    def number(self, array: pa.Array) -> Int64:
        """The window of each slot, counted from 1970 (garbage under nulls).

        Raises :class:`~dsm_dask.errors.SchemaError` unless ``array`` holds timestamps or dates."""
        check_time(array.type)
        raw = arrays.fixed_width(array).astype(np.int64, copy=False)
        if self.unit in _SECONDS:
            step = self.count * _SECONDS[self.unit]
            if pa.types.is_date(array.type):
                return _floor(_days(raw, array.type) * _DAY, step)
            return _floor(raw, step * _PER_SECOND[array.type.unit])
        days = _days(raw, array.type)
        if self.unit in _DAYS:
            origin = _MONDAY if self.unit == "w" else 0
            return _floor(days - origin, self.count * _DAYS[self.unit])
        months = days.view("datetime64[D]").astype("datetime64[M]").view(np.int64)
        return _floor(months, self.count * _MONTHS[self.unit])

    def window(self, number: int) -> Window:
        """The span of a window, given its number."""
        return Window(_moment(self._start(number)), _moment(self._start(number + 1)))

    def _start(self, number: int) -> int:
        """In seconds since 1970."""
        if self.unit in _SECONDS:
            return number * self.count * _SECONDS[self.unit]
        if self.unit in _DAYS:
            origin = _MONDAY if self.unit == "w" else 0
            return (number * self.count * _DAYS[self.unit] + origin) * _DAY
        month = np.datetime64(number * self.count * _MONTHS[self.unit], "M")
        return int(month.astype("datetime64[D]").astype(np.int64)) * _DAY


def check_time(dtype: pa.DataType, column: str | None = None) -> None:
    """Raise :class:`~dsm_dask.errors.SchemaError` for a type that is no timestamp and no date."""
    plain = arrays.plain_type(dtype)
    if not (pa.types.is_timestamp(plain) or pa.types.is_date(plain)):
        name = "A column" if column is None else f"Column {column!r}"
        raise SchemaError(
            f"{name} of type {dtype} has no windows of time.",
            valid="Choose a column of timestamps or dates.",
        )


def _days(raw: Int64, dtype: pa.DataType) -> Int64:
    if pa.types.is_date32(dtype):
        return raw
    return _floor(raw, _DAY * (1000 if pa.types.is_date64(dtype) else _PER_SECOND[dtype.unit]))


def _floor(numbers: Int64, step: int) -> Int64:
    return numbers if step == 1 else np.floor_divide(numbers, step)


def _moment(seconds: int) -> Any:
    try:
        return _EPOCH + dt.timedelta(seconds=seconds)
    except OverflowError:
        edge = 2**63 - 1
        return pa.scalar(max(-edge, min(seconds, edge)), pa.timestamp("s", "UTC"))
