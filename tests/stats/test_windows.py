"""Windows of time against the calendars of NumPy, pandas and Polars."""

import datetime as dt
import zoneinfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.stats.windows import Windows

TEXTS = ["1s", "90s", "15min", "1h", "5h", "1d", "7d", "1w", "1mo", "1q", "1y", "2y"]
POLARS = {"min": "m", "s": "s", "h": "h", "d": "d", "w": "w", "mo": "mo", "q": "q", "y": "y"}
UNITS = ["s", "ms", "us", "ns"]
QUICK = settings(max_examples=25, deadline=None)
MOMENTS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1))  # what nanoseconds hold


def starts(array, text):
    windows = Windows.parse(text)
    return [windows.window(number).start for number in windows.number(array).tolist()]


@pytest.mark.parametrize("text", [t for t in TEXTS if t != "2y"])
@QUICK
@given(st.lists(MOMENTS, min_size=1), st.sampled_from(UNITS))
def test_the_start_is_that_of_polars(text, moments, unit):
    moments = [moment.replace(microsecond=0) for moment in moments]
    windows = Windows.parse(text)
    every = f"{windows.count}{POLARS[windows.unit]}"
    truth = pl.Series(moments, dtype=pl.Datetime("us")).dt.truncate(every).to_list()
    found = starts(pa.array(moments, pa.timestamp(unit)), text)
    assert [start.replace(tzinfo=None) for start in found] == truth


@pytest.mark.parametrize(("text", "code"), [("1mo", "M"), ("1q", "Q"), ("1y", "Y"), ("1d", "D")])
@QUICK
@given(st.lists(st.dates(dt.date(1, 1, 1), dt.date(9990, 1, 1)), min_size=1))
def test_dates_fall_into_the_periods_of_pandas(text, code, days):
    windows = Windows.parse(text)
    numbers = windows.number(pa.array(days, pa.date32())).tolist()
    assert numbers == windows.number(pa.array(days, pa.date64())).tolist()
    for day, number in zip(days, numbers, strict=True):
        period = pd.Period(year=day.year, month=day.month, day=day.day, freq=code)
        assert windows.window(number).start.date() == period.start_time.date() \
            if 1678 < day.year < 2261 else number == period.ordinal  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@QUICK
@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1), st.sampled_from(UNITS))
def test_every_moment_lies_in_its_window(text, stored, unit):
    """Also at the ends of 64 bits, next to NaT, and where Python has no years."""
    windows = Windows.parse(text)
    array = pa.array(stored, pa.timestamp(unit))
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    for value, number in zip(stored, windows.number(array).tolist(), strict=True):
        first, last = windows._start(number), windows._start(number + 1)
        assert first * per_second <= value < last * per_second
        assert windows.window(number).start is not None


def test_the_time_zone_of_a_column_changes_nothing():
    """Days of a column in New York are those of UTC, also when clocks are changed."""
    zone = zoneinfo.ZoneInfo("America/New_York")
    local = [dt.datetime(2024, 3, 10, hour, tzinfo=zone) for hour in (0, 1, 3, 18, 19, 23)]
    array = pa.array(local, pa.timestamp("us", "America/New_York"))
    truth = [moment.astimezone(dt.UTC).date() for moment in local]
    assert [start.date() for start in starts(array, "1d")] == truth
    assert {start.tzinfo for start in starts(array, "1d")} == {dt.UTC}
    hours = [int(moment.timestamp()) // 3600 for moment in local]
    assert Windows.parse("1h").number(array).tolist() == hours


def test_weeks_begin_on_monday_and_before_1970():
    days = [dt.date(1969, 12, 28), dt.date(1969, 12, 29), dt.date(1970, 1, 4), dt.date(1970, 1, 5)]
    found = [start.date() for start in starts(pa.array(days), "1w")]
    assert found == [day - dt.timedelta(days=day.weekday()) for day in days]


def test_numpy_agrees_on_months_of_far_years():
    days = np.array([-(2**31) + 1, 2**31 - 1, 0, -1], np.int32)
    found = Windows.parse("1mo").number(pa.array(days, pa.date32()))
    truth = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    assert found.tolist() == truth.tolist()


@pytest.mark.parametrize(
    "text", ["", "1", "d", "0d", "-1d", "1.5h", "1 d", "1m", "1D", "1000001s", "²d"]
)
def test_unknown_windows(text):
    with pytest.raises(UsageError, match="15min, 1h, 7d"):
        Windows.parse(text)


@pytest.mark.parametrize(
    "dtype", [pa.int64(), pa.string(), pa.time32("s"), pa.duration("s")], ids=str
)
def test_what_is_no_time(dtype):
    with pytest.raises(SchemaError, match="timestamps or dates"):
        Windows.parse("1d").number(pa.nulls(1, dtype))
