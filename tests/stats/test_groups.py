"""Statistics by group: the laws, and every group against the same statistics of its rows alone."""

import math

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsm_dask import arrays
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.fold import Product, fingerprint, merge_all, run, update_all
from dsm_dask.stats import groups
from dsm_dask.stats.count import Count
from dsm_dask.stats.distinct import Distinct
from dsm_dask.stats.extremes import Extremes
from dsm_dask.stats.groups import Group, Grouped, group_keys
from dsm_dask.stats.moments import Moments
from dsm_dask.stats.quantiles import Quantiles
from dsm_dask.stats.top_values import TopValues
from dsm_dask.testing.arrow import TYPES, unique_array
from dsm_dask.testing.folds import batches, canonical, check_bounded, check_laws

QUICK = settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
INNER = Product((Count("x"), Moments("x"), Extremes("x")))
ALL = Product(tuple(k("x") for k in (Count, Moments, Extremes, Distinct, Quantiles, TopValues)))
TIMES = [pa.date32(), pa.timestamp("s"), pa.timestamp("ns", "UTC")]
GROUPABLE = [t for t in TYPES if t.num_fields == 0 and not pa.types.is_interval(t)]
LAWFUL = [
    *(pa.null(), pa.bool_(), pa.int64(), pa.float16(), pa.float64(), pa.decimal128(38, 10)),
    *(pa.timestamp("ns"), pa.string_view(), pa.binary(3), pa.dictionary(pa.int8(), pa.string())),
]


@pytest.fixture(params=[8, 1 << 19], ids=["impatient", "patient"])
def waiting(request, monkeypatch):
    """Rows are looked at as they come, or in the end."""
    monkeypatch.setattr(groups, "WAITING_ROWS", request.param)


@pytest.mark.parametrize("dtype", LAWFUL, ids=str)
@pytest.mark.usefixtures("waiting")
def test_laws_by_value(dtype):
    @QUICK
    @given(batches({"g": dtype, "x": pa.float64()}, max_rows=20), st.sampled_from([2, 100]))
    def check(cut, cap):
        check_laws(Grouped("g", INNER, cap=cap), cut)

    check()


@pytest.mark.parametrize("dtype", TIMES, ids=str)
@pytest.mark.parametrize("window", ["90min", "2w", "1q"])
@pytest.mark.usefixtures("waiting")
def test_laws_by_window(dtype, window):
    @QUICK
    @given(batches({"t": dtype, "x": pa.string()}, max_rows=20), st.sampled_from([2, 100]))
    def check(cut, cap):
        inner = Product((Count("x"), TopValues("x"), Distinct("x")))
        check_laws(Grouped("t", inner, cap=cap, window=window), cut)

    check()


@pytest.mark.parametrize("inner", ["x", "g"])
def test_laws_of_estimates(inner, monkeypatch):
    """More values than the inner sketches hold exactly."""
    monkeypatch.setattr(groups, "WAITING_ROWS", 5000)
    rng = np.random.default_rng(3)
    columns = {"g": rng.integers(0, 3, 20_000), "x": rng.normal(size=20_000)}
    cut = pa.table(columns).to_batches(max_chunksize=3000)
    check_laws(Grouped("g", Product((Quantiles(inner), TopValues(inner)))), cut)


@pytest.mark.parametrize("dtype", [pa.int64(), pa.string(), pa.timestamp("us")], ids=str)
def test_states_are_bounded(dtype, monkeypatch):
    monkeypatch.setattr(groups, "WAITING_ROWS", 10_000)
    inner = Product((Count("x"), Moments("x")))
    columns = {"g": dtype, "x": pa.float64()}
    check_bounded(Grouped("g", inner, cap=20), columns, limit=512 * 1024)


@pytest.mark.parametrize("dtype", GROUPABLE[::2], ids=str)
def test_each_group_is_the_statistics_of_its_rows(dtype):
    @QUICK
    @given(batches({"g": dtype, "x": pa.float64()}))
    def check(cut):
        found = run(Grouped("g", ALL), cut)
        whole = pa.Table.from_batches(cut).combine_chunks()
        # an independent grouping: equal Python values, with null, NaN and zeros made alike
        members: dict[str, list[int]] = {}
        for i, value in enumerate(plain(whole["g"])):
            members.setdefault(value, []).append(i)
        assert sum(group.rows for group in found.groups) == whole.num_rows
        assert (found.left_out_groups, found.left_out_rows) == (0, 0)
        assert sorted(map(len, members.values())) == sorted(group.rows for group in found.groups)
        expected = {
            repr(canonical(run(ALL, whole.select(["x"]).take(rows).combine_chunks().to_batches())))
            for rows in members.values()
        }
        assert {repr(canonical(group.results)) for group in found.groups} == expected

    check()


def plain(column):
    for scalar in column:
        if arrays.is_temporal(scalar.type):
            yield str(scalar.value)  # Python cannot hold all times
            continue
        value = scalar.as_py()
        if isinstance(value, float):
            value = "NaN" if math.isnan(value) else value + 0.0
        yield repr(value)


