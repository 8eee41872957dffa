"""Gaps against sorted values."""

import datetime as dt
import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsm_dask.fold import merge_all, run, update_all
from dsm_dask.stats.gaps import BUCKETS, Gaps, GapStats
from dsm_dask.testing.folds import check_bounded

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(5)
STAMPS = pa.timestamp("us")


def stored(numbers, dtype=STAMPS):
    width = pa.int32() if dtype.bit_width == 32 else pa.int64()
    return pa.record_batch({"x": pa.array(numbers, width).view(dtype)})


def check(numbers, found, unit=1e-6):
    """Every gap longer than the resolution is there, and nothing else."""
    values = sorted(set(numbers))
    gaps = [b - a for a, b in itertools.pairwise(values)]
    width = round(found.resolution / unit)
    longest = sorted((gap for gap in gaps if gap > width), reverse=True)[:5]
    assert [gap.seconds for gap in found.longest] == pytest.approx([g * unit for g in longest])
    assert found.step == pytest.approx(math.gcd(*gaps) * unit, rel=1e-15)
    assert width * BUCKETS / 4 < max(values[-1] - values[0], BUCKETS / 2)


@QUICK
@given(st.lists(st.integers(-(10**9), 10**9), min_size=2, max_size=60, unique=True))
def test_longest_gaps_and_step(numbers):
    found = run(Gaps("x"), [stored(numbers)])
    check(numbers, found)
    width = 1 << max(0, round(math.log2(found.resolution / 1e-6)))
    used = {number // width for number in numbers}
    assert found.occupied == pytest.approx(len(used) / (max(used) - min(used) + 1))


@QUICK
@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=2, max_size=20, unique=True))
def test_any_range(numbers):
    found = run(Gaps("x"), [stored(numbers)])
    gaps = [b - a for a, b in itertools.pairwise(sorted(numbers))]
    longest = [gap.seconds for gap in found.longest[:1]]
    assert longest == pytest.approx([max(gaps) * 1e-6] if max(gaps) > 1 else [])


def test_the_cut_makes_no_difference():
    numbers = np.concatenate([RNG.integers(0, 10**12, 3000), RNG.integers(10**14, 10**15, 3000)])
    batches = [stored(part) for part in np.split(numbers * 60, 12)]
    fold = Gaps("x")
    whole = run(fold, [stored(numbers * 60)])
    assert fold.finish(merge_all(fold, [update_all(fold, [b]) for b in batches[::-1]])) == whole
    assert run(fold, batches) == whole
    check((numbers * 60).tolist(), whole)


def test_a_missing_week_is_found_among_many_events():
    start, day = 1_700_000_000, 86_400
    seconds = start + np.sort(RNG.integers(0, 365 * day, 300_000))
    away = (seconds < start + 200 * day) | (seconds >= start + 207 * day)
    found = run(Gaps("x"), [stored(seconds[away], pa.timestamp("s", "Asia/Tokyo"))])
    first = dt.datetime.fromtimestamp(int(seconds[seconds < start + 200 * day].max()), dt.UTC)
    assert found.longest[0].start == first
    assert found.longest[0].seconds == pytest.approx(7 * day, rel=0.01)
    assert len(found.longest) == 1
    assert found.occupied == pytest.approx(358 / 365, abs=0.01)


@pytest.mark.parametrize("dtype", [pa.date32(), pa.date64()], ids=str)
def test_dates_are_whole_days(dtype):
    days = [dt.date(2024, 1, 1), dt.date(2024, 1, 8), dt.date(2024, 3, 4), None]
    found = run(Gaps("x"), [pa.record_batch({"x": pa.array(days, dtype)})])
    assert found.longest[0].start == dt.date(2024, 1, 8)
    assert found.step == 7 * 86_400


@pytest.mark.parametrize("numbers", [[], [None, None], [7], [7, 7, None, 7]])
def test_nothing_to_lie_between(numbers):
    assert run(Gaps("x"), [stored(numbers)]) == GapStats()


def test_nanoseconds_are_kept():
    found = run(Gaps("x"), [stored([0, 1, 10**18 + 1], pa.timestamp("ns"))])
    assert found.longest[0].start.value == 1
    assert found.step == 1e-9


def test_state_is_small():
    check_bounded(Gaps("x"), {"x": STAMPS}, limit=17_000)
