"""Drift in a job: a gate between what was appended and what comes after it."""

import json

import numpy as np
import pytest
from dsm_trials import dsm, parquet

from dsm_dask.errors import UsageError
from dsm_dask.jobs.plan import plan_job
from dsm_dask.jobs.spec import load_job, parse_job
from dsm_dask.jobs.submit import refuse_local


def rows(seed: int, moved: float = 0.0) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(seed)
    return {"a": noise.normal(moved, 1, 4000), "b": noise.normal(0, 1, 4000)}


@pytest.fixture
def place(tmp_path):
    parquet(tmp_path / "reference.parquet", rows(1))
    parquet(tmp_path / "alike.parquet", rows(2))
    parquet(tmp_path / "moved.parquet", rows(3, 2.0))
    return tmp_path


def job(place, source: str, more: str = "") -> str:
    reference = f"reference: '{place}/reference.parquet'"
    steps = f"""
  - create: {{sources: '{place}/{source}.parquet'}}
  - drift: {{{reference}{more}}}
  - tag: {{name: good}}
"""
    path = place / f"{source}.yaml"
    path.write_text(f"name: j\ndataset: '{place}/{source}'\nsteps:{steps}")
    return str(path)


def test_it_says_what_dsm_drift_says(place):
    """The same comparison as that of the command, on the version that the job has come to."""
    said = dsm("run", job(place, "alike"), "--json")
    assert said.code == 0, said.err
    found = said.json["steps"][1]["result"]
    alone = dsm("drift", place / "reference.parquet", place / "alike", "--json").json
    same = ("drifted", "columns", "reasons", "rows", "share_drifted")
    assert {name: found[name] for name in same} == {name: alone[name] for name in same}
    assert found["drifted"] is False
    assert len(said.json["steps"]) == 3


def test_drift_stops_a_job(place, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    said = dsm("run", job(place, "moved", f", html: '{place}/page.html'"), "--json")
    assert (said.code, said.json["stopped"]) == (1, True)
    assert [step["verb"] for step in said.json["steps"]] == ["create", "drift"]
    columns = said.json["steps"][1]["result"]["columns"]
    assert {name: column["drift"] for name, column in columns.items()} == {"a": True, "b": False}
    assert "<html" in (place / "page.html").read_text()
    shown = dsm("run", job(place, "moved"))
    assert "1 of 2 columns moved; the job stopped here" in shown.out


@pytest.mark.parametrize("more", [", fail: false", ", columns: [b]", ", share: 0.9"])
def test_a_job_goes_on(place, more):
    """It is told not to stop, or of nothing that moved, or of too few columns."""
    said = dsm("run", job(place, "moved", more), "--json")
    assert said.code == (1 if "fail" in more else 0)
    assert [step["verb"] for step in said.json["steps"]] == ["create", "drift", "tag"]
    assert said.json["stopped"] is False


def test_the_plan_counts_both_sides(place, engine):
    plan = plan_job(load_job(job(place, "alike", ", columns: [a]")), engine=engine)
    step = plan["steps"][1]
    assert step["bytes_read"] == 2 * step["bytes_to_read"] > 0
    assert json.dumps(plan)


def test_a_reference_on_one_machine_is_not_submitted():
    steps = "[{drift: {reference: /here/a.parquet}}]"
    with pytest.raises(UsageError, match=r"steps\[0\].drift.reference"):
        refuse_local(parse_job(f"{{name: j, dataset: s3://a/d, steps: {steps}}}"))
