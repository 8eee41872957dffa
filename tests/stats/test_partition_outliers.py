"""Partitions unlike the others."""

import datetime as dt
import itertools

import numpy as np
import pyarrow as pa
import pytest

from dsm_dask import codec
from dsm_dask.fold import merge_all, update_all
from dsm_dask.stats.partition_outliers import (
    FEWEST,
    SHOWN,
    WHOLE,
    Outliers,
    PartitionOutliers,
    combined,
)
from dsm_dask.stats.profile import folds_for

RNG = np.random.default_rng(9)


def typical(rows=400):
    """The columns of an ordinary partition."""
    return {
        "x": RNG.normal(10, 2, rows),
        "gaps": pa.array(RNG.normal(0, 1, rows), mask=RNG.random(rows) < 0.1),
        "text": [f"user-{n}" for n in RNG.integers(0, 50, rows)],
        "constant": np.full(rows, 0.1),
        "none": pa.nulls(rows, pa.float64()),
    }


def seen(partitions, order=None):
    """The fold, and the states of partitions by label."""
    schema = pa.table(next(iter(partitions.values()))).schema
    fold = PartitionOutliers(tuple(f for field in schema for f in folds_for(field)))
    states = []
    for label, data in partitions.items():
        batch = pa.record_batch(data, schema=schema)
        states.append(fold.observe(label, [update_all(f, [batch]) for f in fold.folds]))
    return fold, states


def told(partitions):
    fold, states = seen(partitions)
    return fold.finish(merge_all(fold, states))


def named(found):
    return {(one.partition, one.column, one.statistic) for one in found.found}


def test_partitions_alike_have_no_outliers():
    found = told({f"p{i}": typical(int(RNG.integers(350, 450))) for i in range(40)})
    assert (found.partitions, found.compared, found.found) == (40, 40, ())


@pytest.mark.parametrize(
    ("change", "column", "statistics"),
    [
        (lambda d: {**d, "x": d["x"] + 40}, "x", {"mean", "median"}),
        (lambda d: {**d, "x": 10 + (d["x"] - 10) * 30}, "x", {"std"}),
        (lambda d: {**d, "x": np.full(400, 10.0)}, "x", {"std", "distinct_share"}),
        (lambda d: {**d, "gaps": pa.nulls(400, pa.float64())}, "gaps", {"null_share"}),
        (lambda d: {**d, "gaps": np.where(d["x"] > 10, np.nan, 1)}, "gaps", {"nan_share", "std"}),
        (lambda d: {**d, "text": ["x" * 90 + str(i) for i in range(400)]}, "text", {"length"}),
        (lambda d: {**d, "text": [f"user-{i:02}" for i in range(400)]}, "text", {"distinct_share"}),
        (lambda d: {**d, "constant": np.full(400, 0.2)}, "constant", {"mean", "median"}),
        (lambda _: typical(20_000), None, {"rows"}),
    ],
)
def test_one_that_is_unlike_the_rest(change, column, statistics):
    partitions = {f"p{i}": typical() for i in range(30)}
    partitions["p17"] = change(partitions["p17"])
    found = told(partitions)
    assert {one.partition for one in found.found} == {"p17"}
    (hit,) = [one for one in found.found if one.column == column]
    assert hit.statistic in statistics
    assert hit.score > 5
    assert hit.value != hit.typical


def test_partitions_by_day_are_alike_but_for_a_stray_one():
    start = dt.datetime(2024, 1, 1)

    def day(number):
        spread = RNG.integers(0, 86_400, 300)
        return {"t": [start + dt.timedelta(days=number, seconds=int(s)) for s in spread]}

    partitions = {f"day-{i}": day(i) for i in range(30)}
    assert told(partitions).found == ()
    found = told({**partitions, "stray": day(-2000)})
    assert named(found) == {("stray", "t", "median")}


def test_few_partitions_and_none():
    partitions = {f"p{i}": typical() for i in range(FEWEST - 1)}
    partitions["p0"]["x"] = partitions["p0"]["x"] + 1e6
    assert told(partitions) == Outliers(FEWEST - 1, FEWEST - 1)
    fold = PartitionOutliers(())
    assert fold.finish(fold.init()) == Outliers()


def test_empty_and_infinite_partitions():
    partitions = {f"p{i}": {"x": RNG.normal(0, 1, 100)} for i in range(20)}
    partitions["p3"] = {"x": np.array([])}
    partitions["p4"] = {"x": np.full(100, np.inf)}
    partitions["p5"] = {"x": np.full(100, 1.7e308)}
    partitions["p6"] = {"x": np.full(100, -1.7e308)}
    assert {"p3", "p5"} <= {one.partition for one in told(partitions).found}


def large(count=3 * WHOLE):
    """Many small partitions, of which two stand out."""
    partitions = {f"p{i}": {"x": RNG.normal(0, 1, 8)} for i in range(count)}
    partitions["p77"] = {"x": RNG.normal(500, 1, 8)}
    partitions["p2000"] = {"x": RNG.normal(-900, 1, 8)}
    return partitions


@pytest.fixture(scope="module")
def many():
    return seen(large())


def test_outliers_among_many_partitions(many):
    fold, states = many
    merged = merge_all(fold, states)
    found = fold.finish(merged)
    assert found.partitions == len(states)
    assert found.compared < WHOLE
    assert {("p77", "x", "mean"), ("p2000", "x", "mean")} <= {
        (one.partition, one.column, "mean") for one in found.found[:2]
    }
    assert len(codec.encode(merged)) < 100_000


def test_order_and_shape_of_merging_make_no_difference(many):
    fold, states = many
    expected = codec.encode(merge_all(fold, states))
    for order in (states[::-1], [states[i] for i in RNG.permutation(len(states))]):
        assert codec.encode(merge_all(fold, order)) == expected
    *_, leaning = itertools.accumulate(states, fold.merge)
    assert codec.encode(leaning) == expected
    state = codec.decode(expected)
    for both in (fold.merge(fold.init(), state), fold.merge(state, fold.init())):
        assert codec.encode(both) == expected
    assert fold.finish(state) == fold.finish(merge_all(fold, states))


def test_scans_of_other_columns_are_put_together():
    partitions = {f"p{i:03}": typical(60) for i in range(200)}
    for i in range(60):
        partitions[f"p{i:03}"]["x"] = partitions[f"p{i:03}"]["x"] + 1000
    parts = [
        told({label: {name: data[name]} for label, data in partitions.items()})
        for name in ("x", "text")
    ]
    found = combined(parts)
    assert len(found.found) == SHOWN
    assert found.more == 10
    assert found.partitions == 200
    assert combined([]) == Outliers()
