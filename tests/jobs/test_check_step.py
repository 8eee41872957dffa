"""A check in a job: a gate that what comes after it has to pass."""

import json
from pathlib import Path

import pytest
from dsm_trials import dsm, parquet

from dsm_dask.dataset.history import log
from dsm_dask.engine import Engine
from dsm_dask.jobs.run import run_job
from dsm_dask.jobs.spec import load_job

SCHEMA = "new_columns: true\ncolumns: {n: {type: int64, max: 9}}\n"


@pytest.fixture
def place(tmp_path):
    parquet(tmp_path / "1.parquet", {"n": [*range(9), 8], "s": list("abcdefghij")})
    parquet(tmp_path / "2.parquet", {"n": [5, 50, 7], "s": list("xyz")})
    (tmp_path / "schema.yaml").write_text(SCHEMA)
    return tmp_path


def run(place: Path, gate: str, *options: str):
    gate = gate.replace("PLACE", str(place))
    steps = [
        f"create: {{sources: '{place}/1.parquet'}}",
        f"check: {{against: '{place}/schema.yaml'}}",
        f"append: {{sources: '{place}/2.parquet'}}",
        f"check: {{{gate}}}",
        "tag: {name: good}",
    ]
    text = "".join(f"  - {step}\n" for step in steps)
    (place / "job.yaml").write_text(f"name: j\ndataset: '{place}/ds'\nsteps:\n{text}")
    return dsm("run", place / "job.yaml", *options)


def tags(place: Path) -> list[str]:
    return [tag for version in log(str(place / "ds")).versions for tag in version.tags]


@pytest.mark.parametrize("gate", ["against: 'PLACE/schema.yaml'", "against: 'PLACE/1.parquet'"])
def test_findings_stop_a_job(place, gate):
    for _ in range(2):  # run again, it comes to the same end
        said = run(place, gate, "--json")
        assert said.code == 1, said.err
        found = said.json
        assert found["stopped"] is True
        assert [step["verb"] for step in found["steps"]] == ["create", "check", "append", "check"]
        first, last = (step["result"] for step in found["steps"] if step["verb"] == "check")
        assert first["passed"] is True
        assert (last["passed"], last["rows"]) == (False, 13)
        above = next(one for one in last["findings"] if one["rule"] == "max")
        assert (above["column"], above["count"], above["examples"][0]["value"]) == ("n", 1, 50)
    assert len(log(str(place / "ds")).versions) == 2
    assert tags(place) == []
    assert "1 finding against" in run(place, "against: 'PLACE/schema.yaml'").out


def test_keys_of_plain_files_go_through_the_dataset(place, monkeypatch):
    """On a cluster, where workers share no disk, they are in its folder for the time being."""
    monkeypatch.setattr(Engine, "is_local", False)
    many = parquet(place / "many.parquet", {"n": range(5000), "s": ["a"] * 5000})
    steps = [{"create": {"sources": str(many)}}, {"check": {"against": str(many)}}]
    job = {"name": "j", "dataset": f"{place}/ds", "steps": steps}
    (place / "job.yaml").write_text(json.dumps(job))
    with Engine(workers=0) as engine:
        found = run_job(load_job(str(place / "job.yaml")), engine=engine).to_dict()
    assert found["steps"][1]["result"]["passed"] is True
    assert not [path for path in place.rglob("_dsm-*/**/*") if path.is_file()]


def test_a_job_may_go_on(place):
    said = run(place, "against: 'PLACE/schema.yaml', fail: false", "--json")
    assert (said.code, said.json["stopped"], len(said.json["steps"])) == (1, False, 5)
    assert tags(place) == ["good"]


def test_only_some_columns_and_a_page(place):
    gate = "against: 'PLACE/schema.yaml', columns: [s], examples: 0, html: 'PLACE/check.html'"
    said = run(place, gate, "--json")
    assert said.code == 0, said.err
    assert said.json["steps"][3]["result"]["checked"]["columns"] == 1
    assert "<html" in (place / "check.html").read_text()
    assert tags(place) == ["good"]


def test_a_schema_that_is_not_valid_is_an_error(place):
    (place / "schema.yaml").write_text("columns: {n: {maxx: 9}}")
    said = run(place, "against: 'PLACE/schema.yaml'", "--json")
    assert (said.code, said.error["code"]) == (2, "schema-file")


def test_the_plan_counts_the_columns(place):
    assert run(place, "against: 'PLACE/schema.yaml', fail: false").code == 1
    sizes = []
    for gate in ("", ", columns: [n, other]"):
        said = run(place, f"against: 'PLACE/schema.yaml'{gate}", "--dry-run", "--json")
        assert said.code == 0, said.err
        sizes.append([s["bytes_to_read"] for s in said.json["steps"] if s["verb"] == "check"][-1])
    whole, part = sizes
    assert whole > part > 0
    assert json.dumps(said.json)
