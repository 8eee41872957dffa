"""The index of near duplicates: versions of one dataset, damage, dry runs, unreadable rows."""

import dataclasses
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import flip, objects
from near_corpus import corpus, cut, decided, pairs_of, run

from dsm_dask import codec, storage
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.naming import branch
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates import near as near_module
from dsm_dask.duplicates.band_files import BandFile, encode
from dsm_dask.duplicates.damage import sealed
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.duplicates.indexes import indexes, verify_indexes
from dsm_dask.duplicates.near import Near, dedup_near
from dsm_dask.engine import Engine
from dsm_dask.errors import DatasetDamaged
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import ROW_ID

PAGE = "a page that some rows share, word by word"

pytestmark = pytest.mark.usefixtures("small_partitions")


def made(folder, texts, engine, files=2):
    ds = f"{folder}/ds"
    create(ds, cut(folder / "raw", texts, files, n=pa.array(range(len(texts)))), engine=engine)
    return ds


def kept(ds, suffix=".bands"):
    return sorted(uri for uri in objects(ds) if uri.endswith(suffix))


def test_copies_in_other_files_are_not_read_again(tmp_path, engine):
    """Their digests tell that they are the same; only what is merely alike is compared."""
    texts = [f"{word} " * 9 + "and so on" for word in "abc"]
    alike = "the quick brown fox jumps over the lazy dog and runs away through the woods at night"
    rows = [*texts, *texts, alike, *texts, alike + " again", texts[0]]
    raw = open_parquet(cut(tmp_path / "raw", rows, 6))
    found = dedup_near(raw, "text", engine=engine)
    assert (found.clusters, found.duplicates) == (4, 8)
    assert (found.index.compared, found.checked, found.accepted) == (2, 1, 1)
    whole = open_parquet(cut(tmp_path / "whole", rows, 1))
    for table, out in ((raw, tmp_path / "six"), (whole, tmp_path / "one")):
        dedup_near(table, "text", engine=engine, out=str(out))
    assert decided(tmp_path / "six") == decided(tmp_path / "one")


@pytest.mark.parametrize("branches", [True, False], ids=["branches", "versions"])
def test_two_versions_of_one_dataset(tmp_path, engine, branches):
    """Both have dropped rows of the same partitions, but not the same rows."""
    texts = [*corpus(120, seed=21), *[PAGE] * 4]
    ds = made(tmp_path, texts, engine)
    dedup_near(open_dataset(ds), "text", engine=engine)
    dropped = (
        ("n < 50 or n = 121", "n >= 30 and n < 122")
        if branches
        else ("n < 10 or n = 70", "n < 40 or n >= 70 and n < 90")
    )
    names = [f"{ds}@one", f"{ds}@two"] if branches else [f"{ds}@2", f"{ds}@3"]
    for name, where in zip(names, dropped, strict=True):
        if branches:
            branch(ds, name.split("@")[1])
        drop(name if branches else ds, where, engine=engine)
    for data, other in (names, names[::-1]):
        left = [open_dataset(one).to_table([ROW_ID])[ROW_ID].to_pylist() for one in (data, other)]
        out = tmp_path / f"out-{data[-1]}"
        found = dedup_near(
            open_dataset(data), "text", engine=engine, against=[open_dataset(other)], out=str(out)
        )
        assert (found.index.hashed, found.rows) == (0, len(left[0]))
        mine, others = ([texts[row] for row in rows] for rows in left)
        against = open_parquet(cut(tmp_path / f"other-{data[-1]}", others, 1))
        _, want = run(tmp_path / f"plain-{data[-1]}", mine, engine, 1, against=[against])
        assert {row: told[1] for row, told in decided(out).items()} == {
            left[0][row]: told[1] for row, told in want.items()
        }


