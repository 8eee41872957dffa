"""Pairs of hashes within a distance, against all distances, in NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import labels, near, same

from dsm_dask.duplicates import hamming
from dsm_dask.duplicates.bands import BANDS


def planted(count: int, seed: int) -> np.ndarray:
    """Distinct hashes, half of them a few bits from another."""
    random = np.random.default_rng(seed)
    found = random.integers(0, 2**64, count, dtype=np.uint64)
    for row in range(count // 2, count):
        flips = random.choice(64, random.integers(1, 12), replace=False)
        found[row] = found[random.integers(0, row)] ^ np.uint64(sum(1 << int(f) for f in flips))
    return np.unique(found)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32), distance=st.integers(0, 15),
    looks=st.sampled_from([1, 50, 10_000]),
)  # fmt: skip
def test_every_pair_within_a_distance(seed, distance, looks):
    """The bands together link what NumPy finds near, and nothing else."""
    check_pairs(planted(120, seed), seed, distance, looks)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), distance=st.integers(0, 12), most=st.sampled_from([2, 4, 10]))
def test_every_pair_where_bands_are_crowded(seed, distance, most):
    """Where many hashes share a band, they are looked at by another one; with the same result."""
    random = np.random.default_rng(seed)
    few = random.integers(0, 1 << 16, (4, 3), dtype=np.uint64)
    bands = [few[band, random.integers(0, 3, 60)] << np.uint64(16 * band) for band in range(4)]
    flips = np.uint64(1) << random.integers(0, 64, 60, dtype=np.uint64)
    hashes = np.unique(sum(bands[1:], bands[0]) ^ np.where(random.random(60) < 0.5, flips, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "CROWDED", most)
        check_pairs(hashes, seed, distance, 1000)


def check_pairs(hashes, seed, distance, looks):
    own = np.random.default_rng(seed).random(len(hashes)) < 0.7
    pairs = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "LOOKS", looks)
        for band in range(BANDS):
            left, right, differing = hamming.pairs_within(hashes, own, band, distance)
            told = zip(left.tolist(), right.tolist(), strict=True)
            pairs |= dict(zip(told, differing.tolist(), strict=True))
    want = near(hashes, distance)
    want = want[own[want].any(axis=1)]
    assert set(pairs) <= {tuple(pair) for pair in want.tolist()}
    truth = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    assert all(truth[pair] == differing for pair, differing in pairs.items())
    assert same(labels(pairs, len(hashes)), labels(want, len(hashes)))


def test_a_crowded_band_is_not_quadratic(monkeypatch):
    """Hashes of which one band is the same: a small share of all pairs is looked at."""
    looked = []
    counted = hamming._looks
    monkeypatch.setattr(hamming, "CROWDED", 256)
    monkeypatch.setattr(
        hamming, "_looks", lambda *given: looked.append(counted(*given)) or looked[-1]
    )
    hashes = np.unique(np.random.default_rng(1).integers(0, 2**48, 20_000, dtype=np.uint64))
    hamming.pairs_within(hashes, np.ones(len(hashes), bool), 0, 3)
    assert 0 < sum(int(one.sum()) for one in looked) < len(hashes) ** 2 / 1000
