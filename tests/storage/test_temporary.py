"""The temporary folder of a run: gone for good when it is over, found when the run was killed."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dsm_dask import storage
from dsm_dask.errors import CannotWrite
from dsm_dask.storage import temporary


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_is_there_while_the_run_is(place):
    with storage.temporary_folder() as folder:
        assert Path(folder).parent == place
        assert Path(folder).stat().st_mode & 0o77 == 0
        storage.write(f"{folder}/a/b/c", b"x")
        assert storage.read(f"{folder}/a/b/c") == b"x"
    assert not list(place.iterdir())


@pytest.mark.parametrize("durable", [False, True])
def test_who_is_late_does_not_make_it_anew(place, durable):
    """A task that is still at work when its run has failed."""
    with contextlib.suppress(ZeroDivisionError), storage.temporary_folder() as folder:
        storage.write(f"{folder}/work/first", b"x")
        raise ZeroDivisionError
    for uri in (f"{folder}/work/second", f"{folder}/third"):
        with pytest.raises(CannotWrite):
            storage.write(uri, b"x", durable=durable)
    assert not list(place.iterdir())


def test_a_file_that_is_open_while_it_is_removed(place):
    with storage.temporary_folder() as folder:
        file = open(f"{folder}/late", "wb")  # noqa: SIM115 - closed after the folder is gone
    file.write(b"x" * 100_000)
    file.close()
    assert not list(place.iterdir())


def killed(place: Path) -> str:
    """The folder of a process that was killed while it had one."""
    code = (
        "import os, tempfile; from dsm_dask import storage\n"
        f"tempfile.tempdir = {str(place)!r}\n"
        "with storage.temporary_folder() as folder:\n"
        "    storage.write(folder + '/work/file', b'x' * 1000)\n"
        "    print(folder, flush=True); os.kill(os.getpid(), 9)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.returncode == -9
    return said.stdout.strip()


def age(folder: str, seconds: float) -> None:
    at = time.time() - seconds
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            os.utime(f"{root}/{name}", (at, at))
    os.utime(folder, (at, at))


def test_what_a_killed_run_left_behind(place):
    folder = killed(place)
    (place / "dsm-run-notes").mkdir()  # not ours
    age(str(place / "dsm-run-notes"), 10 * temporary.IDLE)
    assert storage.left_behind(0) == []  # it may be a run of another machine
    age(folder, temporary.IDLE + 60)
    assert storage.left_behind(0) == [(folder, 1000)]
    assert storage.left_behind(2 * temporary.IDLE) == []
    Path(f"{folder}/work/more").touch()
    assert storage.left_behind(0) == []


def test_a_run_that_sleeps_is_not_dead(place):
    with storage.temporary_folder() as folder:
        age(folder, 10 * temporary.IDLE)
        assert storage.left_behind(0) == []
