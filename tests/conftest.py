"""What all tests share: an S3 server for the session, a bucket for each test."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest
from hypothesis import settings

from dsm_dask.testing.s3 import S3Server

# The machine's speed is not under test. In CI the examples are the same every time, so a failure
# there can be repeated; elsewhere every run looks at new ones.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
    max_examples=50,  # of the hundred that is usual: the whole suite has twelve minutes
)
settings.load_profile("ci")


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
