"""Scoring: columns are computed where they are missing or wrong, and nothing else is written."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from dsm_trials import inline, objects, parquet, rows
from meanwhile import meanwhile

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import log
from dsm_dask.dataset.naming import branch, restore
from dsm_dask.dataset.verify import verify
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.errors import BadRows, CommitConflict, SchemaError, UnknownColumn, UsageError
from dsm_dask.scores import column_metadata
from dsm_dask.scores.score import score
from dsm_dask.stats.moments import Moments


@dataclasses.dataclass(frozen=True)
class Scaled:
    """``factor`` times a column: of the row alone."""

    column: str = "a"
    factor: float = 2.0
    name: str = "scaled"
    kind: str = "float"
    bad: int = -1

    @property
    def columns(self):
        return (self.column,)

    @property
    def schema(self):
        return pa.schema({"scaled": pa.type_for_alias(self.kind), "is_large": pa.bool_()})

    @property
    def parameters(self):
        return {"factor": self.factor}

    def prepare(self, table, engine, work):
        return {}

    def apply(self, batch, quantities):
        values = batch.column(self.column)
        if pc.any(pc.equal(values, self.bad)).as_py():
            from dsm_dask.scores.row_names import named

            raise BadRows(f"{self.bad} cannot be scaled: {named(batch, [0])}.")
        made = pc.multiply(values, self.factor).cast(pa.type_for_alias(self.kind))
        return pa.record_batch([made, pc.greater(made, 100)], schema=self.schema)


@dataclasses.dataclass(frozen=True)
class Centred:
    """A column less its mean over the whole table."""

    column: str = "a"
    name: str = "centred"

    @property
    def columns(self):
        return (self.column,)

    @property
    def schema(self):
        return pa.schema({"centred": pa.float64()})

    @property
    def parameters(self):
        return {}

    def prepare(self, table, engine, work):
        return {"mean": engine.fold(table, Moments(self.column)).result.mean}

    def apply(self, batch, quantities):
        values = pc.subtract(batch.column(self.column).cast(pa.float64()), quantities["mean"])
        return pa.record_batch([values], schema=self.schema)


def expected(ds, factor=2.0):
    """Every row of a dataset has the scores that its values and the table's mean give."""
    found = rows(open_dataset(ds))
    mean = sum(row["a"] for row in found.values()) / len(found)
    for row in found.values():
        assert row["scaled"] == row["a"] * factor
        assert row["is_large"] == (row["a"] * factor > 100)
        assert row["centred"] == pytest.approx(row["a"] - mean)
    return found


def source(place, number, values):
    table = {"n": np.arange(len(values)) + 1000 * number, "a": pa.array(values, pa.int64())}
    return parquet(f"{place}/raw/{number}.parquet", table)


@pytest.fixture(params=[False, True], ids=["linked", "copied"])
def ds(request, place, engine):
    for number in range(3):
        source(place, number, list(range(number * 50, number * 50 + 50)))
    create(f"{place}/ds", f"{place}/raw", engine=engine, copy=request.param)
    return f"{place}/ds"


BOTH = (Scaled(), Centred())


def stored(ds):
    """All objects but the one that Lance writes again at each commit."""
    return {u: t for u, t in objects(ds).items() if not u.endswith("latest_version_hint.json")}


def untouched(ds, before):
    return {uri: told for uri, told in stored(ds).items() if uri in before} == before


def data_files(ds):
    return {uri: told for uri, told in objects(ds).items() if uri.endswith(".lance")}


def test_scores_of_every_row(ds, engine):
    before = stored(ds)
    made = score(ds, BOTH, engine=engine, message="first")
    expected(ds)
    assert (made.version, made.rows, made.committed) == (2, 150, True)
    assert made.computed == {"scaled": 150, "centred": 150}
    assert untouched(ds, before)
    told = json.loads(json.dumps(made.to_dict()))
    assert told["columns"]["centred"]["mean"] == pytest.approx(0)
    assert told["columns"]["scaled"]["max"] == 298
    assert told["columns"]["is_large"]["top"] == [
        {"value": True, "count": 99}, {"value": False, "count": 51}]  # fmt: skip
    assert verify(ds, engine=engine).unrecorded == 0
    assert verify(ds, engine=engine).ok


def test_again_commits_nothing(ds, engine):
    score(ds, BOTH, engine=engine)
    before = objects(ds)
    again = score(ds, BOTH, engine=engine)
    assert (again.version, again.committed) == (2, False)
    assert again.computed == {"scaled": 0, "centred": 0}
    assert objects(ds) == before
    # ... nor does a run that begins at the version before its own commit
    done = score(open_dataset(f"{ds}@1"), BOTH, engine=engine)
    assert (done.version, done.committed) == (2, False)
    assert objects(f"{ds}/_versions") == {u: t for u, t in before.items() if "/_versions/" in u}


