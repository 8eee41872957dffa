"""Corrections by key: cells change, everything else stays, and the lineage says by whom."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import Doubled, inline, objects, parquet, put, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from meanwhile import meanwhile

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import diff, log
from dsm_dask.dataset.naming import restore
from dsm_dask.dataset.update import update
from dsm_dask.dataset.verify import verify
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.errors import (
    BadRows,
    CommitConflict,
    CorruptFile,
    NotFound,
    SchemaError,
    UnknownColumn,
    UsageError,
)
from dsm_dask.stats.profile import profile


@pytest.fixture(params=[False, True], ids=["linked", "copied"])
def ds(request, place, engine):
    for number in range(3):
        ids = np.arange(number * 40, number * 40 + 40)
        table = {
            "id": ids,
            "label": pa.array([f"c{i % 4}" for i in ids]),
            "stars": pa.array(ids % 5, pa.int8()),
            "text": [f"text {i}" for i in ids],
        }
        parquet(f"{place}/raw/{number}.parquet", table)
    create(f"{place}/ds", f"{place}/raw", engine=engine, copy=request.param)
    return f"{place}/ds"


def fixes(place, text, name="fixes.csv"):
    return put(f"{place}/{name}", text.encode())


def by_id(ds):
    return {row["id"]: row for row in rows(open_dataset(ds)).values()}


def ids_of(ds):
    return {row: told["id"] for row, told in rows(open_dataset(ds)).items()}


def stored(ds):
    return {u: t for u, t in objects(ds).items() if not u.endswith("latest_version_hint.json")}


def test_cells_change_and_nothing_else(ds, place, engine):
    before, had, names = stored(ds), by_id(ds), ids_of(ds)
    sources = objects(f"{place}/raw")
    file = fixes(place, "id,label,stars\n3,dog,4\n77,cat,\n5,c1,0\n")
    made = update(ds, file, "id", engine=engine, who="ann", message="review")
    assert (made.version, made.rows, made.updated, made.committed) == (2, 120, 2, True)
    assert made.changes == {"label": {"ann": 2}, "stars": {"ann": 2}}
    expected = {i: dict(row) for i, row in had.items()}
    expected[3] |= {"label": "dog", "stars": 4}
    expected[77] |= {"label": "cat", "stars": None}
    assert by_id(ds) == expected
    assert ids_of(ds) == names
    assert open_dataset(ds).schema == open_dataset(f"{ds}@1").schema
    assert by_id(f"{ds}@1") == had
    assert {u: t for u, t in stored(ds).items() if u in before} == before
    assert objects(f"{place}/raw") == sources
    assert not [uri for uri in objects(ds) if "/runs/" in uri]
    assert verify(ds, engine=engine).ok
    assert verify(ds, engine=engine).unrecorded == 0


def test_only_touched_fragments_and_columns_are_written(place, engine):
    for number in range(4):
        ids = np.arange(20_000) + 20_000 * number
        raw = {"id": ids, "label": ids % 7, "text": [f"a longer text {i}" for i in ids]}
        parquet(f"{place}/raw/{number}.parquet", raw)
    ds = f"{place}/ds"
    create(ds, f"{place}/raw", engine=engine, copy=True)
    before = stored(ds)
    update(ds, fixes(place, "id,label\n25000,9\n"), "id", engine=engine)
    new = [uri for uri in stored(ds) if uri not in before and "/data/" in uri]
    assert len(new) == 1
    touched = [f for f in open_dataset(ds).fragments if len(f.files) > 1]
    assert sum(objects(ds)[uri][0] for uri in new) < 8 * sum(f.physical_rows for f in touched)
    kept = {f.id: f.files for f in open_dataset(f"{ds}@1").fragments}
    for fragment in open_dataset(ds).fragments:
        assert fragment in touched or kept[fragment.id] == fragment.files


def test_the_lineage_says_who(ds, place, engine):
    file = fixes(place, "id,label,who\n1,x,ann\n2,x,bob\n3,x,\n4,x,bob\n")
    made = update(ds, file, "id", engine=engine, who="carl")
    assert made.changes == {"label": {"ann": 1, "bob": 2, "carl": 1}}
    told = log(ds).versions[0]
    assert (told.job, told.changed) == ("update", {"updated": 4, "cells": 4})
    assert told.spec["changes"] == {"label": {"ann": 1, "bob": 2, "carl": 1}}
    assert told.spec["on"] == "id"
    assert "who" not in open_dataset(ds).schema.names


def test_diff_counts_updated_rows(ds, place, engine):
    update(ds, fixes(place, "id,label,stars\n1,x,3\n2,y,2\n50,z,\n"), "id", engine=engine)
    told = diff(f"{ds}@1", ds)
    assert (told.added, told.removed, told.updated) == (0, 0, 3)
    drop(ds, "id = 1", engine=engine)
    told = diff(f"{ds}@1", ds)
    assert (told.added, told.removed, told.updated) == (0, 1, 2)
    told = diff(ds, f"{ds}@1")
    assert (told.added, told.removed, told.updated) == (1, 0, 2)
    assert diff(f"{ds}@2", ds).updated == 0


def test_again_commits_nothing(ds, place, engine):
    file = fixes(place, "id,label\n1,x\n")
    first = update(ds, file, "id", engine=engine)
    again = update(ds, file, "id", engine=engine)
    assert (again.version, again.updated, again.committed) == (2, 0, False)
    done = update(open_dataset(f"{ds}@1"), file, "id", engine=engine)
    assert (done.version, done.committed, done.changes) == (2, False, first.changes)
    assert len(log(ds).versions) == 2


def test_dry_run(ds, place, engine):
    before = objects(ds)
    made = update(ds, fixes(place, "id,label\n1,x\n2,c2\n"), "id", engine=engine, dry_run=True)
    assert (made.version, made.updated, made.committed, made.dry_run) == (1, 1, False, True)
    assert objects(ds) == before


def test_dropped_rows_appends_and_later_corrections(ds, place, engine):
    drop(ds, "id IN (0, 1, 2, 41, 119)", engine=engine)
    update(ds, fixes(place, "id,label\n3,x\n42,x\n"), "id", engine=engine)
    parquet(
        f"{place}/more.parquet",
        {"id": [500], "label": ["new"], "stars": pa.array([1], pa.int8()), "text": ["t"]},
    )
    append(ds, f"{place}/more.parquet", engine=engine)
    update(ds, fixes(place, "id,label,text\n500,x,u\n4,y,v\n"), "id", engine=engine)
    drop(ds, "id = 5", engine=engine)
    found = by_id(ds)
    assert len(found) == 120 - 5 + 1 - 1
    changed = {i: row["label"] for i, row in found.items() if row["label"][0] != "c"}
    assert changed == {3: "x", 42: "x", 500: "x", 4: "y"}
    assert {i: found[i]["text"] for i in (3, 4, 6, 500)} == {
        3: "text 3", 4: "v", 6: "text 6", 500: "u",
    }  # fmt: skip
    with pytest.raises(BadRows, match=r"No row of .* row 2 \(id 41\)"):
        update(ds, fixes(place, "id,label\n6,x\n41,x\n"), "id", engine=engine)
    restore(ds, "1")
    assert by_id(ds) == by_id(f"{ds}@1")


def test_every_reader_sees_the_correction(ds, place, engine):
    before = profile(open_dataset(ds), ["label"], engine=engine).to_dict()
    update(ds, fixes(place, "id,label\n1,rare\n"), "id", engine=engine)
    after = profile(open_dataset(ds), ["label"], engine=engine).to_dict()
    top = {one["value"]: one["count"] for one in after["columns"]["label"]["top"]}
    assert top == {"c0": 30, "c1": 29, "c2": 30, "c3": 30, "rare": 1}
    assert before["columns"]["label"]["top"] != after["columns"]["label"]["top"]
    drop(ds, "label = 'rare'", engine=engine)
    assert 1 not in by_id(ds)
    assert open_dataset(ds).column_sizes()["label"] > 0
    names = open_dataset(ds).to_table(["label", "_rowid"])
    assert names.num_rows == 119


def test_managed_columns_and_row_ids_as_keys(ds, place, engine):
    add_columns(ds, Doubled("twice", "stars"), engine=engine)
    update(ds, fixes(place, "_rowid,twice\n7,-1\n"), "_rowid", engine=engine)
    found = rows(open_dataset(ds))
    assert found[7]["twice"] == -1
    assert [row["twice"] for i, row in found.items() if i != 7] == [
        2 * row["stars"] for i, row in found.items() if i != 7
    ]


def test_a_column_that_grew_wider(place, engine):
    ds = f"{place}/ds"
    parquet(f"{place}/1.parquet", {"id": [1, 2], "n": pa.array([1, 2], pa.int8())})
    parquet(f"{place}/2.parquet", {"id": [3, 4], "n": pa.array([3, 4], pa.int8())})
    parquet(f"{place}/3.parquet", {"id": [5], "n": pa.array([1 << 40], pa.int64())})
    create(ds, [f"{place}/1.parquet", f"{place}/2.parquet"], engine=engine)
    update(ds, fixes(place, "id,n\n1,7\n"), "id", engine=engine)
    append(ds, f"{place}/3.parquet", engine=engine)
    assert {i: row["n"] for i, row in by_id(ds).items()} == {1: 7, 2: 2, 3: 3, 4: 4, 5: 1 << 40}
    update(ds, fixes(place, "id,n\n3,5000000000\n"), "id", engine=engine)
    found = {i: row["n"] for i, row in by_id(ds).items()}
    assert found == {1: 7, 2: 2, 3: 5_000_000_000, 4: 4, 5: 1 << 40}
    assert diff(f"{ds}@3", ds).updated == 1


VALUES = {
    "flag": (pa.bool_(), [True, False, None], True),
    "score": (pa.float32(), [0.5, float("nan"), None], 2.5),
    "price": (pa.decimal128(7, 2), [None, None, None], "12.25"),
    "day": (pa.date32(), [None, None, None], "2024-02-29"),
    "at": (pa.timestamp("us"), [None, None, None], "2024-02-29T10:00:00"),
    "kind": (pa.dictionary(pa.int32(), pa.string()), ["a", "b", None], "zebra"),
    "tags": (pa.list_(pa.string()), [["a"], [], None], ["x", "y"]),
    "box": (pa.struct({"x": pa.int16(), "y": pa.list_(pa.int8())}), [None] * 3,
            {"x": 1, "y": [1, 2]}),
    "vector": (pa.list_(pa.float32(), 2), [[1, 2], None, [3, 4]], [0.5, 0.25]),
    "view": (pa.string_view(), ["a", "b", None], "c"),
}  # fmt: skip


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
def test_values_of_every_type(tmp_path, engine, copy):
    columns = {n: pa.array(values, kind) for n, (kind, values, _) in VALUES.items()}
    if copy:
        del columns["view"]
    parquet(tmp_path / "1.parquet", {"id": ["a", "b", "c"], **columns})
    ds = str(tmp_path / "ds")
    create(ds, str(tmp_path / "1.parquet"), engine=engine, copy=copy)
    had = open_dataset(ds).to_table().to_pylist()
    line = {"id": "b", **{name: VALUES[name][2] for name in columns}}
    update(ds, fixes(tmp_path, json.dumps(line) + "\n", "f.jsonl"), "id", engine=engine)
    after = open_dataset(ds)
    assert after.schema == open_dataset(f"{ds}@1").schema
    found = after.to_table().to_pylist()
    assert [repr(found[0]), repr(found[2])] == [repr(had[0]), repr(had[2])]
    for name in columns:
        told = found[1][name]
        expected = VALUES[name][2]
        assert told == expected or str(told) in (expected, str(expected).replace("T", " "))
    # the same from Parquet: nothing differs any more
    pq.write_table(after.to_table().slice(1, 1), tmp_path / "f.parquet")
    again = update(ds, str(tmp_path / "f.parquet"), "id", engine=engine)
    assert (again.updated, again.committed) == (0, False)


def test_nothing_inside_a_cell_gets_lost(tmp_path, engine):
    kind = pa.struct({"x": pa.int16(), "y": pa.list_(pa.int8())})
    box = pa.array([{"x": 1, "y": [1]}], kind)
    parquet(tmp_path / "1.parquet", {"id": [1], "box": box, "tags": [["a"]]})
    ds = str(tmp_path / "ds")
    create(ds, str(tmp_path / "1.parquet"), engine=engine)
    for cell in ({"box": {"x": 2}}, {"box": {"x": 2, "y": [], "z": 3}}, {"tags": [1]}):
        text = json.dumps({"id": 1, **cell}) + "\n"
        with pytest.raises(SchemaError, match="cannot be"):
            update(ds, fixes(tmp_path, text, "f.jsonl"), "id", engine=engine)
    assert open_dataset(ds).version == 1
    line = {"id": 1, "box": {"y": [None, 7], "x": None}, "tags": []}
    update(ds, fixes(tmp_path, json.dumps(line) + "\n", "f.jsonl"), "id", engine=engine)
    assert open_dataset(ds).to_table().to_pylist() == [line]


CELLS = st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1))


@settings(max_examples=15)
@given(
    st.lists(CELLS, min_size=1, max_size=30),
    st.dictionaries(st.integers(0, 29), CELLS, min_size=1, max_size=10),
    st.sets(st.integers(0, 29), max_size=5),
)
def test_law_of_corrections(tmp_path_factory, values, changes, gone):
    """What is read afterwards is a dictionary updated by a dictionary, whatever was dropped."""
    place = tmp_path_factory.mktemp("law")
    gone &= set(range(len(values)))
    changes = {i: v for i, v in changes.items() if i < len(values) and i not in gone}
    table = pa.table({"id": range(len(values)), "v": pa.array(values, pa.int32())})
    parquet(place / "1.parquet", table, row_group_size=7)
    ds = str(place / "ds")
    with inline() as engine:
        create(ds, str(place / "1.parquet"), engine=engine)
        for i in gone:
            drop(ds, f"id = {i}", engine=engine)
        before = {i: row["v"] for i, row in by_id(ds).items()} if len(gone) < len(values) else {}
        if not changes:
            return
        lines = "".join(json.dumps({"id": i, "v": v}) + "\n" for i, v in changes.items())
        made = update(ds, fixes(place, lines, "f.jsonl"), "id", engine=engine)
        assert {i: row["v"] for i, row in by_id(ds).items()} == {**before, **changes}
        assert made.updated == sum(before[i] != v for i, v in changes.items())


BAD = [
    ("id,label\n1,x\n1000,y\n", BadRows, r"No row of .* row 2 \(id 1000\)"),
    ("id,label\n1,x\n2,y\n1,z\n", BadRows, r"comes twice: rows 1 \(id 1\), 3 \(id 1\)"),
    ("id,label\n1,x\n,y\n", BadRows, "no id in row 2"),
    ("id,lable\n1,x\n", UnknownColumn, "Did you mean 'label'"),
    ("key,label\n1,x\n", UnknownColumn, "no column 'id'"),
    ("id,stars\n1,4\n2,many\n3,300\n", SchemaError, r"int8, which rows 2 \('many'\), 3 \('300'\)"),
    ("id\n1\n", UsageError, "no column to change"),
    ("id,stars\none,4\n", SchemaError, r"row 1 \('one'\)"),
    ("id,label\n1,x,y\n", CorruptFile, "cannot be read"),
    ("id,label,label\n1,x,y\n", CorruptFile, "two columns 'label'"),
    ("", CorruptFile, "is empty"),
]


@pytest.mark.parametrize(("text", "kind", "told"), BAD, ids=range(len(BAD)))
def test_bad_files_change_nothing(tmp_path, engine, text, kind, told):
    raw = {"id": [1, 2, 3], "label": list("abc"), "stars": pa.array([1, 2, 3], pa.int8())}
    parquet(tmp_path / "1.parquet", raw)
    ds = str(tmp_path / "ds")
    create(ds, str(tmp_path / "1.parquet"), engine=engine)
    before = objects(ds)
    with pytest.raises(kind, match=told):
        update(ds, fixes(tmp_path, text), "id", engine=engine)
    assert objects(ds) == before


def test_bad_keys_and_kinds_of_file(tmp_path, engine):
    raw = {"id": [1, 1, 2], "f": [1.0, 2.0, 3.0], "label": list("abc")}
    parquet(tmp_path / "1.parquet", raw)
    ds = str(tmp_path / "ds")
    create(ds, str(tmp_path / "1.parquet"), engine=engine)
    for text, name, on, kind, told in [
        ("id,label\n2,x\n1,x\n", "f.csv", "id", BadRows, r"Several rows .* row 2 \(id 1\)"),
        ("f,label\n2,x\n", "f.csv", "f", UsageError, "no key"),
        ("id,label\n2,x\n", "f.csv", "ID", UnknownColumn, "no column 'ID'"),
        ("id,label\n2,x\n", "f.xlsx", "id", UsageError, "csv, .jsonl or .parquet"),
        ("PAR1", "f.parquet", "id", CorruptFile, "cannot be read"),
        ('{"id": 2, "label": 3}\n', "f.jsonl", "id", SchemaError, r"row 1 \(3\)"),
        ('{"id": 2, "label": "x"}\n{"id": 3}\n', "f.jsonl", "id", CorruptFile, "Row 2 .* 'label'"),
        ('{"id": 2}\n[2]\n', "f.jsonl", "id", CorruptFile, "Row 2 .* no JSON object"),
        ('{"id": 2, "f": 1}\n{"id": 1, "f": "x"}\n', "f.jsonl", "id", CorruptFile, "Row 2"),
        ('{"id": 1.5, "label": "x"}\n', "f.jsonl", "id", SchemaError, r"row 1 \(1.5\)"),
    ]:
        with pytest.raises(kind, match=told):
            update(ds, fixes(tmp_path, text, name), on, engine=engine)
    with pytest.raises(NotFound):
        update(ds, str(tmp_path / "nothing.csv"), "id", engine=engine)
    assert len(log(ds).versions) == 1


def test_too_many_rows(tmp_path, engine):
    parquet(tmp_path / "1.parquet", {"id": [1], "n": [1]})
    ds = str(tmp_path / "ds")
    create(ds, str(tmp_path / "1.parquet"), engine=engine)
    many = parquet(tmp_path / "many.parquet", {"id": range(1_000_001), "n": range(1_000_001)})
    with pytest.raises(UsageError, match="1,000,000 rows"):
        update(ds, many, "id", engine=engine)


def test_quotes_new_lines_and_empty_texts(tmp_path, engine):
    parquet(tmp_path / "1.parquet", {"id": [1, 2, 3, 4], "t": list("abcd")})
    ds = str(tmp_path / "ds")
    create(ds, str(tmp_path / "1.parquet"), engine=engine)
    with open(tmp_path / "f.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NOTNULL if hasattr(csv, "QUOTE_NOTNULL") else 2)
        writer.writerows([["id", "t"], [1, 'a "b",\nc'], [2, ""]])
        file.write("3,\n")
    update(ds, str(tmp_path / "f.csv"), "id", engine=engine)
    assert {i: r["t"] for i, r in by_id(ds).items()} == {1: 'a "b",\nc', 2: "", 3: None, 4: "d"}


def test_two_writers(ds, place, engine, monkeypatch):
    one = fixes(place, "id,label\n1,mine\n", "one.csv")
    two = fixes(place, "id,label\n2,theirs\n", "two.csv")
    more = {"id": [900], "label": ["n"], "stars": pa.array([1], pa.int8()), "text": ["t"]}
    parquet(f"{place}/more.parquet", more)
    with inline() as other, monkeypatch.context() as patch:
        meanwhile(patch, lambda: update(ds, two, "id", engine=other))
        with pytest.raises(CommitConflict):
            update(ds, one, "id", engine=engine)
    with inline() as other:
        meanwhile(monkeypatch, lambda: append(ds, f"{place}/more.parquet", engine=other))
        update(ds, one, "id", engine=engine)
    found = by_id(ds)
    assert (found[1]["label"], found[2]["label"], found[900]["label"]) == ("mine", "theirs", "n")
