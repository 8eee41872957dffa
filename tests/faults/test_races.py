"""Two writers at once: one wins, the other writes nothing and says who won."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from dsm_trials import Doubled, Said, dsm, inline, parquet
from meanwhile import meanwhile

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import log
from dsm_dask.dataset.naming import restore
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.errors import CommitConflict, DatasetExists, DsmError


def versions(ds: str) -> list[tuple[str, int]]:
    return [(v.job, v.rows) for v in log(ds).versions]


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def ds(request, tmp_path):
    place = str(tmp_path)
    if request.param == "s3":
        place = f"s3://{request.getfixturevalue('bucket')}"
    for index in range(2):
        numbers = np.arange(index * 100, index * 100 + 100)
        parquet(f"{place}/raw/{index}.parquet", {"n": numbers, "a": numbers % 50})
    parquet(f"{place}/more.parquet", {"n": [500], "a": [500]})
    with inline() as engine:
        create(f"{place}/ds", f"{place}/raw", engine=engine)
    return f"{place}/ds"


def test_two_drops_of_the_same_rows(ds, monkeypatch):
    with inline() as engine:
        meanwhile(monkeypatch, lambda: drop(ds, "n < 20", engine=engine, message="faster"))
        said = dsm("drop", ds, "--where", "n < 10", "--json")
    assert said.code == 4
    assert said.error["code"] == "commit-conflict"
    assert "version 2" in said.err
    assert "`drop` (faster)" in said.err
    assert versions(ds) == [("drop", 180), ("create", 200)]
    again = dsm("drop", ds, "--where", "n < 30", "--json")
    assert (again.code, again.json["version"], again.json["dropped"]) == (0, 3, 10)


def test_two_processes(tmp_path):
    """For real: one waits just before its commit until the other has made its own."""
    parquet(tmp_path / "1.parquet", {"n": np.arange(50)})
    ds = str(tmp_path / "ds")
    assert dsm("create", ds, tmp_path / "1.parquet").code == 0
    code = f"""
import sys, time
from pathlib import Path
sys.argv = ["driver"]
import lance
commit = lance.LanceDataset.commit
def waiting(*given, **named):
    Path({str(tmp_path / "ready")!r}).touch()
    while not Path({str(tmp_path / "go")!r}).exists():
        time.sleep(0.01)
    return commit(*given, **named)
lance.LanceDataset.commit = staticmethod(waiting)
from dsm_dask.cli import main
main(["drop", {ds!r}, "--where", "n < 10", "--workers", "0", "--json"])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "ready").exists() and time.monotonic() < until:
            time.sleep(0.01)
        assert dsm("drop", ds, "--where", "n < 5", "-m", "won").code == 0
        (tmp_path / "go").touch()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    lost = Said(process.returncode, out, err)
    assert lost.code == 4, err
    assert lost.error["code"] == "commit-conflict"
    assert "(won)" in lost.error["what"]
    assert "Traceback" not in err
    assert versions(ds) == [("drop", 45), ("create", 50)]
    assert dsm("verify", ds, "--json").code == 0


def test_the_same_drop_twice_at_once_is_one(ds, monkeypatch):
    """The same job started twice by mistake: both are content, there is one version."""
    with inline() as engine:
        meanwhile(monkeypatch, lambda: drop(ds, "n < 20", engine=engine))
        assert drop(ds, "n < 20", engine=engine).version == 2
    assert versions(ds) == [("drop", 180), ("create", 200)]


def test_drops_in_different_files_both_stand(ds, monkeypatch):
    with inline() as engine:
        meanwhile(monkeypatch, lambda: drop(ds, "n < 20", engine=engine))
        assert drop(ds, "n >= 190", engine=engine).version == 3
    assert versions(ds) == [("drop", 170), ("drop", 180), ("create", 200)]
    assert open_dataset(ds).to_table(["n"])["n"].to_pylist() == list(range(20, 190))
    assert dsm("verify", ds, "--json").code == 0


