"""Special functions and tests against SciPy."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from dsm_dask.distances.chi_squared import tail, two_proportions, upper_gamma
from dsm_dask.distances.kolmogorov_smirnov import survival
from dsm_dask.distances.missing_share import missing_share
from dsm_dask.monitoring.verdict import benjamini_hochberg
from dsm_dask.stats.count import Counts

RNG = np.random.default_rng(5)


def test_kolmogorov_survival():
    for x in np.concatenate([np.linspace(0, 4, 801), [6, 10, 30]]):
        assert survival(x) == pytest.approx(scipy.special.kolmogorov(x), rel=1e-9, abs=1e-15)


def test_upper_gamma():
    for a in (0.5, 1, 1.5, 4.5, 10, 100, 255.5, 5000):
        for x in (*np.geomspace(1e-6, 1e5, 60), a, a + 1, 0):
            theirs = scipy.special.gammaincc(a, x)
            assert upper_gamma(a, x) == pytest.approx(theirs, rel=1e-8, abs=1e-12)
    assert tail(0, 3) == 1
    assert tail(10, 0) == 1


def test_two_proportions():
    for counts, of in (((10, 20), (100, 100)), ((1, 500), (1000, 9000)), ((0, 3), (50, 60))):
        table = np.array([counts, np.subtract(of, counts)])
        theirs = scipy.stats.chi2_contingency(table, correction=False).pvalue
        assert two_proportions(counts, of) == pytest.approx(theirs, rel=1e-9)
    assert two_proportions((0, 0), (10, 10)) == 1
    assert two_proportions((10, 20), (10, 20)) == 1
    assert two_proportions((0, 0), (0, 10)) == 1


def test_missing_share():
    found = missing_share(Counts(1000, nulls=100), Counts(500, nulls=40, nan=60))
    assert (found.value, found.error) == (pytest.approx(0.1), 0)
    assert found.p_value == pytest.approx(two_proportions((100, 100), (1000, 500)))
    assert missing_share(Counts(), Counts(5)) is None
    p = [
        missing_share(*(Counts(2000, nulls=RNG.binomial(2000, 0.3)) for _ in range(2))).p_value
        for _ in range(400)
    ]
    assert scipy.stats.kstest(p, "uniform").pvalue > 1e-3


def test_benjamini_hochberg():
    for size in (1, 2, 7, 300):
        p = RNG.random(size) ** 3
        p[0] = p[-1]
        assert benjamini_hochberg(p) == pytest.approx(scipy.stats.false_discovery_control(p))
    assert benjamini_hochberg([]) == []
    assert benjamini_hochberg([0.0, 1.0]) == [0.0, 1.0]
