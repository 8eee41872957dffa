"""How long a profile takes, in how much memory and how exact it is, against its peers.

Ten million rows of 12 mixed columns as 16 zstd Parquet files, on the local disk and on a real S3
server. Ours runs on a cluster of two workers that is up: on plain files, and on a linked dataset
that was made for the round, so that no state is known. Each run of a peer is a process of its own
that has done the first file before its clock starts. All take turns; slow peers have fewer rounds.
Also: a second profile after an append and after a drop, a quarter of the rows, and 1,000 columns.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

# This file is called as a module of Python is, which others import: theirs has to come first.
_HERE = str(Path(__file__).parent)
sys.path[:] = [*(path for path in sys.path if path != _HERE), _HERE]

import chart  # noqa: E402
import generated_table as tables  # noqa: E402
import measuring  # noqa: E402
import pyarrow.fs as pafs  # noqa: E402
import wide_table  # noqa: E402
from measuring import Figure  # noqa: E402
from peers import call as peers  # noqa: E402
from workers import Sample, Workers  # noqa: E402

import dsm_dask as dsm  # noqa: E402
from dsm_dask.engine import Engine  # noqa: E402
from dsm_dask.testing.fault_proxy import FaultProxy  # noqa: E402
from dsm_dask.testing.s3 import S3Server  # noqa: E402

COLUMNS = tuple(name for name in tables.WITHOUT_TEXT if name != "in_stock")
ASKED = ("price", "title")
"""The columns that are profiled after a drop."""
BUCKET = "bench"
ROWS, QUICK_ROWS = 10_000_000, 400_000
WIDE, QUICK_WIDE = (1_000_000, 1_000), (20_000, 200)
"""Rows and columns."""
WORKERS = 2
FILES, DATASET = "dsm, files", "dsm, dataset"
SCAN, DUCKDB = "pyarrow, bare scan", "DuckDB SUMMARIZE"
SAMPLED_FILES = 1
"""Files that whylogs, slow as it is, gets of the 16."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """What takes its turn in the first ``rounds`` rounds, after one to warm up if it is ours."""

    name: str
    run: Callable[[], Sample]
    rounds: int
    rows: int


@dataclasses.dataclass
class Race:
    """All samples of one place, and who could not take part."""

    place: str
    samples: dict[str, list[Sample]] = dataclasses.field(default_factory=dict)
    rows: dict[str, int] = dataclasses.field(default_factory=dict)
    absent: dict[str, str] = dataclasses.field(default_factory=dict)

    def seconds(self, name: str) -> float:
        return measuring.median([sample.seconds for sample in self.samples[name]])

    def seconds_a_million(self, name: str) -> float:
        return self.seconds(name) / self.rows[name] * 1e6

    def peak(self, name: str) -> int:
        return max(sample.peak for sample in self.samples[name])


# ---------------------------------------------------------------------------------------------
# Ours


class Ours(Workers):
    """Our verbs on a cluster that is up."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._numbers = itertools.count()

    def profile(self, data: str, columns: Sequence[str] | None = None) -> tuple[Sample, Any]:
        return self.timed(lambda: dsm.profile(data, columns, engine=self.engine))

    def fresh(self, source: str) -> str:
        """A new dataset that links files: nothing is known of it."""
        uri = f"{source.rstrip('/')}-linked-{next(self._numbers)}"
        dsm.create(uri, source, engine=self.engine)
        return uri


# ---------------------------------------------------------------------------------------------
# The race


