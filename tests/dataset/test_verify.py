"""Verify finds whatever is not what it was: sources, and every kind of object of the dataset."""

import os
from pathlib import Path

import numpy as np
import pytest
from dsm_trials import Doubled, dsm, flip, objects, parquet, put

from dsm_dask import storage
from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.naming import branch
from dsm_dask.dataset.verify import verify
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates.exact import dedup_exact

BOTH = pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])


def build(place: str, engine, copy: bool) -> str:
    """A dataset with every kind of object in it."""
    ds = f"{place}/ds"
    numbers = np.arange(3000)
    one = parquet(f"{place}/raw/1.parquet", {"a": numbers % 50, "key": numbers})
    create(ds, one, engine=engine, copy=copy)
    append(ds, parquet(f"{place}/raw/2.parquet", {"a": numbers, "key": numbers}), engine=engine)
    drop(ds, "key < 5", engine=engine)
    add_columns(ds, Doubled(), engine=engine)
    dedup_exact(open_dataset(ds), ["a"], engine=engine, drop=True)
    return ds


@BOTH
def test_nothing_wrong(tmp_path, engine, copy):
    ds = build(str(tmp_path / "tree"), engine, copy)  # as Lance calls the folder of its branches
    for version in range(1, 6):
        found = verify(f"{ds}@{version}", engine=engine)
        assert found.ok
        assert found.damaged == ()
        assert found.unrecorded == 0  # every object has its checksum
        assert found.objects >= 2 + version
    assert found.sources == (0 if copy else 2)
    branch(ds, "side")
    drop(f"{ds}@side", "key = 7", engine=engine)
    found = verify(f"{ds}@side", engine=engine)
    assert (found.ok, found.unrecorded) == (True, 0)


@pytest.mark.parametrize("how", ["overwritten", "gone", "truncated", "same size"])
def test_sources(tmp_path, engine, how):
    check_sources(str(tmp_path), engine, how)


@pytest.mark.s3
def test_sources_on_s3(bucket, engine):
    check_sources(f"s3://{bucket}", engine, "same size")


def check_sources(place: str, engine, how: str) -> None:
    ds = build(place, engine, copy=False)
    source = f"{place}/raw/2.parquet"
    if how == "overwritten":
        parquet(source, {"a": [1], "key": [2]})
    elif how == "gone":
        storage.delete(source)
    elif how == "truncated":
        put(source, storage.read(source)[:-100])
    else:
        flip(source, 1000)
    found = verify(ds, engine=engine)
    assert not found.ok
    assert [damage.uri for damage in found.damaged] == [source]
    assert verify(f"{ds}@1", engine=engine).ok  # which does not use it
    said = dsm("verify", ds, "--json")
    assert said.code == 1
    assert said.json["damaged"][0]["uri"] == source
    assert said.json["ok"] is False


KINDS = {
    "data": "/data/",
    "deletion": "/_deletions/",
    "list": "/_dsm/links/",
    "manifest": "/_versions/",
    "transaction": "/_transactions/",
}


def of_kind(ds: str, kind: str) -> list[str]:
    return [uri for uri in objects(ds) if KINDS[kind] in uri and not uri.endswith("hint.json")]


def reported(ds: str) -> set[str]:
    """What `dsm verify` of any version names; it never crashes, and never says that all is well."""
    named: set[str] = set()
    for version in range(1, 6):
        said = dsm("verify", f"{ds}@{version}", "--json")
        assert said.code in (0, 1, 2), said.err
        if said.code == 1:
            named |= {damage["uri"] for damage in said.json["damaged"]}
        if said.code == 2:
            named |= {str(said.error["where"])}
    return named