def test_after_an_append_only_new_rows_are_computed(ds, place, engine):
    score(ds, [Scaled()], engine=engine)
    append(ds, source(place, 7, [500, 501, 502]), engine=engine)
    before = data_files(ds)
    made = score(ds, [Scaled()], engine=engine)
    assert made.computed == {"scaled": 3}
    assert made.stale == ()
    new = {uri: told for uri, told in data_files(ds).items() if uri not in before}
    assert len(new) == 1
    assert {uri: data_files(ds)[uri] for uri in before} == before
    found = rows(open_dataset(ds))
    assert [row["scaled"] for row in found.values()] == [row["a"] * 2 for row in found.values()]


def test_stale_scores_are_told_and_computed_again(ds, place, engine):
    score(ds, BOTH, engine=engine)
    append(ds, source(place, 7, [5000]), engine=engine)
    before = objects(ds)
    dry = score(ds, BOTH, engine=engine, dry_run=True)
    assert objects(ds) == before
    assert (dry.stale, dry.computed) == (("centred",), {"scaled": 1, "centred": 151})
    assert not dry.committed
    made = score(ds, BOTH, engine=engine)
    assert made.stale == ("centred",)
    assert made.computed == {"scaled": 1, "centred": 151}
    expected(ds)
    told = column_metadata.read(open_dataset(ds))
    assert (told["centred"].version, told["scaled"].version) == ("3", "3")
    assert score(ds, BOTH, engine=engine).committed is False


def test_dropped_rows(ds, engine):
    drop(ds, "a < 10 OR a IN (77, 149) OR a BETWEEN 100 AND 120", engine=engine)
    score(ds, BOTH, engine=engine)
    assert len(expected(ds)) == 150 - 10 - 2 - 21
    drop(ds, "a < 60", engine=engine)
    again = score(ds, BOTH, engine=engine)
    assert again.computed == {"scaled": 0, "centred": 67}
    expected(ds)
    assert verify(ds, engine=engine).ok


def test_other_parameters(ds, engine):
    score(ds, BOTH, engine=engine)
    with pytest.raises(UsageError, match=r"factor 2\.0, not factor 3\.0"):
        score(ds, [Scaled(factor=3.0)], engine=engine)
    score(ds, [Scaled(factor=3.0)], engine=engine, replace=True)
    expected(ds, factor=3.0)
    assert column_metadata.read(open_dataset(ds))["scaled"].parameters == {"factor": 3.0}
    # of another type, as well
    score(ds, [Scaled(factor=4.0, kind="int64")], engine=engine, replace=True)
    expected(ds, factor=4.0)
    assert open_dataset(ds).schema.field("scaled").type == pa.int64()
    assert verify(ds, engine=engine).ok


def test_prefix_keeps_both(ds, engine):
    score(ds, [Scaled()], engine=engine)
    score(ds, [Scaled(factor=3.0)], engine=engine, prefix="new_")
    table = open_dataset(ds).to_table()
    assert table["new_scaled"].to_pylist() == [3.0 * a for a in table["a"].to_pylist()]
    assert table["scaled"].to_pylist() == [2.0 * a for a in table["a"].to_pylist()]


def test_metadata_survives(ds, place, engine):
    score(ds, BOTH, engine=engine)
    first = column_metadata.read(open_dataset(ds))
    assert first["scaled"].to_dict() == {
        "scorer": "scaled", "parameters": {"factor": 2.0}, "sources": ["a"], "version": "1",
        "quantities": first["scaled"].quantities, "software": first["scaled"].software,
    }  # fmt: skip
    assert set(first) == {"scaled", "is_large", "centred"}
    append(ds, source(place, 7, [1]), engine=engine)
    drop(ds, "a = 3", engine=engine)
    assert column_metadata.read(open_dataset(ds)) == first
    branch(ds, "side")
    assert column_metadata.read(open_dataset(f"{ds}@side")) == first
    score(f"{ds}@side", BOTH, engine=engine)
    expected(f"{ds}@side")
    restore(ds, "1")
    assert column_metadata.read(open_dataset(ds)) == {}
    restore(ds, "2")
    assert column_metadata.read(open_dataset(ds)) == first
    assert score(ds, BOTH, engine=engine).computed == {"scaled": 0, "centred": 0}


def test_what_others_commit_meanwhile_is_kept(ds, place, engine, monkeypatch):
    with inline() as other:

        def busy():
            append(ds, source(place, 7, [1, 2, 3]), engine=other)
            drop(ds, "a = 100", engine=other)
            add_columns(ds, _Other(), engine=other)

        meanwhile(monkeypatch, busy)
        made = score(ds, [Scaled()], engine=engine)
    assert (made.version, made.rows, made.committed) == (5, 152, True)
    assert [v.job for v in log(ds).versions] == ["score", "columns", "drop", "append", "create"]
    found = list(rows(open_dataset(ds)).values())
    assert all(row["other"] == 1 for row in found)
    for row in found:
        assert row["scaled"] == (None if row["n"] >= 7000 else 2.0 * row["a"])
    assert score(ds, [Scaled()], engine=engine).computed == {"scaled": 3}
    assert all(row["scaled"] == 2.0 * row["a"] for row in rows(open_dataset(ds)).values())


