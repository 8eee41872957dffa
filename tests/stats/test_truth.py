"""Every statistic against independent software: NumPy, DuckDB, Polars, fractions, collections."""

import collections
import datetime as dt
import decimal
import fractions
import math
import statistics

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings

from dsm_dask.fold import merge_all, run, update_all
from dsm_dask.stats.count import Count, Counts
from dsm_dask.stats.distinct import Distinct, K
from dsm_dask.stats.extremes import LIMIT, Extremes, MinMax
from dsm_dask.stats.histogram import BINS, Bins, Histogram
from dsm_dask.stats.lengths import Lengths, LengthStats
from dsm_dask.stats.moments import MeanStd, Moments
from dsm_dask.stats.quantiles import Quantiles
from dsm_dask.stats.top_values import CAPACITY, TopValues
from dsm_dask.testing.arrow import arrow_arrays

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(7)


def batch(values, dtype=None):
    return pa.record_batch(
        {"x": values if isinstance(values, pa.Array) else pa.array(values, dtype)}
    )


def pieces(values, size):
    table = pa.table({"x": pa.array(values)})
    return table.to_batches(max_chunksize=size)


def test_count_over_dictionaries_with_nulls_in_them():
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2]), [1.0, None, math.nan])
    assert run(Count("x"), [batch(coded)]) == Counts(count=4, nulls=2, nan=1)


@QUICK
@given(arrow_arrays(pa.float64()))
def test_moments_of_floats_are_those_of_fractions(array):
    numbers = [x for x in array.to_pylist() if x is not None and not math.isnan(x)]
    found = run(Moments("x"), [batch(array)])
    if not numbers:
        assert found == MeanStd()
    elif any(map(math.isinf, numbers)):
        assert str(found.mean) == str(float(np.float64(sum(x for x in numbers if math.isinf(x)))))
        assert found.std is None if len(numbers) == 1 else math.isnan(found.std)
    else:
        exact = [fractions.Fraction(x) for x in numbers]
        mean = sum(exact) / len(exact)
        assert found.mean == float(mean)
        if len(exact) > 1:
            variance = sum((x - mean) ** 2 for x in exact) / (len(exact) - 1)
            check_root(found.std, variance)


def check_root(std, variance):
    if math.isinf(std):
        assert variance > fractions.Fraction(2) ** 2047
    else:
        low, high = (fractions.Fraction(x) for x in _around(std))
        assert low**2 <= variance <= high**2


def _around(x):
    low = max(0.0, math.nextafter(x, -math.inf))
    return low, min(math.nextafter(x, math.inf), 1.7976931348623157e308)


@pytest.mark.parametrize(
    "dtype", [pa.int8(), pa.int64(), pa.uint64(), pa.decimal128(38, 10)], ids=str
)
def test_moments_of_integers_and_decimals_are_exact(dtype):
    @QUICK
    @given(arrow_arrays(dtype))
    def check(array):
        numbers = [fractions.Fraction(x) for x in array.to_pylist() if x is not None]
        found = run(Moments("x"), [batch(array)])
        if numbers:
            assert found.mean == float(sum(numbers) / len(numbers))
        if len(numbers) > 1:
            assert found.std == pytest.approx(statistics.stdev(numbers), rel=1e-15, abs=0)

    check()


def test_moments_do_not_depend_on_the_cut():
    numbers = RNG.lognormal(0, 40, 20_000) * RNG.choice([-1, 1], 20_000)
    found = [run(Moments("x"), pieces(numbers, size)) for size in (1000, 7777, 20_000)]
    found.append(run(Moments("x"), pieces(RNG.permutation(numbers), 5000)))
    assert len({(one.mean, one.std) for one in found}) == 1
    for shape in (lambda one: one.skewness, lambda one: one.kurtosis):
        np.testing.assert_allclose([shape(one) for one in found], shape(found[0]), rtol=1e-7)
    assert found[0].mean == float(sum(map(fractions.Fraction, numbers)) / len(numbers))


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e6])
def test_skewness_and_kurtosis_are_those_of_scipy(shift):
    numbers = RNG.gamma(2.0, size=30_000) + shift
    found = run(Moments("x"), pieces(numbers, 7000))
    assert found.skewness == pytest.approx(scipy.stats.skew(numbers), rel=1e-6)
    assert found.kurtosis == pytest.approx(scipy.stats.kurtosis(numbers), rel=1e-6)


@pytest.mark.parametrize("numbers", [[1.5] * 9, [1e300, 1e300], [5], [np.inf, 1.0]])
def test_constant_columns_have_no_shape(numbers):
    found = run(Moments("x"), [batch(np.array(numbers, float))])
    assert (found.skewness, found.kurtosis) == (None, None)


def test_shape_of_the_largest_floats():
    numbers = np.array([1e308, -1e308, 1.7e308, 0.0])
    found = run(Moments("x"), pieces(numbers, 1))
    assert found.skewness == pytest.approx(scipy.stats.skew(numbers / 1e308))
    assert found.kurtosis == pytest.approx(scipy.stats.kurtosis(numbers / 1e308))


