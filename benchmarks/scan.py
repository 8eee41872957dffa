"""How fast the engine reads: rows/s of a Fold that does nothing, against bare pyarrow.

Ten million rows of 13 mixed columns as 16 zstd Parquet files, on the local disk and on a real S3
server; all columns and three of them. The engine runs on a Dask cluster of two workers that is up
and warm. Its peers are pyarrow in two processes that are up and warm too, a file each at a time,
and a scanner of pyarrow.dataset on two threads; the faster of them counts. All take turns.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import generated_table as tables
import measuring
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from measuring import Figure
from row_count import RowCount
from workers import without_main

from dsm_dask.engine import Engine
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.testing.s3 import S3Server

BUCKET = "bench"
SOME = ("customer", "price", "title")
ROWS = 10_000_000
QUICK_ROWS = 400_000
WORKERS = 2
AIM = 0.8
ENGINE = "dsm engine"

Contender = Callable[[], int]
"""Scans everything; gives the rows that it saw."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the files are."""

    name: str
    uris: tuple[str, ...]
    remote: bool

    @property
    def paths(self) -> tuple[str, ...]:
        """As pyarrow's file systems want them."""
        return tuple(uri.removeprefix("s3://") for uri in self.uris)


# ---------------------------------------------------------------------------------------------
# Contenders


@functools.lru_cache(maxsize=2)
def file_system(remote: bool) -> pafs.FileSystem:
    """One for each process."""
    if not remote:
        return pafs.LocalFileSystem()
    return pafs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])


def read_file(path: str, remote: bool, columns: tuple[str, ...]) -> int:
    """Decode some columns of a file on one thread."""
    pa.set_cpu_count(1)
    with pq.ParquetFile(path, filesystem=file_system(remote), pre_buffer=remote) as file:
        return int(file.read(list(columns), use_threads=False).num_rows)


def in_processes(pool: ProcessPoolExecutor, place: Place, columns: tuple[str, ...]) -> Contender:
    """A file at a time in each process."""
    read = functools.partial(read_file, remote=place.remote, columns=columns)
    return lambda: sum(pool.map(read, place.paths))


def with_scanner(place: Place, columns: tuple[str, ...]) -> Contender:
    """One scanner with threads, in this process."""

    def scan() -> int:
        pa.set_cpu_count(WORKERS)
        options = pads.ParquetFragmentScanOptions(pre_buffer=place.remote)
        scanner = pads.dataset(
            list(place.paths), format="parquet", filesystem=file_system(place.remote)
        ).scanner(list(columns), use_threads=True, fragment_scan_options=options)
        return sum(batch.num_rows for batch in scanner.to_batches())

    return scan


def with_engine(engine: Engine, place: Place, columns: tuple[str, ...]) -> Contender:
    """An empty Fold over a table that is open."""
    table = open_parquet(list(place.uris), map_=engine.map)
    return lambda: int(engine.fold(table, RowCount(columns), cache=False).result)


# ---------------------------------------------------------------------------------------------
# Measuring


@dataclasses.dataclass(frozen=True)
class Scan:
    """Seconds that each contender took, round by round."""

    name: str
    rows: int
    columns: tuple[str, ...]
    seconds: dict[str, list[float]]
    processor: dict[str, list[float]]
    """Processor seconds of everything meanwhile: client, cluster, peers, and the S3 server. They
    tell more than time does when other programs run beside."""

    def speed(self, contender: str) -> float:
        return self.rows / measuring.median(self.seconds[contender])

    @property
    def peer(self) -> str:
        """The fastest of the others."""
        return max((name for name in self.seconds if name != ENGINE), key=self.speed)

    @property
    def ratio(self) -> float:
        """The engine's speed as a share of the best peer's."""
        return self.speed(ENGINE) / self.speed(self.peer)

    def to_dict(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "rows_per_second": {name: self.speed(name) for name in self.seconds},
            "peer": self.peer,
            "ratio": self.ratio,
        }


