"""Signatures, shingles and near duplicates against Python's own words and sets."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask.duplicates.minhash import MinHash, bands_for, found_at
from dsm_dask.duplicates.normalise import Normalise
from dsm_dask.duplicates.shingles import Shingles
from dsm_dask.errors import UsageError

TEXTS = st.text(st.sampled_from("ab \t\n\u3000\u00a0\u2003é👍🏽א日"), max_size=60)


def by_python(text: str, shingles: Shingles) -> set:
    units = text.split() if shingles.unit == "word" else list(text)
    if not units:
        return set()
    n = min(shingles.size, len(units))
    return {tuple(units[i : i + n]) for i in range(len(units) - n + 1)}


def jaccard(a: set, b: set) -> float:
    return len(a & b) / len(a | b) if a | b else 1.0


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=8),
    unit=st.sampled_from(["word", "char"]),
    size=st.integers(1, 6),
)
def test_sets_are_those_of_python(texts, unit, size):
    """As many shingles, and as many shared by any two texts."""
    shingles = Shingles(unit, size)
    hashes, counts = shingles.sets(pa.array(texts))
    sets = [set(part.tolist()) for part in np.split(hashes, np.cumsum(counts)[:-1])]
    truth = [by_python(text, shingles) for text in texts]
    assert counts.tolist() == [len(one) for one in truth]
    for (a, b), (c, d) in zip(
        itertools.combinations(sets, 2), itertools.combinations(truth, 2), strict=True
    ):
        assert len(a & b) == len(c & d)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6), data=st.data())
def test_signatures_depend_on_the_set_alone(texts, data):
    """Equal sets have equal keys; digests are equal only then; layout makes no difference."""
    minhash = MinHash(Shingles(data.draw(st.sampled_from(["word", "char"])), 2), bands=3, rows=2)
    array = pa.array(texts)
    signed = minhash.sign(array)
    truth = [by_python(text, minhash.shingles) for text in texts]
    for i, j in itertools.combinations(range(len(texts)), 2):
        if truth[i] == truth[j]:
            assert (signed.keys[i] == signed.keys[j]).all()
        if (signed.digests[i] == signed.digests[j]).all():
            assert truth[i] == truth[j]
    for same in (
        array.cast(pa.large_string()), array.cast(pa.binary()), array.dictionary_encode(),
        pa.concat_arrays([pa.array(["x y z"]), array]).slice(1), array.cast(pa.string_view()),
    ):  # fmt: skip
        assert (minhash.sign(same).keys == signed.keys).all()


@pytest.mark.parametrize("unit", ["word", "char"])
def test_long_texts_are_taken_in_blocks(unit):
    """A text of many blocks has the shingles of its parts and those across the seams."""
    random = np.random.default_rng(0)
    words = [f"w{n}" for n in random.integers(0, 10_000, 20_000)]
    text = " ".join(words)
    shingles = Shingles(unit, 7)
    hashes, counts = shingles.sets(pa.array([text]))
    assert counts[0] == len(by_python(text, shingles)) == len(np.unique(hashes))
    minhash = MinHash(shingles, bands=8, rows=2)
    half = len(text) // 2
    parts = minhash.sign(pa.array([text, text[: half + 40], text[half - 40 :]]))
    assert parts.units[0] == (20_000 if unit == "word" else len(text))
    assert (parts.keys[0] != parts.keys[1]).any()


def test_share_of_equal_minima_is_the_similarity():
    """Broder's theorem, within four standard errors."""
    random = np.random.default_rng(1)
    minhash = MinHash(Shingles("word", 1), bands=2048, rows=1)
    for shared in (20, 60, 90):
        words = [f"w{n}" for n in random.permutation(10**6)[: 200 - shared]]
        left, right = words[:100], words[100 - shared :]
        similarity = jaccard(set(left), set(right))
        keys = minhash.sign(pa.array([" ".join(left), " ".join(right)])).keys
        error = 4 * (similarity * (1 - similarity) / 2048) ** 0.5
        assert abs((keys[0] == keys[1]).mean() - similarity) < error


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95])
def test_bands_find_pairs_at_the_threshold(threshold):
    bands, rows = bands_for(threshold, 128)
    assert bands * rows <= 128
    assert found_at(threshold, bands, rows) >= 0.995
    assert found_at(threshold, 128 // (rows + 1), rows + 1) < 0.995


def test_bands_without_verification():
    """As datasketch's MinHashLSH chooses (data-juicer and text-dedup take its function)."""
    assert bands_for(0.7, 256, verify=False) == (25, 10)
    assert bands_for(0.7, 250, verify=False) == (25, 10)
    assert bands_for(0.8, 128, verify=False) == (9, 13)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Shingles.parse("word"), "word:N or char:N"),
        (lambda: Shingles.parse("char:0"), "N from 1"),
        (lambda: Shingles.parse("letter:3"), "word:N or char:N"),
        (lambda: bands_for(0, 128), "Above 0"),
        (lambda: bands_for(0.8, 0), "1 to"),
        (lambda: MinHash(bands=0), "1 or more"),
        (lambda: Normalise.parse(["cases"]), "case"),
    ],
)
def test_bad_parameters(call, told):
    with pytest.raises(UsageError) as error:
        call()
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("step", "text", "want"),
    [
        ("case", "ÀB straße", "àb straße"),
        ("unicode", "ﬁne①", "fine1"),
        ("diacritics", "Çà été", "Ca ete"),
        ("numbers", "at 3.14 or 1,000 x7", "at 0 or 0 x0"),
        ("punctuation", "a-b, «c» $d", "a b   c   d"),
        ("whitespace", "  a\t\n b\u3000c ", "a b c"),
    ],
)
def test_normalisation(step, text, want):
    normalise = Normalise.parse([step])
    assert normalise.apply(pa.array([text, None, ""])).to_pylist() == [want, None, ""]
    coded = pa.array([text.encode(), None, b""], pa.binary())
    assert normalise.apply(coded).to_pylist() == [want, None, ""]


def test_nothing_is_normalised_unless_asked():
    texts = pa.array(["A, b 1", "a b 1"])
    assert Normalise().apply(texts) is texts
    minhash = MinHash(Shingles("word", 2), bands=4, rows=1)
    signed = minhash.sign(texts)
    assert (signed.keys[0] != signed.keys[1]).any()
    easy = MinHash(Shingles("word", 2), 4, 1, Normalise.parse(["case,punctuation"]))
    assert (easy.sign(texts).keys[0] == easy.sign(texts).keys[1]).all()


def test_bytes_that_are_not_text():
    """They are compared as they are; a step that reads text sees U+FFFD."""
    bad = pa.array([b"a \xff\xfe b", b"a \xff\xfe b", b"a \xfe\xff b", b"\xe3\x81"], pa.binary())
    for unit in ("word", "char"):
        keys = MinHash(Shingles(unit, 2), bands=4, rows=1).sign(bad).keys
        assert (keys[0] == keys[1]).all()
        assert (keys[0] != keys[2]).any()
    _, counts = Shingles("char", 1).sets(bad)
    assert counts.tolist() == [5, 5, 5, 2]
    assert Normalise.parse(["case"]).apply(bad).to_pylist()[3] == "\ufffd"
