"""Every Fold of the package, over every type that it takes, keeps the laws."""

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from dsm_dask.testing.arrow import TYPES
from dsm_dask.testing.folds import batches, check_bounded, check_laws, discover

QUICK = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
FOLDS = [kind for kind in discover("dsm_dask.stats") if hasattr(kind, "accepts")]
PAIRS = [
    pytest.param(kind, dtype, id=f"{kind.__name__}-{dtype}")
    for kind in FOLDS
    for dtype in TYPES
    if kind.accepts(dtype)
]


@pytest.mark.parametrize(("kind", "dtype"), PAIRS)
def test_laws(kind, dtype):
    @QUICK
    @given(batches({"x": dtype}, max_rows=20))
    def check(cut):
        check_laws(kind("x"), cut)

    check()


@pytest.mark.parametrize("kind", FOLDS)
@pytest.mark.parametrize(
    "dtype", [pa.int64(), pa.float64(), pa.string(), pa.binary(), pa.timestamp("us")], ids=str
)
def test_states_stay_small(kind, dtype):
    if kind.accepts(dtype):
        check_bounded(kind("x"), {"x": dtype}, limit=256 * 1024)


def test_discovery_finds_all():
    names = {kind.__name__ for kind in discover()}
    expected = {"Count", "Distinct", "Extremes", "Histogram", "Lengths", "Moments", "Quantiles"}
    assert expected | {"TopValues"} <= names