def take_turns(
    name: str, rows: int, columns: tuple[str, ...], contenders: dict[str, Contender], rounds: int
) -> Scan:
    """Run every contender once to warm up, then in turn, round by round."""
    seconds: dict[str, list[float]] = {contender: [] for contender in contenders}
    processor: dict[str, list[float]] = {contender: [] for contender in contenders}
    for number in range(rounds + 1):
        for contender, scan in contenders.items():
            began, used = time.perf_counter(), measuring.processor_seconds()
            found = scan()
            took = time.perf_counter() - began
            assert found == rows, (contender, found, rows)
            if number:
                seconds[contender].append(took)
                processor[contender].append(measuring.processor_seconds() - used)
    return Scan(name, rows, columns, seconds, processor)


def places(generated: tables.Generated, server: S3Server) -> tuple[Place, ...]:
    """The files where they are, and a copy of them in a bucket."""
    server.make_bucket(BUCKET)
    store = file_system(True)
    local = tuple(str(path) for path in generated.paths)
    remote = tuple(f"{BUCKET}/scan/{path.name}" for path in generated.paths)
    for source, target in zip(local, remote, strict=True):
        pafs.copy_files(source, target, pafs.LocalFileSystem(), store)
    return Place("local", local, False), Place("S3", tuple(f"s3://{p}" for p in remote), True)


def all_scans(
    engine: Engine, generated: tables.Generated, found: Sequence[Place], rounds: int
) -> Iterator[Scan]:
    """Every place with all columns and with three."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=spawning) as pool:
        for place in found:
            for columns in (tables.WITHOUT_TEXT, SOME):
                contenders = {
                    ENGINE: with_engine(engine, place, columns),
                    "pyarrow, 2 processes": in_processes(pool, place, columns),
                    "pyarrow.dataset, 2 threads": with_scanner(place, columns),
                }
                name = f"{place.name}, {len(columns)} columns"
                yield take_turns(name, generated.rows, columns, contenders, rounds)


def show(scan: Scan) -> None:
    """Speeds of all, and of the engine against each."""
    print(f"\n{scan.name}")
    rows: list[tuple[str, ...]] = [
        ("", "rows/s", "median s", "fastest s", "slowest s", "ratio", "processor s")
    ]
    for name, seconds in scan.seconds.items():
        times = [f"{s:.3f}" for s in (measuring.median(seconds), min(seconds), max(seconds))]
        ratio = f"{scan.speed(ENGINE) / scan.speed(name):.2f}"
        processor = f"{measuring.median(scan.processor[name]):.2f}"
        rows.append((name, measuring.number(scan.speed(name)), *times, ratio, processor))
    measuring.table(rows)


def run(rows: int, rounds: int) -> tuple[tables.Generated, list[Scan], list[int]]:
    """All scans; and the peak memory of each worker."""
    import distributed

    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="dsm-bench-"))
        generated = tables.generate(tables.Shape(tables.WITHOUT_TEXT, rows), Path(scratch))
        server = stack.enter_context(S3Server())
        stack.enter_context(server.in_environment())
        found = places(generated, server)
        engine = stack.enter_context(Engine(workers=WORKERS))
        with without_main():
            engine.start()
        scans = []
        for scan in all_scans(engine, generated, found, rounds):
            show(scan)
            scans.append(scan)
        pids = distributed.default_client().run(os.getpid).values()
        return generated, scans, [measuring.peak_memory(pid) for pid in pids]


def main() -> None:
    parser = measuring.arguments(__file__, __doc__)
    parser.add_argument("--rows", type=int, help=f"default: {ROWS:,}")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    options = parser.parse_args()
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    generated, scans, peaks = run(rows, options.rounds)
    aim = None if options.quick else AIM
    figures = [Figure(f"{s.name}: engine / {s.peer}", s.ratio, "", aim, "at least") for s in scans]
    figures += [Figure("peak memory of a worker", max(peaks), "B")]
    print()
    measuring.show(figures)
    parameters = {"rows": rows, "rounds": options.rounds, "workers": WORKERS, "some": SOME}
    details = {"table": generated.to_dict(), "scans": [scan.to_dict() for scan in scans],
               "worker_peaks": peaks}  # fmt: skip
    measuring.save(options.out, parameters, figures, details)


if __name__ == "__main__":
    main()
