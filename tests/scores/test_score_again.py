"""Scoring again: what is known is not computed again, and what became known makes no fuss."""

import datetime as dt
import json
import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dsm_dask
from dsm_dask.dataset import class_names
from dsm_dask.dataset.gc import gc
from dsm_dask.dataset.history import log
from dsm_dask.dataset.leftovers import WEEK
from dsm_dask.dataset.naming import branch
from dsm_dask.dataset.update import update
from dsm_dask.dataset.verify import verify
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.engine import Engine
from dsm_dask.errors import BadRows, UsageError
from dsm_dask.scores import column_metadata
from dsm_dask.scores.neighbours.neighbours import Neighbours
from dsm_dask.scores.out_of_fold.out_of_fold import OutOfFold

NAMES = np.array(["cat", "dog", "elk"])


@pytest.fixture(scope="module")
def engine():
    with Engine(workers=0) as one:
        yield one


def raw(folder, number, rows=40):
    random = np.random.default_rng(number)
    truth = random.integers(0, 3, rows)
    noisy = random.dirichlet(np.ones(3), rows) + 3 * np.eye(3)[truth]
    vectors = np.eye(3)[truth] + random.normal(0, 0.1, (rows, 3))
    table = pa.table(
        {
            "id": np.arange(rows) + 1000 * number,
            "p": pa.array(list(noisy / noisy.sum(1, keepdims=True)), pa.list_(pa.float64(), 3)),
            "y": NAMES[truth],
            "tags": pa.array([[str(NAMES[one])] for one in truth]),
            "v": pa.array(list(vectors), pa.list_(pa.float64(), 3)),
        }
    )
    path = folder / f"{number}.parquet"
    pq.write_table(table, path)
    return str(path)


@pytest.fixture
def ds(tmp_path, engine):
    return create(str(tmp_path / "ds"), raw(tmp_path, 1), engine=engine).dataset


def test_names_of_classes_become_known(ds, engine, tmp_path):
    """Probabilities first, labels later: what is named otherwise is said to be stale."""
    first = dsm_dask.score(ds, engine=engine, probs="p")
    before = open_dataset(ds).to_table()
    assert set(before["predicted_label"].to_pylist()) == {0, 1, 2}
    made = dsm_dask.score(ds, engine=engine, probs="p", label="y")
    assert set(made.stale) == {column.name for column in first.columns}
    assert made.computed["uncertainty"] == 40
    after = open_dataset(ds).to_table()
    assert after["predicted_label"].to_pylist() == NAMES[before["predicted_label"]].tolist()
    for name in before.column_names:
        if name != "predicted_label":
            assert after[name].equals(before[name]), name
    # and they stay known
    for options in ({}, {"label": "y"}):
        again = dsm_dask.score(ds, engine=engine, probs="p", **options)
        assert (again.committed, again.stale) == (False, ())
    append(ds, raw(tmp_path, 2), engine=engine)
    assert dsm_dask.score(ds, engine=engine, probs="p").computed == {"uncertainty": 40}
    assert set(open_dataset(ds).to_table()["predicted_label"].to_pylist()) == set(NAMES)


def test_other_names_and_other_parameters_are_still_an_error(ds, engine):
    dsm_dask.score(ds, engine=engine, probs="p", classes=["a", "b", "c"])
    with pytest.raises(UsageError, match="--replace"):
        dsm_dask.score(ds, engine=engine, probs="p", label="y")
    dsm_dask.score(ds, engine=engine, probs="p", prefix="x_")
    with pytest.raises(UsageError, match="--replace"):
        dsm_dask.score(ds, engine=engine, probs="p", label="y", renormalise=True, prefix="x_")


