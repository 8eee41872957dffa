"""A cluster without workers is not waited for for ever: that is told, and then it is an error."""

import threading
import time

import distributed
import pytest
from dask_processes import dask_processes
from dsm_trials import dsm_apart, parquet, square

from dsm_dask import worker_watch
from dsm_dask.engine import Engine
from dsm_dask.errors import ClusterError, UsageError
from dsm_dask.worker_watch import ClusterWarning, patience

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore:.*no worker yet:dsm_dask.worker_watch.ClusterWarning"),
]


def test_none_ever_comes(tmp_path):
    data = parquet(tmp_path / "a.parquet", {"n": range(10)})
    with dask_processes(tmp_path / "processes") as made:
        address = made.scheduler()
        said = dsm_apart(
            "profile", data, "--scheduler", address, "--json", env={"DSM_WORKER_SECONDS": "1"}
        )
    assert (said.code, said.error["code"]) == (3, "cluster")
    lines = [line for line in said.err.splitlines() if "no worker" in line]
    assert lines[0] == (
        f"warning: {address} has no worker yet: waiting up to 1 s for one (DSM_WORKER_SECONDS)."
    )
    assert f"dask worker {address}" in said.err


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_all_are_lost(tmp_path, monkeypatch):
    """It is told, then an error; with another worker the same engine goes on."""
    monkeypatch.setenv("DSM_WORKER_SECONDS", "2")
    monkeypatch.setattr(worker_watch, "TELL_SECONDS", 0.5)
    with dask_processes(tmp_path / "processes") as made:
        address = made.scheduler()
        worker = made.worker("--no-nanny")
        made.until_workers(1)
        with Engine(address) as engine:
            assert engine.map(square, [2]) == [4]
            killer = threading.Timer(1.0, worker.kill)
            killer.start()
            with (
                pytest.warns(ClusterWarning, match="lost all workers"),
                pytest.raises(ClusterError, match="has had no worker for 2 s") as failure,
            ):
                engine.map(nap, [30.0, 30.0])
            assert failure.value.exit_code == 3
            made.worker("--no-nanny")
            made.until_workers(1)
            assert engine.map(square, [3]) == [9]


def test_one_comes_in_time(tmp_path, monkeypatch):
    monkeypatch.setenv("DSM_WORKER_SECONDS", "60")
    with dask_processes(tmp_path / "processes") as made:
        address = made.scheduler()
        comes = threading.Timer(1.0, made.worker)
        comes.start()
        with Engine(address) as engine:
            assert engine.map(square, [4]) == [16]
        comes.join()


def test_those_of_this_machine(monkeypatch):
    monkeypatch.setattr(worker_watch, "LOCAL_SECONDS", 1.0)
    with Engine(workers=1) as engine:
        assert engine.map(square, [5]) == [25]
        distributed.default_client().cluster.scale(0)
        with pytest.raises(ClusterError, match="All workers of this machine's cluster died"):
            engine.map(square, [6])


@pytest.mark.parametrize("given", ["soon", "0", "-1", "nan"])
def test_a_patience_that_is_none(given, monkeypatch):
    monkeypatch.setenv("DSM_WORKER_SECONDS", given)
    with pytest.raises(UsageError, match="DSM_WORKER_SECONDS"):
        patience()
