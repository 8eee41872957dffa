"""A canary: the keys of the store are in no output, error, log, report, nor object of a dataset."""

import json
import re

import pytest
from dsm_trials import dsm, dsm_apart, objects, parquet

from dsm_dask import storage
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError

pytestmark = [pytest.mark.s3]


def spoken(*args, env=None) -> str:
    said = dsm_apart(*args, env={"DSM_RETRY_SECONDS": "2", **(env or {})})
    return said.out + said.err


def test_in_nothing_that_is_said_or_stored(s3, bucket, tmp_path):
    place = f"s3://{bucket}"
    secrets = [s3.secret_key, s3.access_key]
    parquet(f"{place}/raw/1.parquet", {"n": [1, 2, 2], "text": ["a", "b", "b"]})
    job = tmp_path / "job.yaml"
    job.write_text(
        f"""
name: canary
dataset: {place}/ds
steps:
  - create: {{sources: '{place}/raw/*.parquet'}}
  - profile: {{html: '{place}/profile.html'}}
  - dedup: {{on: text, drop: true, out: '{place}/out'}}
  - log:
  - verify:
  - report: {{html: '{tmp_path}/report.html'}}
"""
    )
    heard = [spoken("run", job, "--workers", "1", "--json", "--debug")]
    assert '"version": 2' in heard[0]
    for args in (
        ["run", job, "--debug"],
        ["log", f"{place}/ds", "--json"],
        ["show", f"{place}/ds"],
        ["drop", f"{place}/ds", "--where", "nn = 1", "--debug"],
        ["profile", f"{place}/none.parquet", "--debug"],
        ["create", f"{place}/ds", f"{place}/raw", "--debug"],
        ["verify", f"{place}/ds", "--debug"],
    ):
        said = dsm(*args)
        heard.append(said.out + said.err)
    wrong = {"AWS_SECRET_ACCESS_KEY": "canary-in-the-coal-mine"}
    down = {**wrong, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    heard += [spoken("log", f"{place}/ds", "--debug", env=env) for env in (wrong, down)]
    assert "error:" in heard[-1]
    secrets.append("canary-in-the-coal-mine")
    for text in heard:
        for secret in secrets:
            assert secret not in text
    stored = {uri: storage.read(uri) for uri in objects(place)}
    stored |= {str(path): path.read_bytes() for path in tmp_path.iterdir()}
    assert any(uri.endswith("report.html") for uri in stored)
    assert any("/_transactions/" in uri for uri in stored)
    for kind in ("record.json", "result.json", "job.yaml", "profile.html"):
        assert any(uri.endswith(kind) for uri in stored), kind
    assert any("/_dsm/jobs/" in uri and "/log-" in uri for uri in stored)
    for uri, content in stored.items():
        for secret in secrets:
            assert secret.encode() not in content, uri


def test_not_in_what_is_sent_to_workers(s3, bucket, monkeypatch):
    """Whatever is pickled: partitions, tasks, options."""
    import cloudpickle

    from dsm_dask.dataset.version import open_dataset
    from dsm_dask.dataset.write import create
    from dsm_dask.task import MapTask

    place = f"s3://{bucket}"
    parquet(f"{place}/raw/1.parquet", {"n": [1, 2, 2]})
    sent = []
    run = MapTask.__call__
    monkeypatch.setattr(
        MapTask, "__call__", lambda task: (sent.append(cloudpickle.dumps(task)), run(task))[1]
    )
    with Engine(workers=0) as engine:
        create(f"{place}/ds", f"{place}/raw", engine=engine)
        partitions = open_dataset(f"{place}/ds").partitions()
    sent.append(cloudpickle.dumps(partitions))
    sent.append(repr(partitions).encode())
    assert len(sent) > 2
    for payload in sent:
        assert s3.secret_key.encode() not in payload
        assert s3.access_key.encode() not in payload


def test_keys_are_not_taken_as_options():
    for name in ("key", "secret", "aws_secret_access_key", "token"):
        with pytest.raises(UsageError, match="environment") as error:
            storage.Options.parse({name: "canary"})
        assert "canary" not in str(error.value)


def test_not_in_a_job_file():
    """There is no key for them."""
    from dsm_dask.jobs.spec import json_schema

    def keys(schema):
        if isinstance(schema, dict):
            yield from schema.get("properties", {})
            schema = list(schema.values())
        if isinstance(schema, list):
            for part in schema:
                yield from keys(part)

    found = set(keys(json.loads(json_schema())))
    assert "dataset" in found
    assert not [key for key in found if re.search("secret|password|token|credential|_key", key)]
