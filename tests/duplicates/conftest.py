"""Makes ``dsm_trials`` importable, here and in the processes that tests start."""

import sys
from pathlib import Path

import pytest

_HELPERS = str(Path(__file__).parents[1] / "faults")
if _HELPERS not in sys.path:
    sys.path.append(_HELPERS)


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
