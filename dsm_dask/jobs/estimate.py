"""What a step will move, before it is run: partitions, tasks, bytes, requests, memory of a worker.

Bytes of a scan are exact, as they come from the footers: the column chunks that the step reads.
The rest are counts that follow from the code (objects for each partition) times sizes that were
measured (bytes a row or a column of a partition). States and keys that are cached from an earlier
run are not told apart, and rows that an earlier step of the same job will drop are still counted,
so the figures are the most that is moved.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from dsm_dask import storage
from dsm_dask.dataset.version import Dataset
from dsm_dask.jobs.dedup_estimate import deduplicated
from dsm_dask.jobs.score_estimate import looked_at, scored
from dsm_dask.jobs.spec import Step
from dsm_dask.scores.review.measures import score_columns
from dsm_dask.sources.footer import TAIL
from dsm_dask.storage import PART
from dsm_dask.table import Table, check_columns
from dsm_dask.task import tasks
from dsm_dask.validation.schema_file import is_schema_file
from dsm_dask.where import Where

BASE_MEMORY = 300_000_000
"""Bytes of a worker that has loaded everything and works on small partitions."""

STATE = 20_000
"""Bytes kept of one column of a partition by a profile."""

SKETCH = 80_000
"""Bytes kept of one column of a partition to compare it with other data."""

LANCE = 55_000
"""Bytes of metadata that a scan reads of a partition whose rows are stored in Lance."""

CORE_BYTES = {
    "create": 150e6, "append": 150e6, "profile": 40e6, "check": 40e6, "drift": 40e6, "exact": 60e6,
    "minhash": 18e6, "semantic": 18e6, "phash": 5e6, "dhash": 5e6, "drop": 100e6,
    "verify": 300e6,
}  # fmt: skip
"""Stored bytes that one core gets through in a second, roughly: machines differ by a factor."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What one step takes, at most."""

    partitions: int = 0
    tasks: int = 0
    rows: int = 0
    bytes_to_read: int = 0
    """Column chunks of the data that are needed."""
    bytes_read: int = 0
    """With what is read besides: footers, keys, and what is read twice."""
    bytes_written: int = 0
    gets: int = 0
    puts: int = 0
    worker_memory: int = 0
    """Bytes that a worker of one thread needs."""
    core_seconds: float = 0.0

    @property
    def requests(self) -> int:
        return self.gets + self.puts

    def to_dict(self) -> dict[str, Any]:
        found = {**dataclasses.asdict(self), "requests": self.requests}
        return {**found, "core_seconds": round(self.core_seconds, 1)}


def estimate(
    step: Step, table: Table, *, known: Table | None = None, copies: bool = False
) -> Estimate:
    """What ``step`` takes on ``table``: the files that it adds for ``create`` and ``append`` (those
    that are not ``known`` already), else the rows that are there. ``copies``: rows that are
    appended are copied, as those before.

    Raises UnknownColumn for a column that the table lacks.
    """
    args, verb = step.arguments, step.verb
    if verb in ("create", "append"):
        fresh = source_files(table) - (source_files(known) if known is not None else set())
        copies = copies or (isinstance(known, Dataset) and not known.is_linked)
        return _linked(verb, table, len(fresh), getattr(args, "copy_rows", copies))
    if verb == "verify":
        count, own = len(table.partitions()), _managed(table)
        return Estimate(
            gets=20 + 5 * count, bytes_read=own, core_seconds=1.0 + own / CORE_BYTES["verify"]
        )
    columns = columns_read(step, table)
    if columns is None:
        return Estimate(gets=3)
    check_columns(table, columns)
    copies = copies or (isinstance(table, Dataset) and not table.is_linked)
    scan = _scan(verb if verb != "dedup" else args.method, table, columns, LANCE if copies else 0)
    if verb == "dedup":
        return deduplicated(scan, args, BASE_MEMORY)
    if verb == "drop":
        return dataclasses.replace(
            scan, puts=3 + 2 * scan.partitions, bytes_written=20_000 + 1500 * scan.partitions
        )
    if verb == "score":
        vectors = table.column_sizes().get(args.embedding or "", 0)
        return scored(scan, args.options, vectors)
    if verb == "issues":
        return looked_at(scan, bool(_score_names(args, table)))
    if verb == "check":
        return _checked(scan, args.against, len(columns))
    if verb == "drift":
        return _compared(scan, len(columns), 2 if args.score else 1)
    states = STATE * len(columns) * scan.partitions
    return dataclasses.replace(scan, puts=scan.partitions, bytes_written=states)


