"""How many bytes the verbs move: read by a profile, written by a drop, sent to the client.

A generated table of 12 columns lies on a real S3 server, once with 0.1 GB and once with 1 GB. Each
verb is the ``dsm`` command in a process of its own, on a Dask cluster of two workers. Bytes are
taken from what ``dsm --json`` reports, and independently from TCP forwarders on the three ways that
bytes can take: workers to the store, client to the store, client to the scheduler.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import generated_table as tables
import measuring
import pyarrow.fs as pafs
from forwarder import Counted, Forwarder
from measuring import Figure
from workers import without_main

from dsm_dask.engine import Engine
from dsm_dask.testing.s3 import S3Server

PROFILED = ("customer", "price", "title")
"""The three columns: a skewed integer, a float with nulls, a short text. No two are neighbours."""
DROPPED = "quantity = 13"
"""Holds for 1 % of the rows, in every file alike."""
BUCKET = "bench"
SIZES = {"0.1 GB": 100_000_000, "1 GB": 1_000_000_000}
QUICK_SIZES = {"5 MB": 5_000_000, "20 MB": 20_000_000}
CLIENT_AIM = 1_000_000
SAME = 1.25
"""Up to this ratio, what the larger table sends to the client counts as the same."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One command, and what it moved."""

    step: str
    seconds: float
    reported: dict[str, Any]
    """``io`` of ``--json``."""
    workers_store: Counted
    client_store: Counted
    client_scheduler: Counted
    stored: int
    """Bytes of the objects in the bucket after the command, less those before it."""
    client_peak: int
    workers_peak: tuple[int, ...]
    answer: dict[str, Any]

    @property
    def read(self) -> int:
        """Bytes that left the store, headers included."""
        return self.workers_store.down + self.client_store.down

    @property
    def written(self) -> int:
        """Bytes that went to the store: objects, and the headers of every request."""
        return self.workers_store.up + self.client_store.up

    @property
    def to_client(self) -> int:
        """Bytes that reached the client on any socket."""
        return self.client_scheduler.down + self.client_store.down


class Lab:
    """A store, a cluster, and forwarders between them and the client."""

    def __init__(
        self, server: S3Server, scheduler: Forwarder, stores: tuple[Forwarder, Forwarder]
    ) -> None:
        import distributed

        self.server, self._scheduler = server, scheduler
        self._worker_store, self._client_store = stores
        self._workers = list(distributed.default_client().run(os.getpid).values())

    def run(self, step: str, *words: str) -> Run:
        """Run ``dsm`` with these words and count what moves meanwhile."""
        for pid in self._workers:
            measuring.forget_peak(pid)
        before, stored = self._counted(), self._stored()
        began = time.monotonic()
        answer, peak = self._dsm(*words)
        seconds = time.monotonic() - began
        workers, client, scheduler = (n - b for n, b in zip(self._counted(), before, strict=True))
        reported = answer.pop("io")
        workers_peak = tuple(map(measuring.peak_memory, self._workers))
        stored = self._stored() - stored
        moved = (workers, client, scheduler, stored)
        return Run(step, seconds, reported, *moved, peak, workers_peak, answer)

    def put(self, generated: tables.Generated, folder: str) -> None:
        """Copy generated files into the bucket."""
        to = self.store()
        for path in generated.paths:
            source = str(path)
            pafs.copy_files(
                source,
                f"{BUCKET}/{folder}/{path.name}",
                source_filesystem=pafs.LocalFileSystem(),
                destination_filesystem=to,
            )

    def store(self) -> pafs.S3FileSystem:
        """The store without a forwarder, through pyarrow."""
        return pafs.S3FileSystem(
            endpoint_override=self.server.endpoint,
            access_key=self.server.access_key,
            secret_key=self.server.secret_key,
        )

    def _dsm(self, *words: str) -> tuple[dict[str, Any], int]:
        program = str(Path(sys.executable).with_name("dsm"))
        scheduler = f"tcp://{self._scheduler.address}"
        command = [program, *words, "--json", "--quiet", "--scheduler", scheduler]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "AWS_ENDPOINT_URL": f"http://{self._client_store.address}"},
        )
        with measuring.watching_peak(process.pid) as peak:
            out, complaint = process.communicate()
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{complaint}{out}")
        return json.loads(out), peak.bytes

    def _counted(self) -> list[Counted]:
        wires = (self._worker_store, self._client_store, self._scheduler)
        return [wire.counted() for wire in wires]

    def _stored(self) -> int:
        everything = pafs.FileSelector(BUCKET, recursive=True)
        return sum(found.size or 0 for found in self.store().get_file_info(everything))


