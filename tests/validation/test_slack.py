"""Inferred bounds lie outside the data by a tenth of its range, or by its tails."""

import datetime as dt
import decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsm_dask.validation.check import check, infer_schema
from dsm_dask.validation.schema_file import SLACK, parse_schema

QUICK = settings(max_examples=40, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def inferred(memory, engine):
    def column(array):
        return infer_schema(memory({"x": array}), engine=engine).schema.columns["x"]

    return column


NUMBERS = {
    pa.int64(): st.integers(-(2**62), 2**62) | st.integers(-99, 99),
    pa.float64(): st.floats(-1e300, 1e300) | st.floats(-2, 2),
    pa.float32(): st.floats(-(2.0**120), 2.0**120, width=32),
    pa.decimal128(38, 4): st.decimals(-(10**30), 10**30, places=4),
    pa.duration("us"): st.timedeltas(dt.timedelta(-(10**6)), dt.timedelta(10**6)),
}


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
def test_bounds_are_a_tenth_of_the_range_away_or_a_tail(dtype, inferred):
    @QUICK
    @given(st.lists(NUMBERS[dtype], min_size=2, max_size=40), st.sampled_from([1, 0, -1]))
    def holds(values, sign):
        values = [abs(v) * sign if sign else v for v in values]
        values = [*values, values[0]]  # not unique
        found = inferred(pa.array(values, dtype))
        if found.categories is not None or found.normalised in ("0..1", "-1..1"):
            return
        exact = [_exact(v) for v in values]
        low, high = min(exact), max(exact)
        numbers = np.sort(np.array([float(v - low) for v in exact]))
        tails = [float(np.quantile(numbers, 0.01)), float(numbers[-1] - np.quantile(numbers, 0.99))]
        for side, end, tail, outwards in (
            ("min", low, tails[0], -1),
            ("max", high, tails[1], 1),
        ):
            bound = getattr(found, side)
            slack = outwards * (_exact(bound) - end)
            wanted = max((high - low) / 10, Fraction(tail))
            if not wanted:
                assert float(_exact(bound)) == float(end)
                continue
            crossed = low >= 0 if side == "min" else high <= 0
            if crossed and outwards * (end + outwards * wanted) > 0:
                assert slack == abs(end)  # up to zero
            else:
                # two digits of the slack, or a whole number
                unit = max(wanted / 10, Fraction(pa.types.is_integer(dtype)))
                assert (
                    wanted * (1 - Fraction(1, 10**9))
                    <= slack
                    <= wanted * (1 + Fraction(1, 10**6)) + unit
                )

    holds()


def _exact(value):
    if isinstance(value, str) and "PT" in value:
        return Fraction(value.replace("PT", "").removesuffix("S"))
    if isinstance(value, dt.timedelta):
        return Fraction(value // dt.timedelta(microseconds=1), 10**6)
    return Fraction(decimal.Decimal(value)) if isinstance(value, str) else Fraction(value)


def test_figures(inferred):
    """Worked out by hand."""
    found = inferred([*range(1, 1001), 1])
    assert (found.min, found.max) == ("0", "1100")  # 99.9, rounded outwards, not across zero
    found = inferred([*range(100), 10_000, 10_000] * 2)
    assert found.max == "11000"
    found = inferred(np.concatenate([np.linspace(1, 2, 1000), [1e6]]))
    assert found.max == "2000000"  # as far again as the tail reaches
    assert (inferred(pa.array([7, 7])).min, inferred(pa.array([7, 7])).max) == ("7", "7")
    assert inferred(pa.array([-5.0, -3.0])).max == "-2.8"
    assert inferred(pa.array([-128, 0, 127, 0], pa.int8())).max is None  # no int8 is larger
    assert inferred(pa.array([dt.time(6), dt.time(8)])).max == "08:12:00"
    assert inferred(pa.array([dt.time(0), dt.time(23)])).max is None


def test_ids_and_times_grow(inferred):
    ids = inferred(range(1000, 2000))
    assert (ids.unique, ids.min, ids.max) == (True, "900", None)
    days = [dt.date(2024, 1, 1), dt.date(2024, 1, 11)]
    assert (inferred(pa.array(days)).min, inferred(pa.array(days)).max) == ("2023-12-31", None)
    moments = pa.array([0, 86_400 * 100], pa.timestamp("s", "UTC"))
    assert (inferred(moments).min, inferred(moments).max) == ("1969-12-22", None)


@pytest.mark.parametrize(("nulls", "share"), [(0, 0.0), (1, 0.012), (100, 0.16), (1000, 1.0)])
def test_nulls(nulls, share, inferred):
    assert inferred(pa.array([None] * nulls + [1.5] * (1000 - nulls), pa.float64())).nulls == share


@pytest.mark.parametrize(
    ("values", "categories"),
    [
        ([3, 1, 20] * 10, ("1", "3", "20")),
        (list(range(20)) * 10, tuple(map(str, range(20)))),
        (list(range(21)) * 10, None),
        ([3, 1] * 9, None),  # each seen less than 10 times
    ],
)
def test_categories_of_integers(values, categories, inferred, memory, engine):
    found = inferred(values)
    assert found.categories == categories
    assert (found.min is None) == (categories is not None)
    other = memory({"x": [*values[1:], 22]})
    rules = [f.rule for f in check(other, memory({"x": values}), engine=engine).findings]
    assert rules == (["categories"] if categories else rules)


def test_the_file_says_so(memory, engine):
    text = infer_schema(memory({"x": [1.0, 20.0, None]}), engine=engine).to_yaml("data")
    assert SLACK in text
    assert "\n    nulls: 0.51\n" in text
    assert parse_schema(text).columns["x"].min == "0"