def columns_read(step: Step, table: Table) -> list[str] | None:
    """The columns whose values a step reads; None when it reads no rows."""
    args, names = step.arguments, list(table.schema.names)
    if step.verb in ("tag", "branch", "log", "diff", "verify", "report"):
        return None
    if step.verb == "dedup":
        return list(args.on)
    if step.verb == "score":
        asked = args.options
        lists = (asked.probs, asked.features, asked.out_of_fold, asked.annotators)
        single = (asked.label, asked.embedding)
        return [name for some in (*lists, single) for name in dict.fromkeys(some) if name]
    if step.verb == "issues":
        return list(dict.fromkeys([*_score_names(args, table), *(args.show or ())]))
    if step.verb == "update":
        return [args.on] if args.on in names else []
    if step.verb == "drop":
        return list(Where(args.where).columns)
    if step.verb in NAMING:
        given: list[Any] = [getattr(args, key, None) or [] for key in NAMING[step.verb]]
        named = {one for it in given for one in ([it] if isinstance(it, str) else it)}
        return [name for name in names if name in named]  # an earlier step may make the others
    chosen = getattr(args, "columns", None) or names
    if step.verb == "check":  # of its columns, some may be in the schema only
        return [name for name in names if name in chosen]
    return list(chosen)


def _score_names(args: Any, table: Table) -> list[str]:
    return list(score_columns(table.schema, {}, args.label, args.prefix).names)


NAMING = {
    "score": (
        "probs", "features", "out_of_fold", "label", "annotators", "embedding", "group",
    ),
    "issues": ("label", "key", "balance", "show"),
    "update": ("on",),
}  # fmt: skip
"""Keys of steps that name the columns they read."""


def _scan(kind: str, table: Table, columns: list[str], more: int = 0) -> Estimate:
    """Of some columns; ``more`` bytes are read of each partition."""
    partitions = table.partitions()
    sizes = table.column_sizes()
    stored = sum(sizes.get(name, 0) for name in columns)
    share = stored / max(1, sum(partition.size for partition in partitions))
    largest = max((partition.size for partition in partitions), default=0) * min(1.0, share)
    ranges = len(_pieces(table)) * len(columns) + stored // PART
    return Estimate(
        partitions=len(partitions),
        tasks=len(tasks(partitions)),
        rows=table.rows,
        bytes_to_read=stored,
        bytes_read=stored + more * len(partitions),
        gets=5 + ranges + 2 * len(partitions),
        worker_memory=int(BASE_MEMORY + 3 * largest),
        core_seconds=stored / CORE_BYTES.get(kind, 40e6),
    )


def _pieces(table: Table) -> list[Any]:
    """Runs of row groups, or fragments: what is fetched by itself."""
    found: list[Any] = []
    for partition in table.partitions():
        found += getattr(partition, "parts", getattr(partition, "fragments", (partition,)))
    return found


def source_files(table: Table) -> set[str]:
    """The names of its files."""
    return {piece.label.split(" (row groups")[0] for piece in _pieces(table)}


def _linked(verb: str, table: Table, files: int, copy: bool) -> Estimate:
    scan = _scan(verb, table, list(table.schema.names))
    size = scan.bytes_read // max(1, len(source_files(table)))
    footers = files * min(TAIL, size + 4096)
    found = dataclasses.replace(
        scan, bytes_read=footers, bytes_written=4000 + 600 * files, gets=15 + 2 * files, puts=10
    )
    if not copy:
        return dataclasses.replace(
            found,
            tasks=-(-files // 32),
            bytes_to_read=0,
            worker_memory=BASE_MEMORY,
            core_seconds=files / 50,
        )
    fresh = size * files
    return dataclasses.replace(
        found,
        bytes_read=footers + fresh,
        bytes_written=found.bytes_written + fresh,
        gets=found.gets + scan.gets,
        puts=found.puts + scan.partitions,
    )


def _managed(table: Table) -> int:
    """Bytes of the objects that a dataset has of its own, of all versions: they have checksums."""
    if not isinstance(table, Dataset):
        return 0
    return sum(item.size for item in storage.listing(table.uri) if "/_dsm/" not in item.uri)


def _compared(scan: Estimate, columns: int, scans: int) -> Estimate:
    """Sketches of both sides are made, and kept; the reference is taken to be as large."""
    return dataclasses.replace(
        scan,
        bytes_read=2 * scans * scan.bytes_read,
        bytes_written=2 * SKETCH * columns * scan.partitions,
        gets=2 * scans * scan.gets,
        puts=2 * scan.partitions,
        core_seconds=2 * scans * scan.core_seconds,
    )


def _checked(scan: Estimate, against: str, columns: int) -> Estimate:
    """Rows that break a rule are read again, to be shown. Of other data, sketches are made, too: it
    is taken to be as large."""
    sides = 1 if is_schema_file(against) else 2
    return dataclasses.replace(
        scan,
        bytes_read=2 * sides * scan.bytes_read,
        bytes_written=(sides - 1) * sides * SKETCH * columns * scan.partitions,
        gets=2 * sides * scan.gets,
        puts=sides * scan.partitions,
        core_seconds=sides * scan.core_seconds,
    )
