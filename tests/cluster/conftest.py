"""Real schedulers and workers, started as a person starts them; and ``dsm_trials``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Security

_HELPERS = str(Path(__file__).parents[1] / "faults")
if _HELPERS not in sys.path:
    sys.path.append(_HELPERS)


HOLD = """
import os, time, lance
def held(uri, *given, **named):
    first = isinstance(uri, str)  # of a dataset that is not there yet
    while not first and os.path.exists(os.environ["HOLD"]):
        time.sleep(0.05)
    return lance.commit_at_once(uri, *given, **named)
if not hasattr(lance, "commit_at_once"):  # Dask loads this twice
    lance.commit_at_once = lance.LanceDataset.commit
    lance.LanceDataset.commit = staticmethod(held)
"""
"""Loaded by every worker: while a file is there, nobody commits a version after the first."""


class Processes:
    """A scheduler and workers, each a process of its own; all are killed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.hold = folder / "hold"
        (folder / "hold_commits.py").write_text(HOLD)
        self._started: list[subprocess.Popen[bytes]] = []

    def scheduler(self, *options: str) -> str:
        """Start a scheduler; its address."""
        self.file.unlink(missing_ok=True)
        self.scheduler_process = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(self.file), *options,
        )  # fmt: skip
        until(self.file.exists)
        return str(json.loads(self.file.read_text())["address"])

    def worker(self, *options: str, path: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a worker of one thread for that scheduler, with ``path`` first on its own."""
        return self._start(
            "worker", "--scheduler-file", str(self.file), "--nthreads", "1", "--no-nanny",
            "--no-dashboard", "--local-directory", str(self.folder), "--death-timeout", "30",
            "--preload", str(self.folder / "hold_commits.py"), *options, path=path,
        )  # fmt: skip

    def info(self) -> dict[str, Any]:
        """What the scheduler tells about itself."""
        from distributed import Client

        with Client(scheduler_file=str(self.file), set_as_default=False) as client:
            return dict(client.scheduler_info(n_workers=-1))

    def until_workers(self, count: int) -> None:
        """Wait until the scheduler has so many."""
        until(lambda: len(self.info()["workers"]) == count)

    def _start(self, *words: str, path: Path | None = None) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{words[0]}-{len(self._started)}.log").open("wb")
        places = [*([str(path)] if path else []), _HELPERS, os.environ.get("PYTHONPATH", "")]
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "HOLD": str(self.hold)},
            stdout=log,
            stderr=log,
        )
        self._started.append(process)
        return process

    def stop(self) -> None:
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(autouse=True)
def _quick_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSM_HEARTBEAT_SECONDS", "0.3")


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something to become true; what it is."""
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{true} did not happen in {seconds} s")


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Files of a key, its certificate, and who signed it (itself)."""

    key: str
    cert: str
    ca: str


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    security = Security.temporary()
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    key.write_text(security.tls_client_key)
    cert.write_text(security.tls_client_cert)
    (tmp_path / "ca.pem").write_text(security.tls_ca_file)
    return Certificate(str(key), str(cert), str(tmp_path / "ca.pem"))


@pytest.fixture(name="until")
def _until() -> Any:
    return until


@pytest.fixture(scope="module")
def cluster(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A scheduler and a worker that reach the store, for the tests of a module."""
    made = Processes(tmp_path_factory.mktemp("cluster"))
    try:
        made.scheduler()
        made.worker()
        yield made
    finally:
        made.stop()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Nothing started yet."""
    folder = tmp_path / "processes"
    folder.mkdir()
    made = Processes(folder)
    try:
        yield made
    finally:
        made.stop()