def test_counts_and_means_are_those_of_duckdb():
    rng = np.random.default_rng(5)
    size = 50_000
    table = pa.table(
        {
            "g": pa.array(rng.integers(0, 60, size), mask=rng.random(size) < 0.01),
            "x": pa.array(rng.normal(size=size), mask=rng.random(size) < 0.1),
        }
    )
    found = run(Grouped("g", INNER), table.to_batches(max_chunksize=7000))
    query = "select g, count(*), count(x), avg(x), min(x) from tbl group by g"
    truth = {row[0]: row[1:] for row in _duck(table).execute(query).fetchall()}
    assert {group.value for group in found.groups} == set(truth)
    for group in found.groups:
        counts, moments, extremes = group.results
        shown = (group.rows, counts.values, pytest.approx(moments.mean, rel=1e-12), extremes.min)
        assert shown == truth[group.value]
    sizes = [group.rows for group in found.groups]
    assert sizes == sorted(sizes, reverse=True)


def _duck(table):
    connection = duckdb.connect()
    connection.register("tbl", table)
    return connection


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 7), st.integers(20, 400))
def test_any_cut_and_any_tree_give_the_same(parts, size):
    rng = np.random.default_rng(size)
    table = pa.table({"g": rng.integers(0, 300, 2000), "x": rng.normal(size=2000)})
    fold = Grouped("g", INNER, cap=50)
    whole = run(fold, table.to_batches())
    states = [update_all(fold, [b]) for b in table.to_batches(max_chunksize=size)]
    grouped = [merge_all(fold, states[i : i + parts]) for i in range(0, len(states), parts)]
    assert canonical(fold.finish(merge_all(fold, grouped))) == canonical(whole)
    left = len(set(table["g"].to_pylist())) - 50
    assert len(whole.groups) == 50
    assert (whole.left_out_groups, whole.left_out_exact) == (left, True)
    assert whole.left_out_rows == 2000 - sum(group.rows for group in whole.groups)


def test_the_rest_is_counted_by_an_estimate():
    batch = pa.record_batch({"g": np.arange(300_000), "x": np.zeros(300_000)})
    found = run(Grouped("g", INNER, cap=10), [batch])
    assert not found.left_out_exact
    assert abs(found.left_out_groups - 299_990) < 0.1 * 300_000
    assert found.left_out_rows == 299_990


def test_groups_that_were_asked_for():
    batch = pa.record_batch({"g": ["a", "b", None, "a", "c"], "x": [1.0, 2, 3, 4, 5]})
    for asked, expected in ((["a", "nope"], ["a"]), (["c", None], ["c", None]), ([], [])):
        keys = group_keys(pa.array(asked, pa.string()))
        found = run(Grouped("g", INNER, only=keys), [batch])
        assert sorted(map(repr, (g.value for g in found.groups))) == sorted(map(repr, expected))
        assert found.left_out_rows == 5 - sum(g.rows for g in found.groups)


def test_null_is_always_kept_and_the_latest_windows():
    days = pa.array([0, 5, None, 9, 3], pa.date32())
    batch = pa.record_batch({"t": days, "x": [1.0, 2, 3, 4, 5]})
    found = run(Grouped("t", INNER, cap=2, window="1d"), [batch])
    starts = [g.value and g.value.start.day for g in found.groups]
    assert starts == [6, 10, None]
    assert (found.left_out_groups, found.left_out_rows) == (2, 2)


def test_nothing_and_nothing_but_nulls():
    empty = run(Grouped("g", INNER), [pa.record_batch({"g": pa.array([], pa.string()), "x": []})])
    assert empty.groups == ()
    nothing = pa.record_batch({"g": pa.nulls(3), "x": [1.0, 2.0, None]})
    (group,) = run(Grouped("g", INNER), [nothing]).groups
    assert isinstance(group, Group)
    assert (group.value, group.rows, group.results[1].mean) == (None, 3, 1.5)


def test_long_values_are_cut_but_told_apart():
    batch = pa.record_batch({"g": ["x" * 1000 + "a", "x" * 1000 + "b"], "x": [1.0, 2.0]})
    found = run(Grouped("g", INNER), [batch])
    assert [g.value for g in found.groups] == ["x" * groups.LIMIT + "…"] * 2


def test_columns_that_cannot_be_grouped_by():
    lists = pa.record_batch({"g": [[1]], "x": [1.0]})
    with pytest.raises(SchemaError, match="'g'"):
        run(Grouped("g", INNER), [lists])
    with pytest.raises(SchemaError, match="windows of time"):
        run(Grouped("x", INNER, window="1d"), [lists])
    times = pa.record_batch({"g": pa.array([1], pa.date32()), "x": [1.0]})
    with pytest.raises(UsageError, match="fortnight"):
        run(Grouped("g", INNER, window="fortnight"), [times])


def test_the_fingerprint_names_what_is_inside():
    one, other = (Grouped("g", Product((kind("x"),))) for kind in (Count, Moments))
    assert len({fingerprint(one), fingerprint(other), fingerprint(Grouped("h", one.fold))}) == 3
    assert fingerprint(one) == fingerprint(Grouped("g", Product((Count("x"),))))


def test_every_type_can_be_inside():
    columns = {f"c{i}": unique_array(dtype, 40) for i, dtype in enumerate(TYPES)}
    batch = pa.record_batch({"g": ["a", "b"] * 20, **columns})
    found = run(Grouped("g", Product(tuple(map(Count, columns)))), [batch[:7], batch[7:]])
    assert [len(g.results) for g in found.groups] == [len(TYPES)] * 2
    assert {counts.count for g in found.groups for counts in g.results} == {20}
