"""Parts of a cluster go away, or only seem to: a scheduler that is killed, a worker that is stopped
for longer than it is believed to live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dask_processes import dask_processes, stopping, until, waiting
from dsm_trials import Doubled, Said, dsm, inline, objects, parquet, rows

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.history import log
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*no worker yet:dsm_dask.connection.ClusterWarning"),
]


@pytest.fixture
def processes(tmp_path):
    with dask_processes(tmp_path / "processes") as made:
        yield made


def data(folder: Path, rows_each: int) -> str:
    """Ten files."""
    noise = np.random.default_rng(3)
    for index in range(10):
        values = {"a": np.arange(rows_each) + index, "f": noise.normal(size=rows_each)}
        parquet(folder / f"raw/{index:02}.parquet", values)
    return str(folder / "raw")


def test_the_scheduler_is_killed_and_the_job_goes_on(processes, tmp_path):
    raw, hold = data(tmp_path, 60_000), tmp_path / "hold"
    hold.touch()
    job = tmp_path / "job.yaml"
    job.write_text(
        f"name: weekly\ndataset: '{tmp_path}/ds'\nsteps: [create: {{sources: '{raw}'}}, "
        "profile: {}, drop: {where: a < 100}]\n"
    )
    address = processes.scheduler()
    processes.worker("--no-nanny", preload=waiting("07.parquet", str(hold)))
    client = subprocess.Popen(
        [sys.executable, "-c", "from dsm_dask.cli import main; main()", "run", str(job),
         "--scheduler", address, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: len(objects(tmp_path / "ds/_dsm/states")) >= 3)
        processes.scheduler_process.kill()
        killed = time.monotonic()
        out, err = client.communicate(timeout=60)
    finally:
        client.kill()
        client.wait()
    assert time.monotonic() - killed < 60
    said = Said(client.returncode, out, err)
    assert (said.code, said.error["code"]) == (3, "cluster"), err
    assert "Run the same command again" in err
    assert "Traceback" not in err
    hold.unlink()
    known = objects(tmp_path / "ds/_dsm/states")
    again, steps = dsm("run", job, "--json", workers=0), ["create", "profile", "drop"]
    assert again.code == 0, again.err
    assert [step["verb"] for step in again.json["steps"]] == steps
    assert known.items() <= objects(tmp_path / "ds/_dsm/states").items()
    job.write_text(job.read_text().replace("/ds'", "/clean'"))
    clean = dsm("run", job, "--json", workers=0)
    found, want = (said.json["steps"][1] for said in (again, clean))
    assert found["result"]["columns"] == want["result"]["columns"]
    assert found["io"]["bytes_read"] < 0.8 * want["io"]["bytes_read"]
    assert [v.job for v in log(f"{tmp_path}/ds").versions] == ["drop", "create"]
    assert rows(open_dataset(f"{tmp_path}/ds")) == rows(open_dataset(f"{tmp_path}/clean"))


def test_a_worker_that_was_given_up_comes_back(processes, tmp_path, monkeypatch):
    """It had written its file of columns, and was stopped before it could tell. Another worker
    writes one, too: one of them is committed, the other is told by ``gc``."""
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))  # a file each
    raw, ds, clean = data(tmp_path, 50), str(tmp_path / "ds"), str(tmp_path / "clean")
    with inline() as engine:
        create(ds, raw, engine=engine)
        create(clean, raw, engine=engine)
        add_columns(clean, Doubled(), engine=engine)
    stopped = tmp_path / "stopped"
    address = processes.scheduler(env={"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1s"})
    workers = [
        processes.worker("--no-nanny", preload=stopping(str(stopped))) for _ in range(2)
    ]  # fmt: skip
    with Engine(address) as engine:
        add_columns(ds, Doubled(), engine=engine)
    number = int(stopped.read_text())
    (sleeper,) = [worker for worker in workers if worker.pid == number]
    assert sleeper.poll() is None
    before = objects(tmp_path / "ds")
    os.kill(number, signal.SIGCONT)
    time.sleep(1)
    assert objects(tmp_path / "ds") == before
    assert [v.job for v in log(ds).versions] == ["columns", "create"]
    assert rows(open_dataset(ds)) == rows(open_dataset(clean))
    (orphan,) = dsm("gc", ds, "--older-than", "0d", "--dry-run", "--json").json["orphans"]
    assert orphan in before
    assert dsm("verify", ds, "--json").json["damaged"] == []
