"""Partitions as small as can be."""

import pytest


@pytest.fixture
def small_partitions(monkeypatch):
    """A partition for each row group: files of a few rows would otherwise share one."""
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))
