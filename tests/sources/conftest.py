"""Places for Parquet files, and a few ways to write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsm_dask import storage

Write = Callable[..., str]


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
