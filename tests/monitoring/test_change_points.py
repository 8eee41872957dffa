"""Change points: found where they were planted, and seldom where there are none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask.monitoring.change_points import page_hinkley


def kolmogorov_smirnov(rng, size, rows=200):
    """Distances of samples to one other sample, of the same distribution."""
    reference = np.sort(rng.random(rows))
    samples = np.sort(rng.random((size, rows)), axis=1)
    below = np.searchsorted(reference, samples, "right") / rows
    return np.abs(below - np.arange(1, rows + 1) / rows).max(axis=1)


@pytest.mark.parametrize("draw", [lambda rng, size: rng.normal(size=size), kolmogorov_smirnov])
@pytest.mark.parametrize("size", [10, 30, 100, 1000])
def test_false_alarms_are_rare(draw, size):
    rng = np.random.default_rng(size)
    alarms = [bool(page_hinkley(list(draw(rng, size)))) for _ in range(100)]
    assert sum(alarms) <= (5 if size == 1000 else 3)


@pytest.mark.parametrize(("size", "jump", "share"), [(10, 10, 0.9), (30, 5, 0.9), (1000, 5, 0.9)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_change_is_found_within_one(size, jump, share, sign):
    rng = np.random.default_rng(size)
    hits = 0
    for _ in range(100):
        series, at = rng.normal(size=size), int(rng.integers(size // 3, 2 * size // 3 + 1))
        series[at:] += sign * jump
        found = page_hinkley(list(series))
        hits += len(found) == 1 and abs(found[0].index - at) <= 1 and found[0].rises == (sign > 0)
    assert hits >= share * 100


def test_up_and_down_again():
    rng = np.random.default_rng(0)
    series = rng.normal(size=90)
    series[30:60] += 8
    up, down = page_hinkley(list(series))
    assert (up.index, up.rises, down.index, down.rises) == (30, True, 60, False)
    assert up.after == down.before == pytest.approx(series[30:60].mean())


FINITE = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.none() | FINITE, max_size=40), st.sampled_from([0.25, 4.0, 1024.0]))
def test_neither_the_unit_nor_gaps_matter(series, unit):
    found = page_hinkley(series)
    assert all(series[point.index] is not None for point in found)
    assert [p.index for p in found] == sorted({p.index for p in found} - {0})
    scaled = page_hinkley([None if x is None else x * unit for x in series])
    assert [p.index for p in scaled] == [p.index for p in found]
    spread = [x for value in series for x in (value, None)]
    assert [p.index for p in page_hinkley(spread)] == [2 * p.index for p in found]


@pytest.mark.parametrize("series", [[], [1.0], [1.0, 2.0], [None] * 5, [0.0] * 50, [1e-300] * 9])
def test_too_short_or_constant(series):
    assert page_hinkley(series) == ()
