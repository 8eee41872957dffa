"""Texts that are not as they should be, and calls that are not: what becomes of them."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import parquet
from near_corpus import clusters, cut, run

from dsm_dask.duplicates.minhash import MinHash
from dsm_dask.duplicates.near import Bounds, Near, dedup_near
from dsm_dask.duplicates.presets import settings
from dsm_dask.duplicates.rule import Rule
from dsm_dask.errors import SchemaError, UnknownColumn, UsageError
from dsm_dask.sources.parquet import open_parquet

pytestmark = pytest.mark.usefixtures("small_partitions")


@pytest.mark.parametrize("seed", range(4))
def test_odd_texts_against_all_pairs(tmp_path, engine, seed):
    """Scripts, control characters, nulls, short texts, any unit: 128 bands of a row miss nothing
    that is alike by half, and clusters are exactly what all pairs connect."""
    random = np.random.default_rng(seed)
    texts = odd_texts(random, 60)
    size, least = int(random.integers(1, 5)), float(random.choice([0.5, 0.8, 0.9, 1.0]))
    unit, empty = ("word", "char")[seed % 2], seed % 3 == 0
    near = settings(shingle=f"{unit}:{size}", threshold=least, bands=128, rows=1, match_empty=empty)
    found, listed = run(tmp_path / "one", texts, engine, 1, near)
    assert found.index.files == 1
    assert clusters(listed) == connected([odd_shingles(t, unit, size) for t in texts], least, empty)
    bounds = Bounds(keys=2000, home=10, piece=10)
    many, again = run(tmp_path / "many", texts, engine, 7, near, bounds=bounds)
    assert (many.index.files, again) == (7, listed)


def odd_texts(random, count):
    pool = ["a", "b", "c", "d e", "é", "日本語", "😀", "\u3000", "\u00a0x", "z" * 40, " ", "\x1cq",
            "\u2028r", "\x00n", "مرحبا"]  # fmt: skip
    texts = [None, "", "\u3000\u00a0", "same same same", "same " * 20]
    while len(texts) < count:
        words = list(random.choice(pool, random.integers(1, 25)))
        known = texts[random.integers(0, len(texts))]
        if known and random.random() < 0.6:
            words = known.split(" ")
            words[random.integers(0, len(words))] = str(random.choice(pool))
        texts.append(" ".join(words))
    return texts


def odd_shingles(text, unit, size):
    units = (text or "").split() if unit == "word" else list(text or "")
    if 0 < len(units) < size:
        return {("all", *units)}
    return {tuple(units[i : i + size]) for i in range(len(units) - size + 1)}


def connected(sets, least, empty):
    """Clusters of two or more, by every pair."""
    found = [{i} for i in range(len(sets))]
    for i, j in itertools.combinations(range(len(sets)), 2):
        one, other = sets[i], sets[j]
        alike = len(one & other) / len(one | other) >= least if one | other else empty
        if alike and found[i] is not found[j]:
            found[i] |= found[j]
            for member in found[j]:
                found[member] = found[i]
    return {frozenset(group) for group in found if len(group) > 1}


def test_empty_and_null_texts(tmp_path, engine):
    texts = ["", None, "  \n", "", None, "a b", "a b", "\u3000"]
    found, listed = run(tmp_path / "no", texts, engine)
    assert clusters(listed) == {frozenset({5, 6})}
    assert "6 texts are empty or null" in found.notes[0]
    near = Near(MinHash(match_empty=True))
    for files in (1, 4):
        _, listed = run(tmp_path / f"yes{files}", texts, engine, files, near)
        assert clusters(listed) == {frozenset({0, 1, 2, 3, 4, 7}), frozenset({5, 6})}


def test_a_column_without_any_text(tmp_path, engine):
    parquet(f"{tmp_path}/raw/0.parquet", pa.table({"text": pa.nulls(3)}))
    found = dedup_near(open_parquet(f"{tmp_path}/raw"), "text", engine=engine)
    assert (found.rows, found.clusters, found.key_bytes > 0) == (3, 0, True)


def test_texts_shorter_than_a_shingle(tmp_path, engine):
    texts = ["a b", "a  b", "b a", "a", "a", "a b c"]
    found, listed = run(tmp_path, texts, engine)
    assert clusters(listed) == {frozenset({0, 1}), frozenset({3, 4})}
    assert "shorter than a shingle" in found.notes[0]


def test_one_very_long_text(tmp_path, engine):
    """Two megabytes beside short ones: signed in blocks, compared from a bounded home."""
    random = np.random.default_rng(14)
    long = " ".join(f"w{n}" for n in random.integers(0, 10**6, 300_000))
    texts = ["short text of some words here", long, long + " tail", "short text of some words here"]
    found, listed = run(tmp_path, texts, engine, 2)
    assert clusters(listed) == {frozenset({0, 3}), frozenset({1, 2})}
    assert all(len(c.values["text"]) < 500 for c in found.largest)


def test_one_repeated_word(tmp_path, engine):
    """The set of shingles of any number of repetitions is the same."""
    texts = ["spam " * 500, "spam " * 5, "spam " * 40_000, "spam spam", "ham " * 500]
    _, listed = run(tmp_path, texts, engine)
    assert clusters(listed) == {frozenset({0, 1, 2})}


def test_scripts_and_emoji(tmp_path, engine):
    texts = [
        "שלום עולם זה טקסט לדוגמה כאן", "שלום עולם זה טקסט לדוגמה כאן",
        "🙂 👍🏽 🙂 👍🏽 🚀 🙂", "🙂 👍🏽 🙂 👍🏽 🚀 🙂", "🙂 👍 🙂 👍 🚀 🙂",
    ]  # fmt: skip
    for shingle in ("word:3", "char:3"):
        _, listed = run(
            tmp_path / shingle, texts, engine, near=settings(shingle=shingle, threshold=0.9)
        )
        assert clusters(listed) == {frozenset({0, 1}), frozenset({2, 3})}


def test_chinese_without_spaces(tmp_path, engine):
    """Word shingles miss an edit and say so; character shingles see it."""
    random = np.random.default_rng(15)
    pages = ["".join(chr(0x4E00 + n) for n in random.integers(0, 5000, 120)) for _ in range(20)]
    texts = [*pages, *[page[:60] + "改" + page[61:] for page in pages]]
    found, listed = run(tmp_path / "words", texts, engine)
    assert listed == {}
    assert any("--shingle char" in note for note in found.notes)
    near = settings(shingle="char:5")
    found, listed = run(tmp_path / "chars", texts, engine, near=near)
    assert clusters(listed) == {frozenset({i, i + 20}) for i in range(20)}
    assert found.notes == ()


def test_bytes_that_are_not_text(tmp_path, engine):
    texts = [b"a b c \xff d e f", b"a b c \xff d e f", b"a b c \xfe d e f", b"\x00" * 9]
    table = pa.table({"text": pa.array(texts, pa.binary())})
    parquet(f"{tmp_path}/raw/0.parquet", table)
    data = open_parquet(f"{tmp_path}/raw")
    for normalise in ([], ["case"]):
        found = dedup_near(data, "text", settings(normalise=normalise), engine=engine)
        assert [c.size for c in found.largest] == ([2] if not normalise else [3])
        assert "\ufffd" in found.largest[0].values["text"]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"on": "texts"}, UnknownColumn, "text"),
        ({"on": "n"}, SchemaError, "not text"),
        ({"near": Near(threshold=1.5)}, UsageError, "Above 0"),
        ({"near": Near(rule=Rule(prefer="text"))}, SchemaError, "no best"),
        ({"near": Near(rule=Rule(prefer="m"))}, UnknownColumn, "'m'"),
        ({"drop": True}, UsageError, "Only a dataset"),
        ({"drop": True, "columns": True}, UsageError, "--drop or --columns"),
    ],
)
def test_bad_calls(tmp_path, engine, options, error, told):
    raw = cut(tmp_path / "raw", ["a", "b"], 1, n=pa.array([1, 2]))
    on = options.pop("on", "text")
    with pytest.raises(error) as found:
        dedup_near(open_parquet(raw), on, engine=engine, **options)
    assert told in str(found.value)
