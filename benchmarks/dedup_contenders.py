"""Who takes part in the benchmark of deduplication: our verbs on a cluster, and peers as processes.

Each run gives its time and its memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import measuring
import psutil
from peers import call as peers

import dsm_dask as dsm
from dsm_dask.engine import Engine

THRESHOLD, PERMUTATIONS = 0.8, 128
WORKERS = 2


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run. ``peak``: bytes of the largest worker for ours; ``all``: of all processes."""

    seconds: float
    peak: int
    all: int


class Ours:
    """Our verbs on a cluster that is up."""

    def __init__(self, engine: Engine, home: str) -> None:
        import distributed

        engine.start()
        self.engine = engine
        self.home = home
        self._pids = list(distributed.default_client().run(os.getpid).values())
        self._numbers = itertools.count()

    def timed(self, work: Callable[[], Any]) -> tuple[Sample, Any]:
        """Do it, and watch the workers meanwhile."""
        for pid in self._pids:
            measuring.forget_peak(pid)
        began = time.perf_counter()
        found = work()
        seconds = time.perf_counter() - began
        peaks = [measuring.peak_memory(pid) for pid in self._pids]
        return Sample(seconds, max(peaks), sum(peaks)), found

    def linked(self, sources: Sequence[str]) -> tuple[float, str]:
        """A new dataset that links files, of which nothing is known; and how long that took."""
        uri = f"{self.home}/linked-{next(self._numbers)}"
        sample, _ = self.timed(lambda: dsm.create(uri, list(sources), engine=self.engine))
        return sample.seconds, uri

    def near(self, uri: str, drop: bool = True) -> tuple[Sample, Any]:
        """To clusters, and with ``drop`` to a version without the duplicates."""
        out = f"{uri}-decisions-{next(self._numbers)}"
        return self.timed(
            lambda: dsm.dedup(
                uri, on="text", method="minhash", threshold=THRESHOLD, permutations=PERMUTATIONS,
                drop=drop, out=out, engine=self.engine,
            )
        )  # fmt: skip

    def exact(self, uri: str, column: str) -> tuple[Sample, Any]:
        return self.timed(lambda: dsm.dedup(uri, on=column, drop=True, engine=self.engine))


@contextlib.contextmanager
def watching_children() -> Iterator[measuring.Peak]:
    """The most memory of all processes that are started meanwhile, together; pages that several
    share are counted once."""
    me, peak, done = psutil.Process(), measuring.Peak(), threading.Event()
    before = set(me.children(recursive=True))

    def watch() -> None:
        while not done.wait(0.2):
            total = 0
            for process in set(me.children(recursive=True)) - before:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_full_info().pss
            peak.bytes = max(peak.bytes, total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def call(name: str, task: dict[str, Any], pythons: dict[str, str]) -> tuple[Sample, dict[str, Any]]:
    """One run of a peer; ``pythons`` has it by the first part of its name, as in polars_unique."""
    key = name if name in pythons else name.partition("_")[0]
    with watching_children() as peak:
        answer = peers.call(f"with_{name}", task, pythons.get(key))
    most = max(answer.peak, peak.bytes)
    return Sample(answer.seconds, most, most), answer.found