@pytest.mark.parametrize("lost", ["1", "2"])
def test_rows_that_cannot_be_read_take_no_part(tmp_path, lost):
    """The index knows them, verification cannot: nobody else's shingles stand in for theirs."""
    texts = [" ".join(f"w{n}" for n in np.random.default_rng(1).integers(0, 5000, 60))] * 3
    texts = [text.replace(" ", f" {i} ", 3) for i, text in enumerate(texts)]
    texts += [text + " tail" for text in texts] + [text + " end" for text in texts]
    near = Near(threshold=0.9)
    with Engine(workers=0) as engine:
        ds = made(tmp_path, texts, engine, 3)
        dedup_near(open_dataset(ds), "text", Near(near.minhash, 0.99), engine=engine)
    away = shutil.move(tmp_path / f"raw/00{lost}.parquet", tmp_path / "away")
    with Engine(workers=0, on_error="skip") as engine:
        found = dedup_near(open_dataset(ds), "text", near, engine=engine, out=f"{tmp_path}/out")
        gone = set(range(int(lost) * 3, int(lost) * 3 + 3))
        truth = {pair: s for pair, s in pairs_of(texts, 0.9).items() if not gone & set(pair)}
        listed = decided(tmp_path / "out")
        assert set(listed) == {row for pair in truth for row in pair}
        for row, (_, _, alike) in listed.items():
            assert any(abs(alike - s) < 1e-6 for pair, s in truth.items() if row in pair)
        assert found.left_out == {"unread": 3}
        assert "3 texts could not be read" in found.notes[-1]
        assert len(engine.skipped) == 1
    shutil.move(away, tmp_path / f"raw/00{lost}.parquet")
    with Engine(workers=0) as engine:
        found = dedup_near(open_dataset(ds), "text", near, engine=engine, out=f"{tmp_path}/again")
        assert decided(tmp_path / "again") == run(tmp_path / "plain", texts, engine, 3, near)[1]
        assert (found.index.compared, found.left_out) == (9, None)


def forget(ds):
    """What was settled, so that all keys are read again; and where they are."""
    for folder in (Path(ds) / "_dsm/index").glob("*/verified-*"):
        shutil.rmtree(folder)
    for known in (Path(ds) / "_dsm/index").glob("*/partitions.known"):
        known.unlink()


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5, 0.7, 0.9, 0.99, 1.0])
def test_a_damaged_index_is_never_used(tmp_path, engine, share, dropped):
    """One bit anywhere: the file is made again, and the decisions are the same."""
    texts = [*corpus(60, seed=22), *[PAGE] * 40, "", "b a"]
    ds = made(tmp_path, texts, engine, 1)
    if dropped:
        dedup_near(open_dataset(ds), "text", engine=engine)
        drop(ds, "n < 9 or n = 60", engine=engine)
    dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/before")
    (uri,) = kept(ds)
    flip(uri, int(share * (Path(uri).stat().st_size - 1)))
    damaged = verify_indexes(open_dataset(ds), engine=engine)[0].damaged
    found = dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/after")
    assert damaged == (uri,)
    assert decided(tmp_path / "after") == decided(tmp_path / "before")
    if not found.index.hashed and share < 0.99:  # keys, which are read when there is something new
        forget(ds)
        found = dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/again")
        assert decided(tmp_path / "again") == decided(tmp_path / "before")
    if share >= 0.99 and not dropped:  # the list of rows, which is read after a drop only
        drop(ds, "n = 3", engine=engine)
        found = dedup_near(open_dataset(ds), "text", engine=engine)
    assert found.index.hashed == 1
    assert dedup_near(open_dataset(ds), "text", engine=engine).index.hashed == 0
    assert verify_indexes(open_dataset(ds), engine=engine)[0].damaged == ()


def test_damage_of_one_file_of_many(tmp_path, engine):
    texts = [*corpus(100, seed=23), *[PAGE] * 20]
    ds = made(tmp_path, texts, engine, 4)
    dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/before")
    for uri in kept(ds)[:2]:
        flip(uri, -1000)
    forget(ds)
    found = dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/after")
    assert decided(tmp_path / "after") == decided(tmp_path / "before")
    assert (found.index.files, found.index.hashed) == (4, 2)


def test_an_index_that_is_removed_meanwhile(tmp_path, engine, monkeypatch):
    texts = corpus(80, seed=24)
    ds = made(tmp_path, texts, engine)
    times = [1]

    def candidates(*args, _real=near_module.candidates, **options):
        if times[0]:
            times[0] -= 1
            storage.delete_folder(f"{ds}/_dsm/index")
        return _real(*args, **options)

    monkeypatch.setattr(near_module, "candidates", candidates)
    dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/out")
    assert decided(tmp_path / "out") == run(tmp_path / "plain", texts, engine)[1]
    times[0] = 99
    with pytest.raises(DatasetDamaged, match="removed or damaged while they were in use"):
        dedup_near(open_dataset(ds), "text", engine=engine)