def test_moments_agree_with_the_field():
    numbers = RNG.normal(3, 2, 10_000)
    found = run(Moments("x"), pieces(numbers, 999))
    frame = pl.DataFrame({"x": numbers})
    assert found.std == pytest.approx(frame["x"].std(), rel=1e-12)
    theirs = duckdb.sql("SELECT avg(x), stddev(x) FROM frame").fetchall()[0]
    assert (found.mean, found.std) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize(
    ("values", "dtype", "low", "high"),
    [
        ([2**64 - 1, 0], pa.uint64(), 0, 2**64 - 1),
        ([-(2**63), 2**63 - 1], pa.int64(), -(2**63), 2**63 - 1),
        ([math.nan, 1.5, -math.inf], pa.float64(), -math.inf, 1.5),
        ([decimal.Decimal("-1.25"), decimal.Decimal("9.99")], pa.decimal32(5, 2), None, None),
        ([dt.date(2024, 2, 29), dt.date(1969, 1, 1)], pa.date32(), dt.date(1969, 1, 1), None),
        ([True, False], pa.bool_(), False, True),
        (["Z", "a", "é"], pa.string(), "Z", "é"),
        ([b"\xff", b""], pa.binary_view(), b"", b"\xff"),
        ([dt.timedelta(1), dt.timedelta(-1)], pa.duration("us"), dt.timedelta(-1), None),
        ([dt.time(1), dt.time(2)], pa.time64("ns"), dt.time(1), dt.time(2)),
        (["b", "a"], pa.dictionary(pa.int8(), pa.string()), "a", "b"),
    ],
)
def test_extremes(values, dtype, low, high):
    real = [v for v in values if v == v]
    low, high = min(real) if low is None else low, max(real) if high is None else high
    found = run(Extremes("x"), [batch([None]).cast(pa.schema({"x": dtype})), batch(values, dtype)])
    assert (found.min, found.max) == (low, high)


def test_extremes_cut_long_texts():
    long, longer = "é" * LIMIT, "é" * (LIMIT + 1)
    assert run(Extremes("x"), [batch([long]), batch([longer])]) == MinMax(long, long, False, True)
    assert run(Extremes("x"), [batch([longer])]) == MinMax(long, long, True, True)


def test_distinct_is_exact_below_k_and_near_above():
    assert run(Distinct("x"), pieces(np.arange(K - 1), 500)).count == K - 1
    for values in (np.arange(200_000), RNG.integers(0, 50_000, 200_000), np.arange(9e4) * 0.1):
        found = run(Distinct("x"), pieces(values, 30_000))
        truth = len(np.unique(values))
        assert not found.exact
        assert abs(found.count - truth) <= 4 * found.error * truth


def test_distinct_is_unbiased():
    ratios = [
        run(Distinct("x"), [batch(np.arange(20_000) + start)]).count / 20_000
        for start in range(0, 10**6, 25_000)
    ]
    assert abs(np.mean(ratios) - 1) < 0.002
    assert 0.002 < np.std(ratios) < 0.006  # 1.04 / sqrt(2^16), a little less for so few


@pytest.mark.parametrize("method", ["numbers", "dates"])
def test_quantiles_are_exact_for_few_values(method):
    numbers = RNG.integers(0, 10**6, 4000)
    found = run(Quantiles("x"), pieces(numbers, 300))
    assert found.rank_error == 0
    np.testing.assert_allclose(found.values, np.quantile(numbers, found.probabilities), rtol=1e-12)
    stamps = pa.array(numbers).cast(pa.timestamp("us", "UTC"))
    dates = run(Quantiles("x"), pieces(stamps, 300)).values
    micros = [
        (d - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) for d in dates
    ]
    assert micros == [math.floor(value) for value in found.values]


@pytest.mark.parametrize("size", [1000, 65_536, 400_000])
@pytest.mark.parametrize("shape", ["sorted", "shuffled", "reversed", "lognormal", "few"])
def test_quantiles_keep_their_bound(shape, size):
    numbers = np.arange(400_000.0)
    if shape == "lognormal":
        numbers = RNG.lognormal(0, 3, 400_000)
    elif shape == "few":
        numbers = RNG.integers(0, 7, 400_000)
    elif shape != "sorted":
        numbers = numbers[::-1].copy() if shape == "reversed" else RNG.permutation(numbers)
    fold = Quantiles("x", (0.001, 0.1, 0.5, 0.9, 0.999))
    streamed = run(fold, pieces(numbers, size))
    merged = merge_all(fold, [update_all(fold, [piece]) for piece in pieces(numbers, size)])
    order = np.sort(numbers)
    for found in (streamed, fold.finish(merged)):
        assert found.rank_error < 0.005
        for p, value in zip(found.probabilities, found.values, strict=True):
            low = np.searchsorted(order, value, "left") / len(order)
            high = np.searchsorted(order, value, "right") / len(order)
            assert low - found.rank_error <= p <= high + found.rank_error


