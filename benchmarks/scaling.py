"""How far it goes: more workers, more partitions, more files.

1. One and two workers on the same data: a profile, and the signatures of near duplicates.
2. Workers of a fifth of a core each (control groups; skipped where these are not allowed), so that
   eight of them fit on two cores: 1, 2, 4 and 8 of them on the same profile.
3. 10,000 and 100,000 tiny partitions: time and the driver's memory a partition, the scheduler's
   processor time a task, time until the first task is done.
4. 10,000 linked files whose footers are of real size (their data are holes): create, append, open,
   log, diff.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import generated_table as tables
import measuring
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from generated_corpus import Corpus, generate
from measuring import Figure

import dsm_dask as dsm
from dsm_dask.dataset.history import diff, log
from dsm_dask.dataset.version import open_dataset
from dsm_dask.duplicates.band_index import WriteBands
from dsm_dask.duplicates.minhash import MinHash
from dsm_dask.engine import Engine
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.stats.count import Count

ROUNDS = 3
SPEED_UP_AIM = 1.8
FIRST_TASK_AIM = 5.0
METADATA_AIM = 10.0
FLAT = 1.25
SHARE = 0.2
"""Of a core, for a throttled worker."""


# ---------------------------------------------------------------------------------------------
# More workers


def profile_seconds(engine: Engine, folder: Path) -> float:
    return _seconds(lambda: dsm.profile(str(folder), engine=engine))


def signature_seconds(engine: Engine, folder: Path) -> float:
    """Hash all texts and store their band keys: the first of the steps of near duplicates."""
    partitions = open_parquet(str(folder)).partitions()
    with tempfile.TemporaryDirectory(prefix="dsm-bench-") as kept:
        work = WriteBands("text", MinHash(), (kept,), (kept,), kept)
        return _seconds(lambda: engine.map_partitions(work, partitions))


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def speed_up(table: Path, texts: Path) -> tuple[list[Figure], dict[str, Any]]:
    found: dict[str, dict[int, float]] = {"profile": {}, "signatures": {}}
    for workers in (1, 2):
        with Engine(workers=workers) as engine:
            engine.start()
            for name, measure, where in (
                ("profile", profile_seconds, table),
                ("signatures", signature_seconds, texts),
            ):
                measure(engine, where)  # imports and compiles
                rounds = [measure(engine, where) for _ in range(ROUNDS)]
                found[name][workers] = measuring.median(rounds)
    figures = [
        Figure(f"{name}: one worker / two", times[1] / times[2], "", SPEED_UP_AIM, "at least")
        for name, times in found.items()
    ]
    return figures, {"seconds": found}


# ---------------------------------------------------------------------------------------------
# Throttled workers


class Throttle:
    """A control group whose processes together get a share of a core."""

    def __init__(self, name: str, share: float) -> None:
        one = Path("/sys/fs/cgroup/cpu")
        self._folder = (one if one.exists() else Path("/sys/fs/cgroup")) / name
        self._folder.mkdir()
        if one.exists():
            (self._folder / "cpu.cfs_period_us").write_text("20000")
            (self._folder / "cpu.cfs_quota_us").write_text(str(int(20_000 * share)))
        else:
            (self._folder / "cpu.max").write_text(f"{int(20_000 * share)} 20000")

    def take(self, pid: int) -> None:
        """Put a process and all its children in the group."""
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            (self._folder / "cgroup.procs").write_text(str(process.pid))

    def close(self) -> None:
        for _ in range(50):
            with contextlib.suppress(OSError):  # until its last process is gone
                self._folder.rmdir()
                return
            time.sleep(0.1)


@contextlib.contextmanager
def cluster(workers: int, share: float | None = None) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a scheduler with some workers, each a process tree, and the scheduler."""
    env = {**os.environ, "DASK_LOGGING__DISTRIBUTED": "critical"}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dsm-bench-"))
        file = f"{folder}/scheduler.json"

        def start(*words: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", *words, "--scheduler-file", file, "--no-dashboard"], env=env
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        scheduler = start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0")
        while not Path(file).exists():
            time.sleep(0.05)
        throttles = []
        for number in range(workers if share is not None else 0):
            throttles.append(Throttle(f"dsm-{os.getpid()}-{number}", float(share or 0)))
            stack.callback(throttles[-1].close)  # when the workers are gone
        started = [
            start("distributed.cli.dask_worker", "--host", "127.0.0.1", "--nthreads", "1")
            for _ in range(workers)
        ]
        import distributed

        with distributed.Client(scheduler_file=file) as client:
            client.wait_for_workers(workers)
            address = str(client.scheduler.address)
        for throttle, process in zip(throttles, started, strict=False):
            throttle.take(process.pid)
        yield address, psutil.Process(scheduler.pid)


def throttled(table: Path, counts: Sequence[int]) -> tuple[list[Figure], dict[str, Any]]:
    """Efficiency: the time of one worker over that of n, and over n."""
    seconds: dict[int, float] = {}
    try:
        for workers in counts:
            with cluster(workers, SHARE) as (address, _), Engine(address) as engine:
                profile_seconds(engine, table)
                rounds = [profile_seconds(engine, table) for _ in range(ROUNDS)]
                seconds[workers] = measuring.median(rounds)
    except OSError as error:
        print(f"Skipped: workers cannot be throttled here ({error}).")
        return [], {}
    first = seconds[counts[0]]
    figures = [
        Figure(f"{workers} workers of {SHARE:.0%} of a core: efficiency", first / workers / took)
        for workers, took in seconds.items()
    ]
    return figures, {"throttled_seconds": seconds}


# ---------------------------------------------------------------------------------------------
# More partitions


@dataclasses.dataclass(frozen=True)
class Tiny:
    """A partition of a few rows that are made up on the worker."""

    number: int
    rows: int = 10
    size: int = 100

    @property
    def fingerprint(self) -> str:
        return f"tiny-{self.number}"

    @property
    def label(self) -> str:
        return self.fingerprint

    def values_fingerprint(self, columns: Sequence[str]) -> str:
        return ""

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"n": pa.array(range(self.rows))})


