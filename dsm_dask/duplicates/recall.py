"""Groups of candidates that an earlier run compared, and of which nothing that matters changed:
their outcome is taken as it was. Copies of rows that were there may have joined them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.duplicates.borderline import Scored
from dsm_dask.duplicates.compared_rows import ComparedRows
from dsm_dask.duplicates.components import Piece
from dsm_dask.duplicates.edges import EdgeFile, write_edges
from dsm_dask.duplicates.settled import Settled
from dsm_dask.duplicates.verified_groups import GroupFile, Groups, joined

Int64 = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]


@dataclasses.dataclass(frozen=True)
class Recalled:
    """Groups of a piece of which the outcome is known, and the rest of it."""

    groups: GroupFile
    edges: EdgeFile
    rest: Piece
    refused: tuple[Scored, ...]


@dataclasses.dataclass(frozen=True)
class Recall:
    """Look up the groups of a piece among those that were compared; those of which all rows have
    the same shingles need no looking up."""

    settled: Settled
    known: tuple[GroupFile, ...]
    folder: str

    def __call__(self, numbered: tuple[int, Piece]) -> Recalled:
        number, piece = numbered
        members, edges = piece.read()
        rows = ComparedRows.of(members, edges)
        groups = rows.groups(members)
        alone = np.bincount(rows.group, minlength=len(groups)) == 0
        known, place = self._known(groups)
        told = alone | (place >= 0)
        some = _of_pairs(groups, edges, np.flatnonzero(told))
        found = self._with_outcome(some, known, place[told])
        left = ~told
        uri = storage.join(self.folder, f"open-{number:05d}")
        group_of = np.searchsorted(groups["root"], members["root"])
        members, pairs = members[left[group_of]], edges[left[rows.linked]]
        storage.write(uri, members.tobytes() + pairs.tobytes(), durable=False)
        return Recalled(
            self.settled.write(f"recalled-{number:05d}", found),
            write_edges(storage.join(self.folder, f"recalled-{number:05d}"), found.connecting()),
            Piece(uri, len(members), len(pairs)),
            found.strongest_refused(),
        )

    def _known(self, groups: Records) -> tuple[Groups, Int64]:
        """Groups of an earlier run, and the place of each group among them; -1 for none."""
        read = (file.read() for file in self.known)
        known = joined([one for one in read if one is not None])  # what is damaged is not known
        place = np.full(len(groups), -1)
        if len(known.groups):
            near = np.searchsorted(known.groups["root"], groups["root"])
            near[near == len(known.groups)] = 0
            same = np.logical_and.reduce(
                [known.groups[near][f] == groups[f] for f in ("root", "high", "low")]
            )
            place[same] = near[same]
        return known, place

    @staticmethod
    def _with_outcome(found: Groups, known: Groups, place: Int64) -> Groups:
        """Groups without an outcome, with that of those at some places; -1 for none."""
        has = np.flatnonzero(place >= 0)
        outcome = known.only(place[has])
        for name in ("edges", "refused", "checked", "accepted"):
            found.groups[name][has] = outcome.groups[name]
        return dataclasses.replace(found, edges=outcome.edges, refused=outcome.refused)


def _of_pairs(groups: Records, edges: Records, chosen: Int64) -> Groups:
    """Some groups with their pairs, and nothing found yet."""
    none = Groups.none()
    return Groups(groups, edges, none.edges, none.refused).only(chosen)
