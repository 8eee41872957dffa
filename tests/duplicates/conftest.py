"""Makes ``dsm_trials`` and ``near_corpus`` importable, here and in processes that tests start."""

import sys
from pathlib import Path

import pytest

for _helpers in (str(Path(__file__).parents[1] / "faults"), str(Path(__file__).parent)):
    if _helpers not in sys.path:
        sys.path.append(_helpers)


@pytest.fixture
def engine():
    from dsm_dask.engine import Engine

    with Engine(workers=0) as made:
        yield made


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes, shared by the tests of a module."""
    from dsm_dask.engine import Engine

    with Engine(workers=2) as made:
        made.start()
        yield made


@pytest.fixture
def small_partitions(monkeypatch):
    """A partition for each row group: files of a few rows would otherwise share one."""
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))
