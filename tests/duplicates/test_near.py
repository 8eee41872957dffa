"""Near duplicates against every pair's Jaccard similarity, taken in Python."""

import itertools
import os
import signal
import threading

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import parquet, scratch
from near_corpus import clusters, corpus, cut, decided, pairs_of, run

from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates.near import Bounds, Near, dedup_near
from dsm_dask.duplicates.presets import PRESETS, settings
from dsm_dask.duplicates.rule import Rule
from dsm_dask.duplicates.shingles import Shingles
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import ROW_ID

pytestmark = pytest.mark.usefixtures("small_partitions")

TIGHT = Bounds(keys=1500, edges=100, home=30, piece=30)


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


def test_hundreds_of_different_texts_in_one_group(tmp_path, engine):
    """All with all: buckets link rows with their first one only, which may be less alike."""
    random = np.random.default_rng(1)
    chosen: set[tuple[int, ...]] = set()
    while len(chosen) < 300:
        places = random.choice(19, random.integers(3, 6), replace=False)
        chosen.add(tuple(sorted(places.tolist())))
    texts = []
    for places in sorted(chosen):
        words = [f"w{n}" for n in range(100)]
        for place in places:
            words[5 * place + 2] = f"x{place}"
        texts.append(" ".join(words))
    truth = pairs_of(texts, 0.8)
    _, listed = run(tmp_path, texts, engine)
    assert len(truth) > 400
    assert all(listed[a][0] == listed[b][0] for a, b in truth)


def test_many_versions_of_one_page(tmp_path, engine):
    """More different texts in one group than are compared all with all."""
    random = np.random.default_rng(5)
    page = random.integers(0, 10**6, 300)
    texts = []
    for _ in range(600):
        text = page.copy()
        text[random.integers(0, 300, 3)] = random.integers(0, 10**6, 3)
        texts.append(" ".join(f"w{n}" for n in text))
    found, listed = run(tmp_path / "one", texts, engine, 1)
    assert (found.clusters, found.duplicates) == (1, 599)
    assert found.checked < 600 * 60
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
