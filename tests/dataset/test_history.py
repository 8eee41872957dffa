"""Log, show, diff, tags, branches and restoring, against independent counts."""

import itertools

import lance
import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import Doubled, objects, parquet, rows

from dsm_dask import storage
from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import diff, log, show
from dsm_dask.dataset.naming import branch, delete_tag, restore, tag
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.errors import (
    InvalidName,
    NewerDataset,
    NotADataset,
    RefExists,
    SchemaError,
    UnknownVersion,
)

BOTH = pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])


def plain(uri: str, **options):
    return lance.dataset(uri, storage_options=storage.lance_options(uri), **options)


def same_as_counted(before: str, after: str) -> dict:
    """The diff of two versions of one line of history, checked against their rows."""
    found = diff(before, after).to_dict()
    was, now = rows(open_dataset(before)), rows(open_dataset(after))
    assert found["added"] == len(now.keys() - was.keys())
    assert found["removed"] == len(was.keys() - now.keys())
    had, has = open_dataset(before).schema.names, open_dataset(after).schema.names
    assert found["columns_added"] == [name for name in has if name not in had]
    assert found["columns_removed"] == [name for name in had if name not in has]
    assert found["added_row_ids"] == sorted(now.keys() - was.keys())[:10]
    assert found["removed_row_ids"] == sorted(was.keys() - now.keys())[:10]
    return found


@pytest.fixture(params=["linked", "copied", pytest.param("s3", marks=pytest.mark.s3)])
def story(request, tmp_path, engine):
    """create, append, drop, columns, restore, append: six versions."""
    place = str(tmp_path)
    if request.param == "s3":
        place = f"s3://{request.getfixturevalue('bucket')}"
    ds = f"{place}/ds"
    create(
        ds, parquet(f"{place}/1.parquet", {"a": np.arange(30)}), engine=engine,
        copy=request.param == "copied", message="the beginning",
    )  # fmt: skip
    append(ds, parquet(f"{place}/2.parquet", {"a": np.arange(100, 120)}), engine=engine)
    drop(ds, "a in (3, 4, 5, 101)", engine=engine, message="bad ones")
    add_columns(ds, Doubled(), engine=engine)
    restore(ds, "2", message="too much")
    append(ds, parquet(f"{place}/3.parquet", {"a": np.arange(200, 205)}), engine=engine)
    return ds


def test_every_pair_of_versions(story):
    pairs = itertools.product(range(1, 7), repeat=2)
    if not storage.is_local(story):
        pairs = [(1, 6), (6, 3), (4, 4)]
    for before, after in pairs:
        found = same_as_counted(f"{story}@{before}", f"{story}@{after}")
        assert found["updated"] == 0
        if before == after:
            assert (found["added"], found["removed"]) == (0, 0)


def test_log(story):
    versions = log(story).to_dict()["versions"]
    assert [v["version"] for v in versions] == [6, 5, 4, 3, 2, 1]
    assert [v["job"] for v in versions] == [
        "append", "restore", "columns", "drop", "append", "create",
    ]  # fmt: skip
    assert [v["parent"] for v in versions] == ["5", "4", "3", "2", "1", None]
    for v in versions:  # independent: plain Lance counts them
        assert v["rows"] == plain(story, version=v["version"]).count_rows()
    assert [v["message"] for v in versions] == ["", "too much", "", "bad ones", "", "the beginning"]
    assert versions[3]["changed"] == {"dropped": 4}
    assert versions[0]["changed"] == {"added": 5}
    assert versions[5]["spec"]["copy"] == (not open_dataset(story).is_linked)
    assert all(v["at"].endswith("+00:00") for v in versions)
    assert [v.version for v in log(story, 2).versions] == [6, 5]
    assert [v.version for v in log(f"{story}@2").versions] == [2, 1]


