"""Distances of numeric columns from their sketches against SciPy and NumPy on all rows."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import exact, states

from dsm_dask.distances.bins import bin_edges, is_discrete, shares
from dsm_dask.distances.chi_squared import chi_squared
from dsm_dask.distances.distribution import distribution, in_one_unit
from dsm_dask.distances.hellinger import hellinger
from dsm_dask.distances.jensen_shannon import jensen_shannon
from dsm_dask.distances.kolmogorov_smirnov import kolmogorov_smirnov
from dsm_dask.distances.population_stability import population_stability
from dsm_dask.distances.wasserstein import wasserstein

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(11)
N = 30_000


def sides(a, b, types=None):
    types = types or (pa.array(a[:1]).type, pa.array(b[:1]).type)
    found = [distribution(states(x, t)) for x, t in zip((a, b), types, strict=True)]
    return in_one_unit(*found, types)


def binned(one, two):
    edges = bin_edges(one, two)
    p, q = shares(one, edges), shares(two, edges)
    return edges, {
        "ks": kolmogorov_smirnov(one, two),
        "psi": population_stability(p, q),
        "js": jensen_shannon(p, q),
        "hellinger": hellinger(p, q),
    }


def check(a, b):
    """Every distance lies within its stated error of that on all rows."""
    one, two = sides(a, b)
    edges, found = binned(one, two)
    truth = exact(a, b, edges)
    for name, distance in found.items():
        off = abs(distance.value - truth[name])
        assert off <= distance.error + 1e-7, (name, distance, truth[name])
    moved = wasserstein(one, two)
    if moved is not None:
        far = scipy.stats.wasserstein_distance(a, b) / np.std(a.astype(float), ddof=1)
        assert abs(moved.value - far) <= moved.error + 1e-6 * max(1, far), (moved, far)
    return {**found, "wasserstein": moved}


def normal(shift=0.0, scale=1.0):
    return RNG.normal(shift, scale, N)


SHAPES = {
    "same": lambda: (normal(), normal()),
    "shifted": lambda: (normal(), normal(0.3)),
    "wider": lambda: (normal(), normal(0, 2)),
    "disjoint": lambda: (normal(), normal(100)),
    "heavy tails": lambda: (RNG.lognormal(0, 2, N), RNG.lognormal(0.2, 2, N)),
    "cauchy": lambda: (RNG.standard_cauchy(N), RNG.standard_cauchy(N) + 1),
    "mostly zero": lambda: (
        np.where(RNG.random(N) < 0.7, 0, RNG.exponential(1, N)),
        np.where(RNG.random(N) < 0.5, 0, RNG.exponential(2, N)),
    ),
    "two atoms": lambda: (RNG.choice([-5.0, 3.0], N), RNG.choice([-5.0, 3.0], N, p=[0.3, 0.7])),
    "few integers": lambda: (RNG.poisson(3, N), RNG.poisson(3.3, N)),
    "integers": lambda: (RNG.integers(0, 10**6, N), RNG.integers(0, 11 * 10**5, N)),
    "far from zero": lambda: (1e9 + normal(), 1e9 + normal(0.1)),
    "large integers": lambda: (
        2**62 + RNG.integers(0, 10**6, N),
        2**62 + 10**5 + RNG.integers(0, 10**6, N),
    ),
    "int64 extremes": lambda: (
        RNG.choice(np.array([-(2**63), 0, 2**63 - 1]), N),
        RNG.choice(np.array([-(2**63), 0, 2**63 - 1]), N, p=[0.1, 0.2, 0.7]),
    ),
    "all of int64": lambda: (
        RNG.integers(-(2**63), 2**63 - 1, N),
        RNG.integers(-(2**62), 2**63 - 1, N),
    ),
    "different sizes": lambda: (normal(), RNG.normal(0, 1, 100)),
    "constant against spread": lambda: (np.full(N, 0.5), normal()),
    "spread against constant": lambda: (normal(), np.full(N, 0.5)),
    "different constants": lambda: (np.full(N, 1.0), np.full(N, 2.0)),
    "one row": lambda: (np.array([1.0]), normal()),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_truth(shape):
    check(*SHAPES[shape]())


@pytest.mark.parametrize("shape", ["same", "shifted", "wider", "integers", "large integers"])
def test_errors_are_small(shape):
    found = check(*SHAPES[shape]())
    assert found["ks"].error < 2e-3
    assert found["wasserstein"].error < 0.01
    assert found["psi"].error < 0.02 + 0.2 * found["psi"].value


def test_error_of_heavy_tails_is_no_multiple_of_their_range():
    a, b = SHAPES["heavy tails"]()
    assert wasserstein(*sides(a, b)).error < 0.05
    assert (a.max() - a.min()) / a.std() > 50


def test_few_distinct_values_are_exact():
    for shape in ("two atoms", "few integers", "int64 extremes"):
        a, b = SHAPES[shape]()
        one, two = sides(a, b)
        assert one.error == two.error == 0
        assert is_discrete(one, two)
        edges, found = binned(one, two)
        values = np.union1d(a, b)
        assert edges.tolist() == values[:-1].tolist()
        assert all(distance.error == 0 for distance in found.values())
        counts = np.array([[np.count_nonzero(x == v) for v in values] for x in (a, b)])
        test = chi_squared(shares(one, edges), shares(two, edges))
        if counts.min() > 10:
            theirs = scipy.stats.chi2_contingency(counts, correction=False)
            assert (test.value, test.p_value) == pytest.approx(
                (theirs.statistic, theirs.pvalue), rel=1e-9
            )


@QUICK
@given(
    st.lists(st.integers(-50, 50), min_size=2, max_size=60),
    st.lists(st.integers(-50, 50), min_size=2, max_size=60),
)
def test_truth_of_short_columns(a, b):
    found = check(np.array(a), np.array(b))
    assert all(d is None or d.error == 0 for d in found.values())


@QUICK
@given(
    st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=40),
    st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=40),
)
def test_laws(a, b):
    """Zero for equal columns, symmetry, bounds, for any floats, infinities too."""
    a, b = np.array(a), np.array(b)
    one, two = sides(a, b)
    _, found = binned(one, two)
    _, alike = binned(one, one)
    assert all(distance.value == 0 for distance in alike.values())
    assert wasserstein(one, one) in (None, wasserstein(one, one))
    assert all(0 <= found[name].value <= 1 + 1e-12 for name in ("ks", "js", "hellinger"))
    assert kolmogorov_smirnov(one, two) == kolmogorov_smirnov(two, one)
    edges = bin_edges(one, two)
    p, q = shares(one, edges), shares(two, edges)
    for distance in (population_stability, jensen_shannon, hellinger):
        assert distance(p, q).value == pytest.approx(distance(q, p).value)
    both = wasserstein(one, two), wasserstein(two, one)
    if None not in both:
        assert both[0].value * one.std == pytest.approx(both[1].value * two.std, rel=1e-6)
        assert wasserstein(one, one).value == 0


def test_infinities_are_the_ends_of_the_line():
    a = np.concatenate([RNG.normal(0, 1, 9000), np.full(1000, np.inf)])
    b = np.concatenate([RNG.normal(0, 1, 9000), np.full(1000, -np.inf)])
    one, two = sides(a, b)
    assert wasserstein(one, two) is None
    truth = exact(a, b, bin_edges(one, two))
    for name, distance in binned(one, two)[1].items():
        assert abs(distance.value - truth[name]) <= distance.error + 1e-9
    alone = sides(np.full(10, np.inf), np.full(10, -np.inf))
    assert kolmogorov_smirnov(*alone).value == 1


def test_no_unit_no_wasserstein():
    assert wasserstein(*sides(np.full(10, 3), np.arange(10))) is None
    far = np.array([-1.7e308, 1.7e308])
    assert wasserstein(*sides(np.repeat(far, [1, 1]), np.zeros(10))) is None  # of 2.4e308
    assert 0.9 < wasserstein(*sides(np.repeat(far, [9, 9]), np.zeros(10))).value < 1
    assert wasserstein(*sides(np.array([1.0]), np.zeros(10))) is None


def test_distances_grow_with_the_shift():
    a = normal()
    found = [check(a, a + shift) for shift in (0, 0.01, 0.05, 0.2, 1.0, 3.0)]
    for name in ("ks", "wasserstein", "psi", "js", "hellinger"):
        values = [one[name].value for one in found]
        assert values == sorted(values), name
        assert values[0] == 0
        assert values[-1] > 10 * values[2]


def test_types_are_brought_together():
    a, b = RNG.integers(0, 1000, N), RNG.integers(100, 1100, N).astype(float)
    check(a, b)
    one, two = sides(a, b.astype(np.uint64), (pa.int64(), pa.uint64()))
    truth = scipy.stats.ks_2samp(a, b).statistic
    assert abs(kolmogorov_smirnov(one, two).value - truth) < 1e-9 + one.error + two.error


def test_times_of_different_units_are_compared_as_seconds():
    days = RNG.integers(18_000, 20_000, N)
    a, b = days.astype("datetime64[D]"), (days * 86_400_000).astype("datetime64[ms]")
    one, two = sides(a, b, (pa.date32(), pa.timestamp("ms")))
    assert kolmogorov_smirnov(one, two).value <= one.error + two.error
    assert one.std == pytest.approx(np.std(days * 86_400.0, ddof=1), rel=0.01)
    later = (days * 86_400_000 + 10**11).astype("datetime64[ms]")
    one, two = sides(b, later, (pa.timestamp("ms"), pa.timestamp("ms")))
    far = 1e8 / np.std(days * 86_400.0, ddof=1)
    found = wasserstein(one, two)
    assert abs(found.value - far) <= found.error + 1e-9
    assert found.error < 0.01


def test_p_values_are_uniform_when_nothing_changed():
    def p(n):
        return kolmogorov_smirnov(*sides(RNG.normal(0, 1, n), RNG.normal(0, 1, n))).p_value

    found = [p(150) for _ in range(250)]
    assert scipy.stats.kstest(found, "uniform").pvalue > 1e-3
    assert kolmogorov_smirnov(*sides(normal(), normal(0.2))).p_value < 1e-12


@pytest.mark.parametrize(("n", "m"), [(10, 10), (50, 30), (200, 1000)])
def test_p_value_is_near_the_exact_one(n, m):
    for shift in (0, 0.3, 0.6):
        a, b = RNG.normal(0, 1, n), RNG.normal(shift, 1, m)
        theirs = scipy.stats.ks_2samp(a, b, method="exact").pvalue
        assert kolmogorov_smirnov(*sides(a, b)).p_value == pytest.approx(theirs, abs=0.05)


def test_nothing_there():
    assert distribution(states([None, None], pa.float64())) is None
    assert distribution(states([], pa.int64())) is None
