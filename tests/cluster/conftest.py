"""Real schedulers and workers, started as a person starts them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_processes import DaskProcesses, dask_processes, holding_commits
from distributed import Security


@pytest.fixture(autouse=True)
def _quick_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSM_HEARTBEAT_SECONDS", "0.3")


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


@pytest.fixture(scope="module")
def cluster(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """A scheduler and a worker that reach the store, for the tests of a module."""
    folder = tmp_path_factory.mktemp("cluster") / "processes"
    with dask_processes(folder, "--no-nanny", preload=holding_commits) as made:
        made.scheduler()
        made.worker()
        yield made


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[DaskProcesses]:
    """Nothing started yet."""
    with dask_processes(tmp_path / "processes", "--no-nanny", preload=holding_commits) as made:
        yield made
