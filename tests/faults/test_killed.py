"""The driver is killed before and after its commits, or asked to stop: one version, not two."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dsm_trials import dsm, objects, parquet

from dsm_dask import storage
from dsm_dask.dataset.history import log
from dsm_dask.dataset.version import is_dataset, open_dataset

DRIVER = str(Path(__file__).parent / "driver.py")


def data(place: str) -> None:
    for index in range(2):
        numbers = np.arange(index * 20, index * 20 + 20)
        table = {"n": numbers, "text": [f"t{n % 25}" for n in numbers.tolist()]}
        parquet(f"{place}/raw/{index}.parquet", table)
    parquet(f"{place}/more/x.parquet", {"n": [900], "text": ["new"]})


def job(place: str, folder: Path, copy: bool = False) -> str:
    """Four commits: create, dedup, drop, append."""
    path = folder / "job.yaml"
    path.write_text(
        f"""
name: curate
dataset: {place}/ds
steps:
  - create: {{sources: '{place}/raw/*.parquet', copy: {str(copy).lower()}}}
  - dedup: {{on: text, drop: true}}
  - drop: {{where: n < 3}}
  - append: {{sources: '{place}/more/*.parquet'}}
  - tag: {{name: curated}}
"""
    )
    return str(path)


@pytest.fixture
def killed(driver, tmp_path):
    """A run of ``dsm`` that is killed at some moment."""

    def killed(moment: str, *args: str) -> None:
        err = tmp_path / "err"
        (code,) = driver([[str(err), *args, "--workers", "0"]], moment=moment)
        assert code == -signal.SIGKILL, err.read_text()

    return killed


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Who died while it held the lease of appenders is not waited for."""
    monkeypatch.setattr("dsm_dask.dataset.lease.SECONDS", 0.2)


def finished(place: str, job_file: str) -> None:
    """Run again, and again: the versions of one run, all as they should be."""
    for _ in range(2):
        said = dsm("run", job_file, "--json")
        assert said.code == 0, said.err
        versions = log(f"{place}/ds").versions
        assert [v.job for v in versions] == ["append", "drop", "dedup", "create"]
        assert [v.rows for v in versions] == [23, 22, 25, 40]
    dataset = open_dataset(f"{place}/ds@curated")
    assert dataset.version == 4
    assert dataset.to_table(["n"])["n"].to_pylist() == [*range(3, 25), 900]
    for version in range(1, 5):
        assert dsm("verify", f"{place}/ds@{version}", "--json").code == 0


@pytest.mark.parametrize(
    ("when", "commit"),
    [("before", 1), ("after", 1), ("before", 2), ("after", 3), ("before", 4), ("after", 4)],
)
def test_a_job(tmp_path, killed, when, commit):
    place = str(tmp_path)
    data(place)
    job_file = job(place, tmp_path, copy=commit % 2 == 0)
    killed(f"{when}:{commit}", "run", job_file)
    done = commit - (when == "before")
    assert is_dataset(f"{place}/ds") == bool(done)
    if done:
        assert len(log(f"{place}/ds").versions) == done  # and it opens
        assert dsm("verify", f"{place}/ds", "--json").json["damaged"] == []
    finished(place, job_file)


@pytest.mark.s3
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_job_on_s3(bucket, tmp_path, killed, when):
    place = f"s3://{bucket}"
    data(place)
    job_file = job(place, tmp_path)
    killed(f"{when}:2", "run", job_file)
    finished(place, job_file)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_verb_by_itself(tmp_path, killed, when):
    """Drop is found again by what it leaves; nothing is dropped twice."""
    place = str(tmp_path)
    data(place)
    assert dsm("create", f"{place}/ds", f"{place}/raw").code == 0
    killed(f"{when}:1", "drop", f"{place}/ds", "--where", "n < 3")
    assert open_dataset(f"{place}/ds").rows == (40 if when == "before" else 37)
    said = dsm("drop", f"{place}/ds", "--where", "n < 3", "--json")
    assert said.json["committed"] == (when == "before")
    assert [v.rows for v in log(f"{place}/ds").versions] == [37, 40]
    assert dsm("verify", f"{place}/ds", "--json").code == 0


