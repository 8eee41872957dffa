"""Eight drivers, each a process of its own, commit to one dataset at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dsm_trials import dsm, inline, parquet, rows

from dsm_dask.dataset.history import log
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create

EIGHT = range(8)


@pytest.fixture
def ds(quick_path):
    for index in range(4):
        numbers = np.arange(index * 100, index * 100 + 100)
        halves = np.full(100, 0.5)
        values = {"n": numbers, "p": halves, "q": halves}
        parquet(quick_path / f"raw/{index}.parquet", values)
    for index in EIGHT:
        values = {"n": [1000 + index] * 3, "p": [0.5] * 3, "q": [0.5] * 3}
        parquet(quick_path / f"more/{index}.parquet", values)
    with inline() as engine:
        create(str(quick_path / "ds"), str(quick_path / "raw"), engine=engine)
    return str(quick_path / "ds")


def at_once(driver, ds: str, *runs: list[str]) -> tuple[list[int], list[str]]:
    """Exit statuses, and what was said to the person."""
    folder = Path(ds).parent
    errors = [folder / f"{index}.err" for index in range(len(runs))]
    words = [[str(err), *run, "--workers", "0"] for err, run in zip(errors, runs, strict=True)]
    return driver(words), [err.read_text() for err in errors]


def numbers(ds: str) -> list[int]:
    """Sorted; ``rows`` sees to it that no row id is there twice."""
    return sorted(row["n"] for row in rows(open_dataset(ds)).values())


def check_every_version(ds: str) -> None:
    for version in log(ds).versions:
        dataset = open_dataset(f"{ds}@{version.version}")
        assert len(rows(dataset)) == version.rows
        assert dsm("verify", f"{ds}@{version.version}", "--json").json["damaged"] == []


def test_appends_all_land(driver, ds):
    more = Path(ds).parent / "more"
    codes, errors = at_once(driver, ds, *(["append", ds, f"{more}/{i}.parquet"] for i in EIGHT))
    assert codes == [0] * 8, errors
    assert [v.job for v in log(ds).versions] == ["append"] * 8 + ["create"]
    assert numbers(ds) == [*range(400), *(1000 + i for i in EIGHT for _ in range(3))]
    check_every_version(ds)


def test_of_drops_that_are_in_conflict_one_wins(driver, ds):
    """All drop rows of the same file. Who loses says so, and has changed nothing."""
    limits = [10 * (i + 1) for i in EIGHT]
    codes, errors = at_once(driver, ds, *(["drop", ds, "--where", f"n < {n}"] for n in limits))
    assert set(codes) <= {0, 4}, errors
    assert all("Another writer" in err for code, err in zip(codes, errors, strict=True) if code)
    won = [limit for code, limit in zip(codes, limits, strict=True) if not code]
    assert won
    assert numbers(ds) == list(range(max(won), 400))
    check_every_version(ds)


def test_all_kinds(driver, ds):
    """Two appends and a drop in each file stand all; so do a tag and new columns."""
    more = Path(ds).parent / "more"
    runs = [["append", ds, f"{more}/{i}.parquet"] for i in range(2)]
    runs += [["drop", ds, "--where", f"n >= {i * 100} and n < {i * 100 + 7}"] for i in range(4)]
    runs += [["score", ds, "--probs", "p,q"], ["tag", f"{ds}@1", "first"]]
    codes, errors = at_once(driver, ds, *runs)
    assert set(codes) <= {0, 4}, errors
    assert codes[:2] == [0, 0], errors
    assert codes[7] == 0, errors
    gone = {n for i in range(4) if not codes[2 + i] for n in range(i * 100, i * 100 + 7)}
    kept = [n for n in range(400) if n not in gone]
    assert numbers(ds) == [*kept, *[1000] * 3, *[1001] * 3]
    assert open_dataset(f"{ds}@first").version == 1
    made = sum(code == 0 for code in codes) - 1
    assert len(log(ds).versions) == 1 + made
    if not codes[6]:
        old = [row for row in rows(open_dataset(ds)).values() if row["n"] < 1000]
        assert {row["uncertainty_entropy"] for row in old} == {1.0}
    check_every_version(ds)
    again = [run for run, code in zip(runs, codes, strict=True) if code]
    for run in again:
        assert dsm(*run).code == 0
