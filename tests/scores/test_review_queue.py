"""The review queue: what can be ranked by what, from the command line, Python and jobs."""

import json
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from queue_trials import table_of, write

import dsm_dask
from dsm_dask.cli import dsm
from dsm_dask.dataset.update import update
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine
from dsm_dask.errors import InvalidExpression, UnknownColumn, UsageError
from dsm_dask.scores.review.measures import MEASURES, score_columns
from dsm_dask.scores.review.queue_export import FORMATS, form
from dsm_dask.scores.review.review_queue import issues
from dsm_dask.sources.parquet import open_parquet


@pytest.fixture
def engine():
    with Engine(workers=0) as made:
        yield made


@pytest.fixture
def data(tmp_path):
    return open_parquet(write(tmp_path / "raw", table_of(600), 3))


@pytest.fixture
def dataset(tmp_path, engine):
    made = create(str(tmp_path / "ds"), [write(tmp_path / "raw", table_of(300), 2)], engine=engine)
    return made.dataset


def test_score_columns_are_found_by_name_and_prefix():
    floats = ["m_outlier_score", "m_uncertainty_margin", "m_uncertainty_entropy", "outlier_score"]
    schema = pa.schema([*(pa.field(name, pa.float32()) for name in floats), ("y", pa.string())])
    found = score_columns(schema, {}, prefix="m_")
    assert [(one.name, one.column) for one in found.measures] == [
        ("uncertainty", "m_uncertainty_entropy"), ("outlier", "m_outlier_score")
    ]  # fmt: skip
    assert found.by(None)[0] == "combined"
    # a column of that name that holds no scores does not count
    assert not score_columns(pa.schema([("label_quality", pa.string())]), {}).measures


def test_what_cannot_be(data, engine, tmp_path):
    for options, error, words in (
        ({"by": "disagreement"}, UsageError, "Rows can be ranked by label_quality"),
        ({"label": "nowhere"}, UnknownColumn, "nowhere"),
        ({"key": "nowhere"}, UnknownColumn, "nowhere"),
        ({"show": ["nowhere"]}, UnknownColumn, "nowhere"),
        ({"balance": "nowhere"}, UnknownColumn, "nowhere"),
        ({"where": "nowhere = 1"}, UnknownColumn, "nowhere"),
        ({"where": "y <"}, InvalidExpression, "not a condition"),
        ({"top": 0}, UsageError, "0 rows"),
    ):
        with pytest.raises(error, match=words):
            issues(data, engine=engine, **options)
    plain = open_parquet(write(tmp_path / "plain", pa.table({"x": [1]})))
    with pytest.raises(UsageError, match="dsm score"):
        issues(plain, engine=engine)


def test_no_row_has_a_score(tmp_path, engine):
    none = pa.table({"label_quality": pa.nulls(4, pa.float32()), "y": list("abcd")})
    found = issues(open_parquet(write(tmp_path / "raw", none)), engine=engine, label="y")
    assert (found.queued, found.ranked, found.rows) == ((), 0, 4)
    assert form(found).num_rows == 0


def test_from_the_command_line(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    html, out = tmp_path / "q.html", tmp_path / "q.csv"
    base = ["issues", dataset, "--workers", "0", "--label", "y", "--top", "30"]
    made = CliRunner().invoke(
        dsm, [*base, "--json", "--balance", "class", "--html", str(html), "--out", str(out)]
    )
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert (told["rows"], len(told["queued"]), told["balance"]) == (300, 30, "y")
    first = told["queued"][0]
    assert set(first) >= {
        "row",
        "key",
        "label",
        "suggested",
        "reasons",
        "scores",
        "shown",
        "ranked",
    }
    assert html.read_text().startswith("<!doctype html>")
    assert len(out.read_text().splitlines()) > 30
    text = CliRunner().invoke(dsm, base)
    assert text.stdout.startswith("30 of 300 ranked rows, by labels")
    assert f"r{told['queued'][0]['row']}" in made.stdout
    wrong = CliRunner().invoke(dsm, [*base, "--by", "disagreement"])
    assert wrong.exit_code == 2


def test_as_a_step_of_a_job(dataset, tmp_path, engine):
    from dsm_dask.jobs.run import run_job
    from dsm_dask.jobs.spec import Issues, parse_job

    text = f"""
    {{name: q, dataset: {dataset}, steps: [{{issues: {{top: 7, label: y, by: outlier,
      html: {tmp_path}/q.html, out: {tmp_path}/q.csv}}}}]}}
    """
    result = run_job(parse_job(text), engine=engine).steps[0].result
    assert [one["row"] for one in result["queued"]] == [
        one.row for one in issues(open_dataset(dataset), engine=engine, top=7, by="outlier").queued
    ]
    assert (tmp_path / "q.html").exists()
    assert (tmp_path / "q.csv").exists()
    for name, values in (("by", MEASURES), ("format", FORMATS)):
        (known, _) = get_args(Issues.model_fields[name].annotation)
        assert set(get_args(known)) == set(values)


def test_scores_know_their_label(tmp_path, engine):
    """Scored, queued, corrected, scored again: only by what the columns say of themselves."""
    from dsm_dask.scores.neighbours.class_share import ClassShare
    from dsm_dask.scores.neighbours.neighbours import Neighbours
    from dsm_dask.scores.score import score

    random = np.random.default_rng(4)
    home = random.integers(0, 3, 300)
    vectors = np.eye(3, 8)[home] + 0.1 * random.normal(size=(300, 8))
    labels = np.array(["cat", "dog", "emu"])[home]
    wrong = [7, 90, 211]
    given = labels.copy()
    given[wrong] = np.where(labels[wrong] == "cat", "dog", "cat")
    table = pa.table({"id": range(300), "animal": given, "v": vectors.astype(np.float32).tolist()})
    uri = create(str(tmp_path / "ds"), [write(tmp_path / "raw", table)], engine=engine).dataset
    scorers = [Neighbours("v", "animal", neighbours=5), ClassShare("animal")]
    first = score(uri, scorers, engine=engine)
    assert first.computed == {"neighbours": 300, "class_share": 300}
    again = score(uri, scorers, engine=engine)
    assert (again.committed, again.stale) == (False, ())
    found = dsm_dask.issues(uri, engine=engine, top=3)
    assert (found.label, found.by, found.version) == ("animal", "labels", str(first.version))
    assert {one.row for one in found.queued} == set(wrong)
    for one in found.queued:
        assert one.suggested == labels[one.row]
        assert f"0 of 5 neighbours are `{one.label}`, most `{labels[one.row]}`" in one.reasons
    path = tmp_path / "fixes.csv"
    found.save(str(path))
    text = path.read_text()
    for one in found.queued:
        text = text.replace(f"\n{one.key},,", f"\n{one.key},{one.suggested},")
    path.write_text(text)
    assert update(uri, str(path), "id", engine=engine).updated == 3
    after = score(uri, scorers, engine=engine)
    assert after.stale == (*(f.name for f in scorers[0].schema), "class_share")
    assert after.computed == {"neighbours": 300, "class_share": 300}
    agreement = open_dataset(uri).to_table(["neighbour_agreement"])[0].to_numpy()
    assert agreement.min() == 1