def test_append_and_drop_both_stand(ds, monkeypatch):
    more = ds.removesuffix("/ds") + "/more.parquet"
    with inline() as engine:
        meanwhile(monkeypatch, lambda: append(ds, more, engine=engine))
        drop(ds, "n < 20", engine=engine)
    assert versions(ds) == [("drop", 181), ("append", 201), ("create", 200)]
    assert dsm("verify", ds, "--json").code == 0


def at_once(*works):
    """Run each in a thread of its own, all started together; their results or errors."""
    barrier = threading.Barrier(len(works))

    def run(work):
        barrier.wait()
        try:
            return work()
        except DsmError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return [task.result() for task in [pool.submit(run, work) for work in works]]


def appending(ds: str, source: str):
    def work():
        with inline() as engine:
            return append(ds, source, engine=engine)

    return work


def test_appends_of_different_files_all_stand_with_ids_of_their_own(ds):
    place = ds.removesuffix("/ds")
    files = [parquet(f"{place}/m{n}.parquet", {"n": [600 + n] * 3, "a": [n] * 3}) for n in range(3)]
    found = at_once(*(appending(ds, file) for file in files))
    assert sorted(made.version for made in found) == [2, 3, 4]
    table = open_dataset(ds).to_table(["_rowid", "n"])
    assert sorted(table["n"].to_pylist()[200:]) == [600] * 3 + [601] * 3 + [602] * 3
    assert len(set(table["_rowid"].to_pylist())) == 209
    assert dsm("verify", ds, "--json").code == 0


def test_appends_of_the_same_file_add_it_once(ds):
    """Every week's job, started by three people at the same time."""
    more = ds.removesuffix("/ds") + "/more.parquet"
    found = at_once(*[appending(ds, more)] * 3)
    lost = [made for made in found if isinstance(made, DsmError)]
    assert all(isinstance(error, CommitConflict) for error in lost)
    assert open_dataset(ds).to_table(["n"])["n"].to_pylist() == [*range(200), 500]
    assert versions(ds) == [("append", 201), ("create", 200)]
    assert {getattr(made, "version", 2) for made in found} == {2}
    assert dsm("verify", ds, "--json").code == 0


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
def test_two_creates(tmp_path, monkeypatch, copy):
    one = parquet(tmp_path / "1.parquet", {"n": [1]})
    two = parquet(tmp_path / "2.parquet", {"n": [2, 2]})
    ds = str(tmp_path / "ds")
    with inline() as engine:
        meanwhile(monkeypatch, lambda: create(ds, one, engine=engine, copy=copy))
        with pytest.raises(DatasetExists):
            create(ds, two, engine=engine, copy=copy)
    assert open_dataset(ds).to_table().to_pydict() == {"n": [1]}
    assert versions(ds) == [("create", 1)]


@pytest.mark.parametrize("first", ["drop", "columns", "restore"])
@pytest.mark.parametrize("second", ["drop", "columns", "restore"])
def test_any_two_leave_a_whole_dataset(tmp_path, monkeypatch, first, second):
    """Whoever wins: every version opens, verifies, and has just what one of them or both made."""
    place = str(tmp_path)
    source = parquet(f"{place}/1.parquet", {"a": np.arange(20)})
    ds = f"{place}/ds"
    with inline() as engine:
        create(ds, source, engine=engine)
        drop(ds, "a = 0", engine=engine)
        verbs = {
            "drop": lambda limit: drop(ds, f"a < {limit}", engine=engine),
            "columns": lambda limit: add_columns(ds, Doubled(f"c{limit}"), engine=engine),
            "restore": lambda _: restore(ds, "1"),
        }
        meanwhile(monkeypatch, lambda: verbs[first](5))
        try:
            verbs[second](7)
        except CommitConflict as lost:
            assert first in str(lost)
            assert open_dataset(ds).version == 3
        else:
            assert open_dataset(ds).version == 4
        for version in range(1, open_dataset(ds).version + 1):
            table = open_dataset(f"{ds}@{version}").to_table()
            for name in table.column_names[1:]:
                doubled = [2 * a for a in table["a"].to_pylist()]
                assert table[name].to_pylist() == doubled
            assert dsm("verify", f"{ds}@{version}", "--json").code == 0