def test_what_a_killed_run_left_is_told_by_gc(tmp_path, killed):
    place = str(tmp_path)
    data(place)
    assert dsm("create", f"{place}/ds", f"{place}/raw", "--copy").code == 0
    killed("before:1", "append", f"{place}/ds", f"{place}/more")
    orphans = dsm("gc", f"{place}/ds", "--older-than", "0d", "--json").json["orphans"]
    assert len(orphans) == 1
    assert orphans[0] in objects(f"{place}/ds")
    assert dsm("append", f"{place}/ds", f"{place}/more").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
@pytest.mark.parametrize("workers", ["0", pytest.param("1", marks=pytest.mark.cluster)])
def test_asked_to_stop_just_before_the_commit(tmp_path, number, workers):
    place = str(tmp_path)
    data(place)
    assert dsm("create", f"{place}/ds", f"{place}/raw").code == 0
    marker = tmp_path / "marker"
    process = subprocess.Popen(
        [sys.executable, DRIVER, "hang:1", str(marker), "drop", f"{place}/ds", "--where", "n < 3",
         "--workers", workers, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, err = stopped(process, marker, number)
    assert process.returncode == 3, err
    assert '"interrupted"' in out
    assert "Traceback" not in err
    assert "again" in err
    assert len(log(f"{place}/ds").versions) == 1
    assert dsm("verify", f"{place}/ds", "--json").code == 0
    assert dsm("drop", f"{place}/ds", "--where", "n < 3", "--json").json["dropped"] == 3


def stopped(process: subprocess.Popen, marker: Path, number: int) -> tuple[str, str]:
    try:
        until = time.monotonic() + 60
        while not marker.exists() and time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
        assert process.poll() is None
        process.send_signal(number)
        return process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.cluster
@pytest.mark.slow
def test_asked_to_stop_while_workers_work(tmp_path):
    """In the middle of a dedup: the key files of some partitions are there, no version is."""
    noise = np.random.default_rng(1)
    for index in range(24):
        data_ = {"x": noise.integers(0, 1 << 40, 200_000), "y": noise.random(200_000)}
        parquet(tmp_path / f"raw/{index}.parquet", data_)
    ds = str(tmp_path / "ds")
    assert dsm("create", ds, tmp_path / "raw").code == 0
    process = subprocess.Popen(
        [sys.executable, "-c", "from dsm_dask.cli import main; main()", "dedup", ds, "--on", "x,y",
         "--drop", "--workers", "2", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            if any(uri.endswith(".keys") for uri in objects(f"{ds}/_dsm")):
                break
            time.sleep(0.01)
        process.terminate()
        out, err = process.communicate(timeout=40)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 3, err
    assert '"interrupted"' in out
    assert "Traceback" not in err
    assert len(log(ds).versions) == 1
    assert dsm("verify", ds, "--json").code == 0
    done = {uri for uri in objects(ds) if uri.endswith(".keys")}
    said = dsm("dedup", ds, "--on", "x,y", "--drop", "--json")
    assert said.code == 0
    assert done <= set(objects(ds))


@pytest.mark.cluster
def test_nothing_of_ours_is_left_running(tmp_path):
    """Workers end with the driver, even when it is killed."""
    import psutil

    data(str(tmp_path))
    marker = tmp_path / "marker"
    process = subprocess.Popen(
        [sys.executable, DRIVER, "hang:1", str(marker), "create", str(tmp_path / "ds"),
         str(tmp_path / "raw"), "--workers", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not marker.exists() and time.monotonic() < until:
            time.sleep(0.05)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    assert not is_dataset(str(tmp_path / "ds"))
    assert storage.listing(str(tmp_path / "raw"))
    assert os.path.exists(marker)
