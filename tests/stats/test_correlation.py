"""Correlations against NumPy and DuckDB."""

import decimal
import math

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from dsm_dask.fold import merge_all, run, update_all
from dsm_dask.stats.correlation import MOST, Correlation, Correlations
from dsm_dask.testing.folds import batches, check_bounded, check_laws

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(2)


def table(rows=6000):
    x = RNG.normal(5, 2, rows)
    return pa.table(
        {
            "x": x,
            "y": pa.array(3 * x + RNG.normal(0, 1, rows), mask=RNG.random(rows) < 0.3),
            "z": pa.array(RNG.integers(0, 9, rows), pa.int16(), mask=RNG.random(rows) < 0.1),
            "far": pa.array((1e9 - x).astype(np.float64)),
        }
    )


@pytest.mark.parametrize("size", [100, 2500, 6000])
def test_pairwise_complete_as_in_duckdb(size):
    data = table()
    fold = Correlation(tuple(data.column_names))
    parts = data.to_batches(max_chunksize=size)
    merged = merge_all(fold, [update_all(fold, [part]) for part in parts])
    for found in (fold.finish(merged), run(fold, parts)):
        for i, a in enumerate(data.column_names):
            for j, b in enumerate(data.column_names):
                query = f"SELECT corr({a}, {b}), count({a} + {b}) FROM data"
                ((r, rows),) = duckdb.sql(query).fetchall()
                assert found.matrix[i][j] == pytest.approx(r, abs=1e-7)
                assert found.counts[i][j] == rows


def test_far_from_zero_nothing_cancels():
    x = RNG.normal(0, 1e-3, 20_000)
    data = pa.table({"x": x, "far": x + 1e8, "y": RNG.normal(0, 1, 20_000) + 1e3 * x})
    names = ("x", "far", "y")
    found = run(Correlation(names), data.to_batches(max_chunksize=900))
    expected = np.corrcoef([data[name].to_numpy() - data[name][0].as_py() for name in names])
    np.testing.assert_allclose(found.matrix, expected, atol=1e-8)


@QUICK
@given(batches({"a": pa.int8(), "b": pa.int16(), "c": pa.uint8()}, max_rows=15))
def test_laws(cut):
    check_laws(Correlation(("a", "b", "c")), cut)


def test_values_that_are_none():
    data = {
        "x": [1.0, 2.0, math.nan, math.inf, 1e308, 3.0, -1e308],
        "y": [2.0, 4.0, 9.0, 9.0, 9.0, 6.0, 9.0],
        "d": [decimal.Decimal(n) for n in (-1, -2, 9, 9, 9, -3, 9)],
        "big": pa.array([2**63 - 1, 0, 5, 5, 5, -(2**63), 5], pa.int64()),
    }
    found = run(Correlation(tuple(data)), [pa.record_batch(data)])
    assert found.counts[0] == (3, 3, 3, 3)
    assert found.matrix[0] == pytest.approx((1, 1, -1, -1), abs=1e-9)


@pytest.mark.parametrize("constant", [0.1, 1e99, -7.0])
def test_constant_columns_have_none(constant):
    rows = RNG.normal(size=3000)
    data = pa.table({"x": rows, "c": np.full(3000, constant)})
    found = run(Correlation(("x", "c")), data.to_batches(max_chunksize=700))
    assert found.matrix == ((1.0, None), (None, None))


def test_constant_only_where_the_other_is_known():
    x = [0.1, 0.1, 0.1, 5.0, 7.0]
    data = pa.record_batch({"x": x, "y": [1.0, 2.0, 3.0, None, None]})
    assert run(Correlation(("x", "y")), [data]).matrix == ((1.0, None), (None, 1.0))


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows(rows):
    data = pa.record_batch({"x": pa.array([1.0] * rows), "y": pa.array([None] * rows, pa.int8())})
    found = run(Correlation(("x", "y")), [data])
    counts = ((rows, 0), (0, 0))
    assert found == Correlations(("x", "y"), ((None, None), (None, None)), counts)


def test_state_is_bounded():
    names = tuple(f"c{i}" for i in range(MOST))
    check_bounded(Correlation(names), dict.fromkeys(names, pa.float64()), rows=2000)
