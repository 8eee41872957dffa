"""The compiled loops against NumPy."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dsm_dask.stats import column, gaps, kernels, text_scan

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


def test_sort_of_what_agrees_on_its_leading_bits():
    rng = np.random.default_rng(5)
    near = 1.0 + rng.integers(0, 1000, 3000) * 2.0**-52  # one value far away hides the differences
    for values in (np.append(near, 1e300), np.append(near, -1e300), near[:600]):
        assert (kernels.sort(values) == np.sort(values)).all()


def test_sorted_numbers_are_given_back():
    values = np.arange(1000)
    assert kernels.sort(values) is values
    values = values[::-1].copy()
    assert (kernels.sort(values) == values[::-1]).all()


@QUICK
@given(st.lists(st.integers(0, 40), max_size=300))
def test_runs_and_groups(few):
    values = np.array(few, np.uint64)
    distinct, firsts, counts = np.unique(values, return_index=True, return_counts=True)
    assert kernels.run_starts(np.sort(values)).tolist() == np.cumsum([0, *counts])[:-1].tolist()
    found = kernels.group(values)
    order = np.argsort(found[0])
    expected = (distinct, counts, firsts)
    for got, wanted in zip(found, expected, strict=True):
        assert got[order].tolist() == wanted.tolist()


@QUICK
@given(st.lists(st.integers(1, 9000), min_size=2, max_size=60), st.data())
def test_the_largest_counts(counts, data):
    counts = np.array(counts)
    rank = data.draw(st.integers(0, len(counts) - 1))
    least = int(kernels.next_largest(counts, rank))
    assert least == np.sort(counts)[::-1][rank]
    assert kernels.larger(counts, least, rank).tolist() == np.flatnonzero(counts > least).tolist()


@QUICK
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_registers_hold_the_first_set_bit(words):
    found = np.zeros(1 << 4, np.uint8)
    kernels.register(found, np.array(words, np.uint64), 4)
    expected = [0] * 16
    for word in words:
        rank = 61 - (word % 2**60).bit_length()
        expected[word >> 60] = max(expected[word >> 60], rank)
    assert found.tolist() == expected


@QUICK
@given(st.lists(st.binary(max_size=40), max_size=30))
def test_hashes_of_bytes_depend_on_the_bytes_alone(texts):
    def hashes(array):
        return text_scan.scan(array, np.ones(len(array), np.int64)).hashes.tolist()

    rows = pa.array(texts, pa.binary())
    lone = [hashes(pa.array([text], pa.binary()))[0] for text in texts]
    assert hashes(rows) == lone
    assert hashes(rows[1:].cast(pa.large_binary())) == lone[1:]
    assert len(set(lone)) == len(set(texts))


@QUICK
@given(st.lists(st.text(max_size=12), min_size=1, max_size=30))
def test_the_smallest_and_the_largest_text(texts):
    found = text_scan.scan(pa.array(texts), np.ones(len(texts), np.int64))
    assert (texts[found.first], texts[found.last]) == (min(texts), max(texts))
    assert (found.shortest, found.longest) == (min(map(len, texts)), max(map(len, texts)))


@QUICK
@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=20), st.integers(1, 10**9))
def test_common_step(numbers, step):
    ordered = np.unique([number // step * step for number in numbers])
    assert gaps._common_step(ordered) == math.gcd(*np.diff(ordered.astype(object)).tolist())


def test_a_column_is_seen_anew_with_every_batch():
    one, other = (pa.record_batch({"x": [value] * 3}) for value in (1, 2))
    assert column.of(one, "x") is column.of(one, "x")
    assert [column.of(b, "x").numbers[0] for b in (one, other, one)] == [1, 2, 1]
