"""What every benchmark needs: medians, peak memory of whole processes, and how results are kept."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime as dt
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import psutil

import dsm_dask

RESULTS = Path(__file__).parent / "results"
_PACKAGES = (
    "dsm-dask",
    "pyarrow",
    "dask",
    "distributed",
    "pylance",
    "numpy",
    "s3fs",
    "aiobotocore",
)


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number that was promised, or is worth knowing (``aim`` None)."""

    name: str
    value: float
    unit: str = ""
    aim: float | None = None
    kind: Literal["at most", "at least"] = "at most"

    @property
    def passed(self) -> bool | None:
        if self.aim is None:
            return None
        return self.value <= self.aim if self.kind == "at most" else self.value >= self.aim

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "passed": self.passed}


def arguments(script: str, text: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    parser = argparse.ArgumentParser(description=(text or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="small data: does it run at all?")
    out = RESULTS / f"{Path(script).stem}.json"
    parser.add_argument("--out", type=Path, default=out, help="JSON file (default: %(default)s)")
    return parser


def save(
    path: Path, parameters: dict[str, Any], figures: Sequence[Figure], details: dict[str, Any]
) -> None:
    """Write everything that was found as JSON."""
    found = {
        "benchmark": path.stem,
        "machine": machine(),
        "parameters": parameters,
        "figures": [figure.to_dict() for figure in figures],
        "passed": all(figure.passed is not False for figure in figures),
        **details,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, default=str) + "\n")
    print(f"\nWritten: {path}")


def show(figures: Iterable[Figure]) -> None:
    """Print figures with the aim beside each."""
    rows = [("", "measured", "aim", "")]
    for figure in figures:
        sign = {"at most": "<=", "at least": ">="}[figure.kind]
        aim = "" if figure.aim is None else f"{sign} {number(figure.aim, figure.unit)}"
        mark = {None: "", True: "ok", False: "MISSED"}[figure.passed]
        rows.append((figure.name, number(figure.value, figure.unit), aim, mark))
    table(rows)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns: the first to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        print("  " + "  ".join(cells).rstrip())


def number(value: float, unit: str = "") -> str:
    """A number for people.

    >>> number(1234567, "B"), number(0.98765), number(2_500_000)
    ('1.23 MB', '0.9877', '2.50 M')
    """
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.2f} {prefix}{unit}"
    return f"{value:.4g} {unit}".strip()


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


# ---------------------------------------------------------------------------------------------
# The machine


def machine() -> dict[str, Any]:
    """Facts without which a number means little."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str | None:
    try:
        where = str(Path(dsm_dask.__file__).parent)  # of the package that was measured
        command = ["git", "-C", where, "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


# ---------------------------------------------------------------------------------------------
# Processor time and memory of whole processes, as Linux counts it


def processor_seconds() -> float:
    """Processor time that this process and all below it have used so far."""
    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def peak_memory(pid: int) -> int:
    """Most bytes that a process ever had resident since it began or :func:`forget_peak`."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak(pid: int) -> None:
    """Begin anew to watch for the peak of a process of one's own."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class Growth:
    """The most bytes that this process had resident while it was entered, less what it had before;
    of the last time.

    >>> with Growth() as growth:
    ...     taken = bytearray(64 << 20)
    >>> growth.bytes >= 64 << 20
    True
    """

    bytes = 0

    def __enter__(self) -> Growth:
        forget_peak(os.getpid())
        self._before = peak_memory(os.getpid())
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = peak_memory(os.getpid()) - self._before


@dataclasses.dataclass
class Peak:
    """Filled while a process runs."""

    bytes: int = 0


def watching_peak(pid: int) -> contextlib.AbstractContextManager[Peak]:
    """The peak memory of a short-lived process, watched while the enclosed code waits for it."""
    return _watching(lambda: peak_memory(pid), 0.02)


def watching_children() -> contextlib.AbstractContextManager[Peak]:
    """The most memory of all processes that are started meanwhile, together; pages that several
    share are counted once."""
    me = psutil.Process()
    before = set(me.children(recursive=True))

    def together() -> int:
        total = 0
        for process in set(me.children(recursive=True)) - before:
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total

    return _watching(together, 0.2)


@contextlib.contextmanager
def _watching(measure: Callable[[], int], every: float) -> Iterator[Peak]:
    """The greatest of what is measured every so many seconds meanwhile."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(every):
            peak.bytes = max(peak.bytes, measure())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
