"""How long drift takes, in how much memory and how exact it is, against its peers.

Two datasets of ten million rows and 12 mixed columns, the second one moved: from stored states,
and the first time, against profiling both. Peers compare a million rows with a million, 8 columns,
from Parquet, each in a process of its own that has done a part before its clock starts. Every
distance is computed again from all values.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

# ``profile.py`` beside this file is called as a module of Python is, which others import.
_HERE = str(Path(__file__).parent)
sys.path[:] = [*(path for path in sys.path if path != _HERE), _HERE]

import chart  # noqa: E402
import generated_table as tables  # noqa: E402
import measuring  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.compute as pc  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from measuring import Figure  # noqa: E402
from peers import call as peers  # noqa: E402
from workers import without_main  # noqa: E402

import dsm_dask as dsm  # noqa: E402
from dsm_dask.engine import Engine  # noqa: E402

COLUMNS = tuple(name for name in tables.WITHOUT_TEXT if name != "in_stock")
NUMERIC = ("id", "customer", "quantity", "price", "score", "discount")
CATEGORICAL = ("country", "status")
EIGHT = (*NUMERIC, *CATEGORICAL)
"""Columns that peers can hold."""
ROWS, QUICK_ROWS = 10_000_000, 400_000
PEER_ROWS, QUICK_PEER_ROWS = 1_000_000, 100_000
WORKERS = 2
OURS, ALONE = "dsm, 2 workers", "dsm, 1 process"
PEERS = {
    ALONE: ("dsm", 3), "Evidently": ("evidently", 3), "NannyML": ("nannyml", 1),
    "alibi-detect": ("alibi", 1),
}  # fmt: skip
"""Script and rounds of each."""
CLOSE = 0.01
"""A distance may be off by this share, or by the error that it states."""


# ---------------------------------------------------------------------------------------------
# Two tables


def generate(folder: Path, rows: int, files: int) -> None:
    """A reference, and current rows that were moved."""
    tables.generate(tables.Shape(COLUMNS, rows, files, 7), folder / "reference")
    current = tables.generate(tables.Shape(COLUMNS, rows, files, 8), folder / "current")
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(move, current.paths))


def move(path: Path) -> None:
    """Prices rise, scores shift, discounts go missing, a state and a country change, times pass."""
    found = pq.read_table(path)
    ids = found["id"]
    changes = {
        "price": pc.multiply(found["price"], 1.15),
        "score": pc.cast(pc.add(found["score"], pa.scalar(0.2, pa.float32())), pa.float32()),
        "discount": pc.if_else(_some(ids, 10), None, found["discount"]),
        "status": pc.if_else(_some(ids, 8), "refused", found["status"]),
        "country": pc.if_else(_some(ids, 5), "AK", found["country"]),
        "customer": pc.if_else(_some(ids, 4), pa.scalar(7, pa.int32()), found["customer"]),
        "ordered_at": pc.add(found["ordered_at"], pa.scalar(10**12, pa.duration("us"))),
    }
    for name, values in changes.items():
        found = found.set_column(found.schema.get_field_index(name), name, values)
    pq.write_table(found, path, compression="zstd", row_group_size=tables.GROUP_ROWS)


def _some(ids: pa.ChunkedArray, one_in: int) -> pa.ChunkedArray:
    rest = pc.subtract(ids, pc.multiply(pc.divide(ids, one_in), one_in))
    return pc.equal(rest, 0)


def _in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own, whose memory goes with it."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as pool:
        return pool.submit(work, *arguments).result()


# ---------------------------------------------------------------------------------------------
# Ours


class Lab:
    """A cluster that is up, and two tables."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        import distributed

        with without_main():
            engine.start()
        self.engine, self.folder = engine, folder
        self.sides = tuple(str(folder / side) for side in ("reference", "current"))
        self.workers = list(distributed.default_client().run(os.getpid).values())
        self.scheduler = str(distributed.default_client().scheduler.address)
        self._numbers = itertools.count()

    def fresh(self) -> tuple[str, ...]:
        """Two new datasets of which nothing is known."""
        number = next(self._numbers)
        uris = tuple(f"{side}-linked-{number}" for side in self.sides)
        for uri, side in zip(uris, self.sides, strict=True):
            dsm.create(uri, side, engine=self.engine)
        return uris

    def profile_both(self) -> tuple[float, tuple[str, ...]]:
        uris = self.fresh()
        return timed(lambda: [dsm.profile(uri, engine=self.engine) for uri in uris])[0], uris

    def first_time(self) -> float:
        uris = self.fresh()
        return timed(lambda: dsm.drift(*uris, engine=self.engine))[0]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def command(*words: str) -> float:
    """The whole ``dsm drift`` in a process of its own; drift that is found is no failure."""
    program = str(Path(sys.executable).with_name("dsm"))
    call = [program, "drift", *words, "--json", "--quiet"]
    seconds, done = timed(lambda: subprocess.run(call, capture_output=True, text=True))
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(call)} failed:\n{done.stderr}{done.stdout}")
    return float(seconds)


