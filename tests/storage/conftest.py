"""Places to store things: a local folder, and a bucket of the real S3 server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dsm_dask import storage
from dsm_dask.testing.fault_proxy import FaultProxy
from dsm_dask.testing.s3 import S3Server

PLACES = ["local", pytest.param("s3", marks=pytest.mark.s3)]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of an empty place that is there."""
    return (
        str(tmp_path) if request.param == "local" else f"s3://{request.getfixturevalue('bucket')}"
    )


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
def proxy(shared_proxy: FaultProxy) -> Iterator[FaultProxy]:
    """A proxy that storage goes through in this test, healthy at first."""
    shared_proxy.heal()
    with storage.using(storage.Options(endpoint_url=shared_proxy.endpoint)):
        yield shared_proxy
    shared_proxy.heal()
