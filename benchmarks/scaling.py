"""How far it goes: more workers, more partitions, more files.

1. One and two workers on the same data: a profile, and the signatures of near duplicates.
2. Workers of a fifth of a core each (control groups; skipped where these are not allowed), so that
   eight of them fit on two cores: 1, 2, 4 and 8 of them on the same profile.
3. 10,000 and 100,000 tiny partitions: time and the driver's memory a partition, the scheduler's
   processor time a task, time until the first task is done.
4. 10,000 linked files whose footers are of real size (their data are holes): create, append, open,
   log, diff.

Wall times mean something on a quiet machine only; so processor time is kept beside them: of all
processes for 1, 2 and 4, and of the scheduler and the driver for 3.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
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
from cluster_processes import cluster
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
from dsm_dask.task import tasks

ROUNDS = 3
SPEED_UP_AIM = 1.8
FIRST_TASK_AIM = 5.0
METADATA_AIM = 10.0
FLAT = 1.25
SHARE = 0.2
"""Of a core, for a throttled worker."""


# ---------------------------------------------------------------------------------------------
# More workers


@dataclasses.dataclass(frozen=True)
class Took:
    seconds: float
    processor: float
    """Seconds of this process and all below it."""


def profiled(engine: Engine, folder: Path) -> Took:
    return _took(lambda: dsm.profile(str(folder), engine=engine))


def signed(engine: Engine, folder: Path) -> Took:
    """Hash all texts and store their band keys: the first of the steps of near duplicates."""
    partitions = open_parquet(str(folder)).partitions()
    with tempfile.TemporaryDirectory(prefix="dsm-bench-") as kept:
        work = WriteBands("text", MinHash(), (kept,), (kept,), kept)
        return _took(lambda: engine.map_partitions(work, partitions))


def _took(work: Callable[[], Any]) -> Took:
    began, busy = time.perf_counter(), measuring.processor_seconds()
    work()
    return Took(time.perf_counter() - began, measuring.processor_seconds() - busy)


def _typical(rounds: Sequence[Took]) -> Took:
    return Took(
        measuring.median([one.seconds for one in rounds]),
        measuring.median([one.processor for one in rounds]),
    )


def speed_up(table: Path, texts: Path) -> tuple[list[Figure], dict[str, Any]]:
    found: dict[str, dict[int, Took]] = {"profile": {}, "signatures": {}}
    for workers in (1, 2):
        with Engine(workers=workers) as engine:
            engine.start()
            for name, measure, where in (
                ("profile", profiled, table),
                ("signatures", signed, texts),
            ):
                measure(engine, where)  # imports and compiles
                found[name][workers] = _typical([measure(engine, where) for _ in range(ROUNDS)])
    figures = []
    for name, took in found.items():
        one, two = took[1], took[2]
        figures += [
            Figure(f"{name}: one worker / two", one.seconds / two.seconds, "", SPEED_UP_AIM,
                   "at least"),
            Figure(f"{name}: processor time of two / of one", two.processor / one.processor),
        ]  # fmt: skip
    size = sum(path.stat().st_size for path in table.glob("*.parquet"))
    sizes = {"profile": size, "signatures": sum(p.stat().st_size for p in texts.glob("*.parquet"))}
    rows = {"profile": open_parquet(str(table)).rows, "signatures": open_parquet(str(texts)).rows}
    kept = {name: {n: dataclasses.asdict(t) for n, t in took.items()} for name, took in
            found.items()}  # fmt: skip
    return figures, {"workers": {"took": kept, "bytes": sizes, "rows": rows}}


# ---------------------------------------------------------------------------------------------
# Throttled workers


def throttled(table: Path, counts: Sequence[int]) -> tuple[list[Figure], dict[str, Any]]:
    """Efficiency: the time of one worker over that of n, and over n."""
    found: dict[int, Took] = {}
    try:
        for workers in counts:
            with cluster(workers, SHARE) as (address, _), Engine(address) as engine:
                profiled(engine, table)
                found[workers] = _typical([profiled(engine, table) for _ in range(ROUNDS)])
    except OSError as error:
        print(f"Skipped: workers cannot be throttled here ({error}).")
        return [], {}
    first = found[counts[0]]
    figures = []
    for workers, took in found.items():
        head = f"{workers} workers of {SHARE:.0%} of a core: "
        figures += [
            Figure(head + "efficiency", first.seconds / workers / took.seconds),
            Figure(head + "processor time / of one", took.processor / first.processor),
        ]
    return figures, {"throttled": {n: dataclasses.asdict(took) for n, took in found.items()}}


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
    tasks: int
    scheduler: float
    """Processor seconds of the scheduler."""
    driver: float
    """Processor seconds of this process."""
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
        Figure(f"{name}: scheduler's processor time a task",
               large.scheduler / large.tasks * 1e3, "ms"),
        Figure(f"{name}: driver's processor time a partition",
               large.driver / large.partitions * 1e6, "us"),
    ]  # fmt: skip
    return figures, {"partitions": [dataclasses.asdict(one) for one in found]}


def _scan(table: Many, engine: Engine, progress: FirstTask, scheduler: Any) -> Scanned:
    progress.at = None
    measuring.forget_peak(os.getpid())
    memory, before = psutil.Process().memory_info().rss, scheduler.cpu_times()
    began, own = time.perf_counter(), time.process_time()
    assert engine.fold(table, Count("n")).result.count == table.rows
    seconds, after = time.perf_counter() - began, scheduler.cpu_times()
    own = time.process_time() - own
    assert progress.at is not None
    return Scanned(
        table.count, seconds, progress.at - began, len(tasks(table.partitions())),
        after.user + after.system - before.user - before.system, own,
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
            few = [str(path) for path in sorted((folder / "some").glob("*0.parquet"))[:100]]
            dsm.create(str(folder / "few"), few, engine=engine)  # the workers have imported all
            took = {
                "create": _took(lambda: dsm.create(ds, str(folder / "some"), engine=engine)),
                "append one": _took(lambda: dsm.append(ds, str(folder / "other"), engine=engine)),
                "open": _took(lambda: open_dataset(ds).partitions()),
                "log": _took(lambda: log(ds)),
                "diff": _took(lambda: diff(f"{ds}@1", f"{ds}@2")),
            }
    figures = [
        Figure(f"{files:,} linked files of {measuring.number(size, 'B')}: {verb}", one.seconds, "s",
               METADATA_AIM)
        for verb, one in took.items()
    ]  # fmt: skip
    kept = {verb: dataclasses.asdict(one) for verb, one in took.items()}
    return figures, {"linked": {"files": files, "took": kept}}


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


STEPS = ("workers", "throttled", "partitions", "files")


def main() -> None:
    parser = measuring.arguments(__file__, __doc__)
    parser.add_argument("--only", choices=STEPS, action="append", help="these parts")
    options = parser.parse_args()
    rows, texts = (100_000, 20_000) if options.quick else (4_000_000, 300_000)
    partitions = (1_000, 2_000) if options.quick else (10_000, 100_000)
    files = 100 if options.quick else 10_000
    workers = (1, 2) if options.quick else (1, 2, 4, 8)
    found: dict[str, tuple[list[Figure], dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="dsm-bench-") as scratch:
        table, small, corpus = (Path(scratch) / name for name in ("table", "small", "corpus"))
        chosen = options.only or STEPS
        if "workers" in chosen:
            tables.generate(tables.Shape(tables.WITHOUT_TEXT, rows), table)
            generate(Corpus(texts), corpus, 4, 0, texts)
        if "throttled" in chosen:
            tables.generate(tables.Shape(tables.WITHOUT_TEXT, rows // 4), small)
        steps = {
            "workers": lambda: speed_up(table, corpus),
            "throttled": lambda: throttled(small, workers),
            "partitions": lambda: scan_many(partitions),
            "files": lambda: link_many(files),
        }
        for name in chosen:
            found[name] = steps[name]()
            measuring.show(found[name][0])
    figures = list(itertools.chain.from_iterable(some for some, _ in found.values()))
    details = {key: value for _, more in found.values() for key, value in more.items()}
    parameters = {"rows": rows, "texts": texts, "share": SHARE, "quick": options.quick}
    measuring.save(options.out, parameters, figures, details)


if __name__ == "__main__":
    main()
