"""Rows that cannot be read any more, with ``on_error="skip"``: what is known of them counts, and
they are compared with nothing new."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from dsm_trials import parquet
from exact_rows import decisions
from near_corpus import corpus, decided

from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.duplicates.near import Near, dedup_near
from dsm_dask.engine import Engine
from dsm_dask.errors import DsmError

PAGE = corpus(2, seed=8)[0]
TEXTS = [PAGE, PAGE, f"{PAGE} and a tail", "something else"]


@pytest.fixture
def ds(tmp_path, small_partitions) -> str:
    """A row a file, which may be away for a while."""
    for number, text in enumerate(TEXTS):
        parquet(f"{tmp_path}/raw/{number}.parquet", pa.table({"text": [text]}))
    with Engine(workers=0) as engine:
        create(f"{tmp_path}/ds", f"{tmp_path}/raw", engine=engine)
    assert len(open_dataset(f"{tmp_path}/ds").partitions()) == len(TEXTS)
    return f"{tmp_path}/ds"


def away(tmp_path: Path, number: int) -> None:
    shutil.move(tmp_path / f"raw/{number}.parquet", tmp_path / "away")


def back(tmp_path: Path, number: int) -> None:
    shutil.move(tmp_path / "away", tmp_path / f"raw/{number}.parquet")


def near(ds: str, tmp_path: Path, name: str) -> tuple[dict[int, int], dict | None]:
    """The kept row of each row in a cluster, and what was left out."""
    with Engine(workers=0, on_error="skip") as engine:
        found = dedup_near(open_dataset(ds), "text", engine=engine, out=f"{tmp_path}/{name}")
    return {row: kept for row, (kept, _, _) in decided(tmp_path / name).items()}, found.left_out


@pytest.mark.parametrize(
    ("lost", "want", "unread"),
    [(0, {0: 0, 1: 0}, {"unread": 1}), (1, {0: 0, 1: 0, 2: 0}, None),
     (2, {0: 0, 1: 0}, {"unread": 1})],
    ids=["the row that stands for its copies", "a copy of it", "another"],
)  # fmt: skip
def test_copies_of_a_near_duplicate(ds, tmp_path, lost, want, unread):
    """Copies are known by their digests, which are kept: they stay together. A cluster is compared
    by the first of its copies alone: when that is away, with nothing."""
    with Engine(workers=0) as engine:  # another threshold: the same keys, and no pair is known
        dedup_near(open_dataset(ds), "text", Near(threshold=0.99), engine=engine)
    away(tmp_path, lost)
    assert near(ds, tmp_path, "out") == (want, unread)
    back(tmp_path, lost)
    assert near(ds, tmp_path, "again") == ({0: 0, 1: 0, 2: 0}, None)


def test_exact_duplicates_of_which_the_keys_are_kept(ds, tmp_path):
    """All is known that is needed: the row that is away survives as ever."""
    with Engine(workers=0) as engine:
        dedup_exact(open_dataset(ds), "text", engine=engine)
    away(tmp_path, 0)
    with Engine(workers=0, on_error="skip") as engine:
        found = dedup_exact(open_dataset(ds), "text", engine=engine, out=str(tmp_path / "out"))
        assert (found.rows, found.duplicates, found.largest[0].values) == (4, 1, {})
        assert len(engine.skipped) == 1  # its value was to be told
    assert decisions(tmp_path / "out") == {1: 0}


@pytest.mark.parametrize("more", [{}, {"cut": 100}], ids=["fast", "with members"])
def test_exact_duplicates_that_were_never_read(ds, tmp_path, more):
    """They take no part: the first of the others survives, and they are never dropped."""
    away(tmp_path, 0)
    with Engine(workers=0) as engine, pytest.raises(DsmError):
        dedup_exact(open_dataset(ds), "text", engine=engine, **more)
    with Engine(workers=0, on_error="skip") as engine:
        found = dedup_exact(
            open_dataset(ds), "text", engine=engine, out=str(tmp_path / "out"), **more
        )  # fmt: skip
        assert (found.rows, found.duplicates) == (3, 0)
        assert len(engine.skipped) == 1
    back(tmp_path, 0)
    with Engine(workers=0, on_error="skip") as engine:
        assert dedup_exact(open_dataset(ds), "text", engine=engine, **more).duplicates == 1
