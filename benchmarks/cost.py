"""What a verb costs on 1 and 100 TB on a named cluster, from what ``network.py`` and ``scaling.py``
measured; and which limit is met first.

Bytes, requests and processor time are those of the largest table in ``network.json``, a byte of
column chunks or a partition (processor time from 0.5 GB on; below, it is what ``dsm plan`` takes);
what driver and scheduler take, a partition, a task or a file, is from
``scaling.json``. Nothing here is measured again, and nothing large was ever run: it is arithmetic.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import measuring
from measuring import RESULTS, Figure

from dsm_dask.jobs.estimate import CORE_BYTES
from dsm_dask.task import MOST_TASKS, TASK_BYTES, TASK_PARTITIONS

PARTITION = 64 << 20
"""Stored bytes of a partition of a large table."""
PARTITIONS_MEASURED = 64
"""Of any table from 64 MB to 4 GB."""
PART = 8 << 20
"""Bytes that one request fetches at most."""
TRUSTED = 500_000_000
"""Of fewer bytes, processor time is mostly that of beginning: then ``dsm plan``'s speeds count."""
PLANNED = {
    "profile": CORE_BYTES["profile"], "drift": CORE_BYTES["check"],
    "dedup exact": CORE_BYTES["exact"], "dedup minhash": CORE_BYTES["minhash"] / 2,
    "score": 30e6, "drop 1 %": CORE_BYTES["drop"],
}  # fmt: skip
"""Stored bytes that one core gets through in a second. (Near duplicates are read twice.)"""
SIZES = {"1 TB": 1e12, "100 TB": 100e12}
BY_PARTITION = ("profile", "drift", "drop 1 %")
"""Verbs that write so much a partition; the others write so much a row."""
PUTS = {"profile": 2, "drift": 0, "dedup exact": 6, "dedup minhash": 5, "score": 2, "drop 1 %": 2}
"""Objects written a partition, as ``dsm plan`` counts them."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Machines and list prices, in dollars."""

    name: str = "100 x m7g.xlarge and S3 Standard, both in us-east-1"
    workers: int = 100
    cores: int = 4
    """Of a worker; each runs one thread."""
    core_hour: float = 0.1632 / 4
    bytes_per_second: float = 1.876e9 / 8
    """Of a worker, sustained."""
    requests_per_second: float = 5_500.0
    """Reads of one prefix of the store."""
    driver_memory: float = 16e9
    file_size: float = 512e6
    per_get: float = 0.0004 / 1000
    per_put: float = 0.005 / 1000
    per_gb_month: float = 0.023


@dataclasses.dataclass(frozen=True)
class Scale:
    """What is paid for each partition, task and linked file by those of whom there is one."""

    driver_seconds: float
    """A partition."""
    driver_bytes: float
    scheduler_seconds: float
    """A task."""
    create_seconds: float
    """A linked file."""
    open_seconds: float


def read_scale(path: Path) -> Scale:
    found = json.loads(path.read_text())
    most, linked = found["partitions"][-1], found["linked"]
    files, took = linked["files"], linked["took"]
    return Scale(
        driver_seconds=most["driver"] / most["partitions"],
        driver_bytes=most["driver_memory"] / most["partitions"],
        scheduler_seconds=most["scheduler"] / most["tasks"],
        create_seconds=took["create"]["processor"] / files,
        open_seconds=took["open"]["processor"] / files,
    )


@dataclasses.dataclass(frozen=True)
class Cost:
    """One verb on so many bytes of column chunks."""

    verb: str
    size: float
    core_hours: float
    read: float
    written: float
    gets: float
    puts: float
    seconds: dict[str, float]
    """How long it takes if nothing but this mattered."""
    driver_memory: float
    dollars: float
    stored_dollars: float
    """A month, for what it leaves in the store."""

    @property
    def limit(self) -> str:
        return max(self.seconds, key=lambda what: self.seconds[what])