@dataclasses.dataclass(frozen=True)
class Many:
    """A table of many of them."""

    count: int
    uri: str = "tiny partitions"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema({"n": pa.int64()})

    @property
    def rows(self) -> int:
        return self.count * Tiny(0).rows

    def partitions(self) -> list[Tiny]:
        return [Tiny(number) for number in range(self.count)]

    def column_sizes(self) -> dict[str, int]:
        return {"n": self.count * Tiny(0).size}


class FirstTask:
    """Progress that remembers when the first task was done."""

    def __init__(self) -> None:
        self.at: float | None = None

    def start(self, label: str, total: int) -> None: ...

    def advance(self, done: int) -> None:
        self.at = self.at or time.perf_counter()

    def stop(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Scanned:
    partitions: int
    seconds: float
    first_task: float
    scheduler: float
    """Processor seconds of the scheduler."""
    driver_memory: int
    """Bytes that the driver's memory grew by, at most."""


def scan_many(counts: Sequence[int]) -> tuple[list[Figure], dict[str, Any]]:
    found = []
    for count in counts:
        with cluster(2) as (address, scheduler):
            progress = FirstTask()
            with Engine(address, progress=progress) as engine:
                engine.fold(Many(100), Count("n"))
                found.append(_scan(Many(count), engine, progress, scheduler))
    small, large = found[0], found[-1]
    each = [one.seconds / one.partitions * 1e6 for one in (small, large)]
    memory = [one.driver_memory / one.partitions for one in (small, large)]
    name = f"{large.partitions:,} partitions"
    figures = [
        Figure(f"{name}: time a partition", each[1], "us"),
        Figure(f"{name} / {small.partitions:,}: time a partition", each[1] / each[0], "", FLAT),
        Figure(f"{name}: driver's memory a partition", memory[1], "B"),
        Figure(f"{name} / {small.partitions:,}: driver's memory a partition",
               memory[1] / max(1.0, memory[0]), "", FLAT),
        Figure(f"{name}: until the first task is done", large.first_task, "s", FIRST_TASK_AIM),
        Figure(f"{name}: scheduler's processor time a partition",
               large.scheduler / large.partitions * 1e6, "us"),
    ]  # fmt: skip
    return figures, {"partitions": [dataclasses.asdict(one) for one in found]}


def _scan(table: Many, engine: Engine, progress: FirstTask, scheduler: Any) -> Scanned:
    progress.at = None
    measuring.forget_peak(os.getpid())
    memory, before = psutil.Process().memory_info().rss, scheduler.cpu_times()
    began = time.perf_counter()
    assert engine.fold(table, Count("n")).result.count == table.rows
    seconds, after = time.perf_counter() - began, scheduler.cpu_times()
    assert progress.at is not None
    return Scanned(
        table.count, seconds, progress.at - began,
        after.user + after.system - before.user - before.system,
        max(0, measuring.peak_memory(os.getpid()) - memory),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------
# More files


def link_many(files: int) -> tuple[list[Figure], dict[str, Any]]:
    """Datasets of many files that have footers, and holes where the data would be."""
    with tempfile.TemporaryDirectory(prefix="dsm-bench-") as scratch:
        folder = Path(scratch)
        size = _files_with_holes(folder, files)
        ds = str(folder / "ds")
        with Engine(workers=2) as engine:
            engine.start()
            seconds = {
                "create": _seconds(lambda: dsm.create(ds, str(folder / "some"), engine=engine)),
                "append one": _seconds(
                    lambda: dsm.append(ds, str(folder / "other"), engine=engine)
                ),
                "open": _seconds(lambda: open_dataset(ds).partitions()),
                "log": _seconds(lambda: log(ds)),
                "diff": _seconds(lambda: diff(f"{ds}@1", f"{ds}@2")),
            }
    figures = [
        Figure(f"{files:,} linked files of {measuring.number(size, 'B')}: {verb}", took, "s",
               METADATA_AIM)
        for verb, took in seconds.items()
    ]  # fmt: skip
    return figures, {"linked_seconds": seconds}


def _files_with_holes(folder: Path, files: int) -> int:
    """Footers of a table of real size, at the end of files without data; gives a file's size."""
    made = tables.generate(tables.Shape(tables.WITH_TEXT, 400_000, 1), folder / "whole")
    path = made.paths[0]
    size = path.stat().st_size
    kept = pq.read_metadata(path).serialized_size + 8
    with path.open("rb") as file:
        file.seek(size - kept)
        footer = file.read()
    for number in range(files + 1):
        to = folder / ("other" if number == files else "some") / f"part-{number:05d}.parquet"
        to.parent.mkdir(exist_ok=True)
        with to.open("wb") as hole:
            hole.seek(size - kept)
            hole.write(footer)
    shutil.rmtree(folder / "whole")
    return size


def main() -> None:
    quick = measuring.arguments(__file__, __doc__)
    options = quick.parse_args()
    rows, texts = (100_000, 20_000) if options.quick else (4_000_000, 300_000)
    partitions = (1_000, 2_000) if options.quick else (10_000, 100_000)
    files = 100 if options.quick else 10_000
    workers = (1, 2) if options.quick else (1, 2, 4, 8)
    with tempfile.TemporaryDirectory(prefix="dsm-bench-") as scratch:
        table, corpus = Path(scratch) / "table", Path(scratch) / "corpus"
        tables.generate(tables.Shape(tables.WITHOUT_TEXT, rows), table)
        generate(Corpus(texts), corpus, 4, 0, texts)
        steps = (
            lambda: speed_up(table, corpus),
            lambda: throttled(table, workers),
            lambda: scan_many(partitions),
            lambda: link_many(files),
        )
        found = []
        for step in steps:
            found.append(step())
            measuring.show(found[-1][0])
    figures = list(itertools.chain.from_iterable(some for some, _ in found))
    details = {key: value for _, more in found for key, value in more.items()}
    parameters = {"rows": rows, "texts": texts, "share": SHARE, "quick": options.quick}
    measuring.save(options.out, parameters, figures, details)


if __name__ == "__main__":
    main()
