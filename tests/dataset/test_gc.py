"""gc removes what it says it would, and nothing that anyone can still name."""

import datetime as dt

import numpy as np
import pytest
from dsm_trials import Doubled, dsm, objects, parquet, rows

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.gc import gc
from dsm_dask.dataset.history import log
from dsm_dask.dataset.naming import branch, tag
from dsm_dask.dataset.verify import verify
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.errors import UnknownVersion

BOTH = pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
NOW = dt.timedelta(0)


def build(place: str, engine, copy: bool) -> str:
    """Six versions; 3 is tagged, a branch begins at 2, and went on from there."""
    ds = f"{place}/ds"
    create(ds, parquet(f"{place}/1.parquet", {"a": np.arange(100)}), engine=engine, copy=copy)
    drop(ds, "a < 10", engine=engine)
    add_columns(ds, Doubled(), engine=engine)
    branch(f"{ds}@2", "side")
    drop(f"{ds}@side", "a < 20", engine=engine)
    tag(f"{ds}@3", "keep")
    drop(ds, "a < 30", engine=engine)
    append(ds, parquet(f"{place}/2.parquet", {"a": np.arange(500, 510)}), engine=engine)
    drop(ds, "a = 505", engine=engine)
    return ds


@BOTH
def test_dry_run_then_in_earnest(tmp_path, engine, copy):
    check_gc(str(tmp_path), engine, copy)


@pytest.mark.s3
def test_on_s3(bucket, engine):
    check_gc(f"s3://{bucket}", engine, copy=False)


def check_gc(place: str, engine, copy: bool) -> None:
    ds = build(place, engine, copy)
    kept = {name: rows(open_dataset(f"{ds}@{name}")) for name in ("6", "keep", "side", "side:2")}
    before = objects(place)
    plan = gc(ds, older_than=NOW, dry_run=True)
    assert objects(place) == before
    done = gc(ds, older_than=NOW)
    after = objects(place)
    gone = {uri: size for uri, (size, _) in before.items() if uri not in after}
    assert done.bytes == plan.bytes == sum(gone.values())
    assert (done.versions, done.data_files, done.deletion_files) == (
        plan.versions, plan.data_files, plan.deletion_files,
    )  # fmt: skip
    assert len([uri for uri in gone if "/_versions/" in uri]) == done.versions == 3
    assert all(uri.startswith(ds) for uri in gone)  # no source file
    for name, want in kept.items():
        assert rows(open_dataset(f"{ds}@{name}")) == want
        assert verify(f"{ds}@{name}", engine=engine).ok
    for version in (1, 4, 5):
        with pytest.raises(UnknownVersion):
            open_dataset(f"{ds}@{version}")
    assert [v.version for v in log(ds).versions] == [6, 3, 2]
    again = gc(ds, older_than=NOW)
    assert (again.versions, again.bytes) == (0, 0)


@BOTH
def test_nothing_is_old_enough(tmp_path, engine, copy):
    ds = build(str(tmp_path), engine, copy)
    before = objects(tmp_path)
    found = gc(ds, older_than=dt.timedelta(days=1))
    assert (found.versions, found.bytes, found.orphans) == (0, 0, ())
    assert objects(tmp_path) == before


def test_of_a_branch_leaves_main_alone(tmp_path, engine):
    ds = build(str(tmp_path), engine, copy=False)
    drop(f"{ds}@side", "a < 40", engine=engine)
    before = {v: rows(open_dataset(f"{ds}@{v}")) for v in range(1, 7)}
    side = rows(open_dataset(f"{ds}@side"))
    gc(f"{ds}@side", older_than=NOW)
    assert {v: rows(open_dataset(f"{ds}@{v}")) for v in range(1, 7)} == before
    assert rows(open_dataset(f"{ds}@side")) == side


def test_orphans_are_named_and_young_ones_stay(tmp_path, engine):
    """What a run that died left behind may belong to one that is about to commit."""
    ds = build(str(tmp_path), engine, copy=True)
    left = parquet(f"{ds}/data/left-behind.lance", {"a": [1]})
    found = gc(ds, older_than=NOW)
    assert found.orphans == (left,)
    assert left in objects(ds)


@BOTH
def test_life_goes_on_afterwards(tmp_path, engine, copy):
    ds = build(str(tmp_path), engine, copy)
    gc(ds, older_than=NOW)
    drop(ds, "a < 40", engine=engine)
    append(ds, parquet(tmp_path / "3.parquet", {"a": [900]}), engine=engine)
    assert open_dataset(ds).rows == 60 + 9 + 1
    assert verify(ds, engine=engine).ok


def test_the_verb(tmp_path, engine):
    ds = build(str(tmp_path), engine, copy=False)
    before = objects(tmp_path)
    plan = dsm("gc", ds, "--older-than", "0d", "--dry-run", "--json").json
    assert (plan["versions"], plan["dry_run"]) == (3, True)
    assert objects(tmp_path) == before
    assert dsm("gc", ds, "--json").json["versions"] == 0  # 14 days
    done = dsm("gc", ds, "--older-than", "0m", "--json").json
    assert (done["versions"], done["bytes"], done["dry_run"]) == (3, plan["bytes"], False)