def large(lab: Lab, rounds: int, quick: bool) -> tuple[list[Figure], dict[str, Any], Any]:
    """Two whole tables: the first time, from states, and as a command."""
    seconds: dict[str, list[float]] = {}
    lab.profile_both()  # to warm up
    with Engine(workers=0) as alone:
        for _ in range(rounds):
            profiling, uris = lab.profile_both()
            runs = {
                "profile both": lambda p=profiling: p,
                "drift, first time": lab.first_time,
                "drift from states": lambda u=uris: timed(lambda: dsm.drift(*u, engine=lab.engine))[
                    0
                ],
                "drift from states, no cluster": lambda u=uris: timed(
                    lambda: dsm.drift(*u, engine=alone)
                )[0],
                "dsm drift, cluster up": lambda u=uris: command(*u, "--scheduler", lab.scheduler),
            }
            for name, run in runs.items():
                seconds.setdefault(name, []).append(run())
        seconds["dsm drift, own cluster"] = [command(*uris)]
    found = dsm.drift(*uris, engine=lab.engine).to_dict()
    medians = {name: measuring.median(times) for name, times in seconds.items()}
    ratio = medians["drift, first time"] / medians["profile both"]
    states = "drift from states"
    figures = [
        Figure(f"{states}: time", medians[states], "s", None if quick else 0.2),
        Figure("drift, first time / profile both", ratio, aim=None if quick else 1.1),
        *(Figure(f"{n}: time", medians[n], "s") for n in medians if n != states),
    ]
    return figures, seconds, found


# ---------------------------------------------------------------------------------------------
# Peers


@dataclasses.dataclass
class Contest:
    """Samples of everybody on the smaller tables: seconds, and bytes of all processes."""

    seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    peaks: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    absent: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, name: str, seconds: float, peak: int) -> None:
        self.seconds.setdefault(name, []).append(seconds)
        self.peaks.setdefault(name, []).append(peak)

    def median(self, name: str) -> float:
        return measuring.median(self.seconds[name])


def contest(lab: Lab, rounds: int, pythons: dict[str, str]) -> Contest:
    """Everybody in turn, from Parquet files."""
    found = Contest()
    task: dict[str, Any] = {
        side: sorted(map(str, (lab.folder / side).glob("*.parquet")))
        for side in ("reference", "current")
    }
    task |= {"columns": EIGHT, "numeric": NUMERIC, "categorical": CATEGORICAL}
    processes = [*lab.workers, os.getpid()]
    dsm.drift(*lab.sides, columns=EIGHT, engine=lab.engine)
    for number in range(rounds):
        for pid in processes:
            measuring.forget_peak(pid)
        seconds, _ = timed(lambda: dsm.drift(*lab.sides, columns=EIGHT, engine=lab.engine))
        found.add(OURS, seconds, sum(map(measuring.peak_memory, processes)))
        for name, (script, limit) in PEERS.items():
            if number >= limit or name in found.absent:
                continue
            try:
                answer = peers.call(f"with_{script}", task, pythons.get(script))
                found.add(name, answer.seconds, answer.peak)
            except peers.Unavailable as reason:
                found.absent[name] = str(reason)
    return found


def contest_figures(found: Contest, quick: bool) -> list[Figure]:
    """Against Evidently: on all cores, and in one process as it has."""
    if "Evidently" not in found.seconds:
        return []
    figures = []
    for name in (OURS, ALONE):
        aims = (30.0, 1 / 3) if name == OURS and not quick else (None, None)
        speed = found.median("Evidently") / found.median(name)
        memory = max(found.peaks[name]) / max(found.peaks["Evidently"])
        figures += [
            Figure(f"{name}: times as fast a row as Evidently", speed, "", aims[0], "at least"),
            Figure(f"{name}: memory of all processes / Evidently", memory, "", aims[1]),
        ]
    return figures


