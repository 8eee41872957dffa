"""Groups of an earlier run that no row joined or left: their outcome stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.duplicates.borderline import Scored
from dsm_dask.duplicates.edges import EdgeFile, write_edges
from dsm_dask.duplicates.settled import Settled, grouped
from dsm_dask.duplicates.since import Since, gone_of
from dsm_dask.duplicates.verified_groups import GroupFile, ascending, joined
from dsm_dask.engine import Engine

U64 = npt.NDArray[np.uint64]

LEAST_TASKS = 2


@dataclasses.dataclass(frozen=True)
class Untouched:
    """Groups that stand, the strongest refused pairs of them, and groups that rows joined."""

    groups: tuple[GroupFile, ...] = ()
    edges: tuple[EdgeFile, ...] = ()
    """What connects the rows of these."""
    refused: tuple[Scored, ...] = ()
    joined: tuple[GroupFile, ...] = ()
    candidates: tuple[EdgeFile, ...] = ()
    """All pairs of the groups that rows joined."""


def untouched(
    changed: Since, edges: Sequence[EdgeFile], settled: Settled, *, pairs: int, engine: Engine
) -> Untouched | None:
    """Divide the groups of an earlier run by whether one of their rows is in new ``edges``; those
    that lost rows are left out. None when they cannot be read. A task holds about ``pairs``
    candidate pairs."""
    files = grouped(changed.groups or (), LEAST_TASKS, pairs)
    work = [_Divide(some, tuple(edges), changed, settled, i) for i, some in enumerate(files)]
    found = engine.map(_Divide.run, work, label="Recalling")
    told = [one for one in found if one is not None]
    if len(told) < len(found):
        return None
    more = [one.joined for one in told if one.joined is not None]
    return Untouched(
        tuple(one.groups for one in told),
        tuple(one.edges for one in told),
        tuple(pair for one in told for pair in one.refused),
        tuple(file for file, _ in more),
        tuple(pairs for _, pairs in more),
    )


@dataclasses.dataclass(frozen=True)
class _Divided:
    groups: GroupFile
    edges: EdgeFile
    refused: tuple[Scored, ...]
    joined: tuple[GroupFile, EdgeFile] | None


@dataclasses.dataclass(frozen=True)
class _Divide:
    files: tuple[GroupFile, ...]
    edges: tuple[EdgeFile, ...]
    changed: Since
    settled: Settled
    number: int

    def run(self) -> _Divided | None:
        read = [file.read() for file in self.files]
        parts = [one for one in read if one is not None]
        if len(parts) < len(read):
            return None
        groups = joined(parts)
        lost = groups.touching(gone_of(self.changed.gone)[0])
        more = groups.touching(self._new()) & ~lost
        stay = groups
        if lost.any() or more.any():
            stay = groups.only(np.flatnonzero(~lost & ~more))
        file = self.files[0]
        if len(self.files) > 1 or stay is not groups:
            file = self.settled.write(f"kept-{self.number:05d}", stay)
        edges = write_edges(self._place("stand"), stay.connecting())
        told = None
        if more.any():
            some = groups.only(np.flatnonzero(more))
            pairs = write_edges(self._place("pairs"), some.pairs)
            told = GroupFile.write(self._place("joined"), some), pairs
        return _Divided(file, edges, stay.strongest_refused(), told)

    def _place(self, name: str) -> str:
        return storage.join(self.settled.work, f"{name}-{self.number:05d}")

    def _new(self) -> U64:
        """The nodes of new edges, ascending."""
        read = [file.read() for file in self.edges]
        ends = (edges[name] for edges in read for name in ("left", "right"))
        return ascending([np.empty(0, np.uint64), *ends])