@contextlib.contextmanager
def laboratory() -> Iterator[Lab]:
    """Start the server, the forwarders and the cluster; stop them all at the end."""
    import distributed

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(S3Server())
        stack.enter_context(server.in_environment())
        server.make_bucket(BUCKET)
        at = urlsplit(server.endpoint)
        assert at.hostname
        assert at.port
        stores = [stack.enter_context(Forwarder(at.hostname, at.port)) for _ in range(2)]
        os.environ["AWS_ENDPOINT_URL"] = f"http://{stores[0].address}"
        engine = stack.enter_context(Engine(workers=2))
        with without_main():
            engine.start()
        host, _, port = distributed.default_client().scheduler.address.rpartition(":")
        wire = stack.enter_context(Forwarder(host.removeprefix("tcp://"), int(port)))
        yield Lab(server, wire, (stores[0], stores[1]))


# ---------------------------------------------------------------------------------------------
# One table


@dataclasses.dataclass(frozen=True)
class Measured:
    """All verbs on one table."""

    label: str
    table: tables.Generated
    runs: dict[str, Run]

    @property
    def profiled_size(self) -> int:
        return sum(self.table.chunk_sizes[name] for name in PROFILED)

    def to_dict(self) -> dict[str, Any]:
        runs = [{**dataclasses.asdict(run), "step": step} for step, run in self.runs.items()]
        for run in runs:
            run["answer"] = {k: v for k, v in run["answer"].items() if k not in _LONG}
        return {"label": self.label, "table": self.table.to_dict(), "runs": runs}


_LONG = {"columns", "largest"}


def measure(lab: Lab, label: str, size: int) -> Measured:
    """Generate a table, link it four times (each verb shall find nothing cached), run the verbs."""
    folder = label.replace(" ", "").lower()
    with tempfile.TemporaryDirectory(prefix="dsm-bench-") as scratch:
        shape = tables.shape_of_size(size, tables.WITH_TEXT)
        table = tables.generate(shape, Path(scratch))
        lab.put(table, folder)
    files = f"s3://{BUCKET}/{folder}"
    linked = {verb: f"s3://{BUCKET}/{folder}-{verb}" for verb in ("some", "all", "dedup", "drop")}
    some = ",".join(PROFILED)
    creations = [lab.run("create", "create", uri, files) for uri in linked.values()]
    runs = [
        creations[-1],
        lab.run("profile 3, files", "profile", files, "--columns", some),
        lab.run("profile 3", "profile", linked["some"], "--columns", some),
        lab.run("profile 12", "profile", linked["all"]),
        lab.run("dedup --drop", "dedup", linked["dedup"], "--on", "review", "--drop"),
        lab.run("drop 1 %", "drop", linked["drop"], "--where", DROPPED),
    ]
    found = Measured(label, table, {run.step: run for run in runs})
    _check(found)
    return found


def _check(found: Measured) -> None:
    """The verbs did what they were measured for."""
    dedup, drop = found.runs["dedup --drop"].answer, found.runs["drop 1 %"].answer
    assert dedup["duplicates"] == found.table.repeated_texts, (dedup, found.table)
    assert 0.009 < drop["dropped"] / found.table.rows < 0.011, drop


