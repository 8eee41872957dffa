"""What becomes of exact duplicates: decisions, commits, and nothing where nothing was asked."""

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import objects, parquet, sql
from exact_rows import by_duckdb, cut, decisions, sample, survivors

from dsm_dask import storage
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import diff
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.duplicates.rule import Rule
from dsm_dask.errors import UnknownColumn, UsageError
from dsm_dask.sources.parquet import open_parquet

BOTH = pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])


@BOTH
def test_again_finds_nothing(tmp_path, engine, copy):
    table = sample(300)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", table, 3), engine=engine, copy=copy)
    first = dedup_exact(open_dataset(ds), "s", engine=engine, drop=True)
    assert first.duplicates > 200
    again = dedup_exact(open_dataset(ds), "s", engine=engine, drop=True)
    assert (again.duplicates, again.clusters, again.committed) == (0, 0, False)
    assert open_dataset(ds).version == 2
    # the same job on the version it ran on finds its own commit
    repeated = dedup_exact(open_dataset(f"{ds}@1"), "s", engine=engine, drop=True)
    assert (repeated.version, repeated.committed) == (2, False)
    assert (repeated.duplicates, repeated.clusters) == (first.duplicates, first.clusters)
    assert open_dataset(ds).version == 2
    found = diff(f"{ds}@1", ds)
    assert (found.added, found.removed) == (0, first.duplicates)


def test_the_same_job_with_decisions_finds_its_own_commit(tmp_path, engine):
    ds, out = str(tmp_path / "ds"), str(tmp_path / "out")
    create(ds, parquet(tmp_path / "1.parquet", {"s": list("abca")}), engine=engine)
    first = dedup_exact(open_dataset(ds), "s", engine=engine, drop=True, out=out)
    there = objects(out)
    again = dedup_exact(open_dataset(f"{ds}@1"), "s", engine=engine, drop=True, out=out)
    assert (again.version, again.committed, again.out) == (2, False, out)
    assert (again.duplicates, again.clusters) == (first.duplicates, first.clusters) == (1, 1)
    assert objects(out) == there
    with pytest.raises(UsageError, match="not empty"):  # another job
        dedup_exact(open_dataset(ds), "s", rule=Rule("longest"), engine=engine, drop=True, out=out)
    assert objects(out) == there


def test_after_other_drops_the_next_of_a_cluster_survives(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"s": list("abcabc"), "k": range(6)}), engine=engine)
    drop(ds, "k in (0, 4)", engine=engine)
    found = dedup_exact(open_dataset(ds), "s", engine=engine, drop=True)
    assert (found.rows, found.duplicates) == (4, 1)
    assert survivors(open_dataset(ds)) == [1, 2, 3]


@pytest.mark.parametrize("plain", [False, True], ids=["dataset", "files"])
def test_decisions(tmp_path, engine, plain):
    table = sample(800, seed=5)
    raw, out = cut(tmp_path / "raw", table, 5), tmp_path / "out"
    data = open_parquet(raw)
    if not plain:
        create(str(tmp_path / "ds"), raw, engine=engine)
        data = open_dataset(str(tmp_path / "ds"))
    found = dedup_exact(data, ["key"], engine=engine, out=str(out))
    listed = decisions(out)
    numbered = table.append_column("rid", pa.array(np.arange(800)))
    query = "select rid, min(rid) over (partition by key) m from t qualify rid <> m"
    assert listed == dict(sql(query, t=numbered))
    assert found.duplicates == len(listed)
    assert found.clusters == len(set(listed.values()))
    assert not [uri for uri in objects(tmp_path) if "_dsm-" in uri]  # no scratch left
    if not plain:
        assert open_dataset(str(tmp_path / "ds")).version == 1


def test_decisions_of_two_runs_do_not_mix(tmp_path, engine):
    data = open_parquet(cut(tmp_path / "raw", sample(300, seed=5), 2))
    dedup_exact(data, ["n"], engine=engine, out=str(tmp_path / "out"))
    before = objects(tmp_path)
    with pytest.raises(UsageError, match="not empty"):
        dedup_exact(data, ["key"], engine=engine, out=str(tmp_path / "out"))
    assert objects(tmp_path) == before


def test_dry_run_writes_no_version_and_no_decisions(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", sample(300), 2), engine=engine)
    found = dedup_exact(
        open_dataset(ds), "s", engine=engine, drop=True, out=str(tmp_path / "out"), dry_run=True
    )
    assert found.duplicates > 200
    assert not found.committed
    assert open_dataset(ds).version == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_decisions_of_more_than_a_megabyte(tmp_path, engine):
    """They are cut into parts like any other large file."""
    random = np.random.default_rng(1)
    table = pa.table({"x": random.integers(0, 300_000, 1_600_000)})
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", table, 4, group=1 << 20), engine=engine)
    found = dedup_exact(open_dataset(ds), "x", engine=engine, drop=True)
    assert max(size for uri, (size, _) in objects(ds).items() if "/decisions/" in uri) > 1 << 20
    assert survivors(open_dataset(ds)) == by_duckdb(table, ["x"])
    assert found.kept == open_dataset(ds).rows


@pytest.mark.s3
@pytest.mark.cluster
def test_on_s3_with_workers(bucket, cluster):
    check_on_s3(bucket, cluster)


def check_on_s3(bucket: str, cluster) -> None:
    table = sample(2000, seed=9)
    ds = f"s3://{bucket}/ds"
    create(ds, cut(f"s3://{bucket}/raw", table, 6), engine=cluster)
    found = dedup_exact(open_dataset(ds), ["key"], engine=cluster, drop=True)
    assert survivors(open_dataset(ds)) == by_duckdb(table, ["key"])
    out = f"s3://{bucket}/out"
    listed = dedup_exact(open_parquet(f"s3://{bucket}/raw"), ["key"], engine=cluster, out=out)
    assert listed.duplicates == found.duplicates
    assert not [uri for uri in objects(f"s3://{bucket}") if "_dsm-" in uri]


def test_what_a_commit_refers_to_outlasts_a_power_failure(tmp_path, engine, monkeypatch):
    durable = {}
    write = storage.write

    def spy(uri, data, **how):
        durable[uri] = how.get("durable", True)
        write(uri, data, **how)

    monkeypatch.setattr(storage, "write", spy)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", sample(200), 2), engine=engine)
    dedup_exact(open_dataset(ds), "key", engine=engine, drop=True)
    decided = [durable[uri] for uri in durable if "/decisions/" in uri]
    assert decided
    assert all(decided)


def test_what_cannot_be(tmp_path, engine):
    ds = str(tmp_path / "ds")
    raw = cut(tmp_path / "raw", sample(20), 1)
    create(ds, raw, engine=engine)
    with pytest.raises(UnknownColumn, match="'key'"):
        dedup_exact(open_dataset(ds), "kez", engine=engine)
    with pytest.raises(UsageError, match="column"):
        dedup_exact(open_dataset(ds), [], engine=engine)
    with pytest.raises(UsageError, match="plain files"):
        dedup_exact(open_parquet(raw), "key", engine=engine, drop=True)
    assert open_dataset(ds).version == 1


def test_no_rows(tmp_path, engine):
    raw = parquet(tmp_path / "empty.parquet", {"x": pa.array([], pa.int64())})
    found = dedup_exact(open_parquet(raw), "x", engine=engine, out=str(tmp_path / "out"))
    assert (found.rows, found.clusters, found.duplicates) == (0, 0, 0)
