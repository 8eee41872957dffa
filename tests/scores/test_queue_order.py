"""The order of a review queue: laws of its Fold, ranks, turns, whatever the cut."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_trials import table_of, write

from dsm_dask.engine import Engine
from dsm_dask.fold import run
from dsm_dask.scores.review.measures import Measure
from dsm_dask.scores.review.review_queue import issues
from dsm_dask.scores.review.tails import Distribution, distributions
from dsm_dask.scores.review.top_rows import TopRows
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import ROW_ID
from dsm_dask.testing.folds import check_bounded, check_laws

QUALITY = Measure("label_quality", "label_quality", False)
OUTLIER = Measure("outlier", "outlier_score", True)


@pytest.fixture
def engine():
    with Engine(workers=0) as made:
        yield made


@pytest.fixture
def data(tmp_path):
    return open_parquet(write(tmp_path / "raw", table_of(600), 3))


@st.composite
def cuts(draw):
    """Batches with row ids of their own, many ties, nulls, groups."""
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
    number = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0, float("nan")]))
    batches, start = [], 0
    for size in sizes:
        columns = [draw(st.lists(number, min_size=size, max_size=size)) for _ in range(2)]
        groups = draw(st.lists(st.sampled_from(["a", "b", None]), min_size=size, max_size=size))
        ids = pa.array(range(start, start + size), pa.uint64())
        batches.append(
            pa.record_batch(
                {
                    "label_quality": pa.array(columns[0], pa.float32()),
                    "outlier_score": pa.array(columns[1], pa.float32()),
                    "group": pa.array(groups, pa.string()),
                    ROW_ID: ids,
                }
            )
        )
        start += size
    return batches


FOLDS = st.sampled_from(
    [
        TopRows((QUALITY,), 5),
        TopRows((QUALITY,), 7, "group"),
        TopRows((OUTLIER,), 4, "group", "outlier_score > 0.2"),
        TopRows(
            (QUALITY, OUTLIER),
            6,
            "group",
            distributions=(
                Distribution(np.array([0.0, 0.5]), np.array([0.0, 3]), np.array([3.0, 9]), 9),
                Distribution(np.array([0.2, 1.0]), np.array([0.0, 5]), np.array([5.0, 8]), 8),
            ),
        ),
    ]
)


@given(FOLDS, cuts())
def test_laws(fold, cut):
    check_laws(fold, cut)


def test_the_state_is_bounded():
    check_bounded(
        TopRows((QUALITY,), 500, "group"),
        {"label_quality": pa.float32(), "group": pa.int64(), ROW_ID: pa.uint64()},
        limit=500 * 24 + 1000,
    )


def by_turns(ranked, groups, top):
    """Round robin, written plainly: ``ranked`` maps rows to what they are ranked by."""
    queues = {}
    for row in sorted(ranked, key=lambda row: (-ranked[row], row)):
        queues.setdefault(groups[row], []).append(row)
    order = []
    while any(queues.values()):
        turn = [queue.pop(0) for queue in queues.values() if queue]
        order += sorted(turn, key=lambda row: (-ranked[row], row))
    return order[:top]


@given(cuts(), st.integers(1, 12))
def test_turns_are_those_of_round_robin(cut, top):
    rows = pa.Table.from_batches(cut).to_pylist()
    ranked = {
        row[ROW_ID]: -row["label_quality"]
        for row in rows
        if row["label_quality"] is not None and row["label_quality"] == row["label_quality"]
    }
    groups = {row[ROW_ID]: row["group"] for row in rows}
    found = run(TopRows((QUALITY,), top, "group"), cut)
    assert found.rows.tolist() == by_turns(ranked, groups, top)
    assert found.seen == len(ranked)


@pytest.mark.parametrize("rows", [50, 4000, 60_000])
@pytest.mark.parametrize("kind", ["continuous", "tied", "skewed"])
def test_tails_are_the_shares_of_rows(tmp_path, engine, rows, kind):
    """Exact to 4,096 values; else to what is known of ranks, and still in order at the ends."""
    random = np.random.default_rng(rows)
    values = {
        "continuous": lambda: random.random(rows),
        "tied": lambda: random.integers(0, 11, rows) / 10,
        "skewed": lambda: np.where(random.random(rows) < 0.6, 1.0, random.random(rows) ** 8),
    }[kind]().astype(np.float32)
    folder = write(tmp_path / "raw", pa.table({"outlier_score": values}), 3)
    found = distributions(open_parquet(folder), (OUTLIER,), engine)["outlier_score"]
    numbers = values.astype(np.float64)
    ordered = np.sort(numbers)
    for more in (True, False):
        told = found.tail(numbers, more)
        less, upto = (np.searchsorted(ordered, numbers, side) for side in ("left", "right"))
        truth = (rows - less if more else upto) / rows
        assert np.abs(told - truth).max() <= (1e-12 if rows <= 4096 else 0.002)
        order = np.argsort(numbers, kind="stable")
        assert (np.diff(told[order]) * (-1 if more else 1) >= -1e-12).all()
        ends = order[-20:] if more else order[:20]
        assert len(np.unique(told[ends])) == len(np.unique(numbers[ends]))
    assert np.isnan(found.tail(np.array([np.nan]), True)).all()


def test_by_one_measure_is_its_order(data, engine):
    quality = data_column(data, "label_quality")
    found = issues(data, engine=engine, top=40, by="label_quality", label="y")
    known = np.flatnonzero(~np.isnan(quality))
    expected = known[np.argsort(quality[known], kind="stable")][:40]
    assert [one.row for one in found.queued] == expected.tolist()
    assert found.ranked == len(known)
    ids = [one.key for one in found.queued]
    assert ids == [f"r{row}" for row in expected]


def data_column(data, name):
    found = pa.concat_tables(
        [pa.Table.from_batches([b]) for p in data.partitions() for b in p.read([name])]
    )
    return found.column(0).to_numpy()


def tails(values, more):
    known = values[~np.isnan(values)]
    share = [np.mean(known >= one) if more else np.mean(known <= one) for one in values]
    return np.where(np.isnan(values), np.nan, share)


@pytest.mark.parametrize(("by", "measures"), [(None, 2), ("combined", 3)])
def test_several_measures_are_combined_by_the_harmonic_mean(data, engine, by, measures):
    """By default those of labels."""
    columns = [("label_quality", False), ("neighbour_agreement", False), ("outlier_score", True)]
    shares = [tails(data_column(data, name).astype(float), more) for name, more in columns]
    ranked = np.mean([np.where(np.isnan(one), 1, 1 / one) for one in shares[:measures]], axis=0)
    found = issues(data, engine=engine, top=600, by=by, label="y")
    assert found.by == (by or "labels")
    told = np.array([one.ranked for one in found.queued])
    np.testing.assert_allclose(told, ranked[[one.row for one in found.queued]])
    assert (np.diff(told) <= 0).all()


def test_where_and_balance(data, engine):
    quality = data_column(data, "label_quality")
    labels = data_column(data, "y")
    found = issues(
        data, engine=engine, top=50, by="label_quality", label="y", balance="class",
        where="outlier_score > 0.5 AND y <> 'emu'",
    )  # fmt: skip
    outlier = data_column(data, "outlier_score")
    chosen = {
        row: -quality[row]
        for row in range(600)
        if outlier[row] > 0.5 and labels[row] in ("cat", "dog") and quality[row] == quality[row]
    }
    assert [one.row for one in found.queued] == by_turns(chosen, labels, 50)
    assert found.balance == "y"
    classes = [one.label for one in found.queued]
    assert classes[:10].count("dog") == 5


def test_the_order_does_not_depend_on_the_cut(tmp_path, engine, data, monkeypatch):
    options = {"engine": engine, "top": 200, "by": "combined", "label": "y", "balance": "y"}
    one = issues(data, **options)
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))
    table = open_parquet(write(tmp_path / "other", table_of(600), 5))
    assert len(table.partitions()) > 5
    many = issues(table, **options)
    assert [x.to_dict() for x in one.queued] == [x.to_dict() for x in many.queued]


def test_only_the_rows_at_the_top_are_fetched(tmp_path, engine):
    """Their values reach the client; nothing of others does."""
    table = table_of(600).append_column("payload", pa.array(["p" * 10_000] * 600))
    data = open_parquet(write(tmp_path / "raw", table))
    before = engine.client_bytes
    found = issues(data, engine=engine, top=5, label="y", show=["payload"])
    assert len(found.queued[0].shown["payload"].text) == 10_000
    assert engine.client_bytes - before < 5 * 10_000 + 100_000
