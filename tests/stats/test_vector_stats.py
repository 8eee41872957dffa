"""Embedding columns against NumPy."""

import math

import numpy as np
import pyarrow as pa
import pytest

from dsm_dask.fold import merge_all, run, update_all
from dsm_dask.stats.vector_stats import WIDEST, Vectors, VectorStats

RNG = np.random.default_rng(11)


def column(rows, dtype=None):
    flat = pa.array(rows.reshape(-1), dtype or pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def pieces(rows, size):
    return pa.table({"v": column(rows)}).to_batches(max_chunksize=size)


@pytest.mark.parametrize("size", [700, 5000])
def test_figures_agree_with_numpy(size):
    rows = RNG.normal(1000, 0.01, (5000, 24)).astype(np.float32)
    rows[::50] = 0
    fold = Vectors("v")
    merged = merge_all(fold, [update_all(fold, [piece]) for piece in pieces(rows, size)])
    wide = rows.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1)
    for found in (fold.finish(merged), run(fold, pieces(rows, size))):
        assert (found.dimension, found.count, found.zeros) == (24, 5000, 100)
        figures = (found.norm_min, found.norm_max, found.norm_mean, found.norm_std)
        expected = (norms.min(), norms.max(), norms.mean(), norms.std(ddof=1))
        assert figures == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(found.means, wide.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(found.variances, wide.var(axis=0, ddof=1), rtol=1e-9)


def test_variance_far_from_zero_does_not_cancel():
    rows = 1e6 + RNG.normal(0, 1e-3, (4000, 3))
    batches = pa.table({"v": column(rows, pa.float64())}).to_batches(max_chunksize=100)
    found = run(Vectors("v"), batches)
    np.testing.assert_allclose(found.variances, rows.var(axis=0, ddof=1), rtol=1e-6)


def test_what_is_no_whole_vector():
    rows = [[1.0, 2.0], None, [math.nan, 1.0], [None, 1.0], [math.inf, 1.0], [1e200, 0.0]]
    rows += [[math.inf, math.nan], [0.0, -0.0]]
    array = pa.array([[9.0, 9.0], *rows], pa.list_(pa.float64(), 2))[1:]
    found = run(Vectors("v"), [pa.record_batch({"v": array})])
    assert (found.count, found.nulls, found.nan, found.infinite, found.zeros) == (2, 1, 3, 2, 1)
    assert found.means == (0.5, 1.0)


@pytest.mark.parametrize("rows", [[], [None, None]])
def test_no_vectors(rows):
    array = pa.array(rows, pa.list_(pa.float16(), 3))
    found = run(Vectors("v"), [pa.record_batch({"v": array})])
    assert found == VectorStats(dimension=3, nulls=len(rows))


def test_one_vector_has_no_variance():
    found = run(Vectors("v"), pieces(np.array([[3.0, 4.0]]), 1))
    assert (found.norm_mean, found.norm_std, found.variances) == (5.0, None, None)


def test_very_wide_vectors_keep_only_norms():
    rows = RNG.normal(size=(3, WIDEST + 1)).astype(np.float32)
    found = run(Vectors("v"), pieces(rows, 2))
    assert found.means is found.variances is None
    assert found.norm_max == pytest.approx(np.linalg.norm(rows.astype(float), axis=1).max())