def test_top_values_are_exact_for_few_values():
    words = [f"w{int(x)}" for x in RNG.zipf(1.5, 5000) if x < 400]
    found = run(TopValues("x"), pieces(words, 700))
    truth = sorted(collections.Counter(words).items(), key=lambda item: (-item[1], item[0]))
    assert found.exact
    assert [(t.value, t.count) for t in found.top] == truth[:10]


@pytest.mark.parametrize("kind", ["text", "number"])
def test_top_values_keep_their_bounds(kind):
    numbers = RNG.zipf(1.3, 100_000) % 10**6
    values = [f"w{x}" for x in numbers] if kind == "text" else numbers
    truth = collections.Counter(values if kind == "text" else numbers.tolist())
    found = run(TopValues("x"), pieces(values, 9000))
    assert len(found.top) > 3
    for top in found.top:
        assert top.count <= truth[top.value] <= top.count + top.error
        assert top.error <= len(values) / (CAPACITY + 1)
    shown = {top.value for top in found.top}
    assert {value for value, _ in truth.most_common(3)} <= shown


def test_top_values_of_long_texts():
    texts = ["x" * 300 + "a", "x" * 300 + "b", "x" * 300 + "b", "short"]
    found = run(TopValues("x"), pieces(texts, 2))
    assert [(t.value, t.count) for t in found.top] == [
        ("x" * 200 + "…", 2),
        ("short", 1),
        ("x" * 200 + "…", 1),
    ]
    wide = run(TopValues("x"), [batch([b"y" * 1000], pa.binary(1000))])
    assert wide.top[0].value == b"y" * 200


@pytest.mark.parametrize(
    "kind", ["normal", "wide", "integers", "uint64", "tiny", "constant", "huge"]
)
def test_histogram_is_exact_and_independent_of_the_cut(kind):
    numbers = {
        "normal": RNG.normal(0, 1, 9000),
        "wide": np.exp(RNG.uniform(-700, 700, 9000)) * RNG.choice([-1, 1], 9000),
        "integers": RNG.integers(-(2**63), 2**63 - 1, 9000),
        "uint64": RNG.integers(2**64 - 50, 2**64 - 1, 9000, dtype=np.uint64),
        "tiny": RNG.integers(-50, 50, 9000) * 5e-324,
        "constant": np.full(9000, 1e300),
        "huge": RNG.choice([-1.7e308, 1.7e308, 0.0, -5e-324], 9000),
    }[kind]
    found = run(Histogram("x"), [batch(numbers)])
    for size in (100, 4000):
        assert run(Histogram("x"), pieces(RNG.permutation(numbers), size)) == found
    edges = [int(e) if numbers.dtype.kind in "iu" else e for e in found.edges]
    assert len(found.counts) <= BINS
    assert sum(found.counts) == 9000
    values = numbers.tolist()
    for low, high, count in zip(edges[:-1], edges[1:], found.counts, strict=True):
        assert count == sum(low <= v < high for v in values)


def test_histogram_counts_infinities_apart():
    found = run(Histogram("x"), [batch([math.inf, -math.inf, math.inf, 1.0, math.nan])])
    assert (found.below, found.above, sum(found.counts)) == (1, 2, 1)
    assert run(Histogram("x"), [batch([math.nan, None])]) == Bins()


def test_histogram_of_dates_has_dates_for_edges():
    days = [dt.date(2024, 1, 1) + dt.timedelta(i) for i in range(60)]
    found = run(Histogram("x"), [batch(days)])
    assert found.edges[0] == days[0]
    assert found.edges[-1] == days[-1] + dt.timedelta(1)
    assert set(found.counts) == {1}


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (["日本", "🙂", None], pa.string_view(), LengthStats("characters", 1, 2, 1.5, 3)),
        ([b"abc", b""], pa.large_binary(), LengthStats("bytes", 0, 3, 1.5, 3)),
        ([b"abc", None], pa.binary(3), LengthStats("bytes", 3, 3, 3.0, 3)),
        ([[1, 2], [], None], pa.list_view(pa.int8()), LengthStats("items", 0, 2, 1.0, 2)),
        (
            [[("a", 1)], None, []],
            pa.map_(pa.string(), pa.int8()),
            LengthStats("items", 0, 1, 0.5, 1),
        ),
        ([None], pa.string(), LengthStats("characters")),
    ],
)
def test_lengths(values, dtype, expected):
    assert run(Lengths("x"), [batch(values, dtype)]) == expected
    twice = pa.array([*values, *values], dtype)[len(values) :]
    assert run(Lengths("x"), [batch(twice)]) == expected


def test_zeros_beside_tiny_values_have_the_same_shape_however_cut():
    """Zeros alone have no size of their own: merged with 4e-281, they must not hide it."""
    tiny = pa.record_batch({"x": [4.1581101773764866e-281]})
    zeros = pa.record_batch({"x": [0.0, 0.0]})
    fold = Moments("x")
    whole = pa.record_batch({"x": [4.1581101773764866e-281, 0.0, 0.0]})
    expected = run(fold, [whole])
    assert expected.skewness == pytest.approx(0.70710678)
    for cut in ([tiny, zeros], [zeros, tiny]):
        merged = merge_all(fold, [update_all(fold, [batch]) for batch in cut])
        assert fold.finish(merged) == expected
