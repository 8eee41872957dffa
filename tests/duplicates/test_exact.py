"""Survivors are DuckDB's ``min(rowid) GROUP BY``, whatever the types, files and workers."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import parquet, sql
from exact_rows import by_duckdb, cut, decisions, sample, survivors
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.testing.arrow import TYPES, arrow_arrays

ON = [
    *[[name] for name in ("n", "u", "f", "s", "kind", "items", "deep", "t", "b", "key")],
    *[["n", "f"], ["f", "n"], ["s", "kind", "items"], ["key", "b"], ["n", "u", "f", "s", "b"]],
]


@pytest.mark.parametrize("on", ON, ids="-".join)
def test_as_duckdb_groups(tmp_path, engine, on):
    table = sample(500)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", table, 4, group=37), engine=engine)
    want = by_duckdb(table, on)
    found = dedup_exact(open_dataset(ds), on, engine=engine, drop=True)
    assert survivors(open_dataset(ds)) == want
    assert (found.rows, found.kept, found.duplicates) == (500, len(want), 500 - len(want))
    names = ", ".join(on)
    ((clusters,),) = sql(
        f"select count(*) from (select 1 from t group by {names} having count(*) > 1)", t=table
    )
    assert found.clusters == clusters
    assert (found.version, found.committed) == (2, True)
    sizes = sql(f"select count(*) c from t group by {names} having c > 1 order by c desc", t=table)
    assert [cluster.size for cluster in found.largest] == [row[0] for row in sizes[:10]]
    assert all(cluster.survivor in want for cluster in found.largest)


def test_all_null(tmp_path, engine):
    """Null equals null: one row stays."""
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", sample(100), 3), engine=engine)
    found = dedup_exact(open_dataset(ds), "none", engine=engine, drop=True)
    assert (found.clusters, found.duplicates, survivors(open_dataset(ds))) == (1, 99, [0])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_columns_of_every_type(tmp_path_factory, engine, data):
    """Against grouping in Python by values that compare as the types say."""
    left_out = {"month_day_nano_interval", "timestamp[s]"}
    left_out |= {"string_view", "binary_view"}  # see test_views
    kinds = [kind for kind in TYPES if str(kind) not in left_out]
    picked = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=2))
    size = data.draw(st.integers(1, 40))
    columns = [data.draw(arrow_arrays(kind, min_size=size, max_size=size)) for kind in picked]
    table = pa.table(columns, names=[f"c{i}" for i in range(len(columns))])
    try:
        table.to_pylist()
    except (OverflowError, ValueError):  # see test_times_beyond_pythons
        assume(False)
    folder = tmp_path_factory.mktemp("any")
    files = data.draw(st.integers(1, min(4, size)))
    raw = cut(folder / "raw", table, files, group=7)
    stored = pq.read_table(raw)
    found = dedup_exact(
        open_parquet(raw), table.column_names, engine=engine, out=str(folder / "out")
    )
    first: dict[str, int] = {}
    want = {}
    for row, key in enumerate(zip(*(map(_key, _plain(c)) for c in stored.columns), strict=True)):
        if first.setdefault(repr(key), row) != row:
            want[row] = first[repr(key)]
    assert found.duplicates == len(want)
    assert decisions(folder / "out") == want


def _plain(column: pa.ChunkedArray) -> list:
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
    return column.to_pylist()


def _key(value):
    """-0.0 as 0.0, NaN as itself."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return [(name, _key(item)) for name, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [_key(item) for item in value]
    return value


def test_ones_of_different_types_differ(tmp_path, engine):
    """1 and 1.0 differ by column type; integers of two widths do not."""
    narrow = parquet(tmp_path / "1.parquet", {"x": pa.array([1, 2], pa.int8())})
    wide = parquet(tmp_path / "2.parquet", {"x": pa.array([1, 3], pa.int64())})
    found = dedup_exact(open_parquet([narrow, wide]), "x", engine=engine)
    assert found.duplicates == 1
    pairs = pa.table({"n": [1, 1], "f": [1.0, 2.0], "s": ["1", "1"]})
    both = open_parquet(parquet(tmp_path / "3.parquet", pairs))
    assert dedup_exact(both, ["n", "f", "s"], engine=engine).duplicates == 0
    assert dedup_exact(both, ["n", "s"], engine=engine).duplicates == 1


@pytest.mark.cluster
def test_however_cut_and_whoever_works(tmp_path, engine, cluster, monkeypatch):
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))  # a row group each
    table = sample(4000, seed=7)
    want = by_duckdb(table, ["key", "b"])
    for files in (1, 2, 7, 64):
        raw = cut(tmp_path / f"raw{files}", table, files, group=4000)
        for name, used in (("0", engine), ("2", cluster)):
            ds = str(tmp_path / f"ds{files}-{name}")
            create(ds, raw, engine=used, copy=files == 7)
            assert len(open_dataset(ds).partitions()) == (1 if files == 7 else files)
            found = dedup_exact(open_dataset(ds), ["key", "b"], engine=used, drop=True)
            assert survivors(open_dataset(ds)) == want
            assert found.kept == len(want)


def test_many_partitions(tmp_path, engine, monkeypatch):
    """Partitions of a few rows each: the rows of a cluster lie far apart."""
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))
    table = sample(640, seed=3)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", table, 8, group=10), engine=engine)
    assert len(open_dataset(ds).partitions()) == 64
    dedup_exact(open_dataset(ds), ["n", "s"], engine=engine, drop=True)
    assert survivors(open_dataset(ds)) == by_duckdb(table, ["n", "s"])


def test_times_beyond_pythons(tmp_path, engine):
    """In databases, "for ever" is often the last time that there is."""
    never = pa.array([2**63 - 1, 0, 2**63 - 1], pa.int64()).view(pa.timestamp("us"))
    data = open_parquet(parquet(tmp_path / "1.parquet", {"until": never}))
    assert dedup_exact(data, "until", engine=engine).duplicates == 1


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view()], ids=str)
def test_views(tmp_path, engine, kind):
    ds = str(tmp_path / "ds")
    column = pa.array(["a", "b", "a", None]).cast(kind)
    create(ds, parquet(tmp_path / "1.parquet", {"x": column, "k": [0, 1, 2, 3]}), engine=engine)
    drop(ds, "k = 1", engine=engine)
    assert open_dataset(ds).to_table()["k"].to_pylist() == [0, 2, 3]
    dedup_exact(open_dataset(ds), "x", engine=engine, drop=True)
    assert survivors(open_dataset(ds)) == [0, 3]


def test_a_column_named_twice(tmp_path, engine):
    raw = cut(tmp_path / "raw", sample(200), 2)
    found = dedup_exact(open_parquet(raw), ["n", "s", "n"], engine=engine)
    assert found == dedup_exact(open_parquet(raw), ["n", "s"], engine=engine)
