"""Real schedulers and workers, started as a person starts them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from distributed import Client

T = TypeVar("T")


def until(true: Callable[[], T], seconds: float = 60) -> T:
    """Wait for something to become true; what it is."""
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{true} did not happen in {seconds} s")


class DaskProcesses:
    """A scheduler and workers, each a process of its own; all are killed at the end. ``preload``
    is source that every worker runs first, and ``hold`` a file that it may look for."""

    def __init__(self, folder: Path, *options: str, preload: Callable[[str], str] | None = None):
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.hold = folder / "hold"
        self._options = options
        self._preload = preload(str(self.hold)) if preload else ""
        self._started: list[subprocess.Popen[bytes]] = []

    def scheduler(self, *options: str, env: Mapping[str, str] | None = None) -> str:
        """Start a scheduler; its address."""
        self.file.unlink(missing_ok=True)
        self.scheduler_process = self._start(
            env or {}, None, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(self.file), *options,
        )  # fmt: skip
        return until(self._address)

    def _address(self) -> str:
        """None yet, while the file is not there or is being written."""
        try:
            return str(json.loads(self.file.read_text())["address"])
        except (FileNotFoundError, json.JSONDecodeError):
            return ""

    def worker(
        self, *options: str, preload: str = "", path: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a worker of one thread for that scheduler, which runs some source first, and has
        ``path`` before all that it imports from."""
        words = [*self._options, *options]
        if source := preload or self._preload:
            file = self.folder / f"preload_{len(self._started)}.py"
            file.write_text(source)
            words += ["--preload", str(file)]
        if "--local-directory" not in options:
            words += ["--local-directory", str(self.folder)]
        return self._start(
            {}, path, "worker", "--scheduler-file", str(self.file), "--nthreads", "1",
            "--no-dashboard", "--death-timeout", "30", *words,
        )  # fmt: skip

    def until_workers(self, count: int) -> None:
        """Wait until the scheduler has so many."""
        with Client(scheduler_file=str(self.file), set_as_default=False) as client:
            until(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == count)

    def _start(
        self, env: Mapping[str, str], path: Path | None, program: str, *words: str
    ) -> subprocess.Popen[bytes]:
        """``dask scheduler`` or ``dask worker``, without the other commands that packages add to
        ``dask``: their imports take as long as its own."""
        places = [*([str(path)] if path else []), str(Path(__file__).parent)]
        places.append(os.environ.get("PYTHONPATH", ""))
        with (self.folder / f"{program}-{len(self._started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{program}", *words],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(places), **env},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def stop(self) -> None:
        """Nannies and their workers, too."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def dask_processes(
    folder: Path, *options: str, preload: Callable[[str], str] | None = None
) -> Iterator[DaskProcesses]:
    """Nothing started yet; the options are for every worker."""
    folder.mkdir()
    made = DaskProcesses(folder, *options, preload=preload)
    try:
        yield made
    finally:
        made.stop()


def holding_commits(while_there: str) -> str:
    """Source for a worker that commits no version after the first while a file is there."""
    return f"""
import os, time, lance
def held(uri, *given, **named):
    first = isinstance(uri, str)  # of a dataset that is not there yet
    while not first and os.path.exists({while_there!r}):
        time.sleep(0.05)
    return lance.commit_at_once(uri, *given, **named)
if not hasattr(lance, "commit_at_once"):  # Dask loads this twice
    lance.commit_at_once = lance.LanceDataset.commit
    lance.LanceDataset.commit = staticmethod(held)
"""


def stopping(where: str, number: Any = signal.SIGSTOP) -> str:
    """Source for a worker that stops itself, once, when it has written a file of columns, and
    leaves its process id in a file."""
    return f"""
import os
from dsm_dask.dataset import columns
def stopping(*given, **named):
    written = columns.write_at_once(*given, **named)
    try:
        with open({where!r}, "x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return written
    os.kill(os.getpid(), {int(number)})
    return written
if not hasattr(columns, "write_at_once"):  # Dask loads this twice
    columns.write_at_once, columns.write_column_file = columns.write_column_file, stopping
"""


def waiting(name: str, while_there: str) -> str:
    """Source for a worker that cannot read a source file while another file is there."""
    return f"""
import os, time
from dsm_dask.sources.file_part import FilePart
def waiting(part, *given, **named):
    while {name!r} in part.uri and os.path.exists({while_there!r}):
        time.sleep(0.05)
    return FilePart.read_at_once(part, *given, **named)
if not hasattr(FilePart, "read_at_once"):  # Dask loads this twice
    FilePart.read_at_once, FilePart.read = FilePart.read, waiting
"""
