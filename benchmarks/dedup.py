"""How fast duplicates are found, in how much memory and how surely, against the peers.

Near: a planted corpus (see generated_corpus.py) as zstd Parquet on a real S3 server, linked and
deduplicated by MinHash with verification to a committed version, on a cluster of two workers that
is up. Peers have the same shingles, bands and rows, and read the same files from the local disk; up
to clusters, where they give any. Slow ones get the first documents only. Exact: a string column of
ten million rows and the texts of the corpus, from the local disk, against Polars and Dask.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

# A file of this folder is called as a module of Python is: theirs has to come first.
_HERE = str(Path(__file__).parent)
sys.path[:] = [*(path for path in sys.path if path != _HERE), _HERE]

import chart  # noqa: E402
import generated_corpus as corpora  # noqa: E402
import generated_table as tables  # noqa: E402
import measuring  # noqa: E402
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import pyarrow.fs as pafs  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from dedup_contenders import (  # noqa: E402
    PERMUTATIONS,
    THRESHOLD,
    WORKERS,
    Ours,
    Sample,
    call,
)
from dedup_truth import decided, recalls, together, wrong  # noqa: E402
from measuring import Figure  # noqa: E402
from peers import call as peers  # noqa: E402

import dsm_dask as dsm  # noqa: E402
from dsm_dask.duplicates.minhash import bands_for  # noqa: E402
from dsm_dask.engine import Engine  # noqa: E402
from dsm_dask.testing.s3 import S3Server  # noqa: E402

BUCKET = "bench"
DOCUMENTS, QUICK_DOCUMENTS = 500_000, 20_000
TIMES_LARGE = 4
FILES = 16
ROWS, QUICK_ROWS = 10_000_000, 200_000
COLUMNS = ("sku", "title")
"""Of the table of which exact duplicates are looked for."""
NEAR_PEERS = (
    ("gaoya", None), ("rensa", None), ("datasketch", 50_000), ("text_dedup", 20_000),
    ("datatrove", 20_000),
)  # fmt: skip
"""Name, and how many documents it gets where all would take too long."""
OURS = "dsm"


@dataclasses.dataclass
class Found:
    """Figures, details for the JSON, and bars for the chart."""

    quick: bool
    figures: list[Figure] = dataclasses.field(default_factory=list)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    bars: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    def add(self, name: str, value: float, unit: str = "", aim: float | None = None) -> None:
        """A figure that is to be small, whatever the size of the data."""
        self.figures.append(Figure(name, value, unit, aim))

    def least(self, name: str, value: float, unit: str = "", aim: float | None = None) -> None:
        self.figures.append(Figure(name, value, unit, aim, "at least"))

    def timed(self, aim: float) -> float | None:
        """An aim that says nothing about small data."""
        return None if self.quick else aim


# ---------------------------------------------------------------------------------------------
# Near duplicates


def near(
    ours: Ours, found: Found, corpus: corpora.Corpus, documents: int, sources: Sequence[str],
    rounds: int,
) -> corpora.Pairs:  # fmt: skip
    """Ours on all of it and on a quarter; gives the planted pairs."""
    pairs = corpus.pairs(documents)
    small = ours.near(ours.linked(sources[: FILES // 4])[1])[0]
    links, samples = [], []
    for _ in range(rounds):
        link, uri = ours.linked(sources)
        sample, result = ours.near(uri)
        links.append(link)
        samples.append(sample)
    seconds = measuring.median([s.seconds + link for s, link in zip(samples, links, strict=True)])
    peak = max(sample.peak for sample in samples)
    decisions = decided(uri, str(result.out))
    shares = recalls(pairs, together(pairs, decisions.ids, decisions.clusters), THRESHOLD)
    errors = wrong(corpus, decisions, THRESHOLD)
    found.least(f"{OURS}: documents/s, S3 to commit", documents / seconds, "", found.timed(1e5))
    found.least("recall of pairs of similarity >= 0.8", shares["alike"], "", 0.99)
    found.least("recall of copies", shares["copies"], "", 1.0)
    found.add(f"false merges among {errors['sampled']:,} rows", errors["false"], "", 0)
    found.add("rows said to be more alike than they are", errors["overstated"], "", 0)
    found.add("rows said to be below the threshold", errors["told_below"], "", 0)
    found.least("precision of candidates", result.precision)
    found.add("peak memory of a worker", peak, "B", 1e9)
    found.add("peak memory of a worker: all / a quarter", peak / small.peak)
    found.bars[NEAR_TITLE] = {OURS: seconds / documents * 1e5}
    found.details["near"] = {
        "documents": documents, "seconds": seconds, "linking": links, "recall": shares,
        "samples": [dataclasses.asdict(s) for s in samples], "errors": errors,
        "quarter": dataclasses.asdict(small),
        "result": {k: v for k, v in result.to_dict().items() if k != "largest"},
    }  # fmt: skip
    return pairs


NEAR_TITLE = "Near duplicates: seconds for 100,000 documents"


def after_append(ours: Ours, found: Found, sources: Sequence[str], more: str, rounds: int) -> None:
    """A second run after 1 % was appended, when the first one dropped rows and when it did not."""
    for name, drop in (("appending 1 %", False), ("dropping and appending 1 %", True)):
        first, second, uses = [], [], []
        for _ in range(rounds):
            uri = ours.linked(sources)[1]
            first.append(ours.near(uri, drop)[0].seconds)
            dsm.append(uri, more, engine=ours.engine)
            sample, result = ours.near(uri, drop)
            second.append(sample.seconds)
            uses.append(dataclasses.asdict(result.index))
        ratio = measuring.median(second) / measuring.median(first)
        found.add(f"after {name}: time / first", ratio, "", found.timed(0.05))
        found.details[f"after {name}"] = {
            "first": first, "second": second, "index": uses,
        }  # fmt: skip


def large(ours: Ours, found: Found, documents: int, sources: Sequence[str]) -> None:
    """Once, on several times as many."""
    link, uri = ours.linked(sources)
    sample, _ = ours.near(uri)
    name = f"{measuring.number(documents)} documents: "
    speed = documents / (sample.seconds + link)
    found.least(f"{name}documents/s", speed, "", found.timed(1e5))
    found.add(f"{name}peak memory of a worker", sample.peak, "B", 1e9)
    before = max(one["peak"] for one in found.details["near"]["samples"])
    found.add(f"{name}peak memory of a worker / at a quarter", sample.peak / before)
    found.details["large"] = {"documents": documents, "linking": link, **dataclasses.asdict(sample)}


# ---------------------------------------------------------------------------------------------
# Peers


def near_peers(
    found: Found, corpus: corpora.Corpus, paths: Sequence[Path], pairs: corpora.Pairs,
    home: Path, pythons: dict[str, str],
) -> None:  # fmt: skip
    """Each once; it does the first file before its clock starts."""
    bands, rows = bands_for(THRESHOLD, PERMUTATIONS)
    total, told = found.details["near"]["documents"], {}
    absent: dict[str, str] = {}
    for name, most in NEAR_PEERS:
        if most is not None and found.quick:
            absent[name] = "slow, and this is a quick run"
            continue
        documents = min(total, most or total)
        few = list(paths)
        if documents < total:
            few = list(corpora.generate(corpus, home / name, FILES, 0, documents))
        out = home / f"{name}.parquet"
        task = {
            "paths": [str(path) for path in few], "threads": WORKERS, "shingle": corpora.SHINGLE,
            "permutations": PERMUTATIONS, "bands": bands, "rows": rows, "threshold": THRESHOLD,
            "out": str(out),
        }  # fmt: skip
        try:
            sample, answer = call(name, task, pythons)
        except peers.Unavailable as reason:
            absent[name] = str(reason)
            continue
        planted = pairs.where(pairs.copy < documents)
        rate = documents / sample.seconds
        told[name] = {
            "documents": documents, "documents_a_second": rate, **dataclasses.asdict(sample),
            **answer, "recall": recalls(planted, _hits(planted, out), THRESHOLD),
            "clusters": "cluster" in pq.read_schema(out).names,
        }  # fmt: skip
        found.bars[NEAR_TITLE][name if documents == total else f"{name}, sample"] = 1e5 / rate
    found.details["near_peers"] = {"measured": told, "absent": absent}
    _compare(found, told)
    _show_peers(told, absent)


def _hits(pairs: corpora.Pairs, out: Path) -> npt.NDArray[np.bool_]:
    """Of a peer that only flags documents, whether it flags the later one."""
    rows = pq.read_table(out)
    if "cluster" not in rows.column_names:
        return np.isin(pairs.copy, rows["flagged"].to_numpy())
    return together(pairs, rows["id"].to_numpy(), rows["cluster"].to_numpy())


def _compare(found: Found, told: dict[str, Any]) -> None:
    near = found.details["near"]
    rate = near["documents"] / near["seconds"]
    rates = {name: one["documents_a_second"] for name, one in told.items()}
    if rates:
        fastest = max(rates, key=lambda name: rates[name])
        head = f"{OURS}: documents/s / fastest peer ({fastest})"
        found.least(head, rate / rates[fastest], "", found.timed(8))
    if "text_dedup" in rates:
        head = f"{OURS}: documents/s / text-dedup"
        found.least(head, rate / rates["text_dedup"], "", found.timed(50))


def _show_peers(told: dict[str, Any], absent: dict[str, str]) -> None:
    head = (
        "", "documents", "documents/s", "peak memory", "duplicates", "recall >= 0.8",
        "copies", "merged below", "clusters",
    )  # fmt: skip
    lines: list[tuple[str, ...]] = [head]
    for name, one in told.items():
        shares = [f"{one['recall'][key]:.4f}" for key in ("alike", "copies", "below")]
        lines.append((
            name, f"{one['documents']:,}", f"{one['documents_a_second']:,.0f}",
            measuring.number(one["all"], "B"), f"{one['duplicates']:,}", *shares,
            "yes" if one["clusters"] else "flags only",
        ))  # fmt: skip
    measuring.table(lines)
    for name, reason in absent.items():
        print(f"  {name}: {reason}")


# ---------------------------------------------------------------------------------------------
# Exact duplicates


def exact(
    ours: Ours, found: Found, title: str, column: str, paths: Sequence[Path], rounds: int,
    pythons: dict[str, str],
) -> None:  # fmt: skip
    """Ours to a committed version, the peers to the ids of the rows that stay."""
    local = Ours(ours.engine, str(paths[0].parent.parent / f"exact-{column}"))
    samples: dict[str, list[Sample]] = {}
    kept: dict[str, int] = {}
    absent: dict[str, str] = {}
    task = {"paths": [str(path) for path in paths], "threads": WORKERS, "column": column}
    others = (
        ("Polars, hash", "polars_unique", {**task, "by_hash": True}, rounds),
        ("Polars, text", "polars_unique", {**task, "by_hash": False}, 1),
        ("Dask DataFrame", "dask_unique", task, 1),
    )
    local.exact(local.linked([str(paths[0])])[1], column)
    for number in range(rounds):
        sample, result = local.exact(local.linked([str(path) for path in paths])[1], column)
        samples.setdefault(OURS, []).append(sample)
        kept[OURS] = result.kept
        for name, script, given, limit in others:
            if number >= limit or name in absent:
                continue
            try:
                sample, answer = call(script, given, pythons)
            except peers.Unavailable as reason:
                absent[name] = str(reason)
                continue
            samples.setdefault(name, []).append(sample)
            kept[name] = answer["kept"]
    seconds = {name: measuring.median([s.seconds for s in some]) for name, some in samples.items()}
    memory = {name: max(s.all for s in some) for name, some in samples.items()}
    head = f"exact, {title}: "
    found.add(f"{head}{OURS}", seconds[OURS], "s")
    for name, aim in (("Polars, hash", 1.5), ("Polars, text", None), ("Dask DataFrame", 0.25)):
        if name in seconds:
            limit = None if aim is None else found.timed(aim)
            found.add(f"{head}time / {name}", seconds[OURS] / seconds[name], "", limit)
            found.add(f"{head}rows kept - {name}", abs(kept[OURS] - kept[name]), "", 0)
    if "Polars, text" in memory:
        ratio = memory[OURS] / memory["Polars, text"]
        found.add(f"{head}memory of all workers / Polars, text", ratio, "", found.timed(1 / 3))
    found.bars[f"Exact duplicates, {title}: seconds"] = seconds
    found.details[head.rstrip(": ")] = {
        "samples": {name: [dataclasses.asdict(s) for s in some] for name, some in samples.items()},
        "kept": kept, "absent": absent,
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------
# All of it


def _upload(paths: Sequence[Path], name: str) -> list[str]:
    store = pafs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])
    pafs.copy_files(
        str(paths[0].parent), f"{BUCKET}/{name}",
        source_filesystem=pafs.LocalFileSystem(), destination_filesystem=store,
    )  # fmt: skip
    return [f"s3://{BUCKET}/{name}/{path.name}" for path in paths]


def _in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own, whose memory goes with it."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as pool:
        return pool.submit(work, *arguments).result()


def run(documents: int, rows: int, options: Any) -> Found:
    """Everything; the largest last of what runs on the cluster alone."""
    found = Found(options.quick)
    pythons = peers.pythons(options.peer_python)
    times = TIMES_LARGE if options.large else 1
    grown = documents + max(1, documents // 100)
    corpus = corpora.Corpus(max(grown, documents * times))
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dsm-bench-")))
        began = time.perf_counter()
        whole = corpora.generate(corpus, home / "corpus", FILES * times, 0, documents * times)
        found.details["generating"] = time.perf_counter() - began
        more = corpora.generate(corpus, home / "more", 1, documents, grown)
        server = stack.enter_context(S3Server())
        stack.enter_context(server.in_environment())
        server.make_bucket(BUCKET)
        sources, appended = _upload(whole, "corpus"), _upload(more, "more")
        ours = Ours(stack.enter_context(Engine(workers=WORKERS)), f"s3://{BUCKET}")
        ours.near(ours.linked(appended)[1])  # compiled code is loaded, connections are open
        pairs = near(ours, found, corpus, documents, sources[:FILES], options.rounds)
        after_append(ours, found, sources[:FILES], appended[0], options.rounds)
        if options.large:
            large(ours, found, documents * times, sources)
        base = list(whole[:FILES])
        exact(ours, found, "texts", "text", base, options.rounds, pythons)
        shape = tables.Shape(("id", *COLUMNS), rows)
        table = _in_process(tables.generate, shape, home / "table" / "files")
        for column in COLUMNS:
            title = f"{measuring.number(rows)} of {column}"
            exact(ours, found, title, column, table.paths, options.rounds, pythons)
        near_peers(found, corpus, base, pairs, home, pythons)
    return found


def main() -> None:
    parser = measuring.arguments(__file__, __doc__)
    parser.add_argument("--documents", type=int, help=f"default: {DOCUMENTS:,}")
    parser.add_argument("--rows", type=int, help=f"of the exact table (default: {ROWS:,})")
    parser.add_argument("--rounds", type=int, help="default: 3, 1 when quick")
    parser.add_argument(
        "--large", action="store_true", help=f"also {TIMES_LARGE} times as many documents, once"
    )
    peers.add_option(parser)
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    documents = options.documents or (QUICK_DOCUMENTS if options.quick else DOCUMENTS)
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    found = run(documents, rows, options)
    print()
    measuring.show(found.figures)
    parameters = {
        "documents": documents, "rows": rows, "rounds": options.rounds, "workers": WORKERS,
        "threshold": THRESHOLD, "permutations": PERMUTATIONS, "large": options.large,
        "quick": options.quick,
    }  # fmt: skip
    measuring.save(options.out, parameters, found.figures, found.details)
    chart.save_bars(options.out.with_suffix(".svg"), found.bars)


if __name__ == "__main__":
    main()
