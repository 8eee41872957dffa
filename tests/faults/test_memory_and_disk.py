"""Workers with little memory, and disks with little room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from dask_processes import dask_processes
from dsm_trials import Heap, Piece, Pieces, Stumble, dsm, parquet, rows

from dsm_dask.dataset.history import log
from dsm_dask.dataset.version import open_dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import ClusterError

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*no worker yet:dsm_dask.connection.ClusterWarning"),
]
LIMIT = 640
"""Megabytes that a worker may take."""
USUAL = 1_500
"""Rows in a partition, of 24 kB each."""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two workers of little memory, each looked after by a nanny."""
    with dask_processes(tmp_path_factory.mktemp("small") / "processes") as made:
        made.address = made.scheduler()
        for _ in range(2):
            made.worker("--memory-limit", f"{LIMIT}MB")
        yield made


def killed(processes) -> int:
    """How many workers their nannies have killed so far."""
    logs = [path.read_text() for path in processes.folder.glob("worker-*.log")]
    return sum(log.count("memory budget. Restarting") for log in logs)


def test_one_partition_is_twenty_times_as_large(small, tmp_path):
    """720 MB of text in one row group, for workers that may have 640 MB."""
    texts = [f"{number} {'a long text ' * 2000}" for number in range(50)]
    for index in range(6):
        count = USUAL * (20 if index == 3 else 1)
        codes = pa.array([(index + i * i) % 50 for i in range(count)], pa.int32())
        table = {"text": pa.DictionaryArray.from_arrays(codes, texts).cast(pa.string())}
        parquet(tmp_path / f"raw/{index}.parquet", table, row_group_size=count)
    before = killed(small)
    found = {}
    for name, where in (("ds", ["--scheduler-file", small.file]), ("clean", ["--workers", 0])):
        for words in (
            ["create", tmp_path / name, tmp_path / "raw"],
            ["profile", tmp_path / name],
            ["dedup", tmp_path / name, "--on", "text", "--drop"],
        ):
            said = dsm(*words, *where, "--json")
            assert said.code == 0, said.err
            found[name, words[0]] = said.json
    assert found["ds", "profile"]["columns"] == found["clean", "profile"]["columns"]
    assert found["ds", "dedup"]["kept"] == 50
    assert rows(open_dataset(f"{tmp_path}/ds")) == rows(open_dataset(f"{tmp_path}/clean"))
    assert killed(small) == before


def test_a_nanny_restarts_a_worker_and_the_job_goes_on(small, tmp_path):
    """It took too much memory, once."""
    marker, before = str(tmp_path / "hoarded"), killed(small)
    parts = [Piece(n, size=1 << 30) for n in range(12)]
    with Engine(str(small.address)) as engine:
        found = engine.map_partitions(Stumble("file-5.", "hoard", marker), parts)
    assert found == [10] * 12
    assert killed(small) > before


@pytest.fixture
def tiny_disk(tmp_path) -> Iterator[Path]:
    """A disk of 400 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(place)]
    try:
        subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk can only be mounted by root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_no_room_for_spilled_results(tiny_disk, tmp_path, monkeypatch):
    """Dask pauses such workers, and waits for ever."""
    monkeypatch.setattr("dsm_dask.worker_watch.PAUSED_SECONDS", 2.0)
    monkeypatch.setattr("dsm_dask.worker_watch.LOOK_SECONDS", 0.5)
    table = Pieces(tuple(Piece(n, size=1 << 30) for n in range(60)))
    with dask_processes(tmp_path / "processes") as made:
        address = made.scheduler()
        for _ in range(2):
            made.worker(
                "--no-nanny", "--memory-limit", "400MB", "--local-directory", str(tiny_disk)
            )
        with Engine(address) as engine, pytest.raises(ClusterError) as failure:
            engine.fold(table, Heap())
    assert "2) have been paused" in str(failure.value)
    assert f"{tiny_disk}/" in str(failure.value)
    assert " 0 MB left" in str(failure.value)
    assert failure.value.exit_code == 3


def test_no_room_for_what_passes_between_tasks(small, tiny_disk, tmp_path):
    for index in range(4):
        texts = [str(number) for number in range(index, 40_000, 2)]
        parquet(tmp_path / f"raw/{index}.parquet", {"text": texts})
    assert dsm("create", tmp_path / "ds", tmp_path / "raw").code == 0
    words = ["dedup", tmp_path / "ds", "--on", "text", "--method", "minhash", "--drop", "--json"]
    said = dsm(*words, "--scratch", tiny_disk, "--scheduler-file", small.file)
    assert (said.code, said.error["code"]) == (2, "cannot-write")
    assert "No space left on device" in said.err
    assert [v.job for v in log(f"{tmp_path}/ds").versions] == ["create"]
    again = dsm(*words, "--scheduler-file", small.file)
    assert again.code == 0, again.err
    assert again.json["duplicates"] > 39_990