@pytest.mark.parametrize(
    ("scorer", "options"),
    [
        (Neighbours, {"embedding": "v", "label": "y", "neighbours": 3}),
        (OutOfFold, {"out_of_fold": "v", "label": "y"}),
    ],
)
def test_nothing_is_searched_or_trained_again_for_nothing(
    ds, engine, tmp_path, monkeypatch, scorer, options
):
    prepared = []
    real = scorer.prepare

    def counting(self, table, *rest):
        prepared.append(table.version)
        return real(self, table, *rest)

    monkeypatch.setattr(scorer, "prepare", counting)
    assert dsm_dask.score(ds, engine=engine, **options).committed
    dsm_dask.score(ds, engine=engine, probs="p", prefix="own_")  # other columns move nothing
    again = dsm_dask.score(ds, engine=engine, **options)
    assert (again.committed, again.stale, set(again.computed.values())) == (False, (), {0})
    assert len(prepared) == 1
    other = {**options, "label": "y", "prefix": "x_"}
    dsm_dask.score(ds, engine=engine, **other)
    assert len(prepared) == 2
    (tmp_path / "fixes.csv").write_text("id,y\n1000,elk\n1001,elk\n1002,elk\n")
    update(ds, str(tmp_path / "fixes.csv"), "id", engine=engine)
    assert dsm_dask.score(ds, engine=engine, **options).committed
    assert len(prepared) == 3
    append(ds, raw(tmp_path, 2), engine=engine)
    made = dsm_dask.score(ds, engine=engine, **options)
    assert max(made.computed.values()) == 80  # any row may have new neighbours
    assert len(prepared) == 4
    names = [column.name for column in made.columns]
    fresh = create(
        str(tmp_path / "fresh"), [raw(tmp_path, 1), raw(tmp_path, 2)], engine=engine
    ).dataset
    update(fresh, str(tmp_path / "fixes.csv"), "id", engine=engine)
    dsm_dask.score(fresh, engine=engine, **options)
    assert open_dataset(ds).to_table(names).equals(open_dataset(fresh).to_table(names))


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"probs": "p", "label": "y"}, "y"),
        ({"probs": "p", "label": "tags", "kind": "multilabel"}, "tags"),
        ({"out_of_fold": "v", "label": "y"}, "y"),
        ({"embedding": "v", "label": "y"}, "y"),
        ({"annotators": ["y", "other"]}, "y"),
    ],
    ids=str,
)
def test_an_unknown_label_is_named_by_its_row_id(tmp_path, engine, options, column):
    one = raw(tmp_path, 1)
    table = pq.read_table(raw(tmp_path, 2)).to_pylist()
    table[7] = {**table[7], "y": "yak", "tags": ["cat", "yak"]}
    pq.write_table(pa.Table.from_pylist(table, pq.read_schema(one)), tmp_path / "2.parquet")
    for path in (one, str(tmp_path / "2.parquet")):
        known = pq.read_table(path)
        pq.write_table(known.append_column("other", known["y"]), path)
    ds = create(str(tmp_path / "b"), [one, str(tmp_path / "2.parquet")], engine=engine).dataset
    found = open_dataset(ds).to_table(["id", "_rowid"]).to_pydict()
    (row,) = [r for i, r in zip(found["id"], found["_rowid"], strict=True) if i == 2007]
    with pytest.raises(BadRows, match=rf"'yak' of '{column}'.* row with the id {row}\b"):
        dsm_dask.score(ds, engine=engine, classes=NAMES.tolist(), **options)


# Many classes -------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path, engine):
    """150 classes, each of them once."""
    noisy = np.random.default_rng(4).dirichlet(np.ones(150), 150)
    table = pa.table(
        {
            "p": pa.array(list(noisy), pa.list_(pa.float64(), 150)),
            "y": [f"a class of some length, number {i:04}" for i in range(150)],
        }
    )
    pq.write_table(table, tmp_path / "many.parquet")
    return create(str(tmp_path / "many"), str(tmp_path / "many.parquet"), engine=engine).dataset


