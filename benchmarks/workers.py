"""The workers of a cluster that is up, and what our verbs take on them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import measuring

from dsm_dask.engine import Engine


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run. ``peak``: bytes of the largest worker for ours; ``all``: of all processes."""

    seconds: float
    peak: int
    all: int


class Workers:
    """Those of an engine, which it starts."""

    def __init__(self, engine: Engine) -> None:
        import distributed

        with without_main():
            engine.start()
        self.engine = engine
        self._pids = list(distributed.default_client().run(os.getpid).values())

    def timed(self, work: Callable[[], Any]) -> tuple[Sample, Any]:
        """Do it, and watch the workers meanwhile."""
        for pid in self._pids:
            measuring.forget_peak(pid)
        began = time.perf_counter()
        found = work()
        seconds = time.perf_counter() - began
        peaks = [measuring.peak_memory(pid) for pid in self._pids]
        return Sample(seconds, max(peaks), sum(peaks)), found


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Processes that are spawned meanwhile do not import the script that runs. They would hold what
    it imports for its own sake, peers and makers of data: 50 to 200 MB that no worker needs."""
    main = vars(sys.modules["__main__"])
    file = main.pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main["__file__"] = file
