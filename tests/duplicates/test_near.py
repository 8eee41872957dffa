"""Near duplicates against every pair's Jaccard similarity, taken in Python."""

import itertools
import os
import signal
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import objects, parquet, scratch
from near_corpus import clusters, corpus, cut, decided, pairs_of, run

from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates import band_index, set_files
from dsm_dask.duplicates.clusters import Rule
from dsm_dask.duplicates.minhash import MinHash
from dsm_dask.duplicates.near import Bounds, Near, dedup_near
from dsm_dask.duplicates.presets import PRESETS, settings
from dsm_dask.duplicates.shingles import Shingles
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UnknownColumn, UsageError
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import ROW_ID

TIGHT = Bounds(keys=1500, edges=100, home=30, piece=30)


@pytest.fixture(autouse=True)
def small_partitions(monkeypatch):
    """A partition for each row group: files of a few rows would otherwise share one."""
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))


def test_against_all_pairs(tmp_path, engine):
    texts = corpus(400)
    found, listed = run(tmp_path, texts, engine)
    truth = pairs_of(texts, 0.8)
    together = {
        pair for group in clusters(listed) for pair in itertools.combinations(sorted(group), 2)
    }
    assert len(truth) > 100
    assert sum(pair in together for pair in truth) >= 0.99 * len(truth)
    for group in clusters(listed):  # connected by pairs that are really alike
        reached, edge = {min(group)}, {min(group)}
        while edge:
            edge = {b for a in edge for b in group if (min(a, b), max(a, b)) in truth} - reached
            reached |= edge
        assert reached == group
    for row, (kept, role, alike) in listed.items():
        assert role == ("kept" if row == kept else "duplicate")
        own = [s for pair, s in truth.items() if row in pair]
        assert any(abs(alike - s) < 1e-6 for s in own)
        assert kept == min(group for group in clusters(listed) if row in group) or kept <= row
    assert found.rows == 400
    assert found.duplicates == sum(role == "duplicate" for _, role, _ in listed.values())
    assert found.clusters == len(clusters(listed))
    assert found.checked >= found.accepted > 0
    assert 0 < found.precision <= 1
    assert sum(count for _, _, count in found.sizes) == found.clusters
    assert sum(count for _, _, count in found.similarities) >= found.duplicates


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


@pytest.mark.parametrize("files", [2, 7, 64])
def test_any_cut_gives_the_same(tmp_path, engine, files):
    texts = [*corpus(300, seed=2), *["the same page of a few words, over and over"] * 40]
    whole, want = run(tmp_path / "one", texts, engine, 1)
    found, listed = run(tmp_path / "many", texts, engine, files)
    assert (whole.index.files, found.index.files) == (1, files)
    assert listed == want
    assert (found.sizes, found.checked, found.accepted, found.similarities) == (
        whole.sizes, whole.checked, whole.accepted, whole.similarities,
    )  # fmt: skip


def test_tight_bounds_give_the_same(tmp_path, engine):
    """Rounds over edge files, many homes and pieces."""
    texts = corpus(250, seed=3)
    _, want = run(tmp_path / "one", texts, engine)
    found, listed = run(tmp_path / "tight", texts, engine, 5, bounds=TIGHT)
    assert listed == want
    assert [c.size for c in found.largest] == sorted((c.size for c in found.largest), reverse=True)


def test_partitions_of_many_blocks(tmp_path, engine, monkeypatch):
    """Several band files a partition, several objects of sets, and homes in temporary files."""
    texts = [*corpus(250, seed=18), *["one page of a few words that some share"] * 30]
    _, want = run(tmp_path / "one", texts, engine)
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1 << 20, 64 << 20))
    monkeypatch.setattr(band_index, "BLOCK", 50)
    monkeypatch.setattr(set_files, "FLUSH", 2000)
    monkeypatch.setattr(set_files, "IN_MEMORY", 100)
    table = pa.table({"text": texts, "n": range(280)})
    for index in range(2):
        part = table.slice(index * 140, 140)
        parquet(f"{tmp_path}/raw/{index}.parquet", part, row_group_size=20)
    create(f"{tmp_path}/ds", f"{tmp_path}/raw", engine=engine)
    data = open_dataset(f"{tmp_path}/ds")
    found = dedup_near(data, "text", engine=engine, out=f"{tmp_path}/out")
    assert decided(tmp_path / "out") == want
    assert found.index.files > len(data.partitions())
    drop(f"{tmp_path}/ds", "n >= 40 and n < 110", engine=engine)
    left = [i for i in range(280) if not 40 <= i < 110]
    _, want = run(tmp_path / "left", [texts[i] for i in left], engine)
    found = dedup_near(
        open_dataset(f"{tmp_path}/ds"), "text", engine=engine, out=f"{tmp_path}/out2"
    )
    assert (found.index.hashed, found.rows) == (0, 210)
    assert decided(tmp_path / "out2") == {
        left[row]: (left[kept], *rest) for row, (kept, *rest) in want.items()
    }


