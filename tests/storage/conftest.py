"""Objects to read, and a proxy that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dsm_dask import storage
from dsm_dask.testing.fault_proxy import FaultProxy
from dsm_dask.testing.s3 import S3Server


@pytest.fixture
def put(place: str) -> Callable[..., None]:
    """Store objects by their names below the place."""

    def put(*names: str) -> None:
        for name in names:
            storage.write(storage.join(place, name), name.encode())

    return put


@pytest.fixture(scope="session")
def shared_proxy(s3: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxy(shared_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy that storage goes through in this test, healthy at first."""
    monkeypatch.setattr("dsm_dask.storage.retry.PAUSE_SECONDS", 0.1)
    shared_proxy.heal()
    with storage.using(storage.Options(endpoint_url=shared_proxy.endpoint)):
        yield shared_proxy
    shared_proxy.heal()
