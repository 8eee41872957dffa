"""Built-in embeddings: what they keep of the texts; a user's function; the column they become."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates.alike import dedup_alike
from dsm_dask.duplicates.embeddings import FunctionMap, HashedNgrams, embed
from dsm_dask.duplicates.semantic import Semantic
from dsm_dask.errors import PartitionFailed, SchemaError, UnknownColumn, UsageError
from dsm_dask.sources.parquet import open_parquet

WORDS = [
    f"{a}{b}{c}" for a in "bdkmr" for b in ("an", "elt", "iro", "usk") for c in ("", "e", "ing")
]


def vectors_of(texts, kind=None, **options) -> np.ndarray:
    batch = pa.record_batch({"t": pa.array(texts, kind or pa.string())})
    found = HashedNgrams("t", **options).apply(batch).column(0)
    assert found.type == pa.list_(pa.float32(), options.get("dimension", 128))
    return np.array(found.flatten()).reshape(-1, found.type.list_size)


def document(random, length: int) -> list[str]:
    return [WORDS[i] for i in random.integers(0, len(WORDS), length)]


@settings(max_examples=60)
@given(texts=st.lists(st.text(max_size=40), max_size=6), dimension=st.integers(1, 200))
@example(texts=["", " ", "!?", "a", "é", "語", "🙂🙂", "مرحبا بالعالم", "\x00"], dimension=64)
def test_length_one_or_none_and_each_text_by_itself(texts, dimension):
    found = vectors_of(texts, dimension=dimension)
    norms = np.linalg.norm(found, axis=1)
    for text, norm in zip(texts, norms, strict=True):
        has_word = any(c.isalnum() if c.isascii() else True for c in text)
        assert norm == pytest.approx(1, abs=1e-5) or (
            norm == 0 and (not has_word or dimension < 64)
        )
    for kind in (pa.large_string(), pa.string_view()):
        assert (vectors_of(texts, kind, dimension=dimension) == found).all()
    whole = pa.record_batch({"t": ["padding", *texts, "more"]})[1:]
    cut = HashedNgrams("t", dimension).apply(whole).column(0)[: len(texts)]
    assert (np.array(cut.flatten()).reshape(found.shape) == found).all()


def test_case_spaces_and_punctuation_do_not_count():
    found = vectors_of(["The cat, sat!", "the  CAT\nsat", "thecat sat"])
    assert (found[0] == found[1]).all()
    assert found[0] @ found[2] < 0.9


def test_cosines_are_those_of_the_exact_features():
    """The projection keeps the cosine of the n-grams' weighted counts, counted here in Python."""
    random = np.random.default_rng(1)
    texts = []
    for _ in range(8):
        words = document(random, 80)
        for share in (0, 0.05, 0.3):
            changed = random.random(80) < share
            pairs = zip(words, document(random, 80), changed, strict=True)
            texts.append(" ".join(new if swap else old for old, new, swap in pairs))
    exact = np.array(
        [[_cosine(a, b) for b in map(_features, texts)] for a in map(_features, texts[:6])]
    )
    found = vectors_of(texts, dimension=1024)
    assert np.abs(found[:6] @ found.T - exact).max() < 0.15
    assert np.abs(found[:6] @ found.T - exact).mean() < 0.03


def _features(text: str) -> dict:
    words = text.split()
    parts = [
        [(f" {word} "[i : i + 4],) for word in words for i in range(len(word) - 1)],
        [*words, *pairwise(words)],
    ]
    found = {}
    for part in parts:
        weights = {one: 1 + np.log(part.count(one)) for one in set(part)}
        norm = np.sqrt(sum(w * w for w in weights.values()))
        found |= {one: w / norm for one, w in weights.items()}
    return found


def _cosine(one: dict, other: dict) -> float:
    return sum(w * other.get(key, 0) for key, w in one.items()) / 2


def test_edited_texts_are_near_and_others_far():
    random = np.random.default_rng(2)
    words = document(random, 300)
    edited = [word if random.random() > 0.01 else "changed" for word in words]
    one, other, far = vectors_of(
        [" ".join(words), " ".join(edited), " ".join(document(random, 300)[::-1])]
    )
    assert one @ other > 0.95
    assert one @ far < 0.9


def test_a_long_text_is_counted_piece_by_piece():
    """More features than the table holds: a text with a few changes is still near."""
    random = np.random.default_rng(3)
    words = ["".join(random.choice(list("abcdefgh"), 7)) for _ in range(20_000)]
    edited = ["changed", *(word for word in words if random.random() > 0.01)]
    one, other = vectors_of([" ".join(words), " ".join(edited)])
    assert one @ other > 0.95
    assert vectors_of(["a " * 1_000_000, "a"]).shape == (2, 128)


def test_bytes_that_are_no_text():
    """Invalid UTF-8 is read byte by byte."""
    raw = pa.array([b"\xff\xfe\x80abc", b"\x80\x80\x80", b"abc\xc3"], pa.binary())
    texts = pa.StringArray.from_buffers(3, *raw.buffers()[1:])
    found = HashedNgrams("t").apply(pa.record_batch({"t": texts})).column(0)
    norms = np.linalg.norm(np.array(found.flatten()).reshape(3, -1), axis=1)
    assert norms == pytest.approx([1, 1, 1], abs=1e-5)


