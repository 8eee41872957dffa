"""gc finds what failed runs left beside a dataset, and what is kept of rows that no version has.
Whatever may still be needed stays."""

import dataclasses
import datetime as dt
import os
import time
from pathlib import Path

import numpy as np
import pytest
from dsm_trials import dsm, objects, parquet, rows

from dsm_dask import storage
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.gc import gc
from dsm_dask.dataset.leftovers import WEEK
from dsm_dask.dataset.naming import branch, tag
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates import conclude, keys
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.duplicates.near import dedup_near
from dsm_dask.errors import CommitConflict
from dsm_dask.jobs.record import Record, Run, runs
from dsm_dask.storage import temporary

NOW = dt.timedelta(0)


@pytest.fixture(autouse=True)
def machine(tmp_path_factory, monkeypatch) -> Path:
    """A temporary folder of its own: gc looks into it."""
    place = tmp_path_factory.mktemp("machine")
    monkeypatch.setattr("tempfile.tempdir", str(place))
    return place


def age(place, seconds: float = WEEK + 60) -> None:
    at = time.time() - seconds
    for uri in objects(str(place)):
        os.utime(uri, (at, at))


def texts(*numbers: int) -> dict:
    return {"t": [f"text number {n} " * 9 for n in numbers], "k": list(numbers)}


@pytest.fixture
def ds(tmp_path, engine) -> str:
    create(f"{tmp_path}/ds", parquet(tmp_path / "1.parquet", texts(*range(6), 0, 1)), engine=engine)
    return f"{tmp_path}/ds"


def lose_a_race(ds: str, engine, monkeypatch) -> set[str]:
    """Drop duplicates while somebody else drops a row; the objects that this leaves."""
    concludes = conclude.drop_listed

    def overtaken(*arguments):
        drop(ds, "k = 5", engine=engine)
        return concludes(*arguments)

    before = set(objects(ds))
    with monkeypatch.context() as patch:
        patch.setattr(conclude, "drop_listed", overtaken)
        with pytest.raises(CommitConflict):
            dedup_exact(open_dataset(ds), "t", engine=engine, drop=True)
    return {uri for uri in set(objects(ds)) - before if "/decisions/" in uri}


def test_decisions_of_a_lost_race(ds, engine, monkeypatch):
    lost = lose_a_race(ds, engine, monkeypatch)
    assert lost
    won = dedup_exact(open_dataset(ds), "t", engine=engine, drop=True)
    assert won.committed
    kept = {uri for uri in objects(ds) if "/decisions/" in uri} - lost
    assert kept
    assert gc(ds, older_than=NOW).unused == ()  # it might be about to commit
    age(ds)
    before = objects(ds)
    plan = gc(ds, older_than=dt.timedelta(days=1), dry_run=True)
    assert (set(plan.unused), objects(ds)) == (lost, before)
    done = gc(ds, older_than=dt.timedelta(days=1))
    assert done.unused == plan.unused
    gone = set(before) - set(objects(ds))  # Lance's own files of that run among them
    assert lost <= gone
    assert done.bytes == plan.bytes == sum(before[uri][0] for uri in gone)
    assert kept <= set(objects(ds))


def test_reasons_stay_when_the_version_is_forgotten(ds, engine):
    dedup_exact(open_dataset(ds), "t", engine=engine, drop=True)
    drop(ds, "k = 3", engine=engine)
    decided = {uri for uri in objects(ds) if "/decisions/" in uri}
    age(ds)
    assert gc(ds, older_than=NOW).versions == 2
    assert decided
    assert decided <= set(objects(ds))


def kept(ds: str) -> set[str]:
    return {uri for uri in objects(ds) if "/_dsm/keys/" in uri or "/_dsm/index/" in uri}


def test_keys_and_indexes_of_rows_that_no_version_has(ds, tmp_path, engine, monkeypatch):
    dedup_exact(open_dataset(ds), "t", engine=engine)
    dedup_near(open_dataset(ds), "t", engine=engine)
    first = kept(ds)
    append(ds, parquet(tmp_path / "2.parquet", texts(*range(10, 16))), engine=engine)
    dedup_exact(open_dataset(ds), "t", engine=engine)
    drop(ds, "k < 9", engine=engine)  # all rows of the first file
    tag(f"{ds}@2", "used")
    assert gc(ds, older_than=NOW).unused == ()
    open_dataset(ds).lance.tags.delete("used")
    plan = gc(ds, older_than=NOW, dry_run=True)
    assert set(plan.unused) == first
    assert gc(ds, older_than=dt.timedelta(days=1)).unused == ()  # too young
    assert set(gc(ds, older_than=NOW).unused) == first
    left = kept(ds)
    assert left
    assert not left & first
    monkeypatch.setattr(keys, "hash_lanes", None)  # whatever is hashed now fails
    assert dedup_exact(open_dataset(ds), "t", engine=engine).rows == 6