def test_damaged_groups_are_told(tmp_path, engine):
    ds = made(tmp_path, corpus(80, seed=25), engine)
    dedup_near(open_dataset(ds), "text", engine=engine)
    (groups,) = (Path(ds) / "_dsm/index").glob("*/verified-*/*-00000")
    (listing,) = (Path(ds) / "_dsm/index").glob("*/verified-*/settled.dsm")
    before = verify_indexes(open_dataset(ds), engine=engine)[0]
    assert (before.files, before.damaged) == (5, ())
    (known,) = (Path(ds) / "_dsm/index").glob("*/partitions.known")
    for file in (groups, listing, known):
        flip(str(file), 40)
        assert verify_indexes(open_dataset(ds), engine=engine)[0].damaged == (str(file),)
        flip(str(file), 40)


@pytest.mark.parametrize("known", [True, False])
def test_a_dry_run_writes_nothing(tmp_path, engine, known):
    """It reads what is there, though: its own index, and that of the other dataset."""
    texts = [*corpus(80, seed=26), PAGE]
    ds, other = made(tmp_path / "a", texts, engine), made(tmp_path / "b", texts[40:], engine)
    data, against = open_dataset(ds), [open_dataset(other)]
    if known:
        dedup_near(data, "text", engine=engine, against=against)
        dedup_exact(data, "text", engine=engine)
    before = objects(tmp_path)
    found = dedup_near(data, "text", engine=engine, against=against, dry_run=True)
    assert found.against[0].rows >= 41
    assert found.index.hashed == (0 if known else 4)
    assert (found.index.compared == 0) == known
    dedup_exact(data, "text", engine=engine, dry_run=True)
    assert objects(tmp_path) == before


def test_the_index_of_another_dataset_says_what_it_is(tmp_path, engine):
    ds, other = made(tmp_path / "a", [PAGE], engine, 1), made(tmp_path / "b", [PAGE], engine, 1)
    dedup_near(open_dataset(ds), "text", engine=engine, against=[open_dataset(other)])
    (index,) = indexes(open_dataset(other))
    assert (index.about["on"], index.about["method"]) == ("text", "minhash")


def test_descriptions_are_small():
    """Each task of grouping holds one of every file, and all go through the client."""
    keys = np.sort(np.random.default_rng(1).integers(0, 2**63, 2_000_000).astype(np.uint64))
    some = keys[::20]
    _, file = encode(
        1, 0, keys, np.stack([some, some, some], 1),
        np.empty((0, 2), np.uint64), some, np.zeros(len(some), np.uint8),
    )  # fmt: skip
    stored = codec.encode([dataclasses.astuple(file)] * 100)
    tracemalloc.start()
    held = [BandFile.of(row) for row in codec.decode(stored)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held == [file] * 100
    assert size < 100 * 2_000


def test_descriptions_of_an_earlier_release_are_made_again(tmp_path, engine):
    """They have other fields: the files themselves are looked at."""
    ds = made(tmp_path, corpus(40, seed=28), engine)
    first = dedup_near(open_dataset(ds), "text", engine=engine)
    (known,) = (Path(ds) / "_dsm/index").glob("*/partitions.known")
    before = known.read_bytes()
    told = codec.decode(before[8:])
    shorter = tuple((name, digest, tuple(row[:-1] for row in rows)) for name, digest, rows in told)
    known.write_bytes(sealed(codec.encode(shorter)))
    again = dedup_near(open_dataset(ds), "text", engine=engine)
    assert (again.index.hashed, again.duplicates) == (0, first.duplicates)
    assert known.read_bytes() == before


def test_notes_are_of_the_rows_that_are_left(tmp_path, engine):
    texts = ["", None, "b a", *corpus(20, seed=27), "c d"]
    ds = made(tmp_path, texts, engine, 1)
    first = dedup_near(open_dataset(ds), "text", engine=engine)
    assert [note.split(" ")[0] for note in first.notes] == ["2", "2"]
    drop(ds, "n in (1, 2)", engine=engine)
    found = dedup_near(open_dataset(ds), "text", engine=engine)
    assert [note.split(" ")[0] for note in found.notes] == ["1", "1"]
    drop(ds, "n in (0, 23)", engine=engine)
    assert dedup_near(open_dataset(ds), "text", engine=engine).notes == ()


def test_pairs_within_other_tables_do_not_count(tmp_path, engine):
    other = open_parquet(cut(tmp_path / "other", [PAGE] * 5, 1))
    found, _ = run(tmp_path, ["nothing of the kind", "nor here"], engine, 1, against=[other])
    assert (found.duplicates, found.similarities, found.against[0].other_rows) == (0, (), 0)
