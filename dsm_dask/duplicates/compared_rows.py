"""Of groups of connected candidates, the rows that are compared, and what tells a group again."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask.duplicates.components import Piece
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.verified_groups import GROUP

U64 = npt.NDArray[np.uint64]
Int64 = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]

_SEEDS = (("high", 0x9E3779B97F4A7C15), ("low", 0xD6E8FEB86659FD93))


@dataclasses.dataclass(frozen=True)
class ComparedRows:
    """The rows of a piece that are to be compared, by group and node, and the candidate pairs among
    them, as numbers of rows. ``linked`` is the group of each of all pairs of the piece."""

    nodes: U64
    group: Int64
    left: Int64
    right: Int64
    linked: Int64

    @staticmethod
    def of(members: Records, edges: Records) -> ComparedRows:
        """Of rows of the same shingles the smallest one, unless there are no others in its
        group."""
        root = members["root"]
        group = np.cumsum(np.concatenate([[False], root[1:] != root[:-1]])[: len(root)])
        left, right = _places(edges, members)
        same = edges["similarity"] == 1
        stands = np.arange(len(members))
        stands[right[same]] = left[same]
        is_own = stands == np.arange(len(members))
        others = np.bincount(group, weights=is_own) > 1
        rows = ComparedRows(members["node"], group, stands[left], stands[right], group[left])
        return rows.only(is_own & others[group])

    def only(self, there: npt.NDArray[np.bool_]) -> ComparedRows:
        """Some of the rows, and the pairs among those."""
        number = np.cumsum(there) - 1
        both = there[self.left] & there[self.right]
        left, right = number[self.left[both]], number[self.right[both]]
        return ComparedRows(self.nodes[there], self.group[there], left, right, self.linked)

    def pairs(self, stands: Int64 | None = None) -> Int64:
        """Different candidate pairs, ascending, of shape (pairs, 2); of the rows that ``stands``
        gives for each row, if that is given."""
        left, right = self.left, self.right
        if stands is not None:
            left, right = stands[left], stands[right]
        pairs = np.unique(np.stack([np.minimum(left, right), np.maximum(left, right)], 1), axis=0)
        found: Int64 = pairs[pairs[:, 0] != pairs[:, 1]]
        return found

    def groups(self, members: Records) -> Records:
        """The groups of the piece by root, with their sums, and nothing found yet."""
        from dsm_dask.stats.kernels import mix

        starts = np.flatnonzero(first_of_runs(members["root"]))
        found = np.zeros(len(starts), GROUP)
        found["root"] = members["root"][starts]
        found["pairs"] = np.bincount(self.linked, minlength=len(found))
        pairs = self.pairs()
        for field, seed in _SEEDS:
            sums = np.zeros(len(found), np.uint64)
            np.add.at(sums, self.group, mix(self.nodes, np.uint64(seed)))
            left, right = self.nodes[pairs[:, 0]], self.nodes[pairs[:, 1]]
            links = mix(mix(left, np.uint64(seed)) + right, np.uint64(0))
            np.add.at(sums, self.group[pairs[:, 0]], links)
            found[field] = sums
        return found


def to_compare(piece: Piece) -> U64:
    """The nodes of the rows of a piece that are to be compared."""
    return ComparedRows.of(*piece.read()).nodes


def _places(edges: Any, members: Any) -> tuple[Int64, Int64]:
    order = np.argsort(members["node"])
    nodes = members["node"][order]
    return (
        order[np.searchsorted(nodes, edges["left"])],
        order[np.searchsorted(nodes, edges["right"])],
    )
