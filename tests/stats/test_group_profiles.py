"""``profile --by``: every group's profile is that of its rows."""

import datetime as dt
import json

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dsm_dask.dataset.version import open_data
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UnknownColumn, UsageError
from dsm_dask.stats import group_profiles
from dsm_dask.stats.group_profiles import profile_by
from dsm_dask.stats.profile import profile

ROWS = 3000


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    return pa.table(
        {
            "lang": pa.array(rng.choice(["en", "de", "fr"], ROWS, p=[0.6, 0.3, 0.1]),
                             mask=rng.random(ROWS) < 0.05),
            "user": rng.zipf(1.5, ROWS) % 500,
            "at": pa.array(rng.integers(0, 90 * 86_400, ROWS), pa.timestamp("s", "UTC")),
            "x": pa.array(rng.normal(size=ROWS), mask=rng.random(ROWS) < 0.1),
            "text": rng.choice(["a", "b", "c"], ROWS),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    place = tmp_path_factory.mktemp("rows")
    for i in range(3):
        pq.write_table(data[i * 1000 : (i + 1) * 1000], place / f"{i}.parquet", row_group_size=400)
    return place


@pytest.fixture(scope="module")
def engine():
    with Engine(workers=0) as made:
        yield made


@pytest.fixture
def table(folder, engine):
    return open_data(str(folder), engine.map)


def rows_of(data, tmp_path, engine):
    pq.write_table(data, tmp_path / "rows.parquet")
    return open_data(str(tmp_path / "rows.parquet"), engine.map)


@pytest.mark.parametrize("limit", [128 << 20, 1])
def test_groups_are_profiles_of_filtered_data(table, data, tmp_path, engine, monkeypatch, limit):
    monkeypatch.setattr(group_profiles, "STATE_BYTES", limit)
    found = profile_by(table, "lang", engine=engine)
    assert [value for value, _ in found.groups][:2] == ["en", "de"]
    assert {value for value, _ in found.groups} == {"en", "de", "fr", None}
    assert found.rows == ROWS
    for value, one in found.groups:
        mask = pc.is_null(data["lang"]) if value is None else pc.equal(data["lang"], value)
        alone = profile(rows_of(data.filter(mask), tmp_path, engine),
                        ["user", "at", "x", "text"], engine=engine)  # fmt: skip
        assert one.to_dict()["columns"] == alone.to_dict()["columns"]
        assert one.rows == alone.rows


def test_means_by_month_are_those_of_duckdb(table, data, engine):
    found = profile_by(table, "at", ["x"], window="1mo", engine=engine)
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.register("rows", data)
    month = "date_trunc('month', rows.at)::timestamp"
    query = f"select {month}, count(*), avg(x) from rows group by 1 order by 1"
    truth = connection.execute(query).fetchall()
    assert [(v.start, p.rows) for v, p in found.groups] == [
        (start.replace(tzinfo=dt.UTC), count) for start, count, _ in truth
    ]
    for (_, one), (_, _, mean) in zip(found.groups, truth, strict=True):
        assert one.columns["x"].moments.mean == pytest.approx(mean, rel=1e-12)
    shown = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert shown["window"] == "1mo"
    assert shown["groups"][1]["start"] == "1970-02-01T00:00:00+00:00"
    assert shown["groups"][1]["end"] == shown["groups"][2]["start"]
    assert set(shown) >= {"rows", "by", "window", "groups", "left_out", "io"}


@pytest.mark.cluster
def test_workers_make_no_difference(table, engine, cluster):
    alone = profile_by(table, "user", cap=20, engine=engine).to_dict()
    together = profile_by(table, "user", cap=20, engine=cluster).to_dict()
    assert together["groups"] == alone["groups"]
    assert alone["left_out"]["rows"] == ROWS - sum(g["rows"] for g in alone["groups"])


def test_of_a_dataset_the_largest_groups(folder, data, tmp_path, engine):
    create(str(tmp_path / "set"), str(folder), engine=engine)
    dataset = open_data(str(tmp_path / "set"), engine.map)
    found = profile_by(dataset, "user", ["x"], cap=5, engine=engine)
    counts = sorted((c["counts"] for c in data["user"].value_counts().to_pylist()), reverse=True)
    assert [one.rows for _, one in found.groups] == counts[:5]
    assert found.left_out_rows == ROWS - sum(counts[:5])
    assert found.left_out_groups == len(counts) - 5


def test_groups_by_name(table, engine):
    found = profile_by(table, "user", ["x"], only=["1", "2", "77777"], engine=engine)
    assert {value for value, _ in found.groups} == {1, 2}
    assert [v for v, _ in profile_by(table, "lang", [], only=[None], engine=engine).groups] == [
        None
    ]
    days = profile_by(table, "at", [], only=["1970-01-02 00:00:00Z"], engine=engine)
    assert days.left_out_rows >= ROWS - 1


def test_only_what_is_needed_is_read(table, engine):
    narrow = profile_by(table, "lang", ["x"], engine=engine).io
    wide = profile_by(table, "lang", engine=engine).io
    assert narrow.bytes_read < wide.bytes_read


def test_what_cannot_be_asked_for(table, engine):
    with pytest.raises(UnknownColumn):
        profile_by(table, "nope", engine=engine)
    with pytest.raises(SchemaError, match="lang"):
        profile_by(table, "lang", window="1d", engine=engine)
    with pytest.raises(UsageError, match="fortnight"):
        profile_by(table, "at", window="fortnight", engine=engine)
    with pytest.raises(UsageError, match="groups cannot be kept"):
        profile_by(table, "lang", cap=0, engine=engine)
    with pytest.raises(UsageError, match="'user'"):
        profile_by(table, "user", only=["many"], engine=engine)
    with pytest.raises(UsageError, match="not by window"):
        profile_by(table, "at", window="1d", only=["x"], engine=engine)


def test_millions_of_windows_are_bounded(table, engine):
    found = profile_by(table, "at", ["x"], window="1s", cap=7, engine=engine)
    ends = [value.start for value, _ in found.groups]
    assert len(ends) == 7
    assert ends == sorted(ends)
    assert found.left_out_groups > 2900


def test_no_rows(data, tmp_path, engine):
    empty = rows_of(data[:0], tmp_path, engine)
    shown = profile_by(empty, "lang", engine=engine).to_dict()
    assert (shown["rows"], shown["groups"]) == (0, [])
    assert shown["left_out"] == {"groups": 0, "exact": True, "rows": 0}
