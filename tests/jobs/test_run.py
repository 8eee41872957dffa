"""Jobs: what each step did, one set of versions however often they run, plans."""

import json

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import dsm, objects, parquet

from dsm_dask.dataset.history import log
from dsm_dask.dataset.version import open_dataset
from dsm_dask.sources.parquet import open_parquet

STEPS = """
  - create: {sources: '%(place)s/raw/*.parquet', message: all of it%(copy)s}
  - profile:
  - dedup: {on: text, drop: true, message: first ones}
  - drop: {where: n < 3}
  - tag: {name: curated}
  - append: {sources: '%(place)s/more/*.parquet'}
  - profile: {columns: [n]}
  - log:
  - diff:
  - verify:
  - report: {html: '%(place)s/report.html'}
"""


@pytest.fixture(params=["linked", "copied", pytest.param("s3", marks=pytest.mark.s3)])
def place(request, tmp_path):
    found = str(tmp_path)
    if request.param == "s3":
        found = f"s3://{request.getfixturevalue('bucket')}"
    for index in range(3):
        numbers = np.arange(index * 20, index * 20 + 20)
        table = pa.table({"n": numbers, "text": [f"t{n % 25}" for n in numbers.tolist()]})
        parquet(f"{found}/raw/{index}.parquet", table)
    parquet(f"{found}/more/x.parquet", {"n": [900], "text": ["new"]})
    copy = ", copy: true" if request.param == "copied" else ""
    text = STEPS % {"place": found, "copy": copy}
    job = tmp_path / "job.yaml"
    job.write_text(f"name: curate\ndataset: '{found}/ds'\nsteps:{text}")
    return found, str(job)


def test_a_job_run_twice_is_one_set_of_versions(place):
    place, job = place
    said = dsm("run", job, "--json")
    assert said.code == 0, said.err
    first = said.json
    assert [step["verb"] for step in first["steps"]] == [
        "create", "profile", "dedup", "drop", "tag", "append", "profile", "log", "diff", "verify",
        "report",
    ]  # fmt: skip
    steps = {step["verb"]: step["result"] for step in first["steps"]}
    assert (steps["dedup"]["duplicates"], steps["dedup"]["kept"]) == (35, 25)
    assert (steps["drop"]["dropped"], steps["append"]["added"]) == (3, 1)
    assert (steps["diff"]["added"], steps["diff"]["removed"]) == (1, 38)
    assert steps["verify"]["ok"] is True
    assert first["version"] == 4
    dataset = open_dataset(f"{place}/ds")
    want = [*range(3, 25), 900]
    assert dataset.to_table(["n"])["n"].to_pylist() == want
    versions = log(f"{place}/ds").to_dict()
    before = {u: o for u, o in objects(f"{place}/ds").items() if "/_versions/" in u}
    again = dsm("run", job, "--json")
    assert again.code == 0, again.err
    assert log(f"{place}/ds").to_dict() == versions
    assert {u: o for u, o in objects(f"{place}/ds").items() if "/_versions/" in u} == before
    steps = {step["verb"]: step["result"] for step in again.json["steps"]}
    assert (steps["dedup"]["version"], steps["drop"]["version"], steps["append"]["version"]) == (
        2,
        3,
        4,
    )
    assert again.json["version"] == 4
    assert not any(steps[verb]["committed"] for verb in ("create", "dedup", "drop", "append"))
    assert verify_ok(place)


def verify_ok(place: str) -> bool:
    return dsm("verify", f"{place}/ds", "--json").code == 0


def test_a_dry_run_prints_the_plan(place):
    place, job = place
    before = objects(place)
    found = dsm("run", job, "--dry-run", "--json").json
    assert objects(place) == before
    assert found["dry_run"] is True
    plan = {step["verb"]: step for step in found["steps"]}
    assert list(plan) == list(dict.fromkeys(step["verb"] for step in found["steps"]))[: len(plan)]
    table = open_parquet(f"{place}/raw")
    assert plan["dedup"]["bytes_to_read"] == table.column_sizes()["text"]
    assert plan["drop"]["bytes_to_read"] == table.column_sizes()["n"]
    assert plan["dedup"]["partitions"] >= 1
    assert plan["dedup"]["tasks"] >= 1
    assert plan["tag"]["bytes_to_read"] == 0
    shown = dsm("run", job, "--dry-run")
    assert "dry run" in shown.out
    assert "dedup" in shown.out


def run(tmp_path, dataset: str, steps: str, *more: str):
    job = tmp_path / "job.yaml"
    job.write_text(f"{{name: j, dataset: '{dataset}', steps: {steps}{''.join(more)}}}")
    return dsm("run", job, "--json")


