"""Drift over windows of time."""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import stats as truth

from dsm_dask.dataset.version import open_data
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UnknownColumn, UsageError
from dsm_dask.monitoring.series import drift_over
from dsm_dask.stats import group_profiles
from dsm_dask.stats.sketches import sketch

DAYS, ROWS, CHANGE = 30, 300, 18
START = int(dt.datetime(2024, 2, 10, tzinfo=dt.UTC).timestamp())


def made(days=DAYS, rows=ROWS, change=CHANGE, seed=0):
    """``x`` moves up and ``s`` gets another mix on one day; ``calm`` and ``n`` do not change."""
    rng = np.random.default_rng(seed)
    size = days * rows
    day = np.arange(size) // rows
    late = day >= change
    mix = np.where(late, rng.choice(3, size, p=[0.2, 0.2, 0.6]), rng.choice(3, size))
    return pa.table(
        {
            "t": pa.array(START + day * 86_400 + rng.integers(0, 86_400, size), pa.timestamp("s")),
            "x": rng.normal(size=size) + 1.5 * late,
            "calm": rng.normal(size=size),
            "n": pa.array(rng.integers(0, 5, size), mask=rng.random(size) < 0.1),
            "s": pa.array(["a", "b", "c"]).take(pa.array(mix)),
        }
    )


def opened(data, folder, engine, size=2000):
    for i, start in enumerate(range(0, max(1, data.num_rows), size)):
        pq.write_table(data[start : start + size], folder / f"{i:03}.parquet")
    return open_data(str(folder), engine.map)


@pytest.fixture(scope="module")
def engine():
    with Engine(workers=0) as used:
        yield used


@pytest.fixture(scope="module")
def table(engine, tmp_path_factory):
    return opened(made(), tmp_path_factory.mktemp("series"), engine)


@pytest.mark.parametrize("limit", [128 << 20, 1], ids=["at once", "column by column"])
def test_planted_drift_is_found_and_nothing_else(table, engine, monkeypatch, limit):
    monkeypatch.setattr(group_profiles, "STATE_BYTES", limit)
    found = drift_over(table, "t", "1d", engine=engine)
    assert found.drifted
    assert [w.rows for w in found.windows] == [ROWS] * DAYS
    assert found.windows[CHANGE].window.start == dt.datetime(2024, 2, 28, tzinfo=dt.UTC)
    assert found.columns["x"].row.cells[0] is None  # the reference itself
    for name in ("x", "s"):
        flags = [bool(cell and cell.verdict.drift) for cell in found.columns[name].row.cells]
        assert sum(flags[:CHANGE]) <= 1
        assert all(flags[CHANGE:])
        (point,) = found.columns[name].change_points
        assert abs(point.index - CHANGE) <= 1
        assert point.rises
    for name in ("calm", "n"):
        assert not found.columns[name].drifted
        assert found.columns[name].change_points == ()


@pytest.mark.parametrize("reference", ["first", "previous"])
def test_nothing_is_found_where_nothing_changes(engine, tmp_path, reference):
    drifted, changes = 0, 0
    for seed in range(20):
        (tmp_path / str(seed)).mkdir()
        data = made(days=12, rows=200, change=12, seed=seed)
        calm = opened(data, tmp_path / str(seed), engine)
        found = drift_over(calm, "t", "1d", reference=reference, engine=engine)
        drifted += found.drifted
        changes += sum(len(column.change_points) for column in found.columns.values())
    assert drifted <= 3  # p-values are adjusted to 5 %
    assert changes <= 4  # of 80 series


def test_distances_are_those_of_scipy(table, engine):
    data, found = made(), drift_over(table, "t", "1d", columns=["x"], method="ks", engine=engine)
    days = pc.divide(pc.subtract(data["t"].cast(pa.int64()), START), 86_400).to_numpy()
    x = data["x"].to_numpy()
    assert found.columns["x"].row.method == "ks"
    for i, cell in enumerate(found.columns["x"].row.cells):
        if i:
            expected = truth.ks_2samp(x[days == 0], x[days == i])
            assert cell.distance.value == pytest.approx(expected.statistic, abs=1e-9)


def test_against_the_window_before(table, engine):
    found = drift_over(table, "t", "1d", reference="previous", engine=engine)
    cells = found.columns["x"].row.cells
    assert [i for i, cell in enumerate(cells) if cell and cell.verdict.drift] == [CHANGE]
    assert [point.index for point in found.columns["x"].change_points] in ([CHANGE], [])
    assert not found.columns["calm"].drifted


def test_against_the_sketches_of_another_table(table, engine, tmp_path):
    other = sketch(opened(made(seed=1, change=0), tmp_path, engine), ["x", "calm"], engine=engine)
    found = drift_over(table, "t", "1d", reference=other, engine=engine)
    flags = [bool(cell and cell.verdict.drift) for cell in found.columns["x"].row.cells]
    assert flags == [i < CHANGE for i in range(DAYS)]
    (point,) = found.columns["x"].change_points
    assert (point.index, point.rises) == (CHANGE, False)
    assert set(found.columns["s"].row.cells) == {None}  # the other has no such column
    assert found.reference == other.uri