def race(
    ours: Ours, place: str, source: str, generated: tables.Generated, rounds: dict[str, int],
    pythons: dict[str, str],
) -> Race:  # fmt: skip
    """Everybody on the same files, in turn."""
    found = Race(place)
    remote = source.startswith("s3://")
    paths = [f"{source}/{path.name}" for path in generated.paths]
    contenders = [
        Contender(FILES, lambda: ours.profile(source)[0], rounds["ours"], generated.rows),
        Contender(
            DATASET, lambda: ours.profile(ours.fresh(source))[0], rounds["ours"], generated.rows
        ),
    ]
    for name, script, limit in (
        (SCAN, "with_pyarrow", rounds["ours"]),
        (DUCKDB, "with_duckdb", rounds["peers"]),
        ("Polars", "with_polars", rounds["peers"]),
        ("Dask DataFrame", "with_dask", rounds["slow"]),
        ("whylogs, sample", "with_whylogs", rounds["slow"]),
    ):
        if remote and script in ("with_dask", "with_whylogs"):
            continue  # once is enough: they are far behind
        few = paths[:SAMPLED_FILES] if script == "with_whylogs" else paths
        key = script.removeprefix("with_")
        # the other DuckDB is there for its extension, and only where that is needed
        python = None if key == "duckdb" and not remote else pythons.get(key)
        task = {"paths": few, "remote": remote, "threads": WORKERS}
        run = _peer(script, task, python)
        contenders.append(Contender(name, run, limit, generated.rows * len(few) // len(paths)))
    for contender in contenders[:2]:
        contender.run()
    for number in range(max(rounds.values())):
        for contender in contenders:
            if number < contender.rounds and contender.name not in found.absent:
                _turn(found, contender)
    return found


def _peer(script: str, task: dict[str, Any], python: str | None) -> Callable[[], Sample]:
    def run() -> Sample:
        answer = peers.call(script, task, python)
        return Sample(answer.seconds, answer.peak, answer.peak)

    return run


def _turn(found: Race, contender: Contender) -> None:
    try:
        sample = contender.run()
    except peers.Unavailable as reason:
        found.absent[contender.name] = str(reason)
        return
    found.samples.setdefault(contender.name, []).append(sample)
    found.rows[contender.name] = contender.rows


def race_figures(found: Race, quick: bool) -> list[Figure]:
    """Against DuckDB and against the bare scan."""
    figures = []
    for name in (FILES, DATASET):
        for other, aim in ((DUCKDB, 0.4), (SCAN, 5.0), ("Polars", None)):
            if other in found.samples:
                ratio = found.seconds(name) / found.seconds(other)
                head = f"{found.place}: {name}: time / {other}"
                figures.append(Figure(head, ratio, aim=None if quick else aim))
        head = f"{found.place}: {name}: peak memory of a worker"
        figures.append(Figure(head, found.peak(name), "B", 500e6))
    return figures


def show_race(found: Race) -> None:
    """All contenders of a place."""
    print(f"\n{found.place}")
    rows: list[tuple[str, ...]] = [
        ("", "median s", "fastest s", "slowest s", "s/M rows", "peak memory", "rounds")
    ]
    for name, samples in found.samples.items():
        seconds = [sample.seconds for sample in samples]
        times = [f"{s:.3f}" for s in (measuring.median(seconds), min(seconds), max(seconds))]
        peak = measuring.number(found.peak(name), "B")
        rows.append((name, *times, f"{found.seconds_a_million(name):.3f}", peak, f"{len(samples)}"))
    measuring.table(rows)
    for name, reason in found.absent.items():
        print(f"  {name}: {reason}")


# ---------------------------------------------------------------------------------------------
# Errors, appends, drops, many columns


def accuracy(ours: Ours, source: str, generated: tables.Generated) -> tuple[list[Figure], Any]:
    """Quantiles and distinct counts against exact ones, column by column."""
    profile = ours.profile(source)[1].to_dict()["columns"]
    told = {n: {"quantiles": c["quantiles"], "distinct": c["distinct"]} for n, c in profile.items()}
    task = {"paths": [str(path) for path in generated.paths], "profile": told}
    exact = peers.call("exact_profile", task).found
    ranks = [column["rank_error"] for column in exact.values() if column["rank_error"] is not None]
    worst = max(column["distinct_error"] for column in exact.values())
    figures = [
        Figure("worst rank error of a quantile", max(ranks), aim=0.001),
        Figure("worst relative error of a distinct count", worst, aim=0.01),
    ]
    return figures, exact


def after_append(
    ours: Ours, place: str, source: str, more: str, rounds: int, quick: bool
) -> tuple[list[Figure], Any]:
    """The second profile of a dataset that grew by 1 %."""
    first, second = [], []
    for _ in range(rounds):
        uri = ours.fresh(source)
        first.append(ours.profile(uri)[0].seconds)
        dsm.append(uri, more, engine=ours.engine)
        second.append(ours.profile(uri)[0].seconds)
    ratio = measuring.median(second) / measuring.median(first)
    name = f"{place}: profile after appending 1 %: time / first"
    return [Figure(name, ratio, aim=None if quick else 0.03)], {"first": first, "second": second}


def after_drop(
    server: S3Server, source: str, generated: tables.Generated
) -> tuple[list[Figure], Any]:
    """What a profile of two columns reads of the source after rows of one file were dropped; a
    proxy between workers and store counts it."""
    with FaultProxy(server.endpoint) as proxy, _at(proxy.endpoint), Engine(workers=WORKERS) as used:
        ours = Ours(used)
        uri = ours.fresh(source)
        ours.profile(uri)
        before = {part.fingerprint for part in dsm.open(uri).partitions()}
        dsm.drop(uri, f"id < {generated.rows // len(generated.paths) // 2}", engine=used)
        touched = [p for p in dsm.open(uri).partitions() if p.fingerprint not in before]
        proxy.heal()  # forgets what passed
        ours.profile(uri, ASKED)
        seen = [one for one in proxy.log if one.method == "GET" and ".parquet" in one.path]
    read = sum(one.sent for one in seen)
    files = {one.path.partition("?")[0] for one in seen}
    asked = sum(generated.chunk_sizes[name] for name in ASKED) / generated.size
    size = sum(part.size for part in touched)
    found = {
        "asked": ASKED, "partitions": len(before), "touched": len(touched), "bytes_read": read,
        "bytes_of_touched": size, "bytes_asked_of_touched": size * asked, "files": sorted(files),
    }  # fmt: skip
    name = "after a drop: bytes read of the source / touched partitions, asked columns"
    return [
        Figure(name, read / (size * asked), aim=1.05),
        Figure("after a drop: touched / all partitions", len(touched) / len(before)),
    ], found


@contextlib.contextmanager
def _at(endpoint: str) -> Iterator[None]:
    """Reach S3 elsewhere in the enclosed code, and in the workers that it starts."""
    before = os.environ["AWS_ENDPOINT_URL"]
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    try:
        yield
    finally:
        os.environ["AWS_ENDPOINT_URL"] = before


def many_columns(ours: Ours, folder: Path, rows: int, columns: int) -> tuple[list[Figure], Any]:
    """A table with very many columns, once."""
    _in_process(wide_table.write_wide, folder, rows, columns)
    size = sum(path.stat().st_size for path in folder.iterdir())
    sample, found = ours.profile(str(folder))
    assert len(found.columns) == columns, len(found.columns)
    name = f"{columns:,} columns x {measuring.number(rows)} rows: "
    figures = [
        Figure(name + "time", sample.seconds, "s"),
        Figure(name + "peak memory of a worker", sample.peak, "B"),
    ]
    return figures, {"rows": rows, "columns": columns, "bytes": size, **dataclasses.asdict(sample)}


# ---------------------------------------------------------------------------------------------
# All of it


def _in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own, whose memory goes with it."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as pool:
        return pool.submit(work, *arguments).result()


def _upload(folder: Path) -> str:
    store = pafs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])
    pafs.copy_files(
        str(folder),
        f"{BUCKET}/{folder.name}",
        source_filesystem=pafs.LocalFileSystem(),
        destination_filesystem=store,
    )
    return f"s3://{BUCKET}/{folder.name}"


