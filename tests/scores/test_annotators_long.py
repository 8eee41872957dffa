"""Long tables: a row for each answer."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from annotator_trials import (
    METHODS,
    THREE,
    answered,
    items_of,
    long,
    planted,
    scored,
    wide,
    write,
)

from dsm_dask.errors import BadRows, UnknownColumn, UsageError
from dsm_dask.scores.annotators.consensus import Consensus
from dsm_dask.scores.annotators.score_answers import score_answers


@pytest.mark.parametrize("method", METHODS)
def test_a_long_table_says_what_the_wide_one_does(method, engine, tmp_path):
    names, _ = planted(300, 6)
    names = names[[any(row) for row in names]]
    columns, told = scored(
        write(wide(names), tmp_path / "wide"), Consensus(THREE, method), engine, tmp_path / "w"
    )
    results = []
    for files, rows in ((1, 1000), (5, 17)):
        out = str(tmp_path / f"out{files}")
        table = write(long(names), tmp_path / f"long{files}", files, rows)
        results.append(answered(table, engine, method=method, out=out))
        found = items_of(out)
        for i, label in enumerate(columns["consensus_label"].to_pylist()):
            row = found[str(i)]
            assert row["consensus_label"] == label
            sure = columns["consensus_confidence"][i].as_py()
            assert math.isclose(row["consensus_confidence"], sure, abs_tol=1e-6)
            assert row["answers"] == sum(one is not None for one in names[i])
        assert len(found) == len(names)
    one, other = (dataclasses.replace(found, out=None) for found in results)
    assert one == other
    if method != "majority":
        assert np.allclose(told["quality"], [a.quality for a in one.annotators])


def test_items_are_spread_over_several_tasks(engine, tmp_path, monkeypatch):
    from dsm_dask.scores.annotators import answer_table

    names, _ = planted(200, 8)
    table = write(long(names), tmp_path / "long", 4)
    whole = answered(table, engine, out=str(tmp_path / "a"))
    monkeypatch.setattr(answer_table, "ROWS", 50)
    monkeypatch.setattr(answer_table, "FLUSH", 60)
    cut = answered(table, engine, out=str(tmp_path / "b"))
    assert dataclasses.replace(cut, out=None) == dataclasses.replace(whole, out=None)
    assert items_of(tmp_path / "a") == items_of(tmp_path / "b")
    assert len(list((tmp_path / "b" / "items").iterdir())) > 5


def test_the_tables_of_a_long_one(engine, tmp_path):
    rows = {"item": [3, 1, 3, 1, 2], "who": ["x", "x", "y", "y", "x"], "says": [True] * 4 + [False]}
    table = write(pa.table(rows), tmp_path / "t")
    found = answered(table, engine, method="majority", out=str(tmp_path / "out"))
    items = pq.read_table(tmp_path / "out" / "items")
    assert items.schema.names == [
        "item", "consensus_label", "consensus_confidence", "annotator_disagreement", "answers"
    ]  # fmt: skip
    assert items.schema.field("item").type == pa.int64()
    assert items.schema.field("consensus_label").type == pa.bool_()
    assert sorted(items.to_pylist(), key=lambda row: row["item"])[1] == {
        "item": 2, "consensus_label": False, "consensus_confidence": 1.0,
        "annotator_disagreement": None, "answers": 1,
    }  # fmt: skip
    people = pq.read_table(tmp_path / "out" / "annotators").to_pylist()
    assert [(one["annotator"], one["answers"]) for one in people] == [("x", 3), ("y", 2)]
    assert found.agreement.percent.value == 1


def test_answers_that_are_given_again(engine, tmp_path):
    rows = {"item": ["a"] * 4 + ["b"], "who": ["x", "y", "x", "x", "x"],
            "says": ["cat", "cat", "dog", "dog", "cat"]}  # fmt: skip
    table = write(pa.table(rows), tmp_path / "t", 5)
    found = answered(table, engine, method="majority", out=str(tmp_path / "out"))
    assert (found.repeated, found.changed, found.agreement.answers) == (2, 1, 3)
    assert items_of(tmp_path / "out")["a"]["annotator_disagreement"] == 1
    assert any("changed later" in note for note in found.notes)
    with pytest.raises(BadRows, match="given again"):
        answered(table, engine, repeated="error")
    same = write(pa.table({**rows, "says": ["cat"] * 5}), tmp_path / "same")
    assert answered(same, engine, repeated="error").changed == 0


def test_rows_that_are_no_answers(engine, tmp_path):
    rows = {"item": ["a", "a", None, "b", "c"], "who": ["x", None, "x", "x", "y"],
            "says": ["cat", "dog", "cat", None, "dog"]}  # fmt: skip
    table = write(pa.table(rows), tmp_path / "t", 2)
    found = answered(table, engine, out=str(tmp_path / "out"))
    assert found.left_out == {"no who": 1, "no item": 1, "no says": 1}
    assert (found.agreement.items, found.agreement.unanswered) == (2, 1)
    items = items_of(tmp_path / "out")
    assert set(items) == {"a", "b", "c"}
    assert items["b"]["consensus_label"] is items["b"]["consensus_confidence"] is None
    assert items["b"]["answers"] == 0


def test_a_dry_run_writes_nothing(engine, tmp_path):
    names, _ = planted(20, 9)
    table = write(long(names), tmp_path / "t")
    answered(table, engine, out=str(tmp_path / "out"), dry_run=True)
    assert not (tmp_path / "out").exists()


def test_an_empty_long_table(engine, tmp_path):
    empty = pa.table({name: pa.array([], pa.string()) for name in ("item", "who", "says")})
    for method in METHODS:
        out = tmp_path / f"out-{method}"
        found = answered(write(empty, tmp_path / "t"), engine, method=method, out=str(out))
        assert found.annotators == found.classes == ()
        assert found.agreement.percent.value is None
        assert items_of(out) == {}
        assert pq.read_schema(out / "items" / "part-00000.parquet").field("item").type == "string"
        people = pq.read_schema(out / "annotators" / "part-00000.parquet")
        assert people.field("annotator").type == "string"


def test_an_interrupted_run_is_made_again(engine, tmp_path):
    """The same of the same data goes on where it was; anything else does not mix with it."""
    table, out = write(long(planted(50)[0]), tmp_path / "t", 3), tmp_path / "out"
    whole = answered(table, engine, out=str(out))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "items" / "part-00000.parquet").unlink()
    (out / "annotators" / "part-00000.parquet").write_bytes(b"half")
    assert answered(table, engine, out=str(out)) == whole
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    for options in ({"method": "mace"}, {"repeated": "error"}, {"classes": ("cat", "cow", "dog")}):
        with pytest.raises(UsageError, match="not empty"):
            answered(table, engine, out=str(out), **options)
    with pytest.raises(BadRows):
        answered(table, engine, classes=("cat",), out=str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()
    changed = write(long(planted(51)[0]), tmp_path / "t", 3)
    with pytest.raises(UsageError, match="not empty"):
        answered(changed, engine, out=str(out))


def test_long_tables_that_cannot_be(engine, tmp_path):
    table = write(long(planted(5)[0]), tmp_path / "t")
    with pytest.raises(UsageError, match="three columns"):
        score_answers(table, ("item", "who"), engine=engine)
    with pytest.raises(UnknownColumn):
        score_answers(table, ("item", "whom", "says"), engine=engine)
    with pytest.raises(UsageError, match="probabilities"):
        answered(table, engine, method="crowdlab")
    with pytest.raises(BadRows, match="none of the classes"):
        answered(table, engine, classes=("cat", "cow"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        answered(table, engine, out=str(tmp_path / "full"))