def test_json(table, engine):
    shown = json.loads(json.dumps(drift_over(table, "t", "1w", engine=engine).to_dict(),
                                  allow_nan=False))  # fmt: skip
    assert (shown["over"], shown["window"], shown["reference"]) == ("t", "1w", "first")
    assert shown["drifted"] is True
    assert shown["windows"][0] == {
        "start": "2024-02-05T00:00:00+00:00", "end": "2024-02-12T00:00:00+00:00",
        "rows": 2 * ROWS, "too_few": False,
    }  # fmt: skip
    column = shown["columns"]["x"]
    lists = ("distance", "error", "drift", "certain", "p_value", "adjusted_p_value")
    assert {len(column[key]) for key in lists} == {len(shown["windows"])}
    assert column["distance"][0] is None
    assert set(column) >= {"method", "threshold", "change_points"}
    assert shown["left_out"] == {"windows": 0, "exact": True, "rows": 0, "null_rows": 0}


@pytest.mark.cluster
def test_workers_make_no_difference(table, engine, cluster):
    alone = drift_over(table, "t", "1d", engine=engine).to_dict()
    together = drift_over(table, "t", "1d", engine=cluster).to_dict()
    assert {**together, "io": 0} == {**alone, "io": 0}


def test_small_windows_are_marked_not_judged(engine, tmp_path):
    data = made(days=6, change=2)
    late = pa.table({**{n: data[n][:5] for n in data.schema.names}})
    moved = pc.add(late["t"].cast(pa.int64()), 40 * 86_400).cast(pa.timestamp("s"))
    lost = data[:7].set_column(0, "t", pa.nulls(7, pa.timestamp("s")))
    whole = pa.concat_tables([data, late.set_column(0, "t", moved), lost])
    found = drift_over(opened(whole, tmp_path, engine), "t", "1d", engine=engine)
    assert [w.too_few for w in found.windows] == [False] * 6 + [True]
    assert found.windows[-1].rows == 5
    assert found.columns["x"].row.cells[-1] is None
    assert found.null_rows == 7
    assert found.rows == whole.num_rows


def test_far_too_many_windows(table, engine):
    found = drift_over(table, "t", "1s", columns=["x"], cap=50, engine=engine)
    starts = [w.window.start for w in found.windows]
    assert len(starts) == 50
    assert starts == sorted(starts)
    assert not found.drifted
    assert found.left_out_rows == found.rows - sum(w.rows for w in found.windows)
    assert found.left_out_windows > 5000


def test_one_window_no_rows_no_columns(table, engine, tmp_path):
    one = drift_over(table, "t", "100y", engine=engine)
    assert len(one.windows) == 1
    assert not one.drifted
    none = drift_over(table, "t", "1d", columns=[], engine=engine)
    assert (len(none.windows), none.columns, none.drifted) == (DAYS, {}, False)
    empty = drift_over(opened(made()[:0], tmp_path, engine), "t", "1d", engine=engine)
    assert (empty.rows, empty.windows, empty.drifted) == (0, (), False)
    json.dumps(empty.to_dict(), allow_nan=False)


def test_only_the_columns_asked_for_are_read(table, engine):
    one = drift_over(table, "t", "1d", columns=["n"], engine=engine)
    every = drift_over(table, "t", "1d", engine=engine)
    assert one.io.bytes_read < every.io.bytes_read


def test_all_null_and_constant_columns(engine, tmp_path):
    data = made(days=5)
    size = data.num_rows
    odd = pa.table({"t": data["t"], "null": pa.nulls(size, pa.float64()), "one": [1] * size,
                    "late": pa.array([1.0] * size, mask=np.arange(size) < size // 2)})  # fmt: skip
    found = drift_over(opened(odd, tmp_path, engine), "t", "1d", engine=engine)
    assert not found.columns["null"].drifted
    assert not found.columns["one"].drifted
    flags = [bool(cell and cell.verdict.drift) for cell in found.columns["late"].row.cells]
    assert flags == [False, False, True, True, True]
    json.dumps(found.to_dict(), allow_nan=False)


def test_what_cannot_be_asked_for(table, engine):
    for arguments, error in (
        (("x", "1d"), SchemaError),
        (("nope", "1d"), UnknownColumn),
        (("t", "soon"), UsageError),
    ):
        with pytest.raises(error):
            drift_over(table, *arguments, engine=engine)
    for options in ({"reference": "last"}, {"cap": 0}, {"method": "magic"}, {"threshold": 1.0}):
        with pytest.raises(UsageError):
            drift_over(table, "t", "1d", engine=engine, **options)
