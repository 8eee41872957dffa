"""Distances of categorical columns from their summaries against SciPy and NumPy on all rows."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import of_shares, states

from dsm_dask.distances.binned import Binned
from dsm_dask.distances.categories import categories
from dsm_dask.distances.chebyshev import chebyshev
from dsm_dask.distances.chi_squared import chi_squared
from dsm_dask.distances.hellinger import hellinger
from dsm_dask.distances.jensen_shannon import jensen_shannon
from dsm_dask.distances.overlap import overlap
from dsm_dask.distances.population_stability import population_stability

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(12)
DISTANCES = {
    "psi": population_stability,
    "js": jensen_shannon,
    "hellinger": hellinger,
    "linf": chebyshev,
}


def match(a, b):
    one, two = (states(pa.array(x, pa.string())) for x in (a, b))
    counts = one["counts"].values, two["counts"].values
    common = overlap(one["distinct"], two["distinct"], counts)
    there = [{v for v in x if v is not None} for x in (a, b)]
    assert abs(common.both - len(there[0] & there[1])) <= common.error
    assert abs(common.reference - len(there[0])) <= common.error
    assert abs(common.new - len(there[1] - there[0])) <= common.new_error
    assert abs(common.vanished - len(there[0] - there[1])) <= common.vanished_error
    plain = categories(one["top"], two["top"], counts)
    found = categories(one["top"], two["top"], counts, common)
    for distance in DISTANCES.values():  # what is known more is never less sharp
        wide, sharp = (distance(x.reference, x.current) for x in (plain, found))
        assert wide.low - 1e-9 <= sharp.low
        assert sharp.high <= wide.high + 1e-9
    return found


def truth(a, b):
    """Distances over every category."""
    values = sorted({*a, *b} - {None})
    counts = [np.unique([v for v in x if v is not None], return_counts=True) for x in (a, b)]
    p, q = (np.zeros(len(values)) for _ in range(2))
    for share, (found, n) in zip((p, q), counts, strict=True):
        share[np.searchsorted(values, found)] = n / n.sum()
    return of_shares(p, q)


def check(a, b):
    found = match(a, b)
    real = truth(a, b)
    for name, distance in DISTANCES.items():
        made = distance(found.reference, found.current)
        assert abs(made.value - real[name]) <= made.error + 1e-9, (name, made, real[name])
    return found


def draw(weights, n=20_000):
    names = np.array([f"c{i}" for i in range(len(weights))])
    return RNG.choice(names, n, p=np.array(weights) / np.sum(weights)).tolist()


letters = st.lists(st.sampled_from([None, *"abcdef"]), min_size=1, max_size=50).filter(
    lambda x: any(v is not None for v in x)
)


@QUICK
@given(letters, letters)
def test_exact_with_few_categories(a, b):
    found = check(a, b)
    there = [{v for v in x if v is not None} for x in (a, b)]
    assert set(found.values.take(pa.array(found.new)).to_pylist()) == there[1] - there[0]
    assert set(found.values.take(pa.array(found.vanished)).to_pylist()) == there[0] - there[1]
    for distance in DISTANCES.values():
        assert distance(found.reference, found.current).error == 0
        assert distance(found.reference, found.reference).value == 0
        back = match(b, a)
        assert distance(back.reference, back.current).value == pytest.approx(
            distance(found.reference, found.current).value
        )


def test_ten_thousand_categories():
    even = np.ones(10_000)
    zipf = 1 / np.arange(1, 10_001)
    for a, b in (
        (draw(even), draw(even)),
        (draw(zipf), draw(zipf)),
        (draw(zipf), draw(zipf[::-1])),
        (draw(even), [f"d{i}" for i in range(9000)]),
        (draw(zipf, 5000), draw(zipf, 200_000)),
        (["c1", "c2"] * 500, draw(even)),
    ):
        check(a, b)


def unique(prefix, n):
    return [f"{prefix}{i}" for i in range(n)]


@pytest.mark.parametrize(
    ("a", "b", "js", "error"),
    [
        (unique("a", 30_000), unique("b", 20_000), 1.0, 0.01),
        (unique("a", 3000), unique("b", 2000), 1.0, 0.0),  # all hashes are known
        (unique("a", 3000), unique("a", 1500) + unique("b", 1500), 0.5**0.5, 0.0),
        (unique("a", 30_000), unique("a", 15_000) + unique("b", 15_000), 0.5**0.5, 0.02),
        (unique("a", 30_000), unique("a", 30_000), 0.0, 0.11),
        (["x"] * 10_000 + unique("a", 30_000), ["x"] * 30_000 + unique("b", 10_000), None, 0.02),
        (unique("a", 3000) * 9, unique("b", 3000) * 7, 1.0, 0.0),
    ],
)
def test_values_that_are_hardly_counted_are_known_to_be_others(a, b, js, error):
    """The truth, by NumPy on all rows, lies within a small error; see also ``check``."""
    found = check(a, b)
    for distance in (jensen_shannon, hellinger):
        made = distance(found.reference, found.current)
        assert made.error <= error + 1e-9
        assert js is None or abs(made.value - js) <= made.error + 1e-9


@QUICK
@given(
    st.integers(600, 4000), st.integers(600, 4000), st.integers(0, 4000), st.integers(1, 4),
    st.integers(0, 2**32),
)  # fmt: skip
def test_any_overlap_of_rare_values(first, second, common, repeats, seed):
    """Values on both sides, on one alone, once or several times."""
    rng = np.random.default_rng(seed)
    shared = min(common, first, second)
    a = [*unique("s", shared), *unique("a", first - shared)]
    b = [*unique("s", shared), *unique("b", second - shared)]
    check(rng.choice(a, len(a) * repeats).tolist() + a, b * repeats)


def test_frequent_categories_among_many_rare_ones_are_told():
    rare = np.full(9_000, 0.3 / 9_000)
    a, b = draw([0.4, 0.3, *rare], 100_000), draw([0.1, 0.6, *rare], 100_000)
    found = check(a, b)
    made = jensen_shannon(found.reference, found.current)
    assert made.low > 0.15
    assert found.values.to_pylist()[:2] == ["c0", "c1"]
    assert len(found.new) == 0  # an inexact summary cannot say that a category is not there


def test_new_categories_of_an_exact_reference_are_certain():
    found = check(draw([1, 1]), draw([1, 1, *np.full(2000, 1e-4), 1]))
    assert "c2002" in found.values.take(pa.array(found.new)).to_pylist()
    assert len(found.vanished) == 0


@pytest.mark.parametrize(("a", "b"), [((5, 8, 10), (9, 7, 30)), ((1, 1), (1000, 400))])
def test_bounds_hold_for_all_that_they_allow(a, b):
    """Any shares within the bounds give a distance within its error."""
    sides = []
    for counts in (a, b):
        p = np.array(counts) / sum(counts)
        sides.append(Binned(p, np.maximum(p - 0.05, 0), np.minimum(p + 0.05, 1), sum(counts)))
    made = {name: distance(*sides) for name, distance in DISTANCES.items()}
    for _ in range(300):
        p, q = (RNG.uniform(side.low, side.high) for side in sides)
        inside = [Binned(x, x, x, s.count) for x, s in zip((p, q), sides, strict=True)]
        for name, distance in DISTANCES.items():
            assert abs(distance(*inside).value - made[name].value) <= made[name].error + 1e-12


def pooled(counts):
    """Categories with few expected values in one, as documented."""
    expected = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    small = expected < 5
    if np.count_nonzero(small) < 2:
        return counts
    return np.column_stack([counts[:, ~small], counts[:, small].sum(axis=1)])


@QUICK
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=2, max_size=30))
def test_chi_squared(pairs):
    counts = np.array(pairs).T
    if not counts.sum(axis=1).all():
        return
    found = chi_squared(*(Binned.exact(row) for row in counts))
    table = pooled(counts)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        assert (found.value, found.p_value) == (pytest.approx(0), 1)
        return
    theirs = scipy.stats.chi2_contingency(table, correction=False)
    assert found.value == pytest.approx(theirs.statistic, rel=1e-9, abs=1e-9)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)


def test_p_values_are_uniform_when_nothing_changed():
    weights = np.array([0.3, 0.3, 0.2, 0.1, 0.05, 0.05])
    found = [
        chi_squared(*(Binned.exact(RNG.multinomial(800, weights)) for _ in range(2))).p_value
        for _ in range(400)
    ]
    assert scipy.stats.kstest(found, "uniform").pvalue > 1e-3


def test_distances_grow_with_the_change():
    moved = [
        [distance(Binned.exact([100, 100, 0]), Binned.exact([100 + k, 100 - k, k])).value
         for k in (0, 5, 20, 60, 100)]
        for distance in (*DISTANCES.values(), chi_squared)
    ]  # fmt: skip
    assert all(values == sorted(values) and values[0] == 0 < values[1] for values in moved)


def test_types_that_hash_alike_match():
    one = states(pa.array(["a", "b", "a"]).dictionary_encode())
    two = states(pa.array(["a", "b", "b"], pa.large_string()))
    found = categories(one["top"], two["top"], (3, 3))
    assert found.values.to_pylist() == ["a", "b"]
    assert found.current.shares.tolist() == pytest.approx([1 / 3, 2 / 3, 0])
