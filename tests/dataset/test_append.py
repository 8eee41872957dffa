"""Append: what is known is left out, what changed is refused, columns and integers may grow."""

import os

import pyarrow as pa
import pytest
from dsm_trials import Doubled, objects, parquet, rows

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import log
from dsm_dask.dataset.naming import branch, restore
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.errors import SchemaError, SourceChanged

BOTH = pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])


def values(dataset: str, column: str = "a") -> list:
    return open_dataset(dataset).to_table([column])[column].to_pylist()


@BOTH
def test_the_same_glob_every_week(place, engine, copy):
    raw, ds = f"{place}/raw/*.parquet", f"{place}/ds"
    parquet(f"{place}/raw/1.parquet", {"a": [1, 2]})
    create(ds, raw, engine=engine, copy=copy)
    nothing = append(ds, raw, engine=engine)
    assert (nothing.committed, nothing.version, nothing.changed) == (False, 1, {"added": 0})
    parquet(f"{place}/raw/2.parquet", {"a": [3]})
    made = append(ds, raw, engine=engine)
    assert (made.committed, made.version, made.rows, made.changed) == (True, 2, 3, {"added": 1})
    drop(ds, "a = 1", engine=engine)
    assert not append(ds, raw, engine=engine).committed
    assert values(ds) == [2, 3]
    assert [v.rows for v in log(ds).versions] == [2, 3, 2]


@BOTH
def test_a_known_file_that_changed_is_refused(place, engine, copy):
    source = parquet(f"{place}/raw/1.parquet", {"a": [1, 2]})
    create(f"{place}/ds", source, engine=engine, copy=copy)
    parquet(source, {"a": [1, 3]})
    parquet(f"{place}/raw/2.parquet", {"a": [9]})
    before = objects(f"{place}/ds")
    with pytest.raises(SourceChanged, match=r"raw/1\.parquet"):
        append(f"{place}/ds", f"{place}/raw", engine=engine)
    assert objects(f"{place}/ds") == before


def test_new_columns_and_wider_integers_in_linked(place, engine):
    ds = f"{place}/ds"
    create(ds, parquet(f"{place}/1.parquet", {"a": pa.array([1, 2], pa.int16())}), engine=engine)
    more = pa.table({"b": ["x"], "a": pa.array([2**40])})
    append(ds, parquet(f"{place}/2.parquet", more), engine=engine)
    assert open_dataset(ds).schema == pa.schema({"a": pa.int64(), "b": pa.string()})
    assert open_dataset(ds).to_table().to_pydict() == {"a": [1, 2, 2**40], "b": [None, None, "x"]}
    old = open_dataset(f"{ds}@1")
    assert old.schema == pa.schema({"a": pa.int16()})
    assert old.to_table().to_pydict() == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("data", "copy"),
    [
        ({"a": ["text"]}, False),
        ({"a": ["text"]}, True),
        ({"a": [1.5]}, False),
        ({"a": pa.array([2**40])}, True),
        ({"a": pa.array([1], pa.int32()), "new": [1]}, True),
    ],
    ids=["text", "text-copied", "float", "wider-copied", "column-copied"],
)
def test_what_does_not_fit_is_refused(tmp_path, engine, data, copy):
    ds = str(tmp_path / "ds")
    first = parquet(tmp_path / "1.parquet", {"a": pa.array([1, 2], pa.int32())})
    create(ds, first, engine=engine, copy=copy)
    second = parquet(tmp_path / "2.parquet", data)
    before = objects(ds)
    with pytest.raises(SchemaError, match=r"2\.parquet"):
        append(ds, second, engine=engine)
    assert objects(ds) == before


def test_narrower_integers_and_missing_columns_in_copied(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1], "s": ["x"]}), engine=engine, copy=True)
    append(ds, parquet(tmp_path / "2.parquet", {"a": pa.array([2], pa.int8())}), engine=engine)
    assert open_dataset(ds).to_table().to_pydict() == {"a": [1, 2], "s": ["x", None]}


def test_a_source_may_not_bring_a_computed_column(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1]}), engine=engine)
    add_columns(ds, Doubled(), engine=engine)
    with pytest.raises(SchemaError, match="doubled"):
        append(ds, parquet(tmp_path / "2.parquet", {"a": [2], "doubled": [4]}), engine=engine)


