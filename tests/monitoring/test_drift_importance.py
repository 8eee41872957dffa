"""The Fold of importance keeps the laws."""

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from dsm_dask.fold import run
from dsm_dask.hashing import hash_rows
from dsm_dask.monitoring.conditional_means import ConditionalMeans
from dsm_dask.testing.folds import batches, check_bounded, check_laws

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
SCORE = pa.int16()
HASHES = tuple(hash_rows([pa.array(["", "a", "b"])])[:, 0].tolist())
FOLDS = [
    (pa.int64(), ConditionalMeans("x", "s", edges=(-5, 0, 7))),
    (pa.uint64(), ConditionalMeans("x", "s", edges=(1, 2**63))),
    (pa.float64(), ConditionalMeans("x", "s", edges=(-1.5, float("inf")))),
    (pa.timestamp("ms"), ConditionalMeans("x", "s", edges=(0.0, 1e9), unit=1e-3)),
    (pa.decimal128(38, 10), ConditionalMeans("x", "s", edges=(0.0,))),
    (pa.string(), ConditionalMeans("x", "s", hashes=HASHES)),
]


@pytest.mark.parametrize(("dtype", "fold"), FOLDS, ids=lambda x: str(x)[:20])
def test_laws(dtype, fold):
    @QUICK
    @given(batches({"x": dtype, "s": SCORE}, max_rows=20))
    def check(cut):
        check_laws(fold, cut)

    check()
    check_bounded(fold, {"x": dtype, "s": SCORE}, rows=5000, limit=1000)


def test_bins():
    batch = pa.record_batch(
        {"x": ["a", None, "b", "z", "a"], "s": pa.array([1.0, 2.0, None, 4.0, 8.0])}
    )
    found = run(ConditionalMeans("x", "s", hashes=HASHES), [batch])
    assert found.counts.tolist() == [0, 2, 0, 1, 1]
    assert found.sums.tolist() == [0, 9, 0, 4, 2]
    assert found.skipped == 1
    truth = run(ConditionalMeans("s", "s", edges=(1.0, 4.0)), [batch])
    assert truth.sums.tolist() == [1, 6, 8, 0]
