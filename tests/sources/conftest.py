"""Places for Parquet files, and a few ways to write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsm_dask import storage

Write = Callable[..., str]


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URI of an empty place that is there."""
    return (
        str(tmp_path) if request.param == "local" else f"s3://{request.getfixturevalue('bucket')}"
    )


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


@pytest.fixture
def write(place: str) -> Write:
    """``write(name, table, **options)`` puts a Parquet file and gives its URI."""

    def write(name: str, table: pa.Table, **options: Any) -> str:
        uri = storage.join(place, name)
        storage.write(uri, parquet_bytes(table, **options))
        return uri

    return write