def told_by(ds):
    return sum(len(f.metadata[b"dsm.score"]) for f in open_dataset(ds).lance.schema if f.metadata)


def test_names_of_many_classes_are_kept_once(many, engine, tmp_path):
    made = dsm_dask.score(many, engine=engine, probs="p", label="y")
    assert len(made.columns) == 8
    assert told_by(many) < 8 * 1000  # 150 names take more than 5,000
    (kept,) = (tmp_path / "many" / "_dsm" / "classes").iterdir()
    names = open_dataset(many).to_table(["y"]).column(0).to_pylist()
    assert json.loads(kept.read_bytes()) == names
    known = column_metadata.read(open_dataset(many))["predicted_label"]
    assert known.class_names(many) == tuple(names)
    assert known.class_count == 150
    told = known.parameters["probabilities"]["classes"]
    assert told == {"count": 150, "digest": kept.stem, "first": names[:5]}
    assert len(json.dumps(log(many, 1).to_dict())) < 4000
    for options in ({}, {"label": "y"}):  # named by what is kept, and by the labels
        again = dsm_dask.score(many, engine=engine, probs="p", **options)
        assert (again.committed, again.stale) == (False, ())
    with pytest.raises(UsageError, match=r'made with .*"digest"'):
        dsm_dask.score(many, engine=engine, probs="p", classes=names[::-1])


def test_names_that_are_gone_are_damage(many, engine, tmp_path):
    dsm_dask.score(many, engine=engine, probs="p", label="y")
    found = verify(many, engine=engine)
    assert found.ok
    (kept,) = (tmp_path / "many" / "_dsm" / "classes").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole.replace(b"0003", b"0004"))
    (damage,) = verify(many, engine=engine).damaged
    assert (damage.uri, "not what was written" in damage.problem) == (str(kept), True)
    kept.unlink()
    assert [one.uri for one in verify(many, engine=engine).damaged] == [str(kept)]
    assert verify(f"{many}@1", engine=engine).ok
    assert verify(f"{many}@1", engine=engine).objects < found.objects


def test_names_that_no_version_has_are_removed(many, engine, tmp_path):
    folder = tmp_path / "many" / "_dsm" / "classes"

    def collected(days=0, **options):
        return gc(many, older_than=dt.timedelta(days=days), **options).unused

    dsm_dask.score(many, engine=engine, probs="p", label="y")
    (first,) = folder.iterdir()
    branch(many, "side")
    dsm_dask.score(many, engine=engine, probs="p", replace=True, classes=[*range(1000, 1150)])
    dsm_dask.score(many, engine=engine, probs="p", label="y", replace=True, classes=None)
    (second,) = set(folder.iterdir()) - {first}
    assert collected() == ()  # a run may be about to commit
    for file in (first, second):
        os.utime(file, (time.time() - WEEK - 60,) * 2)
    assert collected(30) == ()
    assert collected(dry_run=True) == (str(second),)
    assert collected() == (str(second),)
    assert verify(many, engine=engine).ok
    assert verify(f"{many}@side", engine=engine).ok


def test_names_that_stand_in_the_metadata_are_read(many, engine, monkeypatch):
    """As before there was an object for them: what is right stays right."""
    with monkeypatch.context() as earlier:
        earlier.setattr(class_names, "MOST", 1 << 30)
        dsm_dask.score(many, engine=engine, probs="p", label="y")
    assert told_by(many) > 8 * 5000
    again = dsm_dask.score(many, engine=engine, probs="p", label="y")
    assert (again.committed, again.stale, set(again.computed.values())) == (False, (), {0})
    assert not dsm_dask.score(many, engine=engine, probs="p").committed


def test_many_numbers_become_names(many, engine):
    dsm_dask.score(many, engine=engine, probs="p")
    made = dsm_dask.score(many, engine=engine, probs="p", label="y")
    assert "predicted_label" in made.stale
    assert made.computed["uncertainty"] == 150