@BOTH
def test_row_ids_are_for_ever(place, engine, copy):
    """Whatever happens around a row, its id and its values stay; no id is given twice."""
    ds = f"{place}/ds"
    seen: dict[int, int] = {}

    def check() -> None:
        for row_id, row in rows(open_dataset(ds)).items():
            assert seen.setdefault(row_id, row["a"]) == row["a"]

    create(ds, parquet(f"{place}/1.parquet", {"a": [0, 1, 2, 3, 4]}), engine=engine, copy=copy)
    check()
    drop(ds, "a in (1, 4)", engine=engine)
    check()
    append(ds, parquet(f"{place}/2.parquet", {"a": [10, 11, 12]}), engine=engine)
    check()
    add_columns(ds, Doubled(), engine=engine)
    check()
    drop(ds, "a >= 11", engine=engine)
    restore(ds, "2")
    check()
    append(ds, parquet(f"{place}/3.parquet", {"a": [20, 21]}), engine=engine)
    check()
    assert sorted(seen.values()) == [0, 1, 2, 3, 4, 10, 11, 12, 20, 21]
    assert len(seen) == len(set(seen.values()))


@BOTH
def test_computed_columns_read_null_in_rows_that_came_later(place, engine, copy):
    ds = f"{place}/ds"
    create(ds, parquet(f"{place}/1.parquet", {"a": [1, 2]}), engine=engine, copy=copy)
    add_columns(ds, Doubled(), engine=engine)
    append(ds, parquet(f"{place}/2.parquet", {"a": [3]}), engine=engine)
    assert open_dataset(ds).to_table().to_pydict() == {"a": [1, 2, 3], "doubled": [2, 4, None]}


@BOTH
def test_on_a_branch(tmp_path, engine, copy):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1]}), engine=engine, copy=copy)
    branch(ds, "try")
    made = append(f"{ds}@try", parquet(tmp_path / "2.parquet", {"a": [2]}), engine=engine)
    assert made.rows == 2
    assert values(f"{ds}@try") == [1, 2]
    assert values(ds) == [1]


def test_twice_on_a_branch_of_a_copied_dataset(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1]}), engine=engine, copy=True)
    drop(ds, "a = 7 or a = 1", engine=engine)
    append(ds, parquet(tmp_path / "2.parquet", {"a": [2]}), engine=engine)
    branch(ds, "try")
    append(f"{ds}@try", parquet(tmp_path / "3.parquet", {"a": [3]}), engine=engine)
    assert values(f"{ds}@try") == [2, 3]


def test_a_file_of_which_every_row_was_dropped_is_still_known(tmp_path, engine):
    ds, raw = str(tmp_path / "ds"), str(tmp_path / "raw")
    parquet(f"{raw}/1.parquet", {"a": [1]})
    parquet(f"{raw}/2.parquet", {"a": [2]})
    create(ds, raw, engine=engine)
    drop(ds, "a = 1", engine=engine)
    assert not append(ds, raw, engine=engine).committed
    assert values(ds) == [2]


@pytest.mark.s3
def test_a_source_touched_but_not_changed_on_s3_is_the_same(bucket, engine):
    """The ETag of S3 is of the content, so writing the same bytes again changes nothing."""
    source = parquet(f"s3://{bucket}/1.parquet", {"a": [1]})
    create(f"s3://{bucket}/ds", source, engine=engine)
    parquet(source, {"a": [1]})
    assert not append(f"s3://{bucket}/ds", source, engine=engine).committed
    assert values(f"s3://{bucket}/ds") == [1]


def test_a_source_touched_on_disk_may_have_changed(tmp_path, engine):
    source = parquet(tmp_path / "1.parquet", {"a": [1]})
    create(str(tmp_path / "ds"), source, engine=engine)
    os.utime(source, ns=(1, 1))
    with pytest.raises(SourceChanged):
        append(str(tmp_path / "ds"), source, engine=engine)


@BOTH
def test_the_same_append_on_the_same_version_writes_nothing(tmp_path, engine, copy):
    """What a job does when it is run again."""
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1]}), engine=engine, copy=copy)
    more = parquet(tmp_path / "2.parquet", {"a": [2]})
    first = open_dataset(ds)
    append(first, more, engine=engine)
    before = objects(ds)
    again = append(first, more, engine=engine)
    assert (again.version, again.committed) == (2, False)
    assert objects(ds) == before
