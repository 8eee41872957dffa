"""The law of appends: whatever was deduplicated before, a run tells what one from nothing would."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import parquet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from near_corpus import corpus, cut, decided

from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates import lookups, set_files, since, untouched
from dsm_dask.duplicates.minhash import MinHash
from dsm_dask.duplicates.near import Bounds, Near, dedup_near
from dsm_dask.duplicates.shingles import Shingles
from dsm_dask.sources.parquet import open_parquet

pytestmark = pytest.mark.usefixtures("small_partitions")

LOOSE = Near(MinHash(Shingles("word", 2), bands=8, rows=1), 0.6)
"""Finds many candidates, true and false ones."""

texts = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12).map(" ".join)
rows = st.lists(texts, min_size=1, max_size=16)
steps = st.lists(
    st.tuples(
        rows,
        st.sets(st.integers(0, 60), max_size=8),
        st.sampled_from(["append", "drop", "look", "dedup"]),
    ),
    min_size=1,
    max_size=3,
)


def told(data, near, engine, folder, against=(), **options):
    """All that a run tells, but for what it kept or knew before."""
    shutil.rmtree(folder, ignore_errors=True)
    found = dedup_near(
        data, "text", near, engine=engine, out=str(folder), against=against, cut=200, **options
    )
    compared = found.index.compared
    found = dataclasses.replace(found, index=None, out=None, key_bytes=0)
    return found.to_dict(), decided(folder), compared


def from_nothing(data, near, engine, folder, against=(), **options):
    """The same when there is no index."""
    away = Path(folder).parent / "away"
    shutil.move(f"{data.uri}/_dsm/index", away)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return told(data, near, engine, folder, against, **options)
    finally:
        shutil.rmtree(f"{data.uri}/_dsm/index", ignore_errors=True)
        shutil.move(away, f"{data.uri}/_dsm/index")


@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows, steps, st.booleans(), st.booleans())
def test_a_run_after_any_history_tells_what_one_from_nothing_does(
    engine, monkeypatch, first, history, small, other
):
    """Rows are appended, dropped by number, and dropped as duplicates, in any order; small bounds
    cut the work into many tasks."""
    for module in (since, untouched):
        monkeypatch.setattr(module, "LEAST_TASKS", 3)
    monkeypatch.setattr(since, "MOST_NEW", 1.0)
    bounds = Bounds(keys=40, home=8, piece=8) if small else None
    with tempfile.TemporaryDirectory() as home:
        ds, out, count = f"{home}/ds", Path(home) / "out", len(first)
        create(ds, cut(Path(home) / "raw", first, 2, n=pa.array(range(count))), engine=engine)
        against = [open_parquet(cut(Path(home) / "other", first[:3], 1))] if other else []
        told(open_dataset(ds), LOOSE, engine, out, against, bounds=bounds)
        for number, (more, gone, act) in enumerate(history):
            if act == "append":
                numbers = pa.array(range(count, count + len(more)))
                append(ds, cut(Path(home) / f"more{number}", more, 1, n=numbers), engine=engine)
                count += len(more)
            if act == "drop" and gone:
                drop(ds, f"n IN ({', '.join(map(str, sorted(gone)))})", engine=engine)
            if act == "dedup":
                dedup_near(
                    open_dataset(ds), "text", LOOSE, engine=engine, drop=True, against=against
                )
            data = open_dataset(ds)
            if act != "look" and data.rows:
                seen = told(data, LOOSE, engine, out, against, bounds=bounds)
                want = from_nothing(data, LOOSE, engine, out, against, bounds=bounds)
                assert seen[:2] == want[:2]


@pytest.mark.parametrize(("limit", "few"), [(40, 0), (3_000_000, 64)])
def test_several_appends_of_texts(tmp_path, engine, monkeypatch, limit, few):
    """As one run of everything, and only groups that a row joins are compared again; whichever
    way their texts are read."""
    monkeypatch.setattr(set_files, "FEW", few)
    every = corpus(320, seed=41)
    ds, bounds = str(tmp_path / "ds"), Bounds(keys=limit)
    create(ds, cut(tmp_path / "raw", every[:200], 3), engine=engine)
    near = Near()
    compared = [told(open_dataset(ds), near, engine, tmp_path / "out", bounds=bounds)[2]]
    for start in range(200, 320, 40):
        append(ds, cut(tmp_path / f"more{start}", every[start : start + 40], 1), engine=engine)
        seen = told(open_dataset(ds), near, engine, tmp_path / "out", bounds=bounds)
        want = from_nothing(open_dataset(ds), near, engine, tmp_path / "out", bounds=bounds)
        assert seen[:2] == want[:2]
        assert seen[2] < want[2]
        compared.append(seen[2])
    assert told(open_dataset(ds), near, engine, tmp_path / "out")[2] == 0
    assert seen[0]["borderline"]


def test_copies_of_old_rows_need_no_texts(tmp_path, engine, monkeypatch):
    """Neither theirs nor those of the groups that they join."""
    every = corpus(120, seed=42)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", every, 3), engine=engine)
    dedup_near(open_dataset(ds), "text", engine=engine)
    append(ds, cut(tmp_path / "more", every[::3], 1), engine=engine)
    seen = told(open_dataset(ds), Near(), engine, tmp_path / "out")
    want = from_nothing(open_dataset(ds), Near(), engine, tmp_path / "out")
    assert seen[:2] == want[:2]
    assert seen[2] == 0 < want[2]


def test_rows_that_are_back(tmp_path, engine):
    """What was settled without them is forgotten."""
    every = corpus(100, seed=43)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", every, 2, n=pa.array(range(100))), engine=engine)
    dedup_near(open_dataset(ds), "text", engine=engine)
    for condition in ("n < 40", "n >= 40 and n < 70"):
        drop(ds, condition, engine=engine)
        dedup_near(open_dataset(ds), "text", engine=engine)
    for version in (2, 1):
        data = open_dataset(f"{ds}@{version}")
        seen = told(data, Near(), engine, tmp_path / "out")
        want = from_nothing(data, Near(), engine, tmp_path / "out")
        assert seen[:2] == want[:2]


@pytest.mark.parametrize("what", ["groups", "gone", "listing"])
def test_damage_of_what_was_settled(tmp_path, engine, what):
    """Is found by its checksum; then everything is compared again."""
    every = corpus(120, seed=44)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", every[:100], 2, n=pa.array(range(100))), engine=engine)
    dedup_near(open_dataset(ds), "text", engine=engine)
    drop(ds, "n < 10", engine=engine)
    first = told(open_dataset(ds), Near(), engine, tmp_path / "out")
    drop(ds, "n < 20", engine=engine)
    parquet(
        f"{tmp_path}/more/0.parquet",
        pa.table({"text": every[100:], "n": np.arange(100, 120)}),
        row_group_size=100,
    )
    append(ds, f"{tmp_path}/more", engine=engine)
    want = from_nothing(open_dataset(ds), Near(), engine, tmp_path / "out")
    names = {"groups": "*-00000", "gone": "*-gone-*", "listing": "settled.dsm"}
    (file, *_) = sorted(Path(ds).glob(f"_dsm/index/*/verified-*/{names[what]}"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    seen = told(open_dataset(ds), Near(), engine, tmp_path / "out")
    assert seen[:2] == want[:2]
    assert seen[2] == want[2] > first[2]


def test_many_new_rows_are_looked_up_in_lots(tmp_path, engine, monkeypatch):
    """Each lot in all old files; a copy is told of once."""
    every = [*corpus(120, seed=45), *["one page that some rows share, word by word"] * 6]
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", every, 3), engine=engine)
    told(open_dataset(ds), Near(), engine, tmp_path / "out")
    tasks = []
    real = lookups._LookUp.run
    monkeypatch.setattr(lookups._LookUp, "run", lambda task: tasks.append(task) or real(task))
    append(ds, cut(tmp_path / "more", corpus(40, seed=46) + every[5:40:7], 4), engine=engine)
    bounds = Bounds(keys=21 * 12)
    seen = told(open_dataset(ds), Near(), engine, tmp_path / "out", bounds=bounds)
    assert len({task.lot for task in tasks}) > 2
    assert seen[:2] == from_nothing(open_dataset(ds), Near(), engine, tmp_path / "out")[:2]