# ---------------------------------------------------------------------------------------------
# What it comes to


def figures_of(found: Measured) -> list[Figure]:
    """The promised ratios of one table; the aims for reading and writing are for 1 GB."""
    size, chunks, runs = found.table.size, found.profiled_size, found.runs
    read_aim, write_aim = (1.05, 0.001) if found.label == "1 GB" else (None, None)
    drop = runs["drop 1 %"]
    head = f"{found.label}: "
    figures = []
    for step in ("profile 3", "profile 3, files"):
        run = runs[step]
        reported = run.reported["bytes_read"] / chunks
        name = f"{head}{step}: bytes read / chunks, "
        figures += [
            Figure(name + "as reported", reported, aim=read_aim),
            Figure(name + "on the wire", run.read / chunks, aim=read_aim),
        ]
    name = f"{head}drop 1 %: bytes written / table, "
    figures += [
        Figure(name + "as reported", drop.reported["bytes_written"] / size, aim=write_aim),
        Figure(name + "objects listed", drop.stored / size, aim=write_aim),
        Figure(name + "on the wire", drop.written / size, aim=write_aim),
    ]
    for step, what in (("profile 12", "states"), ("dedup --drop", "keys and decisions")):
        figures.append(Figure(f"{head}{step}: {what} stored / table", runs[step].stored / size))
    for step, run in runs.items():
        figures.append(Figure(f"{head}{step}: to the client", run.to_client, "B", CLIENT_AIM))
    return figures


def growth(small: Measured, large: Measured) -> list[Figure]:
    """What reaches the client from the large table, over what does from the small one."""
    figures = []
    for step, run in large.runs.items():
        other = small.runs[step]
        name = f"{large.label} / {small.label}, {step}: to the client, "
        results = run.reported["client_bytes"] / other.reported["client_bytes"]
        figures += [
            Figure(name + "results only", results, aim=SAME),
            Figure(name + "all", run.to_client / other.to_client, aim=SAME),
        ]
    return figures


def show_runs(found: Measured) -> None:
    """Everything that moved, a line for each verb."""
    size, rows = measuring.number(found.table.size, "B"), measuring.number(found.table.rows)
    groups = found.table.row_groups
    print(f"\n{found.label}: {size}, {rows} rows, {len(found.table.paths)} files, {groups} groups")
    heads = ("", "seconds", "read", "(reported)", "written", "(reported)", "(objects)",
             "client < store", "client < sched.", "client > sched.", "(client_bytes)",
             "client peak", "worker peak")  # fmt: skip
    lines: list[tuple[str, ...]] = [heads]
    for step, run in found.runs.items():
        amounts = (
            run.read, run.reported["bytes_read"], run.written, run.reported["bytes_written"],
            run.stored, run.client_store.down, run.client_scheduler.down, run.client_scheduler.up,
            run.reported["client_bytes"], run.client_peak, max(run.workers_peak),
        )  # fmt: skip
        cells = [measuring.number(amount, "B") for amount in amounts]
        lines.append((step, f"{run.seconds:.1f}", *cells))
    measuring.table(lines)


def main() -> None:
    options = measuring.arguments(__file__, __doc__).parse_args()
    sizes = QUICK_SIZES if options.quick else SIZES
    with laboratory() as lab:
        found = []
        for label, size in sizes.items():
            found.append(measure(lab, label, size))
            show_runs(found[-1])
    figures = [f for each in found for f in figures_of(each)]
    figures += growth(found[0], found[-1])
    print()
    measuring.show(figures)
    parameters = {
        "sizes": sizes, "profiled": PROFILED, "dropped": DROPPED, "dedup_on": "review",
        "workers": 2, "quick": options.quick,
    }  # fmt: skip
    measuring.save(options.out, parameters, figures, {"tables": [each.to_dict() for each in found]})


if __name__ == "__main__":
    main()