def test_a_job_goes_on_with_a_dataset_that_is_there(tmp_path):
    source = parquet(tmp_path / "1.parquet", {"a": [1, 2, 3]})
    ds = str(tmp_path / "ds")
    assert dsm("create", ds, source).code == 0
    said = run(tmp_path, ds, "[{drop: {where: a = 1}}, {tag: {name: x}}, diff]")
    assert said.code == 0
    assert said.json["steps"][2]["result"]["removed"] == 1
    assert run(tmp_path, ds, "[{drop: {where: a = 1}}, {tag: {name: x}}]").code == 0
    assert len(log(ds).versions) == 2


def test_a_job_on_a_branch(tmp_path):
    source = parquet(tmp_path / "1.parquet", {"a": [1, 2, 3]})
    ds = str(tmp_path / "ds")
    assert dsm("create", ds, source).code == 0
    assert dsm("branch", ds, "side").code == 0
    said = run(tmp_path, f"{ds}@side", "[{drop: {where: a = 1}}, {drop: {where: a = 2}}, log]")
    assert said.code == 0, said.err
    assert open_dataset(ds).rows == 3
    assert open_dataset(f"{ds}@side").rows == 1


def test_a_branch_step_run_twice(tmp_path):
    source = parquet(tmp_path / "1.parquet", {"a": [1, 2, 3]})
    steps = f"[{{create: {{sources: '{source}'}}}}, {{branch: {{name: side}}}}]"
    assert run(tmp_path, str(tmp_path / "ds"), steps).code == 0
    assert run(tmp_path, str(tmp_path / "ds"), steps).code == 0


@pytest.mark.parametrize("name", ["ds", "a timeout 429"])  # its name says nothing of the store
def test_a_job_run_again_after_gc(tmp_path, name):
    source = parquet(tmp_path / "1.parquet", {"a": [1, 2, 3]})
    steps = f"[{{create: {{sources: '{source}'}}}}, {{drop: {{where: a = 1}}}}]"
    assert run(tmp_path, str(tmp_path / name), steps).code == 0
    assert dsm("gc", tmp_path / name, "--older-than", "0d").code == 0
    said = run(tmp_path, str(tmp_path / name), steps)
    assert said.code in (0, 2)  # done already, or an error that says what to do


def test_other_sources_are_another_job(tmp_path):
    """The dataset of some job is not taken for that of another."""
    for name in "12":
        parquet(tmp_path / f"{name}.parquet", {"a": [int(name)]})
    ds = str(tmp_path / "ds")
    steps = "[{create: {sources: '%s'}}]"
    assert run(tmp_path, ds, steps % (tmp_path / "1.parquet")).code == 0
    said = run(tmp_path, ds, steps % (tmp_path / "2.parquet"))
    assert said.code == 2
    assert said.error["code"] == "dataset-exists"
    assert len(log(ds).versions) == 1


def test_a_step_that_fails_leaves_the_steps_before_it(tmp_path):
    """What was committed stays; run again when mended, it goes on."""
    source = parquet(tmp_path / "1.parquet", {"a": [1, 2, 3]})
    ds = str(tmp_path / "ds")
    steps = (
        f"[{{create: {{sources: '{source}'}}}}, {{drop: {{where: %s = 1}}}}, {{tag: {{name: x}}}}]"
    )
    said = run(tmp_path, ds, steps % "b")
    assert said.code == 2
    assert said.error["code"] == "unknown-column"
    assert len(log(ds).versions) == 1
    assert run(tmp_path, ds, steps % "a").code == 0
    assert [v.job for v in log(ds).versions] == ["drop", "create"]


def test_on_error_skip(tmp_path):
    from dsm_trials import put

    from dsm_dask import storage

    parquet(tmp_path / "raw/1.parquet", {"n": list(range(400_000))})
    content = storage.read(parquet(tmp_path / "raw/2.parquet", {"n": list(range(400_000))}))
    put(tmp_path / "raw/2.parquet", content[:4] + b"\xff" * 4000 + content[4004:])
    steps = f"[{{create: {{sources: '{tmp_path}/raw'}}}}, {{drop: {{where: n < 5}}}}]"
    assert run(tmp_path, str(tmp_path / "ds1"), steps).code in (2, 3)
    said = run(tmp_path, str(tmp_path / "ds2"), steps, ", on_error: skip")
    assert said.code == 3
    assert "2.parquet" in json.dumps(said.json["skipped"])
    assert said.json["steps"][1]["result"]["dropped"] == 5


def test_no_dataset_and_no_create(tmp_path):
    said = run(tmp_path, str(tmp_path / "ds"), "[{drop: {where: a = 1}}]")
    assert (said.code, said.error["code"]) == (2, "not-a-dataset")
    job = tmp_path / "job.yaml"
    said = dsm("run", job, "--dry-run", "--json")
    assert (said.code, said.error["code"]) == (2, "job-spec")
    assert "steps[0].drop" in said.err


def test_the_schema_verb():
    from dsm_dask.jobs.spec import json_schema

    assert dsm("run", "--schema").out == json_schema()
