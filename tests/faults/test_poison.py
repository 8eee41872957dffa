"""A partition that kills every worker which touches it: it is named, and the others are done."""

from __future__ import annotations

import dask
import distributed  # noqa: F401 - its part of the configuration must be there to be changed
import numpy as np
import pytest
from dsm_trials import Deadly, dsm, inline, objects, parquet

from dsm_dask.dataset.history import log
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine
from dsm_dask.errors import PartitionFailed

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

POISON = 5
SIP = """
import os, signal
from dsm_dask.sources.file_part import FilePart
def sip(part, *given, **named):
    if {name!r} in part.uri:
        os.kill(os.getpid(), signal.SIGKILL)
    return FilePart.drink(part, *given, **named)
if not hasattr(FilePart, "drink"):  # Dask loads this twice
    FilePart.drink, FilePart.read = FilePart.read, sip
"""
"""Loaded by every worker."""


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))  # a file each
    for index in range(10):
        parquet(tmp_path / f"raw/{index:02}.parquet", {"a": np.arange(index * 10, index * 10 + 10)})
    return str(tmp_path / "raw")


def test_it_is_left_out_and_listed(raw, tmp_path):
    """Its rows come with a later append, from workers that can read it."""
    (tmp_path / "sip.py").write_text(SIP.format(name=f"{POISON:02}.parquet"))
    ds, poisoned = str(tmp_path / "ds"), f"{raw}/{POISON:02}.parquet"
    with dask.config.set({"distributed.worker.preload": [str(tmp_path / "sip.py")]}):
        said = dsm("create", ds, raw, "--copy", "--on-error", "skip", "--json", workers=2)
    assert said.code == 3, said.err
    (skipped,) = said.json["skipped"]
    assert skipped["partition"] == f"{poisoned} (row groups 0 to 0)"
    assert "worker died" in skipped["cause"]
    rest = [a for a in range(100) if a // 10 != POISON]
    assert open_dataset(ds).to_table(["a"])["a"].to_pylist() == rest
    (shown,) = dsm("show", ds, "--json").json["skipped"]
    assert shown == skipped
    assert "left out" in dsm("show", ds).out
    assert dsm("verify", ds, "--json").code == 0
    assert dsm("append", ds, raw, "--json").json["added"] == 10
    assert sorted(open_dataset(ds).to_table(["a"])["a"].to_pylist()) == list(range(100))


def test_it_is_named_and_the_others_need_not_be_read_again(raw, tmp_path):
    ds, marker = str(tmp_path / "ds"), tmp_path / "deadly"
    marker.touch()
    fold = Deadly("a", POISON * 10, str(marker))
    with inline() as engine:
        create(ds, raw, engine=engine)
    with Engine(workers=2) as engine, pytest.raises(PartitionFailed) as failure:
        engine.fold(open_dataset(ds), fold)
    assert f"{raw}/{POISON:02}.parquet (row groups 0 to 0)" in str(failure.value)
    assert failure.value.exit_code == 3
    assert len(log(ds).versions) == 1
    marker.unlink()
    known = [uri for uri in objects(f"{ds}/_dsm/states") if "/merged-" not in uri]
    with inline() as engine:
        found = engine.fold(open_dataset(ds), fold)
    assert found.result == sum(range(100))
    now = [uri for uri in objects(f"{ds}/_dsm/states") if "/merged-" not in uri]
    assert (len(known), len(now)) == (9, 10)