def cost(run: dict[str, Any], size: float, scale: Scale, on: Cluster) -> Cost:
    """Scale one measured run up."""
    verb, times, partitions = run["verb"], size / run["needed"], size / PARTITION
    core_seconds = core_seconds_of(run, size)
    more = partitions / PARTITIONS_MEASURED
    grows = more if verb in BY_PARTITION else times
    read, written, stored = (
        run["from_store"] * times,
        run["to_store"] * grows,
        run["stored"] * grows,
    )
    puts = PUTS[verb] * partitions
    gets = max(run["requests"] * more - puts, read / PART)
    core_hours = core_seconds / 3600
    seconds = {
        "processors": core_seconds / (on.workers * on.cores),
        "network": (read + written) / (on.workers * on.bytes_per_second),
        "requests": gets / on.requests_per_second,
        "scheduler": tasks_of(size) * scale.scheduler_seconds,
        "driver": partitions * scale.driver_seconds,
    }
    dollars = core_hours * on.core_hour + gets * on.per_get + puts * on.per_put
    return Cost(
        verb, size, core_hours, read, written, gets, puts, seconds,
        partitions * scale.driver_bytes, dollars, stored / 1e9 * on.per_gb_month,
    )  # fmt: skip


def tasks_of(size: float) -> float:
    """As :func:`dsm_dask.task.group_size` cuts a large table."""
    limit, group = max(TASK_BYTES, size / MOST_TASKS), 1
    while 2 * group <= TASK_PARTITIONS and 2 * group * PARTITION <= limit:
        group *= 2
    return size / PARTITION / group


def core_seconds_of(run: dict[str, Any], size: float) -> float:
    if run["needed"] < TRUSTED:
        return size / PLANNED[run["verb"]]
    seconds: float = run["worker_seconds"] * size / run["needed"]
    return seconds


def metadata(size: float, scale: Scale, on: Cluster) -> dict[str, float]:
    """Seconds to link and to open, and files."""
    files = size / on.file_size
    return {"files": files, "create": files * scale.create_seconds,
            "open": files * scale.open_seconds}  # fmt: skip


# ---------------------------------------------------------------------------------------------
# For people


def rows_of(costs: list[Cost]) -> list[tuple[str, ...]]:
    heads = ("", "core hours", "read", "written", "requests", "hours", "limit", "dollars",
             "left, a month")  # fmt: skip
    lines: list[tuple[str, ...]] = [heads]
    for one in costs:
        bytes_ = (measuring.number(amount, "B") for amount in (one.read, one.written))
        lines.append((
            one.verb, f"{one.core_hours:,.0f}", *bytes_, measuring.number(one.gets + one.puts),
            f"{one.seconds[one.limit] / 3600:.2g}", one.limit, f"{one.dollars:,.2f}",
            f"{one.stored_dollars:,.2f}",
        ))  # fmt: skip
    return lines


def main() -> None:
    parser = measuring.arguments(__file__, __doc__)
    parser.add_argument("--network", type=Path, default=RESULTS / "network.json")
    parser.add_argument("--scaling", type=Path, default=RESULTS / "scaling.json")
    options = parser.parse_args()
    on, scale = Cluster(), read_scale(options.scaling)
    label, runs = list(json.loads(options.network.read_text())["runs"].items())[-1]
    print(f"{on.name}; from a table of {label}")
    figures, found = [], {}
    for name, size in SIZES.items():
        found[name] = [cost(run, size, scale, on) for run in runs]
        print(f"\n{name} of column chunks")
        measuring.table(rows_of(found[name]))
        links = metadata(size, scale, on)
        memory = found[name][0].driver_memory
        figures += [
            Figure(f"{name}: linked files of {on.file_size / 1e6:.0f} MB", links["files"]),
            Figure(f"{name}: create, processor time", links["create"], "s"),
            Figure(f"{name}: open", links["open"], "s"),
            Figure(f"{name}: driver's memory for partitions", memory, "B", on.driver_memory),
            Figure(f"{name}: tasks of a scan", tasks_of(size)),
        ]
        figures += [Figure(f"{name}: {one.verb}", one.dollars, "$") for one in found[name]]
    print()
    measuring.show(figures)
    parameters = {"cluster": dataclasses.asdict(on), "from": label}
    details = {name: [dataclasses.asdict(one) | {"limit": one.limit} for one in some]
               for name, some in found.items()}  # fmt: skip
    measuring.save(options.out, parameters, figures, {"costs": details})


if __name__ == "__main__":
    main()
