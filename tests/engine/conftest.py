"""Makes ``dsm_trials`` importable, here and in the processes that tests start."""

import sys
from pathlib import Path

import pytest

_HELPERS = str(Path(__file__).parents[1] / "faults")
if _HELPERS not in sys.path:
    sys.path.append(_HELPERS)


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes, shared by the tests of a module."""
    from dsm_dask.engine import Engine

    with Engine(workers=2) as engine:
        engine.start()
        yield engine


@pytest.fixture(params=["inline", pytest.param("cluster", marks=pytest.mark.cluster)])
def engine(request):
    """The same test in this process and on two worker processes."""
    from dsm_dask.engine import Engine

    if request.param == "inline":
        with Engine(workers=0) as made:
            yield made
        return
    yield request.getfixturevalue("cluster")