def test_what_a_branch_uses_stays(ds, tmp_path, engine):
    branch(ds, "side")
    dedup_exact(open_dataset(ds), "t", engine=engine)
    used = kept(ds)
    append(ds, parquet(tmp_path / "2.parquet", texts(20)), engine=engine)
    drop(ds, "k < 9", engine=engine)
    assert gc(ds, older_than=NOW).unused == ()
    assert kept(ds) == used
    assert len(rows(open_dataset(f"{ds}@side"))) == 8


def test_folders_of_killed_runs(ds, machine):
    dead = machine / f"dsm-run-{2**22 + 5}-{'0' * 32}"  # more than the highest process id
    alive = machine / f"dsm-run-{os.getpid()}-{'1' * 32}"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "file").write_bytes(b"x" * 100)
        age(folder, 2 * temporary.IDLE)
        os.utime(folder, (0, 0))
    plan = gc(ds, older_than=NOW, dry_run=True)
    assert plan.temporary == (str(dead),)
    assert dead.exists()
    assert gc(ds, older_than=dt.timedelta(days=3)).temporary == ()
    done = gc(ds, older_than=NOW)
    assert (done.temporary, done.bytes) == (plan.temporary, plan.bytes)
    assert not dead.exists()
    assert alive.exists()


def test_a_folder_that_somebody_else_removes_meanwhile(machine, monkeypatch):
    dead = machine / f"dsm-run-{2**22 + 5}-{'0' * 32}"
    dead.mkdir()
    os.utime(dead, (0, 0))
    assert temporary.left_behind(0) == [(str(dead), 0)]
    changed = temporary._changed
    monkeypatch.setattr(temporary, "_changed", lambda path: (os.rmdir(path), changed(path))[1])
    assert temporary.left_behind(0) == []


def test_records_of_jobs(ds):
    def at(days: float) -> str:
        return (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).isoformat()

    def record(name: str, state: str, days: float) -> str:
        run = Run(ds, name)
        ended = at(days) if state in ("done", "failed") else None
        Record(str(run), "clean", state, "client", at(days + 1), at(days), 5.0, ended=ended).save()
        return str(run)

    old = [record("a", "done", 20), record("b", "failed", 20), record("c", "running", 20)]
    record("d", "done", 1)
    waits, goes_on = record("e", "queued", 20), record("f", "running", 0)
    assert dsm("gc", ds, "--dry-run", "--json").json["jobs"] == old[::-1]  # c is lost
    assert len(runs(ds)) == 6
    said = dsm("gc", ds)
    assert "3 records of jobs removed" in said.out
    assert {str(run) for run in runs(ds)} == {f"{ds}#d", waits, goes_on}
    dsm("gc", ds, "--older-than", "0d")
    assert {str(run) for run in runs(ds)} == {waits, goes_on}


def test_a_store_that_does_not_tell_when(ds, engine, monkeypatch):
    """Then nothing is old."""
    listing = storage.listing

    def timeless(folder):
        return [dataclasses.replace(item, modified=None) for item in listing(folder)]

    dedup_exact(open_dataset(ds), "t", engine=engine)
    drop(ds, "k < 5", engine=engine)
    monkeypatch.setattr(storage, "listing", timeless)
    assert gc(ds, older_than=NOW).unused == ()


@pytest.mark.s3
def test_on_s3(bucket, engine):
    ds = f"s3://{bucket}/ds"
    create(ds, parquet(f"s3://{bucket}/1.parquet", {"x": np.arange(9) % 4}), engine=engine)
    dedup_exact(open_dataset(ds), "x", engine=engine)
    (file,) = kept(ds)
    append(ds, parquet(f"s3://{bucket}/2.parquet", {"x": [9]}), engine=engine)
    drop(ds, "x < 9", engine=engine)
    time.sleep(1.1)  # a store tells whole seconds
    assert gc(ds, older_than=NOW).unused == (file,)
    assert kept(ds) == set()
