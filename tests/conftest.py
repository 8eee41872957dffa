"""What all tests share: an S3 server and a cluster for the session, a bucket and a place for each
test."""

from __future__ import annotations

import collections
import gc
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

# As in Dask's own workers: a thread of linear algebra for each processor, in each of several
# processes, spends a third of the time waiting for the others. NumPy looks at this once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import dask
import pytest
from hypothesis import settings

from dsm_dask.engine import Engine
from dsm_dask.testing.s3 import S3Server

# The machine's speed is not under test. In CI the examples are the same every time, so a failure
# there can be repeated; elsewhere every run looks at new ones.
settings.register_profile(
    "ci", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True
)
settings.load_profile("ci")

# The processes that tests start, hundreds of them, would each compile all that they import.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

LONG = ("cluster", "slow")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collecting makes half a million objects that stay: nobody looks among them for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # libraries complain of what is left of theirs at the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first. Of several processes that share the files, none is then left
    alone with one at the end."""
    tests = collections.Counter(item.path for item in items)
    long = {item.path for item in items if any(map(item.get_closest_marker, LONG))}
    items.sort(key=lambda item: (item.path not in long, -tests[item.path], item.path))


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server; its address and keys are in ``os.environ``, so that this process and
    every worker that it starts talk to it."""
    with S3Server() as server, server.in_environment():
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Iterator[str]:
    """The name of an empty bucket, removed afterwards."""
    name = f"test-{secrets.token_hex(6)}"
    s3.make_bucket(name)
    yield name
    s3.remove_bucket(name)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of an empty place that is there: a local folder, or a bucket."""
    local = request.param == "local"
    return str(tmp_path) if local else f"s3://{request.getfixturevalue('bucket')}"


@pytest.fixture
def engine() -> Iterator[Engine]:
    """In this process, with counters at zero."""
    with Engine(workers=0) as made:
        yield made


@pytest.fixture(scope="session")
def cluster(s3: S3Server) -> Iterator[Engine]:
    """Two worker processes that reach the store, for tests that leave them alive. Their memory is
    not under test, so nobody looks at it ten times a second until the last test is done."""
    import distributed.config  # noqa: F401 - its settings would go away with this one

    with Engine(workers=2) as made:
        with dask.config.set({"distributed.worker.memory.monitor-interval": "2s"}):
            made.start()
        yield made


@pytest.fixture(scope="session")
def scheduler(cluster: Engine) -> str:
    """The address of that cluster."""
    return str(cluster._runner._client.scheduler.address)
