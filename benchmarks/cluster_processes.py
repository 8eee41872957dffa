"""A Dask cluster of processes of its own, and workers that get a share of a core only."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil


class Throttle:
    """A control group whose processes together get a share of a core."""

    def __init__(self, name: str, share: float) -> None:
        one = Path("/sys/fs/cgroup/cpu")
        self._folder = (one if one.exists() else Path("/sys/fs/cgroup")) / name
        self._folder.mkdir()
        if one.exists():
            (self._folder / "cpu.cfs_period_us").write_text("20000")
            (self._folder / "cpu.cfs_quota_us").write_text(str(int(20_000 * share)))
        else:
            (self._folder / "cpu.max").write_text(f"{int(20_000 * share)} 20000")

    def take(self, pid: int) -> None:
        """Put a process and all its children in the group."""
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            (self._folder / "cgroup.procs").write_text(str(process.pid))

    def close(self) -> None:
        for _ in range(50):
            with contextlib.suppress(OSError):  # until its last process is gone
                self._folder.rmdir()
                return
            time.sleep(0.1)


@contextlib.contextmanager
def cluster(workers: int, share: float | None = None) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a scheduler with some workers, each a process tree, and the scheduler."""
    env = {**os.environ, "DASK_LOGGING__DISTRIBUTED": "critical"}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dsm-bench-"))
        file = f"{folder}/scheduler.json"

        def start(*words: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", *words, "--scheduler-file", file, "--no-dashboard"], env=env
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        scheduler = start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
            "--dashboard-address", "127.0.0.1:0",
        )  # fmt: skip
        while not Path(file).exists():
            time.sleep(0.05)
        throttles = []
        for number in range(workers if share is not None else 0):
            throttles.append(Throttle(f"dsm-{os.getpid()}-{number}", float(share or 0)))
            stack.callback(throttles[-1].close)  # when the workers are gone
        started = [
            start("distributed.cli.dask_worker", "--host", "127.0.0.1", "--nthreads", "1")
            for _ in range(workers)
        ]
        import distributed

        with distributed.Client(scheduler_file=file) as client:
            client.wait_for_workers(workers)
            address = str(client.scheduler.address)
        for throttle, process in zip(throttles, started, strict=False):
            throttle.take(process.pid)
        yield address, psutil.Process(scheduler.pid)