def test_bytes_written_are_all_that_the_dataset_holds(story):
    """Nothing that a commit stored is left out, nothing is counted twice."""
    besides = ("hint", "/_dsm/lease/")
    there = sum(
        size for uri, (size, _) in objects(story).items() if not any(b in uri for b in besides)
    )
    assert sum(v.bytes_written for v in log(story).versions) == there


def test_show(story):
    tag(f"{story}@4", "four")
    branch(story, "side")
    found = show(f"{story}@four").to_dict()
    assert (found["version"], found["job"], found["rows"]) == (4, "columns", 46)
    assert found["columns"] == {"a": "int64", "doubled": "int64"}
    assert found["linked"] == (["a"] if open_dataset(story).is_linked else [])
    assert found["tags"] == ["four"]
    assert found["branches"] == ["side"]
    assert found["sources"] == (2 if open_dataset(story).is_linked else 0)
    assert found["parent"] == "3"


def test_diff_of_branches(tmp_path, engine):
    """Rows added apart have nothing to do with each other, though their ids be the same."""
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": np.arange(10)}), engine=engine)
    branch(ds, "side")
    append(ds, parquet(tmp_path / "2.parquet", {"a": [20, 21]}), engine=engine)
    append(f"{ds}@side", parquet(tmp_path / "3.parquet", {"a": [30, 31, 32]}), engine=engine)
    drop(f"{ds}@side", "a < 4", engine=engine)
    found = diff(ds, f"{ds}@side")
    assert (found.added, found.removed, found.updated) == (3, 6, 0)
    back = diff(f"{ds}@side", ds)
    assert (back.added, back.removed, back.updated) == (6, 3, 0)


def test_diff_after_plain_lance_updated_rows(place, engine):
    ds = f"{place}/ds"
    source = parquet(f"{place}/1.parquet", {"a": np.arange(40), "s": ["x"] * 40})
    create(ds, source, engine=engine, copy=True)
    drop(ds, "a = 0", engine=engine)
    dataset = plain(ds)
    dataset.update({"s": "'y'"}, where="a >= 5 and a < 12")
    dataset.delete("a = 30")
    dataset.insert(pa.table({"a": [99], "s": ["z"]}))
    found = diff(f"{ds}@1", ds)
    assert (found.added, found.removed, found.updated) == (1, 2, 7)
    found = diff(f"{ds}@2", ds)
    assert (found.added, found.removed, found.updated) == (1, 1, 7)
    assert rows(open_dataset(ds))[7] == {"a": 7, "s": "y"}  # ids survive
    assert [v.job for v in log(ds).versions[:3]] == ["another tool"] * 3


def test_diff_after_plain_lance_compacted(tmp_path, engine):
    """Rows only moved: nothing was added, removed or updated."""
    ds = str(tmp_path / "ds")
    for index in range(4):
        numbers = np.arange(index * 10, index * 10 + 10)
        parquet(tmp_path / f"raw/{index}.parquet", {"a": numbers})
    create(ds, str(tmp_path / "raw/0.parquet"), engine=engine, copy=True)
    for index in range(1, 4):
        append(ds, str(tmp_path / f"raw/{index}.parquet"), engine=engine)
    drop(ds, "a in (3, 33)", engine=engine)
    before = rows(open_dataset(ds))
    plain(ds).optimize.compact_files()
    assert open_dataset(ds).version > 5
    assert rows(open_dataset(ds)) == before
    found = diff(f"{ds}@5", ds)
    assert (found.added, found.removed, found.updated) == (0, 0, 0)
    found = diff(f"{ds}@4", ds)
    assert (found.added, found.removed, found.updated) == (0, 2, 0)


def test_diff_after_plain_lance_merged_some_columns(tmp_path, engine):
    ds = str(tmp_path / "ds")
    source = parquet(tmp_path / "1.parquet", {"a": np.arange(10), "s": ["x"] * 10})
    create(ds, source, engine=engine, copy=True)
    changed = pa.table({"a": [2, 3], "s": ["y", "y"]})
    plain(ds).merge_insert("a").when_matched_update_all().execute(changed)
    found = diff(f"{ds}@1", ds)
    assert (found.added, found.removed, found.updated) == (0, 0, 2)


