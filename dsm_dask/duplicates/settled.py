"""Groups of candidates that an earlier run verified: kept beside a dataset, so that after an append
only groups that a new row joined are compared again.

A group is known again by its rows and its candidate pairs, as sums of their hashes. What texts the
rows have is not looked at: everything is forgotten unless the partitions of the earlier run are all
still there (rows may have been added, or dropped).

One object a home: :data:`GROUP` records by root, then the accepted edges of each group in turn.
``settled.dsm`` lists the objects, and the partitions that they are of; it begins with the XXH3-64
of the rest (u64, little-endian).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import codec, storage
from dsm_dask.duplicates.components import Piece
from dsm_dask.duplicates.damage import read_sealed, sealed
from dsm_dask.duplicates.edges import EDGE, EdgeFile, write_edges
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.errors import AccessDenied, CannotWrite, NotFound, StateVersion

U64 = npt.NDArray[np.uint64]
Records = npt.NDArray[np.void]

LISTING = "settled.dsm"

GROUP = np.dtype(
    [
        ("root", "<u8"), ("high", "<u8"), ("low", "<u8"),
        ("edges", "<u8"), ("checked", "<u4"), ("accepted", "<u4"),
    ]
)  # fmt: skip
"""The smallest row of a group, its two sums, and what came of it."""


@dataclasses.dataclass(frozen=True)
class SettledFile:
    """Verified groups, from root to root."""

    uri: str
    first: int
    last: int
    groups: int
    edges: int
    xxh3: str = ""
    """XXH3-128 of the object."""

    def read(self) -> tuple[Records, Records]:
        """:data:`GROUP` records, and the accepted edges; none when it is not what was written."""
        data = storage.read(self.uri)
        size = self.groups * GROUP.itemsize + self.edges * EDGE.itemsize
        if len(data) != size or xxhash.xxh3_128_hexdigest(data) != self.xxh3:
            return np.empty(0, GROUP), np.empty(0, EDGE)
        groups = np.frombuffer(data, GROUP, self.groups)
        return groups, np.frombuffer(data, EDGE, self.edges, self.groups * GROUP.itemsize)


@dataclasses.dataclass(frozen=True)
class Settled:
    """Where verified groups are kept, the partitions that this run is about, and where those of an
    earlier run are."""

    folder: str
    run: str
    partitions: tuple[str, ...]
    known: str

    def load(self) -> tuple[SettledFile, ...]:
        """What an earlier run left, if it is still of use."""
        with contextlib.suppress(NotFound, StateVersion):
            partitions, files = _read_listing(storage.join(self.known, LISTING))
            if set(partitions) <= set(self.partitions):
                return files
        return ()

    def save(self, files: Sequence[SettledFile]) -> None:
        """Leave this for the next run, instead of what there was."""
        rows = tuple(dataclasses.astuple(file) for file in files if file.groups)
        with contextlib.suppress(AccessDenied, CannotWrite):  # one may only read here
            listing = storage.join(self.folder, LISTING)
            data = codec.encode((self.partitions, rows))
            storage.write(listing, sealed(data))
            kept = {listing, *(file.uri for file in files)}
            for item in storage.listing(self.folder):
                if item.uri not in kept:
                    storage.delete(item.uri)

    def write(self, name: str, groups: Records, edges: Records) -> SettledFile:
        """Store verified groups, by root, with the edges of each in turn."""
        uri = storage.join(self.folder, f"{self.run}-{name}")
        if not len(groups):
            return SettledFile(uri, 0, 0, 0, 0)
        data = groups.tobytes() + edges.tobytes()
        try:
            storage.write(uri, data)
        except (AccessDenied, CannotWrite):  # one may only read here
            return SettledFile(uri, 0, 0, 0, 0)
        first, last = int(groups["root"][0]), int(groups["root"][-1])
        digest = xxhash.xxh3_128_hexdigest(data)
        return SettledFile(uri, first, last, len(groups), len(edges), digest)


def _read_listing(uri: str) -> tuple[tuple[str, ...], tuple[SettledFile, ...]]:
    """Raises StateVersion when it is not what was written."""
    partitions, files = codec.decode(read_sealed(uri))
    return tuple(partitions), tuple(SettledFile(*file) for file in files)


@dataclasses.dataclass(frozen=True)
class ListedCheck:
    """Files of verified groups that were read, and those of them that are not what was written."""

    checked: tuple[str, ...]
    damaged: tuple[str, ...]


def check_listed(listing: str) -> ListedCheck:
    """Read the verified groups that a listing names, and compare checksums."""
    try:
        _, files = _read_listing(listing)
    except (NotFound, StateVersion):
        return ListedCheck((listing,), (listing,))
    damaged = []
    for file in files:
        try:
            fine = len(file.read()[0]) == file.groups
        except NotFound:
            fine = False
        if not fine:
            damaged.append(file.uri)
    return ListedCheck((listing, *(file.uri for file in files)), tuple(damaged))


@dataclasses.dataclass(frozen=True)
class Recalled:
    """What is known of a piece: edges and counts of the groups that were settled, and the rest."""

    edges: EdgeFile
    checked: int
    accepted: int
    rest: Piece
    kept: SettledFile


@dataclasses.dataclass(frozen=True)
class Recall:
    """Look up the groups of a piece among those that were settled."""

    settled: Settled
    files: tuple[SettledFile, ...]
    folder: str

    def __call__(self, numbered: tuple[int, Piece]) -> Recalled:
        from dsm_dask.duplicates import pair_kernels

        number, piece = numbered
        members, edges = piece.read()
        groups = groups_of(members, edges)
        known, accepted = self._known(groups["root"])
        place = np.searchsorted(known["root"], groups["root"])
        place[place == len(known)] = 0
        same = np.zeros(len(groups), np.bool_)
        if len(known):
            fields = ("root", "high", "low")
            same = np.logical_and.reduce([known[place][f] == groups[f] for f in fields])
        ends = np.cumsum(known["edges"].astype(np.int64))
        starts = ends - known["edges"].astype(np.int64)
        kept = pair_kernels.gather(accepted, starts, ends, place[same])
        chosen = known[place[same]]
        left = members[np.isin(members["root"], groups["root"][~same])]
        pairs = edges[np.isin(edges["left"], left["node"])]
        uri = storage.join(self.folder, f"open-{number:05d}")
        storage.write(uri, left.tobytes() + pairs.tobytes())
        return Recalled(
            write_edges(storage.join(self.folder, f"recalled-{number:05d}"), kept),
            int(chosen["checked"].sum()),
            int(chosen["accepted"].sum()),
            Piece(uri, len(left), len(pairs)),
            self.settled.write(f"recalled-{number:05d}", chosen, kept),
        )

    def _known(self, roots: U64) -> tuple[Records, Records]:
        """Settled groups that may be among some, by root, and their edges."""
        from dsm_dask.duplicates import pair_kernels

        groups, edges = [np.empty(0, GROUP)], [np.empty(0, EDGE)]
        for file in self.files:
            if file.first <= int(roots[-1]) and file.last >= int(roots[0]):
                with contextlib.suppress(NotFound):  # another run replaced it
                    found = file.read()
                    groups.append(found[0])
                    edges.append(found[1])
        held = np.concatenate(groups)
        order = np.argsort(held["root"], kind="stable")
        counts = held["edges"].astype(np.int64)
        ends = np.cumsum(counts)
        return held[order], pair_kernels.gather(np.concatenate(edges), ends - counts, ends, order)


def groups_of(members: Records, edges: Records) -> Records:
    """The groups of a piece by root, with their sums, and nothing found yet."""
    from dsm_dask.stats.kernels import mix

    starts = np.flatnonzero(first_of_runs(members["root"]))
    found = np.zeros(len(starts), GROUP)
    found["root"] = members["root"][starts]
    order = np.argsort(members["node"])
    place = order[np.searchsorted(members["node"], edges["left"], sorter=order)]
    owner = np.searchsorted(found["root"], members["root"][place])
    for field, seed in (("high", 0x9E3779B97F4A7C15), ("low", 0xD6E8FEB86659FD93)):
        rows = mix(np.ascontiguousarray(members["node"]), np.uint64(seed))
        found[field] = np.add.reduceat(rows, starts)
        links = mix(
            mix(np.ascontiguousarray(edges["left"]), np.uint64(seed)) + edges["right"], np.uint64(0)
        )
        np.add.at(found[field], owner, links)
    return found