def test_an_older_version_does_not_replace_the_index(tmp_path, engine):
    """Rows that a file does not know are hashed into a file of their own."""
    texts = corpus(120, seed=19)
    ds = f"{tmp_path}/ds"
    create(ds, cut(tmp_path / "raw", texts, 1, n=pa.array(range(120))), engine=engine)
    drop(ds, "n < 30", engine=engine)
    dedup_near(open_dataset(ds), "text", engine=engine)
    (first,) = [uri for uri in objects(ds) if uri.endswith(".bands")]
    before = objects(ds)[first]
    whole = dedup_near(open_dataset(f"{ds}@1"), "text", engine=engine, out=f"{tmp_path}/out")
    assert (whole.rows, whole.index.hashed) == (120, 1)
    assert objects(ds)[first] == before
    assert decided(tmp_path / "out") == run(tmp_path / "plain", texts, engine)[1]
    for name in (ds, f"{ds}@1"):
        assert dedup_near(open_dataset(name), "text", engine=engine).index.hashed == 0


@pytest.mark.cluster
def test_workers_give_the_same(tmp_path, engine, cluster):
    texts = corpus(300, seed=4)
    _, want = run(tmp_path / "one", texts, engine)
    _, listed = run(tmp_path / "two", texts, cluster, 9, bounds=TIGHT)
    assert listed == want


def _pid(_: int) -> int:
    return os.getpid()


@pytest.mark.cluster
def test_a_worker_lost_in_the_middle(tmp_path, engine):
    """What it had written counts or is written again; the result is the same."""
    texts = corpus(400, seed=17)
    _, want = run(tmp_path / "one", texts, engine)
    with Engine(workers=2) as made:
        pid = made.map(_pid, range(4))[0]
        killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
        killer.start()
        _, listed = run(tmp_path / "two", texts, made, 9, bounds=TIGHT)
        killer.join()
        assert pid not in made.map(_pid, range(8))
    assert listed == want


def test_a_page_that_everyone_has(tmp_path, engine):
    """Copies cost one row's work a partition, in one bucket and one cluster."""
    texts = ["one page that thousands of rows share"] * 20_000
    found, listed = run(tmp_path, texts, engine, 4)
    assert (found.clusters, found.duplicates, found.checked) == (1, 19_999, 0)
    assert listed[0] == (0, "kept", 1.0)
    assert set(listed.values()) == {(0, "kept", 1.0), (0, "duplicate", 1.0)}
    assert found.key_bytes < 20_000 * 40


def test_many_versions_of_one_page(tmp_path, engine):
    """More different texts in one group than are compared all with all."""
    random = np.random.default_rng(5)
    page = random.integers(0, 10**6, 300)
    texts = []
    for _ in range(400):
        text = page.copy()
        text[random.integers(0, 300, 3)] = random.integers(0, 10**6, 3)
        texts.append(" ".join(f"w{n}" for n in text))
    found, listed = run(tmp_path / "one", texts, engine, 1)
    assert (found.clusters, found.duplicates) == (1, 399)
    assert found.checked < 400 * 60
    assert run(tmp_path / "many", texts, engine, 7)[1] == listed


def test_without_verification(tmp_path, engine):
    texts = corpus(200, seed=6)
    near = settings(threshold=0.8, verify=False)
    assert (near.minhash.bands, near.minhash.rows) == (9, 13)
    found, listed = run(tmp_path, texts, engine, near=near)
    assert found.checked is None
    assert "precision" not in found.to_dict()
    assert {alike for _, _, alike in listed.values()} == {None}
    assert run(tmp_path / "one", texts, engine, 1, near)[1] == listed
    truth = pairs_of(texts, 0.95)
    assert all(listed[a][0] == listed[b][0] for a, b in truth)


