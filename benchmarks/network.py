"""Which bytes cross which link: client, scheduler, two workers and the S3 server, each a host of
its own in a network namespace, every two joined by a link whose bytes the kernel counts.

Profile, drift, deduplication, scores and a drop of 0.1, 1 and 4 GB, each the ``dsm`` command on the
client's host; with requests and processor time, for ``cost.py``. Needs the right to make network
namespaces; says so and skips otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
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
import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from forwarder import Forwarder
from measuring import Figure
from namespaces import Counts, Hosts, hindrance

from dsm_dask.connection import ALLOCATION
from dsm_dask.testing.s3 import S3Server

HOSTS = ("client", "scheduler", "one", "two", "store")
WORKERS = ("one", "two")
BUCKET = "bench"
SIZES = {"0.1 GB": 100_000_000, "1 GB": 1_000_000_000, "4 GB": 4_000_000_000}
QUICK_SIZES = {"5 MB": 5_000_000, "20 MB": 20_000_000}
DROPPED = "quantity = 13"
CLASSES = 10
PORT = 8786
CLIENT_AIM = 2_000_000
STORE_AIM = 1.1
EXCHANGE_AIM = 32
"""Bytes from worker to worker for each row and band."""
BANDS = 21
FLAT = 1.25
HEADERS = 1_000_000
"""Of fewer bytes that are stored, most of what is sent are the headers of requests."""
IDLE_SECONDS = 10
_LESS_TALK = {"DASK_LOGGING__DISTRIBUTED": "critical"}


@dataclasses.dataclass(frozen=True)
class Run:
    """One command: bytes on the links meanwhile, and what it had to move."""

    verb: str
    seconds: float
    links: dict[str, int]
    client: int
    """On all links of the client, both ways."""
    scheduler: int
    from_store: int
    to_store: int
    between_workers: int
    needed: int
    """Bytes of the column chunks that the verb is about."""
    stored: int
    """Bytes of the objects in the bucket after it, less those before."""
    rows: int
    requests: int
    """To the store, as ``dsm`` counts them."""
    worker_seconds: float
    """Processor time of both workers."""
    scheduler_seconds: float

    @property
    def exchanged(self) -> int:
        """Bytes that workers gave each other, directly or through the store."""
        return max(0, self.from_store - self.needed) + self.between_workers


class Lab:
    """The hosts, with a store, a scheduler and two workers that run on them."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        here, python = hosts.address, sys.executable
        self._store = hosts.start(
            "store", [python, __file__, "--serve", here("store")],
            stdout=subprocess.PIPE, stdin=subprocess.PIPE,
        )  # fmt: skip
        self._env = {**ALLOCATION, **_LESS_TALK, **self._answer()}
        self._scheduler = f"tcp://{here('scheduler')}:{PORT}"
        hosts.start("scheduler", [
            python, "-m", "distributed.cli.dask_scheduler", "--host", here("scheduler"),
            "--port", str(PORT), "--no-dashboard",
        ], self._env)  # fmt: skip
        for worker in WORKERS:
            hosts.start(worker, [
                python, "-m", "distributed.cli.dask_worker", self._scheduler, "--host",
                here(worker), "--nthreads", "1", "--no-dashboard",
            ], self._env)  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="dsm-bench-") as scratch:
            tiny = Path(scratch) / "tiny"
            tables.generate(tables.Shape(tables.NUMBERS, 1_600), tiny)
            self.dsm("profile", self.put(tiny))  # the workers are there, and have imported all

    def put(self, folder: Path) -> str:
        """Copy the files of a folder into the bucket; gives where they are."""
        self._ask("put", str(folder))
        return f"s3://{BUCKET}/{folder.name}"

    def dsm(self, *words: str) -> dict[str, Any]:
        """The answer of ``dsm`` on the client's host."""
        command = [
            str(Path(sys.executable).with_name("dsm")), *words,
            "--json", "--quiet", "--scheduler", self._scheduler,
        ]  # fmt: skip
        process = self.hosts.start("client", command, self._env, stdout=subprocess.PIPE)
        out, _ = process.communicate()
        if process.returncode > 1:
            raise SystemExit(f"{' '.join(command)} failed:\n{out}")
        answer: dict[str, Any] = json.loads(out)
        return answer

    def run(self, verb: str, needed: int, rows: int, *words: str) -> Run:
        """Run ``dsm`` and count what moves meanwhile."""
        stored, before, began = self._ask("stored"), self.hosts.counted(), time.monotonic()
        busy = {host: self.hosts.processor_seconds(host) for host in (*WORKERS, "scheduler")}
        answer = self.dsm(*words)
        seconds = time.monotonic() - began
        after = self.hosts.counted()
        busy = {host: self.hosts.processor_seconds(host) - so_far for host, so_far in busy.items()}
        links = {pair: after[pair] - before[pair] for pair in after}
        one, two = WORKERS
        run = Run(
            verb, seconds, {f"{a} > {b}": size for (a, b), size in links.items()},
            client=_with(links, "client"), scheduler=_with(links, "scheduler"),
            from_store=sum(links["store", worker] for worker in WORKERS),
            to_store=sum(links[worker, "store"] for worker in WORKERS),
            between_workers=links[one, two] + links[two, one],
            needed=needed, stored=self._ask("stored") - stored, rows=rows,
            requests=answer["io"]["requests"],
            worker_seconds=sum(busy[worker] for worker in WORKERS),
            scheduler_seconds=busy["scheduler"],
        )  # fmt: skip
        show_runs([run])
        return run

    def idle(self) -> float:
        """Bytes a second on the scheduler's links when nothing runs: signs of life."""
        before = self.hosts.counted()
        began = time.monotonic()
        time.sleep(IDLE_SECONDS)
        after = self.hosts.counted()
        moved = _with(after, "scheduler") - _with(before, "scheduler")
        return moved / (time.monotonic() - began)

    def _ask(self, *words: str) -> Any:
        assert self._store.stdin
        print(json.dumps(words), file=self._store.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._store.stdout
        return json.loads(self._store.stdout.readline())


def _with(links: Counts, host: str) -> int:
    return sum(size for pair, size in links.items() if host in pair)


@contextlib.contextmanager
def laboratory() -> Iterator[Lab]:
    with Hosts(HOSTS) as hosts:
        yield Lab(hosts)


# ---------------------------------------------------------------------------------------------
# The store's host


def serve(address: str) -> None:
    """An S3 server behind an address: says how to reach it, then does what it is asked, a line of
    JSON each, until there are no more."""
    with S3Server() as server, server.in_environment():
        server.make_bucket(BUCKET)
        at = urlsplit(server.endpoint)
        inside = pafs.S3FileSystem(
            endpoint_override=server.endpoint,
            access_key=server.access_key, secret_key=server.secret_key,
        )  # fmt: skip
        with Forwarder(str(at.hostname), int(at.port or 80), listen=address) as wire:
            reach = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
            print(json.dumps({**reach, "AWS_ENDPOINT_URL": f"http://{wire.address}"}), flush=True)
            for line in sys.stdin:
                what, *words = json.loads(line)
                answer: Any = None
                if what == "put":
                    folder = Path(words[0])
                    to = f"{BUCKET}/{folder.name}"
                    pafs.copy_files(str(folder), to, pafs.LocalFileSystem(), inside)
                else:
                    found = inside.get_file_info(pafs.FileSelector(BUCKET, recursive=True))
                    answer = sum(info.size or 0 for info in found)
                print(json.dumps(answer), flush=True)


# ---------------------------------------------------------------------------------------------
# Tables


def probabilities(folder: Path, size: int, files: int = 16) -> tuple[int, int]:
    """Write ``size`` bytes of predicted probabilities of :data:`CLASSES` classes: rows, and bytes
    of their chunks."""
    folder.mkdir()
    rows = size // (4 * CLASSES) // files
    rng = np.random.default_rng(7)
    for index in range(files):
        made = rng.gamma(0.3, size=(rows, CLASSES)).astype(np.float32) + np.float32(1e-6)
        made /= made.sum(axis=1, keepdims=True)
        values = pa.FixedSizeListArray.from_arrays(pa.array(made.reshape(-1)), CLASSES)
        table = pa.table({"probs": values})
        path = folder / f"part-{index:03d}.parquet"
        pq.write_table(table, path, row_group_size=250_000, compression="none",
                       use_dictionary=False)  # fmt: skip
    chunks = tables.chunk_sizes(sorted(folder.glob("*.parquet")))
    return rows * files, sum(chunks.values())


def measure(lab: Lab, label: str, size: int) -> list[Run]:
    """Generate tables of a size, link them for each verb (each shall find nothing cached), run."""
    name = label.replace(" ", "").lower()
    with tempfile.TemporaryDirectory(prefix="dsm-bench-") as scratch:
        first, other, probs = (Path(scratch) / f"{name}-{of}" for of in ("rows", "other", "probs"))
        table = tables.generate(tables.shape_of_size(size, tables.WITH_TEXT), first)
        rows, scored = probabilities(probs, size)
        half = tables.shape_of_size(size // 2, tables.WITH_TEXT)
        reference = tables.generate(dataclasses.replace(half, seed=8), other)
        at, against, probs_at = lab.put(first), lab.put(other), lab.put(probs)
        shutil.rmtree(scratch, ignore_errors=True)
    linked = {verb: f"{at}-{verb}" for verb in ("profile", "exact", "near", "drop")}
    for uri in linked.values():
        lab.dsm("create", uri, at)
    lab.dsm("create", f"{probs_at}-ds", probs_at)
    all_of, text = sum(table.chunk_sizes.values()), table.chunk_sizes["review"]
    both = all_of + sum(reference.chunk_sizes.values())
    quantity = table.chunk_sizes["quantity"]
    return [
        lab.run("profile", all_of, table.rows, "profile", linked["profile"]),
        lab.run("drift", both, table.rows, "drift", against, at),
        lab.run("dedup exact", text, table.rows, "dedup", linked["exact"], "--on", "review",
                "--drop"),
        lab.run("score", scored, rows, "score", f"{probs_at}-ds", "--probs", "probs"),
        lab.run("drop 1 %", quantity, table.rows, "drop", linked["drop"], "--where", DROPPED),
        lab.run("dedup minhash", text, table.rows, "dedup", linked["near"], "--on", "review",
                "--method", "minhash", "--drop"),
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------------
# What it comes to


def figures_of(label: str, runs: list[Run]) -> list[Figure]:
    found = []
    for run in runs:
        head = f"{label}, {run.verb}: "
        sent = run.to_store / max(1, run.stored)
        found += [
            Figure(head + "links of the client", run.client, "B", CLIENT_AIM),
            Figure(head + "links of the scheduler", run.scheduler, "B", CLIENT_AIM),
            Figure(head + "store to workers / chunks", run.from_store / run.needed, "", STORE_AIM),
            Figure(head + "workers to store / stored", sent, "", STORE_AIM)
            if run.stored >= HEADERS
            else Figure(head + "workers to store", run.to_store, "B"),
        ]
        if "dedup" in run.verb:
            each = run.exchanged / run.rows / (BANDS if "minhash" in run.verb else 1)
            found.append(Figure(head + "exchanged a row and band", each, "B", EXCHANGE_AIM))
        else:
            found.append(Figure(head + "worker to worker", run.between_workers, "B"))
    return found


def growth(found: dict[str, list[Run]]) -> list[Figure]:
    """Bytes on the links of client and scheduler for the largest table, over the smallest."""
    (small, least), *_, (large, most) = found.items()
    figures = []
    for run, other in zip(most, least, strict=True):
        name = f"{large} / {small}, {run.verb}: links of the "
        figures += [
            Figure(name + "client", run.client / other.client, aim=FLAT),
            Figure(name + "scheduler", run.scheduler / other.scheduler, aim=FLAT),
        ]
    return figures


def show_runs(runs: list[Run]) -> None:
    heads = ("", "seconds", "busy", "client", "scheduler", "store > workers", "chunks",
             "workers > store", "stored", "worker <> worker", "requests")  # fmt: skip
    lines: list[tuple[str, ...]] = [heads]
    for run in runs:
        sizes = (run.client, run.scheduler, run.from_store, run.needed, run.to_store, run.stored,
                 run.between_workers)  # fmt: skip
        cells = [measuring.number(size, "B") for size in sizes]
        times = f"{run.seconds:.1f}", f"{run.worker_seconds:.1f}"
        lines.append((run.verb, *times, *cells, measuring.number(run.requests)))
    measuring.table(lines)


def main() -> None:
    parser = measuring.arguments(__file__, __doc__)
    parser.add_argument("--most", type=float, default=4e9, help="bytes of the largest table")
    parser.add_argument("--serve", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    if why := hindrance():
        print(f"Skipped: {why}.")
        return
    sizes = QUICK_SIZES if options.quick else SIZES
    sizes = {label: size for label, size in sizes.items() if size <= options.most}
    found: dict[str, list[Run]] = {}
    with laboratory() as lab:
        idle = lab.idle()
        for label, size in sizes.items():
            print(f"\n{label}")
            found[label] = measure(lab, label, size)
            conclude(options.out, found, idle, {"sizes": sizes, "quick": options.quick})


def conclude(
    out: Path, found: dict[str, list[Run]], idle: float, parameters: dict[str, Any]
) -> None:
    """Show and keep what was found so far."""
    figures = [figure for label, runs in found.items() for figure in figures_of(label, runs)]
    figures += growth(found) if len(found) > 1 else []
    figures.append(Figure("scheduler's links a second when idle", idle, "B"))
    for label, runs in found.items():
        print(f"\n{label}")
        show_runs(runs)
    print()
    measuring.show(figures)
    parameters = {**parameters, "dropped": DROPPED, "workers": 2}
    runs = {label: [dataclasses.asdict(run) for run in some] for label, some in found.items()}
    measuring.save(out, parameters, figures, {"runs": runs})


if __name__ == "__main__":
    main()
