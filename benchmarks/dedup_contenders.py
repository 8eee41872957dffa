"""Who takes part in the benchmark of deduplication: our verbs on a cluster, and peers as processes.

Each run gives its time and its memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import measuring
from peers import call as peers
from workers import Sample, Workers

import dsm_dask as dsm
from dsm_dask.engine import Engine

THRESHOLD, PERMUTATIONS = 0.8, 128
WORKERS = 2


class Ours(Workers):
    """Our verbs on a cluster that is up."""

    def __init__(self, engine: Engine, home: str) -> None:
        super().__init__(engine)
        self.home = home
        self._numbers = itertools.count()

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


def call(name: str, task: dict[str, Any], pythons: dict[str, str]) -> tuple[Sample, dict[str, Any]]:
    """One run of a peer; ``pythons`` has it by the first part of its name, as in polars_unique."""
    key = name if name in pythons else name.partition("_")[0]
    with measuring.watching_children() as peak:
        answer = peers.call(f"with_{name}", task, pythons.get(key))
    most = max(answer.peak, peak.bytes)
    return Sample(answer.seconds, most, most), answer.found
