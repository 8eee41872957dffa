"""Ctrl-C and SIGTERM at fifty random moments: whatever is there opens and is whole, and the same
job goes on from it."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from dsm_trials import dsm, parquet, rows

from dsm_dask.dataset.history import log
from dsm_dask.dataset.version import is_dataset, open_dataset

TIMES = 50
STORY = [("create", 40), ("dedup", 25), ("score", 25), ("drop", 22), ("append", 23)]
"""The verb and the rows of each version."""

pytestmark = pytest.mark.slow


def run(driver: Any, job: Path, seconds: float = 0, number: int = 0) -> int:
    """The exit status of ``dsm run``, to which a signal was sent."""
    words = [str(job) + ".err", "run", str(job), "--workers", "0"]
    (code,) = driver([words], seconds=seconds, signal=int(number))
    return int(code)


def job_in(folder: Path, number: int) -> Path:
    """What makes five versions."""
    path = folder / f"job-{number}.yaml"
    path.write_text(
        f"""
name: curate
dataset: {folder}/ds-{number}
steps:
  - create: {{sources: '{folder}/raw/*.parquet', copy: {str(number % 2 == 0).lower()}}}
  - dedup: {{on: text, drop: true}}
  - score: {{probs: [p, q]}}
  - drop: {{where: n < 3}}
  - append: {{sources: '{folder}/more/*.parquet'}}
"""
    )
    return path


def check(ds: str) -> int:
    """What is there is whole; how many versions there are."""
    if not is_dataset(ds):
        return 0
    found = [(v.job, v.rows) for v in reversed(log(ds).versions)]
    assert found == STORY[: len(found)]
    assert len(rows(open_dataset(ds))) == found[-1][1]
    assert dsm("verify", ds, "--json").json["damaged"] == []
    return len(found)


def test_fifty_times(driver, quick_path):
    for index in range(2):
        numbers = range(index * 20, index * 20 + 20)
        shares = [n / 64 for n in numbers]
        table = {"n": numbers, "text": [f"t{n % 25}" for n in numbers], "p": shares}
        parquet(quick_path / f"raw/{index}.parquet", {**table, "q": [1 - p for p in shares]})
    parquet(quick_path / "more/x.parquet", {"n": [900], "text": ["new"], "p": [0.5], "q": [0.5]})
    run(driver, job_in(quick_path, 98))  # what is slow the first time only
    began = time.monotonic()
    assert run(driver, job_in(quick_path, 99)) == 0
    usual = time.monotonic() - began
    assert check(f"{quick_path}/ds-99") == 5
    clean = open_dataset(f"{quick_path}/ds-99").to_table()
    moments, number, before, stopped = random.Random(12), 0, 0, 0
    for time_ in range(TIMES):
        job = job_in(quick_path, number)
        ds, sent = f"{quick_path}/ds-{number}", (signal.SIGINT, signal.SIGTERM)[time_ % 2]
        code = run(driver, job, moments.uniform(0, usual), sent)
        err = Path(f"{job}.err").read_text()
        assert code in (0, 3) or code < 0, err  # killed before it could hear, or by a library
        assert ("error: Stopped before the end" in err) == (code == 3), err
        stopped += code == 3
        there = check(ds)
        assert there >= before
        if there == len(STORY) or time_ == TIMES - 1:
            assert run(driver, job) == 0
            assert check(ds) == len(STORY)
            assert open_dataset(ds).to_table().equals(clean)
            number, there = number + 1, 0
        before = there
    assert stopped > TIMES // 2
    assert number > 1
