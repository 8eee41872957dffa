"""Scores and corrections from the command line, Python and jobs."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

_HELPERS = str(Path(__file__).parents[1] / "faults")
if _HELPERS not in sys.path:
    sys.path.append(_HELPERS)

from dsm_trials import dsm, inline, objects, parquet, put

import dsm_dask
from dsm_dask.dataset.version import open_dataset
from dsm_dask.errors import JobSpecError, UnknownColumn, UsageError
from dsm_dask.jobs.run import run_job
from dsm_dask.jobs.spec import parse_job
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
    assert "Stale, as the table has changed: label_issue" in stale.out
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
    ({"probs": ["low", "high"], "kind": "regression"}, ["uncertainty"]),
    ({"annotators": ["ann", "bob"]}, ["consensus", "disagreement"]),
    (
        {"annotators": ["ann", "bob"], "probs": "p", "classes": list(NAMES)},
        ["uncertainty", "consensus", "disagreement"],
    ),
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
        ({"annotators": ["ann", "ann"]}, "twice"),
        ({"probs": "p", "kind": "tokens", "label": "label"}, "not held against tokens"),
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