@BOTH
@pytest.mark.parametrize("kind", ["data", "deletion", "list"])
@pytest.mark.parametrize("how", ["bit", "truncated", "gone"])
def test_objects(tmp_path, engine, kind, how, copy):
    ds = build(str(tmp_path), engine, copy)
    damaged = of_kind(ds, kind)
    if kind == "list" and copy:
        return  # a copied dataset keeps lists to know its sources, and reads without them
    assert damaged
    victim = damaged[-1]
    size = objects(ds)[victim][0]
    if how == "gone":
        storage.delete(victim)
    elif how == "truncated":
        put(victim, storage.read(victim)[:-1])
    else:
        flip(victim, size // 2)
    assert victim in reported(ds)


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
@BOTH
def test_a_bit_of_every_object(tmp_path, engine, where, copy):
    """Each object of the data, deletions and link lists, a bit at three places."""
    ds = build(str(tmp_path), engine, copy)
    kinds = ("data", "deletion") if copy else ("data", "deletion", "list")
    for victim in [uri for kind in kinds for uri in of_kind(ds, kind)]:
        position = int(objects(ds)[victim][0] * where)
        flip(victim, position)
        assert victim in reported(ds)
        flip(victim, position)
    assert reported(ds) == set()


@pytest.mark.s3
def test_objects_on_s3(bucket, engine):
    ds = build(f"s3://{bucket}", engine, copy=False)
    assert verify(ds, engine=engine).ok
    victims = [of_kind(ds, kind)[0] for kind in ("data", "deletion")]
    for victim in victims:
        flip(victim, len(storage.read(victim)) // 2)
    named = {
        damage.uri
        for version in (4, 5)
        for damage in verify(f"{ds}@{version}", engine=engine).damaged
    }
    assert named == set(victims)


@pytest.mark.parametrize("how", ["bit", "gone"])
@pytest.mark.parametrize("kind", ["manifest", "transaction"])
def test_what_commits_left(tmp_path, engine, kind, how):
    """A finding, or an error where Lance cannot even open it; never that all is well."""
    ds = build(str(tmp_path), engine, copy=False)
    for victim in of_kind(ds, kind):
        content = storage.read(victim)
        if how == "gone":
            os.remove(victim)
        else:
            flip(victim, len(content) // 2)
        named = reported(ds)
        Path(victim).write_bytes(content)
        if how == "gone" and kind == "manifest":
            continue  # that version is not there then, which is what gc does too
        assert named
        if how == "gone":
            assert any(Path(victim).name in name for name in named)
    assert reported(ds) == set()


@pytest.mark.xfail(strict=True, reason="Lance's own errors and panics, which name no object")
@pytest.mark.parametrize("how", ["truncated", "first byte", "second byte"])
def test_a_manifest_that_lance_cannot_open_is_named(tmp_path, engine, how):
    ds = build(str(tmp_path), engine, copy=False)
    newest = min(of_kind(ds, "manifest"))
    if how == "truncated":
        put(newest, storage.read(newest)[: objects(ds)[newest][0] // 2])
    else:
        flip(newest, 0 if how == "first byte" else 1)
    said = dsm("verify", ds, "--json")
    assert said.code in (1, 2)
    assert Path(newest).name in said.out + said.err


def test_the_checksums_themselves(tmp_path, engine):
    """Half of a list of checksums: verify says what it cannot check, or names the list."""
    ds = build(str(tmp_path), engine, copy=False)
    victims = [uri for uri in objects(ds) if "/_dsm/checksums/" in uri]
    assert victims
    for victim in victims:
        content = storage.read(victim)
        Path(victim).write_bytes(content[: len(content) // 2])
        said = [dsm("verify", f"{ds}@{version}", "--json") for version in range(1, 6)]
        told = any(one.code or one.json["unrecorded"] for one in said)
        assert told or victim.endswith("-commit.jsonl")
        assert dsm("log", ds, "--json").code == 0
        Path(victim).write_bytes(content)


@BOTH
@pytest.mark.parametrize("kind", ["data", "deletion", "transaction"])
def test_what_is_gone_without_a_checksum(tmp_path, engine, kind, copy):
    """It is damage, not just an object that nothing is known of."""
    ds = build(str(tmp_path), engine, copy)
    for uri in objects(ds):
        if "/_dsm/checksums/" in uri:
            storage.delete(uri)
    assert verify(ds, engine=engine).ok
    assert verify(ds, engine=engine).unrecorded > 0
    victim = of_kind(ds, kind)[-1]
    storage.delete(victim)
    assert victim in reported(ds)
