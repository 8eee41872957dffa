"""Two of four workers are killed in the middle of every step: what comes out is what comes out
where nobody dies, and nothing twice."""

from __future__ import annotations

import numpy as np
import psutil
import pytest
from dsm_trials import Doubled, dsm, inline, parquet, rows

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.history import log
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates.dedup import dedup
from dsm_dask.engine import Engine
from dsm_dask.progress import Silent
from dsm_dask.stats.profile import profile

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


class Killer(Silent):
    """Kills two workers each time that a step has finished some of its work, but not all."""

    def __init__(self) -> None:
        self.killed: list[str] = []

    def start(self, label: str, total: int) -> None:
        self._label, self._left, self._strikes = label, total, total > 2

    def advance(self, done: int) -> None:
        self._left -= done
        if self._strikes and self._left > 0:
            self._strikes = False
            for worker in workers()[-2:]:
                worker.kill()
            self.killed.append(self._label)


def workers() -> list[psutil.Process]:
    """The worker processes that this one's nannies look after, oldest first."""
    family = psutil.Process().children()
    return [one for one in family if "multiprocessing-fork" in " ".join(one.cmdline())]


@pytest.fixture(scope="module")
def four():
    with Engine(workers=4) as engine:
        engine.start()
        yield engine


@pytest.fixture
def killer(four):
    four.progress, before = Killer(), four.progress
    yield four.progress
    four.progress = before


@pytest.fixture
def ds(tmp_path, monkeypatch):
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))  # a file each
    noise = np.random.default_rng(7)
    for index in range(12):
        numbers = noise.integers(0, 300, 400)
        texts = [f"{'word ' * (n % 7)} number {n} of many" for n in numbers.tolist()]
        table = {"a": numbers, "f": noise.normal(size=400), "text": texts}
        parquet(tmp_path / f"raw/{index:02}.parquet", table)
    with inline() as engine:
        create(str(tmp_path / "ds"), str(tmp_path / "raw"), engine=engine)
        create(str(tmp_path / "clean"), str(tmp_path / "raw"), engine=engine)
    return str(tmp_path / "ds")


def clean(ds: str) -> str:
    return ds.removesuffix("/ds") + "/clean"


def same_as_clean(ds: str, steps: list[str]) -> None:
    assert rows(open_dataset(ds)) == rows(open_dataset(clean(ds)))
    assert [v.job for v in log(ds).versions] == steps
    assert dsm("verify", ds, "--json").json["damaged"] == []


def test_in_a_scan(four, killer, ds):
    found = profile(open_dataset(ds), engine=four)
    assert killer.killed == ["Reading"]
    with inline() as engine:
        want = profile(open_dataset(clean(ds)), engine=engine).to_dict()
    assert {**found.to_dict(), "io": {}} == {**want, "io": {}}


@pytest.mark.parametrize("method", ["exact", "minhash"])
def test_in_every_step_of_a_shuffle(four, killer, ds, method):
    with inline() as engine:
        want = dedup(
            open_dataset(clean(ds)), ["text"], method, engine=engine, ends={"drop": True},
            options={},
        )  # fmt: skip
    found = dedup(open_dataset(ds), ["text"], method, engine=four, ends={"drop": True}, options={})
    assert {"exact": "Grouping", "minhash": "Reading candidates"}[method] in killer.killed
    assert "Hashing" in killer.killed
    assert "Dropping" in killer.killed
    assert (found.kept, found.duplicates) == (want.kept, want.duplicates)
    same_as_clean(ds, ["dedup", "create"])


def test_in_a_column_write(four, killer, ds):
    """Files of the attempts that died are told by ``gc``, and belong to no version."""
    with inline() as engine:
        add_columns(clean(ds), Doubled(), engine=engine)
    add_columns(ds, Doubled(), engine=four)
    assert killer.killed == ["Computing columns"]
    same_as_clean(ds, ["columns", "create"])