# ---------------------------------------------------------------------------------------------


def test_tags(story):
    tag(f"{story}@3", "clean")
    before = objects(story)
    assert tag(f"{story}@3", "clean").version == 3  # again: no error, no change
    assert objects(story) == before
    with pytest.raises(RefExists, match="names version 3"):
        tag(f"{story}@4", "clean")
    assert open_dataset(f"{story}@clean").version == 3
    assert tag(f"{story}@4", "clean", force=True).version == 4
    assert open_dataset(f"{story}@clean").version == 4
    assert {v.version: v.tags for v in log(story).versions}[4] == ("clean",)
    delete_tag(story, "clean")
    with pytest.raises(UnknownVersion, match="clean"):
        open_dataset(f"{story}@clean")
    with pytest.raises(UnknownVersion):
        delete_tag(story, "clean")
    assert len(log(story).versions) == 6


@pytest.mark.parametrize("name", ["7", "main", "", "a b", "../x", "a/b", "-x", "a:1", "a..b", "@"])
@pytest.mark.parametrize("verb", [tag, branch])
def test_names_that_cannot_be(tmp_path, engine, verb, name):
    create(str(tmp_path / "ds"), parquet(tmp_path / "1.parquet", {"a": [1]}), engine=engine)
    before = objects(tmp_path)
    with pytest.raises(InvalidName):
        verb(str(tmp_path / "ds"), name)
    assert objects(tmp_path) == before


def test_a_name_is_a_tag_or_a_branch(tmp_path, engine):
    """One name, one meaning: DATASET@NAME."""
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1]}), engine=engine)
    tag(ds, "one")
    with pytest.raises(RefExists):
        branch(ds, "one")
    branch(ds, "two")
    before = objects(ds)
    assert branch(ds, "two").version == 1  # again: no error, no change
    assert objects(ds) == before
    drop(ds, "a = 1", engine=engine)
    with pytest.raises(RefExists):
        branch(ds, "two")


def test_a_tag_may_not_hide_a_branch(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1]}), engine=engine)
    branch(ds, "two")
    with pytest.raises(RefExists):
        tag(ds, "two")


@BOTH
def test_a_branch_leaves_main_alone(place, engine, copy):
    ds = f"{place}/ds"
    one = parquet(f"{place}/1.parquet", {"a": np.arange(10)})
    create(ds, one, engine=engine, copy=copy)
    drop(ds, "a = 9", engine=engine)
    main = {uri: what for uri, what in objects(ds).items() if "_refs" not in uri}
    made = branch(f"{ds}@1", "side")
    assert (made.name, made.version, made.kind) == ("side", 1, "branch")
    drop(f"{ds}@side", "a < 5", engine=engine)
    append(f"{ds}@side", parquet(f"{place}/2.parquet", {"a": [50]}), engine=engine)
    add_columns(f"{ds}@side", Doubled(), engine=engine)
    after = objects(ds)
    assert {uri: after[uri] for uri in main} == main
    assert open_dataset(ds).to_table().to_pydict() == {"a": list(range(9))}
    side = open_dataset(f"{ds}@side").to_table().to_pydict()
    assert side == {"a": [5, 6, 7, 8, 9, 50], "doubled": [10, 12, 14, 16, 18, 100]}
    assert open_dataset(f"{ds}@side:2").rows == 5
    tag(f"{ds}@side", "tried")
    assert open_dataset(f"{ds}@tried").to_table().to_pydict() == side
    assert [v.job for v in log(f"{ds}@side").versions][:3] == ["columns", "append", "drop"]
    drop(f"{ds}@main", "a = 8", engine=engine)
    assert open_dataset(ds).rows == 8
    assert open_dataset(f"{ds}@side").rows == 6


