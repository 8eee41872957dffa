"""A store that loses answers, and fails requests at random, in front of whole verbs: Lance's own
requests go through it, too."""

from __future__ import annotations

import pytest
from dsm_trials import dsm, objects, parquet, rows

from dsm_dask import storage
from dsm_dask.dataset.history import log
from dsm_dask.dataset.version import is_dataset, open_dataset
from dsm_dask.testing.fault_proxy import FaultProxy

pytestmark = pytest.mark.s3

VERBS = {
    "create": ["create", "{place}/new", "{place}/raw"],
    "copy": ["create", "{place}/new", "{place}/raw", "--copy"],
    "append": ["append", "{place}/ds", "{place}/more"],
    "drop": ["drop", "{place}/ds", "--where", "n < 10"],
    "columns": ["score", "{place}/ds", "--probs", "p,q"],
    "restore": ["restore", "{place}/ds", "1"],
}


@pytest.fixture
def proxy(s3, monkeypatch):
    monkeypatch.setattr("dsm_dask.storage.retry.PAUSE_SECONDS", 0.1)
    with FaultProxy(s3.endpoint) as made:
        yield made


@pytest.fixture
def place(bucket):
    found = f"s3://{bucket}"
    for index in range(2):
        numbers = list(range(index * 20, index * 20 + 20))
        table = {"n": numbers, "p": [0.25] * 20, "q": [0.75] * 20}
        parquet(f"{found}/raw/{index}.parquet", table)
    parquet(f"{found}/more/x.parquet", {"n": [99], "p": [0.5], "q": [0.5]})
    for name in ("ds", "clean"):
        assert dsm("create", f"{found}/{name}", f"{found}/raw").code == 0
        assert dsm("drop", f"{found}/{name}", "--where", "n = 39").code == 0
    return found


def words(verb: str, place: str) -> list[str]:
    return [word.format(place=place) for word in VERBS[verb]]


def dataset(verb: str, place: str) -> str:
    return words(verb, place)[1]


@pytest.mark.parametrize("verb", VERBS)
def test_the_answer_to_the_commit_is_lost(proxy, place, verb):
    """The store has the version, and nobody was told so."""
    ds = dataset(verb, place)
    before = set(objects(place))
    versions = len(log(ds).versions) if is_dataset(ds) else 0
    proxy.fail("drop_ack", 1, method="PUT", part="_versions")
    said = dsm(*words(verb, place), "--endpoint-url", proxy.endpoint, "--json")
    assert sum(entry.fault == "drop_ack" for entry in proxy.log) == 1
    assert said.code == 0, said.err
    assert said.json["committed"]
    assert len(log(ds).versions) == versions + 1
    assert {uri for uri in before if "/lease/" not in uri} <= set(objects(place))
    assert dsm("verify", ds, "--json").json["damaged"] == []
    clean = [word.replace("/ds", "/clean").replace("/new", "/again") for word in words(verb, place)]
    assert dsm(*clean).code == 0
    assert rows(open_dataset(ds)) == rows(open_dataset(clean[1]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_faults_at_random(proxy, place, tmp_path, seed, monkeypatch):
    """A job is done within the budget of retries, or ends with an error for people; run again, it
    is as if nothing had happened."""
    monkeypatch.setattr("dsm_dask.dataset.lease.SECONDS", 0.2)
    job = tmp_path / "job.yaml"
    job.write_text(
        f"""
name: curate
dataset: {place}/new
steps:
  - create: {{sources: '{place}/raw/*.parquet'}}
  - drop: {{where: n < 10}}
  - append: {{sources: '{place}/more/*.parquet'}}
"""
    )
    proxy.fail_at_random(
        0.15, "slow_down", "too_many", "internal_error", "reset", "truncate", "drop_ack", "delay",
        seed=seed,
    )  # fmt: skip
    said = dsm("run", job, "--endpoint-url", proxy.endpoint, "--json")
    assert len({entry.fault for entry in proxy.log}) > 3
    proxy.heal()
    if said.code:
        assert said.error["code"] == "store-unreachable", said.err
        assert not is_dataset(f"{place}/new") or log(f"{place}/new").versions
        assert dsm("run", job).code == 0
    assert [v.job for v in log(f"{place}/new").versions] == ["append", "drop", "create"]
    numbers = open_dataset(f"{place}/new").to_table(["n"])["n"].to_pylist()
    assert numbers == [*range(10, 40), 99]
    assert dsm("verify", f"{place}/new", "--json").json["damaged"] == []
    assert storage.read(f"{place}/raw/0.parquet")


@pytest.mark.slow
def test_a_store_that_keeps_failing(proxy, place, monkeypatch):
    """A clean error, and no version."""
    monkeypatch.setenv("DSM_RETRY_SECONDS", "0.3")
    for fault in ("slow_down", "too_many", "internal_error", "reset"):
        proxy.heal()
        proxy.fail(fault, 10**6, part="more")
        said = dsm(
            "append", f"{place}/ds", f"{place}/more", "--endpoint-url", proxy.endpoint, "--json"
        )
        assert (said.code, said.error["code"]) == (3, "store-unreachable"), said.err
        assert "Traceback" not in said.err
    assert [v.job for v in log(f"{place}/ds").versions] == ["drop", "create"]