# ---------------------------------------------------------------------------------------------
# Functions, columns


def sizes(values):
    return np.array([[len(value), 1, 0] for value in values])


def test_a_function_sees_batches_without_nulls():
    seen = []

    def lengths(values):
        seen.append(values)
        return sizes(values)

    batch = pa.record_batch({"t": ["a", None, "bb", "ccc", None]})
    found = FunctionMap("t", lengths, 3, batch_size=2).apply(batch).column(0)
    assert seen == [["a", "bb"], ["ccc"]]
    assert found.to_pylist() == [[1, 1, 0], None, [2, 1, 0], [3, 1, 0], None]
    with pytest.raises(UsageError, match=r"shape \(1, 3\).*"):
        FunctionMap("t", lambda values: sizes(values[:1]), 3).apply(batch)


@pytest.fixture
def texts(tmp_path, engine) -> str:
    random = np.random.default_rng(1)
    rows = [" ".join(document(random, 60)) for _ in range(40)]
    rows += [f"{row} end" for row in rows[:10]] + [None, "", ""]
    (tmp_path / "raw").mkdir()
    for number in range(2):
        pq.write_table(pa.table({"t": rows[number::2]}), tmp_path / f"raw/{number}.parquet")
    create(str(tmp_path / "ds"), str(tmp_path / "raw"), engine=engine)
    return str(tmp_path / "ds")


def test_a_column_of_embeddings(texts, engine):
    written = embed(texts, "t", engine=engine)
    assert (written.version, written.committed) == (2, True)
    table = open_dataset(texts).to_table()
    assert table.schema.field("t_embedding").type == pa.list_(pa.float32(), 128)
    column = table["t_embedding"].combine_chunks()
    assert column.null_count == 1
    known = table["t"].is_valid()
    want = vectors_of(table["t"].filter(known).to_pylist())
    assert (
        np.array(column.filter(known.combine_chunks()).flatten()).reshape(-1, 128) == want
    ).all()
    again = embed(open_dataset(f"{texts}@1"), "t", engine=engine)
    assert (again.version, again.committed) == (2, False)
    with pytest.raises(SchemaError, match="already"):
        embed(texts, "t", engine=engine)
    made = embed(texts, "t", engine=engine, function=sizes, dimension=3, name="sizes")
    assert made.version == 3
    assert open_dataset(texts).to_table(["sizes"])["sizes"][0].as_py()[1] == 1


def test_semantic_duplicates_of_texts_with_a_column_and_without(texts, engine):
    on_the_way = dedup_alike(
        open_dataset(texts), Semantic("t", 0.9, HashedNgrams("t")), engine=engine
    )
    embed(texts, "t", engine=engine)
    stored = dedup_alike(open_dataset(texts), Semantic("t_embedding", 0.9), engine=engine)
    for found in (on_the_way, stored):
        assert (found.rows, found.clusters, found.duplicates) == (53, 10, 10)
        assert found.left_out == {"null": 1, "zero": 2, "not_finite": 0}
        assert "3 rows have no direction" in found.notes[0]
        assert list(found.largest[0].values) == ["t"]


@pytest.mark.cluster
def test_a_function_goes_to_the_workers(texts, cluster):
    scale = 2.0

    def scaled(values):  # by value, with what it refers to
        return [[len(value) * scale, 1.0] for value in values]

    embed(texts, "t", engine=cluster, function=scaled, dimension=2, name="v")
    table = open_dataset(texts).to_table(["t", "v"]).to_pylist()
    assert all(row["v"] == [2 * len(row["t"]), 1] for row in table if row["t"] is not None)


@pytest.mark.cluster
def test_workers_without_the_module_say_so(texts, cluster, tmp_path, monkeypatch):
    """The function is theirs to load: the scheduler knows nothing of it."""
    (tmp_path / "only_here.py").write_text("def one(texts):\n    return [[1.0] for _ in texts]\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    with pytest.raises(PartitionFailed, match=r"ModuleNotFoundError.*only_here"):
        embed(texts, "t", engine=cluster, function=only_here.one, dimension=1)
    assert open_dataset(texts).version == 1


def test_what_cannot_be(texts, tmp_path, engine):
    with pytest.raises(UnknownColumn):
        embed(texts, "x", engine=engine)
    with pytest.raises(UsageError, match="How many"):
        embed(texts, "t", engine=engine, function=sizes)
    for options in (
        {"dimension": 0},
        {"dimension": 40_000},
        {"function": sizes, "dimension": 3, "batch_size": 0},
    ):
        with pytest.raises(UsageError):
            embed(texts, "t", engine=engine, **options)
    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "n.parquet")
    with pytest.raises(SchemaError, match="int64, which is no text"):
        dedup_alike(
            open_parquet(str(tmp_path / "n.parquet")), Semantic("n", 0.9, HashedNgrams("n")),
            engine=engine,
        )  # fmt: skip
    with pytest.raises(PartitionFailed, match="RuntimeError: broken"):
        embed(texts, "t", engine=engine, function=_broken, dimension=2)
    assert open_dataset(texts).version == 1


def _broken(values):
    raise RuntimeError("broken")
