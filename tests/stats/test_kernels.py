"""The compiled loops against NumPy."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dsm_dask.stats import column, kernels

QUICK = settings(max_examples=20, deadline=None)
KINDS = [np.int64, np.uint64, np.float64]


def numbers(kind, size):
    if kind is np.float64:
        return arrays.arrays(kind, size, elements=st.floats(allow_nan=False).map(lambda x: x + 0.0))
    return arrays.arrays(kind, size)


@pytest.mark.parametrize("kind", KINDS)
def test_sort(kind):
    @QUICK
    @given(numbers(kind, st.integers(0, 5)), st.integers(0, 2000))
    def check(few, repeats):
        values = np.tile(few, repeats)
        before = values.copy()
        assert (kernels.sort(values) == np.sort(values)).all()
        assert (values == before).all()

    check()
    rng = np.random.default_rng(3)
    many = rng.integers(0, 2**64, 5000, np.uint64).view(kind)
    many = many[np.isfinite(many)] + kind(0) if kind is np.float64 else many
    assert (kernels.sort(many) == np.sort(many)).all()


def test_runs_and_first_places():
    values = np.random.default_rng(4).integers(0, 50, 3000).astype(np.uint64)
    ordered = np.sort(values)
    starts = kernels.run_starts(ordered)
    distinct, expected = np.unique(ordered, return_index=True)
    assert starts.tolist() == expected.tolist()
    firsts = np.unique(values, return_index=True)[1]
    assert kernels.first_places(values, distinct).tolist() == firsts.tolist()


@QUICK
@given(st.lists(st.binary(max_size=40), max_size=30))
def test_hashes_of_bytes_depend_on_the_bytes_alone(texts):
    rows = pa.array(texts, pa.binary())
    lone = [column._text_hashes(pa.array([text], pa.binary()))[0] for text in texts]
    assert column._text_hashes(rows).tolist() == lone
    assert column._text_hashes(rows[1:].cast(pa.large_binary())).tolist() == lone[1:]
    assert len(set(lone)) == len(set(texts))


def test_a_column_is_seen_anew_with_every_batch():
    one, other = (pa.record_batch({"x": [value] * 3}) for value in (1, 2))
    assert column.of(one, "x") is column.of(one, "x")
    assert [column.of(b, "x").numbers[0] for b in (one, other, one)] == [1, 2, 1]