@dataclasses.dataclass
class Found:
    """Figures, and details for the JSON."""

    figures: list[Figure] = dataclasses.field(default_factory=list)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    races: list[Race] = dataclasses.field(default_factory=list)

    def add(self, name: str, both: tuple[list[Figure], Any]) -> None:
        self.figures += both[0]
        self.details[name] = both[1]


def run(rows: int, options: Any) -> Found:
    """Everything, in an order that leaves the largest table for when all is warm."""
    found = Found()
    pythons = peers.pythons(options.peer_python)
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dsm-bench-")))
        shape = tables.Shape(COLUMNS, rows)
        whole = _in_process(tables.generate, shape, home / "whole")
        quarter = tables.Shape(COLUMNS, rows // 4)
        small = _in_process(tables.generate, quarter, home / "quarter")
        _in_process(tables.generate, tables.Shape(COLUMNS, rows // 100, 1, 8), home / "more")
        server = stack.enter_context(S3Server())
        stack.enter_context(server.in_environment())
        server.make_bucket(BUCKET)
        sources = {"local": str(home / "whole"), "S3": _upload(home / "whole")}
        more = {"local": str(home / "more"), "S3": _upload(home / "more")}
        quarter_on_s3 = _upload(home / "quarter")
        found.details["table"] = whole.to_dict()
        found.add("after_drop", after_drop(server, quarter_on_s3, small))
        ours = Ours(stack.enter_context(Engine(workers=WORKERS)))
        ours.profile(str(home / "quarter"))
        of_quarter = ours.profile(str(home / "quarter"))[0]
        for place, source in sources.items():
            rounds = {"ours": options.rounds, "slow": 1}
            rounds["peers"] = options.rounds if place == "local" else min(2, options.rounds)
            one = race(ours, place, source, whole, rounds, pythons)
            show_race(one)
            found.races.append(one)
            found.figures += race_figures(one, options.quick)
        name = "peak memory of a worker: all rows / a quarter of them"
        found.figures.append(Figure(name, found.races[0].peak(FILES) / of_quarter.peak))
        for place, source in sources.items():
            grown = after_append(ours, place, source, more[place], 3, options.quick)
            found.add(f"after_append_{place}", grown)
        found.add("accuracy", accuracy(ours, sources["local"], whole))
        if options.wide:
            size = QUICK_WIDE if options.quick else WIDE
            found.add("wide", many_columns(ours, home / "wide", *size))
    return found


def main() -> None:
    parser = measuring.arguments(__file__, __doc__)
    parser.add_argument("--rows", type=int, help=f"default: {ROWS:,}")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    wide = "also profile 1,000 columns of a million rows (default: yes)"
    parser.add_argument("--wide", action="store_true", default=True, help=wide)
    parser.add_argument("--no-wide", dest="wide", action="store_false")
    peers.add_option(parser)
    options = parser.parse_args()
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    found = run(rows, options)
    print()
    measuring.show(found.figures)
    parameters = {
        "rows": rows, "columns": COLUMNS, "rounds": options.rounds, "workers": WORKERS,
        "quick": options.quick,
    }  # fmt: skip
    races = [
        {**dataclasses.asdict(one), "median_seconds": {n: one.seconds(n) for n in one.samples}}
        for one in found.races
    ]
    measuring.save(options.out, parameters, found.figures, {"races": races, **found.details})
    groups = {}
    for one in found.races:
        title = f"{one.place}: seconds for a million rows of {len(COLUMNS)} columns"
        groups[title] = {name: one.seconds_a_million(name) for name in one.samples}
    chart.save_bars(options.out.with_suffix(".svg"), groups)


if __name__ == "__main__":
    main()