def test_a_copied_branch_with_columns_of_its_own_takes_rows(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1]}), engine=engine, copy=True)
    branch(ds, "side")
    add_columns(f"{ds}@side", Doubled(), engine=engine)
    append(f"{ds}@side", parquet(tmp_path / "2.parquet", {"a": [2]}), engine=engine)
    assert open_dataset(f"{ds}@side").to_table().to_pydict() == {"a": [1, 2], "doubled": [2, None]}


def test_the_log_of_a_new_branch_begins_with_what_it_was_started_at(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1, 2]}), engine=engine)
    drop(ds, "a = 1", engine=engine, message="why")
    branch(ds, "side")
    version, *_ = log(f"{ds}@side").versions
    assert version.job in ("drop", "branch")


def test_restore(story, engine):
    made = restore(story, "3", dry_run=True)
    assert (made.committed, made.rows, open_dataset(story).version) == (False, 46, 6)
    tag(f"{story}@3", "good")
    made = restore(story, "good", message="as it was")
    assert (made.version, made.rows, made.committed) == (7, 46, True)
    assert rows(open_dataset(story)) == rows(open_dataset(f"{story}@3"))
    assert rows(open_dataset(f"{story}@6")).keys() > rows(open_dataset(story)).keys()
    same_as_counted(f"{story}@6", story)
    drop(story, "a = 0", engine=engine)  # and life goes on
    assert open_dataset(story).rows == 45


def test_restore_is_of_the_same_branch(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1, 2, 3]}), engine=engine)
    branch(ds, "side")
    drop(f"{ds}@side", "a = 1", engine=engine)
    drop(f"{ds}@side", "a = 2", engine=engine)
    with pytest.raises(UnknownVersion, match="side"):
        restore(ds, "side")
    with pytest.raises(UnknownVersion, match="9"):
        restore(ds, "9")
    made = restore(f"{ds}@side", "2")
    assert (made.version, made.rows) == (4, 2)
    assert open_dataset(ds).rows == 3
    assert open_dataset(f"{ds}@side").to_table().to_pydict() == {"a": [2, 3]}


def test_no_dataset(place):
    for verb in (log, show, open_dataset):
        with pytest.raises(NotADataset, match="nothing"):
            verb(f"{place}/nothing")
    with pytest.raises(NotADataset):
        diff(f"{place}/nothing@1", f"{place}/nothing@2")


# ---------------------------------------------------------------------------------------------


@BOTH
def test_columns(place, engine, copy):
    ds = f"{place}/ds"
    source = parquet(f"{place}/1.parquet", {"a": np.arange(50_000)}, row_group_size=7_000)
    create(ds, source, engine=engine, copy=copy)
    drop(ds, "a < 100 or a = 49999", engine=engine)
    base, before = open_dataset(ds), objects(place)
    made = add_columns(base, Doubled(), engine=engine, message="twice")
    assert (made.version, made.rows, made.changed) == (3, 49_899, {"columns_added": 1})
    table = open_dataset(ds).to_table()
    assert table["a"].to_pylist() == list(range(100, 49_999))
    assert table["doubled"].to_pylist() == list(range(200, 99_998, 2))
    after = objects(place)
    assert all(after[uri] == before[uri] for uri in before if "hint" not in uri)
    again = add_columns(base, Doubled(), engine=engine)
    assert (again.committed, again.version) == (False, 3)
    with pytest.raises(SchemaError, match="doubled"):
        add_columns(ds, Doubled(), engine=engine)
    with pytest.raises(SchemaError, match="'a'"):
        add_columns(ds, Doubled(name="a"), engine=engine)


def test_a_version_in_a_format_of_later_releases_is_refused(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1]}), engine=engine)
    lance.dataset(ds).update_schema_metadata({"dsm.format": "2"})
    with pytest.raises(NewerDataset, match="format 2"):
        open_dataset(ds)
    with pytest.raises(NewerDataset, match="format 2"):
        append(ds, parquet(tmp_path / "2.parquet", {"a": [2]}), engine=engine)
    assert lance.dataset(ds).version == 2
