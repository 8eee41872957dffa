"""States and distances of embedding columns: the laws, and NumPy and scikit-learn on all rows."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from samples import states, vectors
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel

from dsm_dask.distances.domain_classifier import auc, domain_classifier
from dsm_dask.distances.mahalanobis import mahalanobis
from dsm_dask.distances.mean_discrepancy import mean_discrepancy
from dsm_dask.distances.mean_shift import mean_shift
from dsm_dask.fold import run
from dsm_dask.stats import random_features, vector_sample
from dsm_dask.stats.covariance import Covariance
from dsm_dask.stats.random_features import RandomFeatures
from dsm_dask.stats.vector_sample import VectorSample
from dsm_dask.testing.folds import batches, check_bounded, check_laws

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(13)
FOLDS = [Covariance, RandomFeatures, VectorSample]
TYPES = [pa.list_(pa.float64(), 2), pa.list_(pa.float32(), 3), pa.list_(pa.float16(), 1)]


@pytest.mark.parametrize("kind", FOLDS)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_laws(kind, dtype):
    @QUICK
    @given(batches({"x": dtype}, max_rows=20))
    def check(cut):
        check_laws(kind("x"), cut)

    check()


@pytest.mark.parametrize("kind", FOLDS)
@pytest.mark.parametrize("size", [3, 300])
def test_states_stay_small(kind, size):
    limit = 2 << 20
    check_bounded(kind("x"), {"x": pa.list_(pa.float32(), size)}, rows=6_000, limit=limit)


def normal(n=3000, d=6, shift=0.0):
    mix = np.random.default_rng(1).normal(0, 1, (d, d))
    return (RNG.normal(0, 1, (n, d)) @ mix + shift).astype(np.float32)


def test_covariance_is_numpy_s():
    rows = normal() + 1000
    found = states(vectors(rows))["covariance"]
    wide = rows.astype(float)
    assert found.mean == pytest.approx(wide.mean(axis=0), rel=1e-12)
    assert found.products / (len(rows) - 1) == pytest.approx(np.cov(wide.T), rel=1e-9)
    assert found.squares / (len(rows) - 1) == pytest.approx(wide.var(axis=0, ddof=1), rel=1e-9)


def test_incomplete_vectors_are_counted():
    column = pa.array(
        [[1, 2], None, [None, 1], [float("nan"), 0], [float("inf"), 0], [3, 4]],
        pa.list_(pa.float64(), 2),
    )
    found = states(column[1:])
    assert (found["covariance"].count, found["covariance"].skipped) == (1, 4)
    assert (found["features"].count, found["features"].skipped) == (1, 4)
    assert found["vectors"].vectors.tolist() == [[3, 4]]


def test_the_sample_does_not_depend_on_the_cut():
    rows = normal(5000, 3)
    one, two = (states(vectors(r), pieces=k)["vectors"] for r, k in ((rows, 3), (rows[::-1], 50)))
    assert one.vectors.tolist() == two.vectors.tolist()
    assert one.counts.tolist() == two.counts.tolist()
    assert len(one.vectors) == vector_sample.size(3)
    twice = states(vectors(np.concatenate([rows, rows])))["vectors"]
    assert twice.vectors.tolist() == one.vectors.tolist()
    assert set(twice.counts.tolist()) == {2}


def test_mean_shift():
    a, b = normal().astype(float), normal(shift=0.5).astype(float)
    one, two = (states(vectors(x))["covariance"] for x in (a, b))
    within = sum(((x - x.mean(axis=0)) ** 2).sum() for x in (a, b)) / (len(a) + len(b) - 2)
    far = np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(within)
    assert mean_shift(one, two).value == pytest.approx(far, rel=1e-6)
    assert mean_shift(one, two) == mean_shift(two, one)
    assert mean_shift(one, one).value == 0


def test_mahalanobis():
    a, b = normal(), normal(shift=0.3)
    one, two = (states(vectors(x))["covariance"] for x in (a, b))
    pooled = (np.cov(a.T) + np.cov(b.T)) / 2
    gap = (a.mean(axis=0) - b.mean(axis=0)).astype(float)
    squared = gap @ np.linalg.solve(pooled, gap)
    found = mahalanobis(one, two)
    assert found.value == pytest.approx(np.sqrt(squared - 6 * 2 / 3000), rel=1e-3)
    assert found.p_value == pytest.approx(scipy.stats.chi2.sf(squared * 1500, 6), abs=1e-9)
    assert mahalanobis(one, one).value == 0
    p = []
    for _ in range(150):
        cut = [pa.record_batch({"x": vectors(RNG.normal(0, 1, (300, 3)))}) for _ in range(2)]
        p.append(mahalanobis(*(run(Covariance("x"), [one]) for one in cut)).p_value)
    assert scipy.stats.kstest(p, "uniform").pvalue > 1e-3


def test_wide_vectors_are_projected():
    a, b = RNG.normal(0, 1, (2000, 400)), RNG.normal(0, 1, (2000, 400))
    b[:, :50] += 0.5
    one, same, two = (states(vectors(x))["covariance"] for x in (a, a + 0, b))
    assert one.products.shape == (256, 256)
    assert one.mean.shape == (400,)
    assert mahalanobis(one, same).value == 0
    assert 0.5 < mahalanobis(one, two).value < np.sqrt(50) * 0.5 * 1.3


def test_constants():
    zero, one = (states(vectors(np.full((50, 3), v)))["covariance"] for v in (0.0, 1.0))
    for distance in (mean_shift, mahalanobis):
        assert distance(zero, zero).value == distance(one, one).value == 0
        assert np.isfinite(distance(zero, one).value)
        assert distance(zero, one).value > 1e6


def test_mmd_is_that_of_the_kernel():
    for shift in (0.0, 0.5, 2.0):
        a, b = normal(800, 4), normal(900, 4, shift)
        one, two = (states(vectors(x))["features"] for x in (a, b))
        units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]

        def mean_kernel(x, y, same):
            k = np.mean([rbf_kernel(x, y, 1 / (2 * s * s)) for s in random_features.BANDWIDTHS], 0)
            return (k.sum() - len(x)) / (len(x) * (len(x) - 1)) if same else k.mean()

        within = mean_kernel(units[0], units[0], True) + mean_kernel(units[1], units[1], True)
        squared = within - 2 * mean_kernel(*units, False)
        found = mean_discrepancy(one, two)
        assert abs(found.value - np.sqrt(max(squared, 0))) <= 1.5 * found.error + 0.01
        assert found == mean_discrepancy(two, one)
        assert mean_discrepancy(one, one).value == 0


def test_auc_is_scikit_learn_s():
    scores, labels, weights = RNG.integers(0, 9, 300), RNG.random(300) < 0.4, RNG.random(300)
    theirs = roc_auc_score(labels, scores, sample_weight=weights)
    assert auc(scores.astype(float), labels, weights) == pytest.approx(theirs)


def test_classifier_tells_shifts_of_mean_and_variance():
    base = normal(4000)
    found = {
        "same": normal(4000),
        "mean": normal(4000, shift=0.8),
        "spread": normal(4000) * 1.5,
        "far": normal(4000, shift=50),
    }
    one = states(vectors(base))["vectors"]
    aucs = {
        name: domain_classifier(one, states(vectors(x))["vectors"]) for name, x in found.items()
    }
    assert abs(aucs["same"].value - 0.5) < 0.05
    assert aucs["mean"].value > 0.6
    assert aucs["spread"].value > 0.6
    assert aucs["far"].value > 0.99
    assert aucs["far"].p_value < 1e-9
    assert domain_classifier(one, one).value == 0.5


def test_classifier_of_wide_vectors():
    a, b = RNG.normal(0, 1, (2000, 768)), RNG.normal(0, 1, (2000, 768))
    one, two, three = (states(vectors(x))["vectors"] for x in (a, b, b + 0.2))
    assert abs(domain_classifier(one, two).value - 0.5) < 0.1
    assert domain_classifier(one, three).value > 0.9


def test_classifier_p_values_when_nothing_changed():
    p = []
    for _ in range(100):
        cut = [pa.record_batch({"x": vectors(RNG.normal(0, 1, (150, 4)))}) for _ in range(2)]
        p.append(domain_classifier(*(run(VectorSample("x"), [one]) for one in cut)).p_value)
    assert np.mean(np.array(p) < 0.05) < 0.15
    assert np.mean(np.array(p) < 0.5) > 0.3


def test_too_few():
    one = states(vectors(np.eye(3)))
    none = states(pa.nulls(4, pa.list_(pa.float32(), 3)))
    assert domain_classifier(one["vectors"], one["vectors"]) is None
    for name, distance in (
        ("covariance", mean_shift), ("covariance", mahalanobis), ("features", mean_discrepancy),
    ):  # fmt: skip
        assert distance(one[name], none[name]) is None
