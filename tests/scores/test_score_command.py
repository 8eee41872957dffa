"""Scores and corrections from the command line, Python and jobs."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import dsm, inline, objects, parquet, put, rows

import dsm_dask
from dsm_dask import codec
from dsm_dask.dataset.version import open_dataset
from dsm_dask.errors import BadRows, JobSpecError, SchemaError, UnknownColumn, UsageError
from dsm_dask.jobs.run import run_job
from dsm_dask.jobs.spec import parse_job
from dsm_dask.scores.annotators.crowdlab import Crowdlab, Weights
from dsm_dask.scores.annotators.dawid_skene import Confusions
from dsm_dask.scores.annotators.mace import Competences
from dsm_dask.scores.scores import ScoreOptions, scorers_for
from dsm_dask.table import check_columns

NAMES = np.array(["cat", "dog", "elk"])


def some(place, number, rows=60):
    rng = np.random.default_rng(number)
    truth = rng.integers(0, 3, rows)
    numbers = rng.dirichlet(np.ones(3), rows) + 3 * np.eye(3)[truth]
    probs = (numbers / numbers.sum(1, keepdims=True)).astype(np.float32)
    flipped = np.where(rng.random(rows) < 0.1, (truth + 1) % 3, truth)
    columns = {
        "id": np.arange(rows) + 1000 * number,
        "p": pa.array(list(probs), pa.list_(pa.float32(), 3)),
        "label": NAMES[flipped],
        "place": flipped,
        "ann": pa.array([None if i % 7 == 0 else str(NAMES[t]) for i, t in enumerate(truth)]),
        "bob": NAMES[np.where(rng.random(rows) < 0.3, (truth + 1) % 3, truth)],
        "low": rng.random(rows),
        "high": 2 + rng.random(rows),
        "vector": pa.array(list(rng.normal(size=(rows, 4))), pa.list_(pa.float32(), 4)),
        **{f"p_{name}": probs[:, i] for i, name in enumerate(NAMES)},
    }  # fmt: skip
    return parquet(f"{place}/raw/{number}.parquet", columns)


@pytest.fixture
def ds(tmp_path):
    for number in range(2):
        some(tmp_path, number)
    assert dsm("create", tmp_path / "ds", tmp_path / "raw").code == 0
    return str(tmp_path / "ds")


def test_the_contract_of_score(ds, tmp_path):
    said = dsm("score", ds, "--probs", "p", "--label", "label", "--tag", "scored", "--json")
    assert said.code == 0, said.err
    told = said.json
    assert (told["dataset"], told["version"], told["rows"]) == (ds, 2, 120)
    column = told["columns"]["label_quality"]
    assert (column["scorer"], column["sources"], column["version"]) == (
        "label_quality", ["label", "p"], "1",
    )  # fmt: skip
    assert column["parameters"]["method"] == "self_confidence"
    assert 0 <= column["min"] <= column["quantiles"]["0.5"] <= column["max"] <= 1
    assert column["nulls"] == 0
    assert told["io"]["bytes_written"] > 0
    assert open_dataset(f"{ds}@scored").version == 2
    table = open_dataset(ds).to_table()
    assert column["mean"] == pytest.approx(np.mean(table["label_quality"].to_numpy()))
    shown = dsm("show", ds, "--json").json
    assert shown["scores"]["label_issue"] == {
        name: told["columns"]["label_issue"][name] for name in shown["scores"]["label_issue"]
    }
    assert "label_issues (confident_learning) from" in " ".join(dsm("show", ds).out.split())
    again = dsm("score", ds, "--probs", "p", "--label", "label")
    assert (again.code, "nothing to commit" in again.out) == (0, True)
    other = dsm("score", ds, "--probs", "p", "--label", "label", "--renormalise", "--json")
    assert (other.code, other.error["code"]) == (2, "usage")
    assert "renormalise" in other.error["what"]
    some(tmp_path, 7)
    dsm("append", ds, tmp_path / "raw")
    before = objects(tmp_path)
    stale = dsm("score", ds, "--probs", "p", "--label", "label", "--dry-run")
    assert objects(tmp_path) == before
    assert "Stale: label_issue" in stale.out
    assert "uncertainty of 60 rows" in stale.out


def test_update_and_what_it_makes_stale(ds, tmp_path):
    dsm("score", ds, "--probs", "p", "--label", "label")
    fixes = put(tmp_path / "fixes.csv", b"id,label\n1003,elk\n1004,elk\n1005,elk\n")
    said = dsm("update", ds, fixes, "--on", "id", "--who", "ann", "--tag", "mended", "--json")
    assert said.code == 0, said.err
    assert (said.json["version"], said.json["updated"]) == (3, said.json["changes"]["label"]["ann"])
    assert dsm("diff", f"{ds}@1", f"{ds}@mended", "--json").json["updated"] == said.json["updated"]
    assert dsm("log", ds, "--json").json["versions"][0]["spec"]["changes"]["label"]["ann"] > 0
    again = dsm("score", ds, "--probs", "p", "--label", "label", "--json").json
    assert again["computed"]["uncertainty"] == 0  # which labels have no part in
    assert 0 < again["computed"]["label_quality"] <= 120
    table = open_dataset(ds).to_table(["label", "p", "label_quality"]).to_pylist()
    for row in table:
        expected = row["p"][list(NAMES).index(row["label"])]
        assert row["label_quality"] == pytest.approx(expected)
    refused = dsm(
        "update", ds, put(tmp_path / "f.csv", b"id,label_quality\n1003,1\n"), "--on", "id"
    )
    assert (refused.code, "is computed" in refused.err) == (2, True)


COMBINATIONS = [
    ({"probs": "p"}, ["uncertainty"]),
    (
        {"probs": ["p_cat", "p_dog", "p_elk"], "label": "label"},
        ["uncertainty", "label_quality", "label_issues"],
    ),
    ({"probs": "p", "label": "place"}, ["uncertainty", "label_quality", "label_issues"]),
    ({"probs": ["low", "high"], "kind": "regression", "spread": "interval"}, ["uncertainty"]),
    ({"annotators": ["ann", "bob"]}, ["consensus", "disagreement"]),
    (
        {"annotators": ["ann", "bob"], "probs": "p", "classes": list(NAMES)},
        ["uncertainty", "consensus", "disagreement"],
    ),
    ({"annotators": ["ann", "bob"], "probs": "p"}, ["uncertainty", "consensus", "disagreement"]),
    ({"embedding": "vector"}, ["neighbours"]),
    ({"label": "label"}, ["class_share"]),
]
OUT_OF_FOLD = {"out_of_fold": "vector", "label": "label"}  # fmt: skip


@pytest.mark.parametrize(("options", "names"), COMBINATIONS, ids=range(len(COMBINATIONS)))
def test_options_make_scorers(ds, options, names):
    base = open_dataset(ds)
    with inline() as engine:
        scorers = scorers_for(base, ScoreOptions.of(**options), engine=engine)
        assert [one.name for one in scorers] == names
        for one in scorers:
            check_columns(base, one.columns)
            json.dumps(one.parameters)
        made = dsm_dask.score(ds, engine=engine, **options)
        assert [c.name for c in made.columns] == [n for one in scorers for n in one.schema.names]
        assert dsm_dask.score(ds, engine=engine, **options).committed is False
        if "annotators" in options:
            assert set(made.summaries["annotators"]["annotators"]) == {"ann", "bob"}


def test_probabilities_out_of_fold_are_scored(ds):
    with inline() as engine:
        dry = dsm_dask.score(ds, engine=engine, dry_run=True, **OUT_OF_FOLD)
        assert (dry.computed, dry.committed) == ({"out_of_fold": 120}, False)
        made = dsm_dask.score(ds, engine=engine, **OUT_OF_FOLD)
        assert (made.version, made.committed) == (3, True)
        assert list(made.computed) == [
            "out_of_fold",
            "uncertainty",
            "label_quality",
            "label_issues",
        ]
        table = open_dataset(ds).to_table(["probabilities", "label", "label_quality"])
        for row in table.to_pylist():
            expected = row["probabilities"][list(NAMES).index(row["label"])]
            assert row["label_quality"] == pytest.approx(expected)
        again = dsm_dask.score(ds, engine=engine, **OUT_OF_FOLD)
        assert (again.version, again.committed) == (3, False)


def test_what_cannot_be_scored_is_known_before_anything_is_learned(ds):
    with inline() as engine:
        dsm_dask.score(ds, engine=engine, probs="p", label="label")
        with pytest.raises(UsageError, match="was made with"):
            dsm_dask.score(ds, engine=engine, **OUT_OF_FOLD)
        assert open_dataset(ds).version == 2
        made = dsm_dask.score(ds, engine=engine, prefix="oof_", **OUT_OF_FOLD)
        assert (made.version, made.columns[0].name) == (4, "oof_probabilities")


@pytest.mark.parametrize("label", [{}, {"label": "label"}], ids=["alone", "with labels"])
def test_bad_rows_are_named_by_id(ds, tmp_path, label):
    table = pq.read_table(tmp_path / "raw/1.parquet")
    numbers = [row if i % 50 else [0.5, 0.6, 0.7] for i, row in enumerate(table["p"].to_pylist())]
    column = pa.array(numbers, pa.list_(pa.float32(), 3))
    pq.write_table(
        table.set_column(table.schema.get_field_index("p"), "p", column), tmp_path / "bad.parquet"
    )
    assert dsm("append", ds, tmp_path / "bad.parquet").code == 0
    bad = [row for row, told in rows(open_dataset(ds)).items() if sum(told["p"]) > 1.5]
    named = f"rows with the ids {', '.join(map(str, bad))};"
    with inline() as engine, pytest.raises(BadRows, match=named):
        dsm_dask.score(ds, engine=engine, probs="p", **label)


def test_what_was_left_out_is_not_counted(ds, tmp_path):
    bad = {"id": [9], "p": pa.array([[1, 1, 1]], pa.list_(pa.float32(), 3)), "label": ["cat"]}
    table = pq.read_table(tmp_path / "raw/1.parquet")
    more = {n: pa.nulls(1, table.schema.field(n).type) for n in table.schema.names if n not in bad}
    pq.write_table(pa.table({**bad, **more}).select(table.schema.names), tmp_path / "bad.parquet")
    assert dsm("append", ds, tmp_path / "bad.parquet").code == 0
    asked = ("score", ds, "--probs", "p", "--label", "label", "--on-error", "skip", "--json")
    said = dsm(*asked).json
    assert set(said["computed"].values()) == {120}
    assert [one["partition"] for one in said["skipped"]] == [
        f"{tmp_path}/bad.parquet (row groups 0 to 0)"
    ]
    again = dsm(*asked).json
    assert (set(again["computed"].values()), again["committed"]) == ({0}, False)


def test_scores_of_values_that_were_corrected_to_bad_ones_go(ds, tmp_path):
    asked = ("score", ds, "--probs", "p", "--json")
    dsm(*asked)
    told = rows(open_dataset(ds))
    first = next(iter(told.values()))["id"]
    line = {"id": int(first), "p": [0.5, 0.6, 0.7]}
    fixes = put(tmp_path / "f.jsonl", json.dumps(line).encode())
    assert dsm("update", ds, fixes, "--on", "id").code == 0
    assert dsm(*asked, "--on-error", "skip").json["committed"]
    found = open_dataset(ds).to_table(["id", "p", "uncertainty_margin"]).to_pylist()
    spoilt = {row["id"] for row in found if row["uncertainty_margin"] is None}
    assert len(spoilt) == 60  # a file
    assert first in spoilt
    assert not dsm(*asked, "--on-error", "skip").json["committed"]


def test_lists_of_numbers_are_members(tmp_path):
    columns = {"m": [[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]], "n": [[1.0, 1.0, 1.0]] * 2}
    parquet(tmp_path / "1.parquet", columns)
    ds = str(tmp_path / "ds")
    assert dsm("create", ds, tmp_path / "1.parquet").code == 0
    with inline() as engine:
        dsm_dask.score(ds, engine=engine, probs="m", kind="regression")
        found = open_dataset(ds).to_table()
        assert found["uncertainty_variance"].to_pylist() == pytest.approx([14 / 3, 0])
        assert found["uncertainty_interval"].to_pylist() == [5, 0]
        two = {"probs": ["m", "n"], "spread": "members"}
        for other in ({"spread": "variance"}, two, {"probs": ["n", "m", "m"]}):
            asked = {"probs": "m", "kind": "regression", "prefix": "x_", **other}
            with pytest.raises(SchemaError, match="holds lists"):
                dsm_dask.score(ds, engine=engine, **asked)


@pytest.mark.parametrize("prefix", ["v1.", "a`"])
def test_names_that_could_not_be_read_again(ds, prefix):
    with inline() as engine, pytest.raises(UsageError, match="no dots or backticks"):
        dsm_dask.score(ds, engine=engine, probs="p", prefix=prefix)
    assert open_dataset(ds).version == 1


def test_a_worker_knows_every_model_of_annotators():
    """One that has fitted none is asked for the consensus by one that was stored."""
    models = [
        Confusions(np.ones(2) / 2, np.ones((1, 2, 2)) / 2),
        Competences(np.ones(1), np.ones((1, 2))),
        Crowdlab(*[Weights(np.ones(1), 1.0, 0.5)] * 2),
    ]
    encoded = [codec.encode(one).hex() for one in models]
    code = (
        "import dsm_dask.scores.annotators.consensus_counts\nfrom dsm_dask import codec\n"
        f"for one in {encoded}: print(type(codec.decode(bytes.fromhex(one))).__name__)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["Confusions", "Competences", "Crowdlab"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "nothing to score by"),
        ({"prob": "p"}, "Did you mean 'probs'"),
        ({"probs": "p", "kind": "multi"}, "no kind 'multi'"),
        ({"probs": "p", "quality": "normalized_margin"}, "--quality says nothing by itself"),
        ({"label": "label", "logits": True}, "--logits says nothing by itself"),
        ({"probs": "p", "model": "m.onnx"}, "one of these"),
        ({"out_of_fold": "vector"}, "nothing to score by"),
        ({"probs": "p", "label": "label", "group": "place"}, "--group says nothing by itself"),
        ({"probs": "p", "kind": "regression", "label": "label"}, "no classes"),
        ({"probs": "p", "label": "id"}, "3 probabilities a row, and 120 labels"),
        ({"probs": "p", "label": "label", "filter": "mine"}, "no filter"),
        ({"probs": "p", "label": "place", "classes": ["--1", "²", "3"]}, "are numbers, and the"),
        ({"out_of_fold": ["vector", "label"], "label": "label"}, "what is to be learned"),
        ({"annotators": ["ann", "ann"]}, "twice"),
        ({"probs": "p", "kind": "tokens", "label": "label"}, "not held against tokens"),
        ({"probs": ["low", "high"], "kind": "regression"}, "bounds of an interval, or"),
    ],
)
def test_options_that_make_no_sense(ds, options, told):
    with inline() as engine, pytest.raises(UsageError, match=told):
        dsm_dask.score(ds, engine=engine, **options)
    with inline() as engine, pytest.raises(UnknownColumn):
        dsm_dask.score(ds, probs="q", engine=engine)
    assert open_dataset(ds).version == 1


def test_steps_of_a_job(ds, tmp_path):
    fixes = put(tmp_path / "fixes.jsonl", b'{"id": 1, "label": "elk"}\n{"id": 2, "label": "elk"}\n')
    text = f"""
name: curate
dataset: {ds}
steps:
  - score: {{probs: p, label: label}}
  - update: {{corrections: {fixes}, on: id, who: ann}}
  - score: {{probs: p, label: label}}
  - score: {{annotators: [ann, bob], consensus: majority}}
"""
    with inline() as engine:
        done = run_job(parse_job(text), engine=engine)
        assert done.version == 5
        assert [step.result["committed"] for step in done.steps] == [True] * 4
        again = run_job(parse_job(text), engine=engine)
        assert (again.version, open_dataset(ds).version) == (5, 5)
    with pytest.raises(JobSpecError, match="nothing to score by"):
        parse_job(f"{{name: x, dataset: {ds}, steps: [{{score: {{prefix: a}}}}]}}")
    with pytest.raises(JobSpecError, match="Did you mean 'probs'"):
        parse_job(f"{{name: x, dataset: {ds}, steps: [{{score: {{prob: a}}}}]}}")
