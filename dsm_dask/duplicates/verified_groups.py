"""Groups of connected candidates and what came of comparing them, as objects in the store.

One object holds some groups, by root: :data:`GROUP` records, then the candidate pairs of each group
in turn, the accepted edges, and the strongest of the refused pairs (all :data:`EDGE
<dsm_dask.duplicates.edges.EDGE>`). A candidate pair of similarity 1 is two rows of the same
shingles.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import storage
from dsm_dask.duplicates.borderline import PAIRS, Scored, scored
from dsm_dask.duplicates.edges import EDGE
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.errors import NotFound

Records = npt.NDArray[np.void]
Int64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

_LISTS = ("pairs", "edges", "refused")
GROUP = np.dtype(
    [
        ("root", "<u8"), ("high", "<u8"), ("low", "<u8"), ("pairs", "<u8"), ("edges", "<u8"),
        ("refused", "<u4"), ("checked", "<u4"), ("accepted", "<u4"),
    ]
)  # fmt: skip
"""The smallest row of a group; two sums over what is compared of it; how many candidate pairs,
accepted edges and refused pairs it has here; how many pairs were compared, and were accepted."""


@dataclasses.dataclass(frozen=True)
class Groups:
    """Groups by root, and the pairs and edges of each in turn."""

    groups: Records
    pairs: Records
    edges: Records
    refused: Records

    @staticmethod
    def none() -> Groups:
        return Groups(np.empty(0, GROUP), *(np.empty(0, EDGE) for _ in _LISTS))

    def only(self, chosen: Int64) -> Groups:
        """The groups at some places, in that order."""
        from dsm_dask.duplicates.pair_kernels import gather

        found = []
        for name in _LISTS:
            counts = self.groups[name].astype(np.int64)
            ends = np.cumsum(counts)
            found.append(gather(getattr(self, name), ends - counts, ends, chosen))
        return Groups(self.groups[chosen], *found)

    def touching(self, nodes: U64) -> npt.NDArray[np.bool_]:
        """Which of the groups have a row among ``nodes``, which are ascending."""
        found = np.zeros(len(self.groups), np.bool_)
        if len(nodes):
            hit = within(self.pairs["left"], nodes) | within(self.pairs["right"], nodes)
            found[self.owners()[hit]] = True
        return found

    def owners(self) -> Int64:
        """The place of the group of each candidate pair."""
        return np.repeat(np.arange(len(self.groups)), self.groups["pairs"].astype(np.int64))

    def connecting(self) -> Records:
        """What connects the rows of the groups: accepted edges, and pairs of the same shingles."""
        return np.concatenate([self.pairs[self.pairs["similarity"] == 1], self.edges])

    def strongest_refused(self) -> tuple[Scored, ...]:
        """The first few of all refused pairs."""
        order = np.lexsort(
            (self.refused["right"], self.refused["left"], -self.refused["similarity"])
        )
        return tuple(scored(self.refused[order[:PAIRS]]))


def ascending(parts: Sequence[U64]) -> U64:
    """The different numbers of some arrays, ascending."""
    found = np.sort(np.concatenate(parts))  # faster than the hashing of np.unique
    return found[first_of_runs(found)]


def within(values: U64, ascending: U64) -> npt.NDArray[np.bool_]:
    """Whether each value is among some.

    >>> within(np.array([3, 4], np.uint64), np.array([1, 3, 9], np.uint64)).tolist()
    [True, False]
    """
    if not len(ascending):
        return np.zeros(len(values), np.bool_)
    place = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    found: npt.NDArray[np.bool_] = ascending[place] == values
    return found


def joined(parts: Sequence[Groups]) -> Groups:
    """Groups of several objects as one, by root."""
    every = Groups(
        np.concatenate([np.empty(0, GROUP), *(part.groups for part in parts)]),
        *(
            np.concatenate([np.empty(0, EDGE), *(getattr(part, name) for part in parts)])
            for name in _LISTS
        ),
    )
    if (every.groups["root"][1:] >= every.groups["root"][:-1]).all():
        return every
    return every.only(np.argsort(every.groups["root"], kind="stable"))


@dataclasses.dataclass(frozen=True)
class GroupFile:
    """Where some groups are, and how much there is of them."""

    uri: str
    groups: int
    pairs: int
    edges: int
    refused: int
    checked: int
    accepted: int
    xxh3: str
    """XXH3-128 of the object."""

    @staticmethod
    def write(uri: str, found: Groups) -> GroupFile:
        """Store groups, by root."""
        parts = (found.groups, found.pairs, found.edges, found.refused)
        raw: Any = [np.ascontiguousarray(part).view(np.uint8).data for part in parts]
        data = b"".join(raw)
        storage.write(uri, data, durable=False)
        checked, accepted = (int(found.groups[name].sum()) for name in ("checked", "accepted"))
        groups, pairs, edges, refused = (len(part) for part in parts)
        digest = xxhash.xxh3_128_hexdigest(data)
        return GroupFile(uri, groups, pairs, edges, refused, checked, accepted, digest)

    def read(self) -> Groups | None:
        """None when it is gone, or not what was written."""
        try:
            data = storage.read(self.uri)
        except NotFound:
            return None
        if xxhash.xxh3_128_hexdigest(data) != self.xxh3:
            return None
        at = self.groups * GROUP.itemsize
        lists = []
        for count in (self.pairs, self.edges, self.refused):
            lists.append(np.frombuffer(data, EDGE, count, at))
            at += count * EDGE.itemsize
        return Groups(np.frombuffer(data, GROUP, self.groups), *lists)
