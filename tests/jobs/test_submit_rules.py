"""What may be submitted: places that are the same everywhere, and no secrets."""

from __future__ import annotations

import json

import pytest
from dsm_trials import dsm, dsm_apart, parquet

from dsm_dask.errors import JobSpecError, UsageError
from dsm_dask.jobs.spec import parse_job
from dsm_dask.jobs.submit import REMOTE, refuse_local, refuse_local_rows, uris

JOB = """
name: j
dataset: s3://lake/ds
steps:
  - create: {sources: ["s3://lake/raw/*.parquet"]}
  - check: {against: s3://lake/schema.yaml, html: s3://lake/check.html}
  - dedup: {on: text, method: minhash, against: [s3://lake/other], out: s3://lake/out}
  - drop: {where: "url = 'file:///etc/passwd'"}
  - report: {html: s3://lake/report.html}
"""


def test_every_place_is_looked_at():
    job = parse_job(JOB)
    places = dict(uris(job))
    assert set(places) == {
        "dataset", "steps[0].create.sources", "steps[1].check.against", "steps[1].check.html",
        "steps[2].dedup.against", "steps[2].dedup.out", "steps[4].report.html",
    }  # fmt: skip
    refuse_local(job)
    for place in places.values():
        for local in ("/data/x", "x", "../x", "file:///x", "memory://x", "local:///x", "~/x"):
            changed = parse_job(JOB.replace(place, local))
            with pytest.raises(UsageError, match="--allow-local"):
                refuse_local(changed)
            refuse_local(changed, allowed=True)


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize(
    "place", ["simplecache::file:///etc/passwd", "zip://a::s3://lake/x.zip", "s3::file:///x"]
)
def test_chains_of_file_systems_are_refused(place, allowed):
    with pytest.raises(UsageError):
        refuse_local(parse_job(JOB.replace("s3://lake/raw/*.parquet", place)), allowed)


@pytest.mark.parametrize("scheme", REMOTE)
def test_stores(scheme):
    refuse_local(parse_job(JOB.replace("s3://", f"{scheme}://")))


@pytest.mark.s3
def test_rows_that_are_linked_from_this_machine(s3, bucket, tmp_path):
    """The dataset is in the store, its rows are not."""
    parquet(tmp_path / "a.parquet", {"n": [1, 2]})
    linked, copied = f"s3://{bucket}/linked", f"s3://{bucket}/copied"
    assert dsm("create", linked, tmp_path / "a.parquet").code == 0
    assert dsm("create", copied, tmp_path / "a.parquet", "--copy").code == 0
    with pytest.raises(UsageError, match=r"a\.parquet.*--allow-local"):
        refuse_local_rows(linked)
    job = tmp_path / "job.yaml"
    job.write_text(f"{{name: j, dataset: '{linked}', steps: [profile]}}")
    said = dsm("submit", job, "--scheduler", "tcp://127.0.0.1:9", "--json")
    assert (said.code, said.error["code"]) == (2, "usage")
    for fine in (copied, f"s3://{bucket}/none"):
        refuse_local_rows(fine)


def test_a_cluster_is_needed_that_stays(tmp_path):
    job = tmp_path / "job.yaml"
    job.write_text(f"{{name: j, dataset: '{tmp_path}/ds', steps: [{{create: {{sources: x}}}}]}}")
    said = dsm_apart("submit", job, "--allow-local", "--json")  # not by the client of this process
    assert (said.code, said.error["code"]) == (2, "usage")
    assert "--scheduler" in said.err
    assert not (tmp_path / "ds").exists()


@pytest.mark.parametrize(
    "source",
    [
        "https://me:canary@example.com/x.parquet", "s3://AKIA:canary@lake/x",
        "https://example.com/x.parquet?X-Amz-Signature=canary", "https://e.com/x?sig=canary&a=b",
        "az://c/x?a=b&token=canary", "https://e.com/x?X-Goog-Signature=canary",
        "https://canary@e.com/x", "https://e.com/x?access_token=canary",
        "https://e.com/x?AWSAccessKeyId=canary", "https://e.com/x#api_key=canary",
    ],
)  # fmt: skip
def test_secrets_in_a_job_are_refused_and_not_repeated(source):
    with pytest.raises(JobSpecError) as error:
        parse_job(JOB.replace("s3://lake/raw/*.parquet", source))
    assert "steps[0].create.sources[0] holds a secret" in str(error.value)
    assert "canary" not in str(error.value)


def test_a_secret_in_a_key_is_not_repeated():
    with pytest.raises(JobSpecError) as error:
        parse_job(JOB.replace("sources:", '"https://me:canary@e.com/x":'))
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["posix.system", "subprocess.getoutput", "builtins.eval", "numpy.load", "Popen",
             "subprocess.Popen", "sklearn.x; import os", "numpy.os.system"],
)  # fmt: skip
def test_a_job_cannot_trust_what_would_run_code(name):
    """A model that calls a function is code: only a person may say that it is trusted."""
    steps = "[{score: {model: m.skops, features: a, trusted: [%s]}}]"
    with pytest.raises(JobSpecError, match="cannot trust"):
        parse_job(f"{{name: j, dataset: d, steps: {steps % json.dumps(name)}}}")
    parse_job(f"{{name: j, dataset: d, steps: {steps % 'xgboost.sklearn.XGBClassifier'}}}")


@pytest.mark.parametrize("source", ["s3://lake/a@b:c", "s3://lake/x?y=1", "C:/x", "a:b@c"])
def test_what_is_no_secret(source):
    parse_job(JOB.replace("s3://lake/raw/*.parquet", source))


@pytest.mark.parametrize(
    "text",
    [
        "&a [*a]", "&a {name: *a}", "{name: j, dataset: d, steps: &s [*s]}",
        "!!python/object/apply:os.system ['touch /tmp/x']",
        "{name: j, dataset: !!python/name:os.system '', steps: [log]}",
    ],
)  # fmt: skip
def test_yaml_that_is_more_than_data(text):
    with pytest.raises(JobSpecError):
        parse_job(text)
