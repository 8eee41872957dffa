"""Nulls in the same rows, against NumPy and scikit-learn."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from sklearn.metrics import jaccard_score, matthews_corrcoef

from dsm_dask.fold import run
from dsm_dask.stats.missingness import MOST, Missingness, MissingTogether
from dsm_dask.testing.folds import batches, check_bounded, check_laws

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(4)


def columns(masks):
    return {name: pa.array(np.arange(len(mask)), mask=mask) for name, mask in masks.items()}


@pytest.mark.parametrize("size", [1, 61, 64, 5000])
def test_counts_and_measures(size):
    one = RNG.random(700) < 0.3
    masks = {"a": one, "b": one ^ (RNG.random(700) < 0.1), "c": RNG.random(700) < 0.5}
    masks |= {"full": np.zeros(700, bool), "gone": np.ones(700, bool)}
    found = run(Missingness(tuple(masks)), pa.table(columns(masks)).to_batches(size))
    assert found.columns == ("a", "b", "c", "gone")
    for i, x in enumerate(found.columns):
        for j, y in enumerate(found.columns):
            assert found.counts[i][j] == np.count_nonzero(masks[x] & masks[y])
    for pair in found.pairs:
        x, y = (masks[name] for name in pair.columns)
        assert pair.jaccard == pytest.approx(jaccard_score(x, y))
        assert pair.phi == pytest.approx(matthews_corrcoef(x, y))
    assert found.pairs[0].columns == ("a", "b")
    assert all(pair.phi > 0 for pair in found.pairs)


def test_columns_that_are_always_missing_together():
    one, other = RNG.random(300) < 0.2, RNG.random(300) < 0.2
    masks = {"a": one, "x": other, "b": one, "y": other, "c": one, "z": one | other}
    found = run(Missingness(tuple(masks)), [pa.record_batch(columns(masks))])
    assert found.always == (("a", "b", "c"), ("x", "y"))
    assert {pair.columns for pair in found.pairs} >= {("a", "z"), ("x", "z")}


@QUICK
@given(
    batches(
        {
            "n": pa.null(),
            "i": pa.int64(),
            "s": pa.string_view(),
            "l": pa.list_(pa.int32()),
            "d": pa.dictionary(pa.int8(), pa.string()),
        },
        max_rows=70,
    )
)
def test_laws_and_truth(cut):
    names = tuple(cut[0].schema.names)
    check_laws(Missingness(names), cut)
    found = run(Missingness(names), cut)
    whole = pa.Table.from_batches(cut)
    masks = {n: np.array([v is None for v in whole[n].to_pylist()], bool) for n in names}
    assert found.columns == tuple(n for n in names if masks[n].any())
    for i, x in enumerate(found.columns):
        assert found.counts[i] == tuple(int((masks[x] & masks[y]).sum()) for y in found.columns)


def test_nulls_inside_encodings():
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), pa.array([None, "a"]))
    runs = pa.RunEndEncodedArray.from_arrays([2, 4], pa.array([None, 1]))
    batch = pa.record_batch({"coded": coded, "runs": runs})
    assert run(Missingness(("coded", "runs")), [batch]).counts == ((3, 1), (1, 2))


@pytest.mark.parametrize("rows", [0, 1, 100])
def test_without_nulls_there_is_nothing(rows):
    batch = pa.record_batch({"x": pa.array(range(rows), pa.int64())})
    assert run(Missingness(("x",)), [batch]) == MissingTogether()


def test_state_is_bounded():
    names = tuple(f"c{i}" for i in range(MOST))
    check_bounded(Missingness(names), dict.fromkeys(names, pa.null()), rows=2000, limit=40_000)