@pytest.mark.parametrize("rule", ["longest", "prefer"])
@pytest.mark.parametrize("files", [1, 5])
def test_the_row_that_stays(tmp_path, engine, rule, files):
    texts = [text + " " * (i % 7) for i, text in enumerate(corpus(200, seed=7))]
    scores = [None if i % 11 == 0 else (i * 37 % 101) / 7 for i in range(200)]
    raw = cut(tmp_path / "raw", texts, files, score=pa.array(scores))
    chosen = Rule("longest") if rule == "longest" else Rule(prefer="score")
    dedup_near(
        open_parquet(raw), "text", Near(rule=chosen), engine=engine, out=f"{tmp_path}/out",
        bounds=TIGHT if files > 1 else None,
    )  # fmt: skip
    listed = decided(tmp_path / "out")
    for group in clusters(listed):
        if rule == "longest":
            best = min(group, key=lambda row: (-len(texts[row]), row))
        else:
            best = min(
                group, key=lambda row: (-np.inf if scores[row] is None else scores[row]) * -1
            )
            top = [r for r in group if scores[r] == scores[best]]
            best = min(top)
        assert {listed[row][0] for row in group} == {best}


def test_drop_commits(tmp_path, engine):
    texts = corpus(200, seed=8)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", texts, 3), engine=engine)
    _, want = run(tmp_path / "plain", texts, engine)
    found = dedup_near(open_dataset(ds), "text", engine=engine, drop=True)
    left = open_dataset(ds).to_table([ROW_ID])[ROW_ID].to_pylist()
    assert left == [r for r in range(200) if r not in want or want[r][1] == "kept"]
    assert (found.version, found.committed) == (2, True)
    assert not scratch(ds)
    again = dedup_near(open_dataset(f"{ds}@1"), "text", engine=engine, drop=True)
    assert (again.version, again.committed, again.duplicates) == (2, False, found.duplicates)


@pytest.mark.s3
def test_on_s3(tmp_path, engine, bucket):
    texts = corpus(150, seed=20)
    _, want = run(tmp_path, texts, engine)
    table, ds = pa.table({"text": texts}), f"s3://{bucket}/near"
    for index in range(2):
        parquet(f"s3://{bucket}/near-raw/{index}.parquet", table.slice(index * 75, 75))
    create(ds, f"s3://{bucket}/near-raw", engine=engine)
    dedup_near(open_dataset(ds), "text", engine=engine)
    found = dedup_near(open_dataset(ds), "text", engine=engine, drop=True)
    assert (found.index.hashed, found.index.compared, found.committed) == (0, 0, True)
    left = open_dataset(ds).to_table([ROW_ID])[ROW_ID].to_pylist()
    assert left == [r for r in range(150) if r not in want or want[r][1] == "kept"]
    assert not scratch(ds)


def test_columns_are_written_next_to_the_data(tmp_path, engine):
    texts = corpus(200, seed=9)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", texts, 3), engine=engine)
    _, want = run(tmp_path / "plain", texts, engine)
    found = dedup_near(open_dataset(ds), "text", engine=engine, columns=True)
    assert (found.version, found.committed) == (2, True)
    table = open_dataset(ds).to_table([ROW_ID, *found.columns])
    told = {row: rest for row, *rest in zip(*(c.to_pylist() for c in table.columns), strict=True)}
    assert told == {row: list(want.get(row, (None, None, None))) for row in range(200)}
    with pytest.raises(SchemaError, match="already"):
        dedup_near(open_dataset(ds), "text", engine=engine, columns=True)


