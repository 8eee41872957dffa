"""Makes ``dsm_trials`` importable, here and in the processes that tests start."""

import sys
from pathlib import Path

_HELPERS = str(Path(__file__).parents[1] / "faults")
if _HELPERS not in sys.path:
    sys.path.append(_HELPERS)

import pytest


@pytest.fixture
def engine():
    from dsm_trials import inline

    with inline() as made:
        yield made


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def place(request, tmp_path):
    """Somewhere to put things: a local folder, or a bucket."""
    if request.param == "local":
        return str(tmp_path)
    return f"s3://{request.getfixturevalue('bucket')}"
