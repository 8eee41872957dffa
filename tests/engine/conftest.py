"""An engine of either kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dsm_dask.engine import Engine


@pytest.fixture(params=["inline", pytest.param("cluster", marks=pytest.mark.cluster)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The same test in this process and on two worker processes."""
    if request.param == "inline":
        with Engine(workers=0) as made:
            yield made
        return
    yield request.getfixturevalue("cluster")