def test_the_same_scores_by_another_writer(ds, engine, monkeypatch):
    with inline() as other:
        meanwhile(monkeypatch, lambda: score(ds, [Scaled(factor=9.0)], engine=other))
        with pytest.raises(CommitConflict):
            score(ds, [Scaled()], engine=engine)
    assert [v.job for v in log(ds).versions] == ["score", "create"]
    assert column_metadata.read(open_dataset(ds))["scaled"].parameters == {"factor": 9.0}


def test_a_restore_meanwhile_is_a_conflict(ds, engine, monkeypatch):
    drop(ds, "a < 5", engine=engine)
    meanwhile(monkeypatch, lambda: restore(ds, "1"))
    with pytest.raises(CommitConflict):
        score(ds, [Scaled()], engine=engine)
    assert log(ds).versions[0].job == "restore"


def test_bytes_written(tmp_path, engine):
    """Law: besides the new columns next to nothing is written."""
    values = np.random.default_rng(1).normal(size=(3, 100_000))
    for number in range(3):
        parquet(tmp_path / f"raw/{number}.parquet", {"a": values[number], "text": ["x"] * 100_000})
    ds = str(tmp_path / "ds")
    create(ds, str(tmp_path / "raw"), engine=engine)
    before = stored(ds)
    score(ds, [Scaled()], engine=engine)
    columns = open_dataset(ds).to_table(["scaled", "is_large"])
    new = sum(size for uri, (size, _) in objects(ds).items() if uri not in before)
    states = sum(size for uri, (size, _) in objects(f"{ds}/_dsm/states").items())
    assert (new - states) / columns.nbytes <= 1.1
    assert untouched(ds, before)
    assert log(ds).versions[0].bytes_written <= 1.1 * columns.nbytes


def test_bad_input(ds, engine):
    before = objects(ds)
    with pytest.raises(UnknownColumn, match="nope"):
        score(ds, [Scaled(column="nope")], engine=engine)
    with pytest.raises(UsageError, match="nothing to score"):
        score(ds, [], engine=engine)
    with pytest.raises(UsageError, match="Two scores"):
        score(ds, [Scaled(), Scaled()], engine=engine)
    with pytest.raises(UsageError, match="reserved"):
        score(ds, [Scaled()], engine=engine, prefix="_dsm_")
    with pytest.raises(UsageError, match="the same run writes"):
        score(ds, [Scaled(), _Reads()], engine=engine)
    assert objects(f"{ds}/_versions") == {u: t for u, t in before.items() if "/_versions/" in u}


def test_columns_that_are_no_scores_are_left_alone(ds, engine):
    add_columns(ds, _Other("scaled"), engine=engine)
    with pytest.raises(SchemaError, match="holds no scores"):
        score(ds, [Scaled()], engine=engine, replace=True)


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
def test_partitions_left_out_have_no_scores(tmp_path, copy):
    """Neither new ones, nor those that were made with other parameters."""
    for number in range(3):
        source(tmp_path, number, [number, number + 10])
    ds = str(tmp_path / "ds")
    with inline() as engine:
        create(ds, str(tmp_path / "raw"), engine=engine, copy=copy)
        append(ds, source(tmp_path, 7, [5, 6]), engine=engine)
        score(ds, [Scaled()], engine=engine)
        append(ds, source(tmp_path, 8, [-1, 6]), engine=engine)
        engine.on_error = "skip"
        made = score(ds, [Scaled()], engine=engine)
        assert (made.committed, len(engine.skipped)) == (False, 1)
        again = score(ds, [Scaled(factor=3.0, bad=5)], engine=engine, replace=True)
        assert (again.committed, len(engine.skipped)) == (True, 2)
        for r in rows(open_dataset(ds)).values():
            assert r["scaled"] == (None if r["n"] in (7000, 7001) else 3 * r["a"])
        assert verify(ds, engine=engine).ok
        whole = score(ds, [Scaled(factor=3.0)], engine=engine)
        assert whole.computed == {"scaled": 2}
        assert all(r["scaled"] == 3 * r["a"] for r in rows(open_dataset(ds)).values())


def test_bad_rows_are_named_by_id(ds, place, engine):
    append(ds, source(place, 8, [4, -1]), engine=engine)
    with pytest.raises(BadRows, match="row with the id 150"):
        score(ds, [Scaled()], engine=engine)
    assert log(ds).versions[0].job == "append"


@dataclasses.dataclass(frozen=True)
class _Other:
    named: str = "other"

    columns = ("a",)

    @property
    def schema(self):
        return pa.schema({self.named: pa.int64()})

    def apply(self, batch):
        ones = pa.array(np.ones(batch.num_rows, np.int64))
        return pa.record_batch([ones], schema=self.schema)


@dataclasses.dataclass(frozen=True)
class _Reads(Centred):
    column: str = "scaled"