def show_contest(found: Contest, rows: int) -> None:
    print(f"\n{rows:,} against {rows:,} rows, {len(EIGHT)} columns")
    lines: list[Sequence[str]] = [("", "median s", "us/row", "peak memory", "rounds")]
    for name, seconds in found.seconds.items():
        each = found.median(name) / (2 * rows) * 1e6
        peak = measuring.number(max(found.peaks[name]), "B")
        lines.append((name, f"{found.median(name):.3f}", f"{each:.3f}", peak, f"{len(seconds)}"))
    measuring.table(lines)
    for name, reason in found.absent.items():
        print(f"  {name}: {reason}")


# ---------------------------------------------------------------------------------------------
# Accuracy


def accuracy(found: dict[str, Any], folder: Path) -> tuple[list[Figure], dict[str, Any]]:
    """Each distance against the same one on all values; outside is what is further off than 1 % and
    than it says."""
    task: dict[str, Any] = {
        side: sorted(map(str, (folder / side).glob("*.parquet")))
        for side in ("reference", "current")
    }
    task["columns"] = {
        name: {"kind": one["kind"], "edges": (one["bins"] or {}).get("edges")}
        for name, one in found["columns"].items()
    }
    exact = peers.call("exact_drift", task).found
    compared = [
        {"column": column, "distance": name, "value": value, "exact": float(exact[column][name]),
         "error": one["errors"][name]}
        for column, one in found["columns"].items()
        for name, value in one["distances"].items()
    ]  # fmt: skip
    for each in compared:
        off = abs(each["value"] - each["exact"])
        each["relative_error"] = off / abs(each["exact"]) if each["exact"] else off
        each["within"] = each["relative_error"] <= CLOSE or off <= each["error"] + 1e-9
    names = dict.fromkeys(each["distance"] for each in compared)
    figures = [
        Figure("distances outside 1 % and their error", sum(not c["within"] for c in compared),
               aim=0)
    ]  # fmt: skip
    for name in names:
        worst = max(
            (c for c in compared if c["distance"] == name), key=lambda c: c["relative_error"]
        )
        where = f"{name}: worst relative error ({worst['column']}, {worst['exact']:.3g})"
        figures.append(Figure(where, worst["relative_error"]))
    return figures, {"compared": compared}


def main() -> None:
    parser = measuring.arguments(__file__, __doc__)
    parser.add_argument("--rows", type=int, help=f"default: {ROWS:,}")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    peers.add_option(parser)
    options = parser.parse_args()
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    peer_rows = QUICK_PEER_ROWS if options.quick else PEER_ROWS
    pythons = peers.pythons(options.peer_python)
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dsm-bench-")))
        _in_process(generate, home / "small", peer_rows, 4)
        _in_process(generate, home / "large", rows, 16)
        engine = stack.enter_context(Engine(workers=WORKERS))
        contested = contest(Lab(engine, home / "small"), options.rounds, pythons)
        show_contest(contested, peer_rows)
        figures = contest_figures(contested, options.quick)
        more, seconds, compared = large(Lab(engine, home / "large"), options.rounds, options.quick)
        exact, distances = accuracy(compared, home / "large")
    figures = [*more, *figures, *exact]
    print()
    measuring.show(figures)
    parameters = {
        "rows": rows, "columns": COLUMNS, "peer_rows": peer_rows, "peer_columns": EIGHT,
        "rounds": options.rounds, "workers": WORKERS, "quick": options.quick,
    }  # fmt: skip
    details = {"seconds": seconds, "contest": dataclasses.asdict(contested), "distances": distances}
    measuring.save(options.out, parameters, figures, details)
    chart.save_bars(
        options.out.with_suffix(".svg"),
        {
            f"Drift of {peer_rows:,} against {peer_rows:,} rows of {len(EIGHT)} columns": {
                name: contested.median(name) for name in contested.seconds
            },
            f"dsm, {rows:,} against {rows:,} rows of {len(COLUMNS)} columns": {
                name: measuring.median(times) for name, times in seconds.items()
            },
        },
    )


if __name__ == "__main__":
    main()
