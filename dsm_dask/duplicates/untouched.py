"""Groups of an earlier run that no row joined or left: their outcome stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsm_dask.duplicates.borderline import Scored
from dsm_dask.duplicates.edges import EdgeFile
from dsm_dask.duplicates.settled import Settled, grouped
from dsm_dask.duplicates.since import Since, gone_of
from dsm_dask.duplicates.verified_groups import GroupFile, joined
from dsm_dask.engine import Engine

U64 = npt.NDArray[np.uint64]

LEAST_TASKS = 4


@dataclasses.dataclass(frozen=True)
class Untouched:
    """Groups that stand, the strongest refused pairs of them, and groups that rows joined."""

    groups: tuple[GroupFile, ...] = ()
    refused: tuple[Scored, ...] = ()
    joined: tuple[GroupFile, ...] = ()


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
    return Untouched(
        tuple(one.groups for one in told),
        tuple(pair for one in told for pair in one.refused),
        tuple(file for one in told for file in one.joined if file.groups),
    )


@dataclasses.dataclass(frozen=True)
class _Divided:
    groups: GroupFile
    refused: tuple[Scored, ...]
    joined: tuple[GroupFile, ...]


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
        told = []
        if more.any():
            place = dataclasses.replace(self.settled, known=None)  # of this run only
            told.append(place.write(f"joined-{self.number:05d}", groups.only(np.flatnonzero(more))))
        return _Divided(file, stay.strongest_refused(), tuple(told))

    def _new(self) -> U64:
        """The nodes of new edges, ascending."""
        read = [file.read() for file in self.edges]
        ends = (edges[name] for edges in read for name in ("left", "right"))
        return np.unique(np.concatenate([np.empty(0, np.uint64), *ends]))