def test_against_another_dataset(tmp_path, engine):
    """Rows of the other table are never dropped, and what is found there is told apart."""
    texts, other = corpus(120, seed=10), corpus(120, seed=11)
    other[5], other[6] = texts[7], texts[7] + " and a tail"
    unlike = [f"row {i} " + "x " * i for i in range(5)]
    ds, against = str(tmp_path / "ds"), str(tmp_path / "other")
    create(ds, cut(tmp_path / "raw", texts, 3), engine=engine)
    create(against, cut(tmp_path / "others", other, 2), engine=engine)
    third = open_parquet(cut(tmp_path / "third", unlike, 1))
    tables = [open_dataset(against), third]
    found = dedup_near(
        open_dataset(ds), "text", engine=engine, against=tables, out=f"{tmp_path}/out"
    )
    listed = decided(tmp_path / "out")
    first, second = found.against
    truth = pairs_of([*texts, *other], 0.8)
    leaked = {a for a, b in truth if a < 120 <= b}
    assert leaked <= set(listed)
    assert first.against == open_dataset(against).name
    assert first.rows >= len(leaked) > 0
    assert first.other_rows >= 2
    assert (second.rows, second.clusters, second.other_rows) == (0, 0, 0)
    table = pq.read_table(f"{tmp_path}/out").to_pylist()
    told = {row["row_id"]: row for row in table}
    assert told[7]["role"] == "duplicate"
    assert told[7]["against"] == first.against
    assert told[7]["cluster"] == 5
    dedup_near(open_dataset(ds), "text", engine=engine, against=tables[:1], drop=True)
    left = open_dataset(ds).to_table([ROW_ID])[ROW_ID].to_pylist()
    assert not leaked & set(left)
    assert open_dataset(against).rows == 120
    index = [uri for uri in objects(against) if "_dsm/index" in uri and uri.endswith(".bands")]
    assert index
    reused = dedup_near(open_dataset(against), "text", engine=engine)
    assert reused.index.hashed == 0


def test_an_append_hashes_only_what_is_new(tmp_path, engine):
    texts = corpus(300, seed=12)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", texts[:240], 4), engine=engine)
    first = dedup_near(open_dataset(ds), "text", engine=engine)
    append(ds, cut(tmp_path / "more", texts[240:], 1), engine=engine)
    found = dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/out")
    assert found.index.files == first.index.files + 1
    assert found.index.hashed == 1
    again = dedup_near(open_dataset(ds), "text", engine=engine)
    assert (again.index.hashed, again.index.compared) == (0, 0)
    assert 0 < found.index.compared < first.index.compared
    assert (again.sizes, again.checked, again.accepted, again.similarities) == (
        found.sizes, found.checked, found.accepted, found.similarities,
    )  # fmt: skip
    scratch, want = run(tmp_path / "plain", texts, engine)
    assert decided(tmp_path / "out") == want
    assert (found.sizes, found.checked) == (scratch.sizes, scratch.checked)


def test_an_index_outlives_dropped_rows(tmp_path, engine):
    """Rows that are gone take no part, and their partitions are not hashed again."""
    texts = [*corpus(200, seed=13), *["a page that some rows share, word by word"] * 6]
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", texts, 2, n=pa.array(range(206))), engine=engine)
    dedup_near(open_dataset(ds), "text", engine=engine)
    drop(ds, "n < 20 or n >= 70 and n < 140 or n = 200", engine=engine)
    left = [i for i in range(206) if 20 <= i < 70 or 140 <= i != 200]
    found = dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/out")
    assert (found.rows, found.index.hashed) == (len(left), 0)
    scratch, want = run(tmp_path / "plain", [texts[i] for i in left], engine)
    names = {left[row]: (left[kept], *rest) for row, (kept, *rest) in want.items()}
    assert decided(tmp_path / "out") == names
    assert found.sizes == scratch.sizes


# ---------------------------------------------------------------------------------------------
# Bad input


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


def test_presets(tmp_path, engine):
    """Each finds copies; what its normalisation makes equal is equal."""
    base = corpus(40, seed=16)[0]
    texts = [base, base.upper(), base.replace(" ", ", "), base]
    want = {"datatrove": [4], "text-dedup": [4], "datajuicer": [3], "curator": [2]}
    for name in PRESETS:
        near = settings(name)
        assert not near.verify
        found, _ = run(tmp_path / name, texts, engine, near=near)
        assert [c.size for c in found.largest] == want[name]
    assert settings("datatrove").minhash.bands == 14
    assert settings("curator").minhash.shingles == Shingles("char", 24)
    assert settings("datajuicer", verify=True, threshold=0.9).verify
    with pytest.raises(UsageError, match="datatrove"):
        settings("datatroves")
