"""Connected components of a graph that lies in the store as edge files.

``components(files, folder, engine=...)`` gives :class:`Piece` objects: whole components with their
edges, the root of each being its smallest node. The result depends on the set of edges alone: not
on their order, on the cut into files, or on which of the two ways below was taken.

*In memory*, one task of union-find, when the different edges are at most ``limit`` (8 million take
about 600 MB). *By rounds* above: the large-star and small-star operations of Kiveris, Lattanzi,
Mirrokni, Rastogi and Vassilvitskii, "Connected Components in MapReduce and Beyond" (SoCC 2014),
over shares of the edges, until a round changes nothing: O(log² n) rounds, five or so in practice.
A task then holds the edges of a share of the nodes; what it cannot split is the edges of one node,
and, at the end, one component.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.duplicates.edges import EDGE, EdgeFile
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.shares import destinations_of, read_shares, write_shares
from dsm_dask.engine import Engine

U64 = npt.NDArray[np.uint64]
F32 = npt.NDArray[np.float32]
Records = npt.NDArray[np.void]

LIMIT = 8_000_000
"""Different edges that one task may hold."""

PIECE = 1 << 17
"""Members in a piece, about: a component is never cut."""

LEAST_PIECE, PIECES = 1 << 13, 8
"""Few members are cut into this many pieces, for all workers to have some, but not below this."""

MEMBER = np.dtype([("node", "<u8"), ("root", "<u8"), ("similarity", "<f4")])
"""A node, the smallest node of its component, and the similarity of the strongest edge at the node
(NaN when none was measured)."""

_DIRECTED = np.dtype([("node", "<u8"), ("other", "<u8"), ("similarity", "<f4")])
_LINK = np.dtype([("node", "<u8"), ("other", "<u8")])
_LABELLED = np.dtype([("root", "<u8"), *[(name, EDGE[name]) for name in EDGE.names or ()]])


@dataclasses.dataclass(frozen=True)
class Piece:
    """An object with whole components: members sorted by root and node, then the different edges
    among them sorted by root, left and right."""

    uri: str
    members: int
    edges: int

    def read(self) -> tuple[Records, Records]:
        """Arrays of :data:`MEMBER` and of :data:`EDGE <dsm_dask.duplicates.edges.EDGE>`."""
        data = storage.read(self.uri)
        members = np.frombuffer(data, MEMBER, self.members)
        return members, np.frombuffer(data, EDGE, self.edges, self.members * MEMBER.itemsize)

    def read_members(self) -> Records:
        (data,) = storage.read_ranges(self.uri, [(0, self.members * MEMBER.itemsize)])
        return np.frombuffer(data, MEMBER)


def components(
    files: Sequence[EdgeFile],
    folder: str,
    *,
    engine: Engine,
    limit: int = LIMIT,
    piece: int = PIECE,
) -> list[Piece]:
    """The components of the graph of some edge files, as pieces in ``folder``; a node without an
    edge is in none.

    ``limit`` is the number of different edges up to which one task does it all in memory,
    ``piece`` about how many members a piece has.
    """
    files = [file for file in files if file.edges]
    if not files:
        return []
    task = _InMemory(folder, limit, piece)
    if sum(file.edges for file in files) <= 4 * limit:  # the same edge often comes several times
        (found,) = engine.map(task, [tuple(files)], label="Connecting")
        if found is not None:
            return list(found)
    return _by_rounds(files, folder, engine, limit, piece)


# ---------------------------------------------------------------------------------------------
# In memory


@dataclasses.dataclass(frozen=True)
class _InMemory:
    folder: str
    limit: int
    piece: int

    def __call__(self, files: Sequence[EdgeFile]) -> list[Piece] | None:
        edges = _distinct(files, self.limit)
        return None if edges is None else write_pieces(*_labelled(edges), self.folder, self.piece)


def _distinct(files: Sequence[EdgeFile], limit: int) -> Records | None:
    """The different edges of some files; None when there are more than ``limit``."""
    from dsm_dask.duplicates import kernels

    count = 0
    left, right, similarity = np.empty(0, "<u8"), np.empty(0, "<u8"), np.empty(0, "<f4")
    slots = np.full(2, -1, np.int32)
    for file in files:
        more = file.read()
        if count + len(more) > len(left):
            room = max(count + len(more), len(left) * 3 // 2)
            left, right, similarity = (
                np.concatenate([a[:count], np.empty(room - count, a.dtype)])
                for a in (left, right, similarity)
            )
        if 2 * (count + len(more)) > len(slots):
            slots = np.full(1 << (2 * (count + len(more))).bit_length(), -1, np.int32)
            kernels.index_edges(slots, left, right, count)
        count = kernels.add_edges(slots, left, right, similarity, count, more)
        if count > limit:
            return None
    found = np.empty(count, EDGE)
    found["left"], found["right"], found["similarity"] = (
        left[:count], right[:count], similarity[:count],
    )  # fmt: skip
    return found


def _labelled(edges: Records) -> tuple[Records, Records]:
    """Members and edges of all components, both sorted as in a piece."""
    from dsm_dask.duplicates import kernels

    nodes = np.unique(np.concatenate([edges["left"], edges["right"]]))
    left, right = np.searchsorted(nodes, edges["left"]), np.searchsorted(nodes, edges["right"])
    roots = kernels.roots(len(nodes), left, right)
    members = np.empty(len(nodes), MEMBER)
    members["node"], members["root"] = nodes, nodes[roots]
    members["similarity"] = kernels.strongest(
        len(nodes), left, right, np.ascontiguousarray(edges["similarity"])
    )
    order = np.lexsort((right, left, roots[left]))
    return members[np.argsort(roots, kind="stable")], edges[order]


def write_pieces(
    members: Records, edges: Records, folder: str, size: int, name: str = "piece"
) -> list[Piece]:
    """Cut sorted members and edges between components."""
    starts = np.flatnonzero(first_of_runs(members["root"]))
    found: list[Piece] = []
    size = min(size, max(LEAST_PIECE, len(members) // PIECES))
    begin = edge = 0
    heads = members["root"][starts]
    root_of_edges = _roots_of(edges["left"], members)
    while begin < len(members):
        following = int(np.searchsorted(starts, begin + size))
        end = int(starts[following]) if following < len(starts) else len(members)
        edge_end = len(edges)
        if following < len(starts):
            edge_end = int(np.searchsorted(root_of_edges, heads[following]))
        uri = storage.join(folder, f"{name}-{len(found):05d}")
        storage.write(
            uri, members[begin:end].tobytes() + edges[edge:edge_end].tobytes(), durable=False
        )
        found.append(Piece(uri, end - begin, edge_end - edge))
        begin, edge = end, edge_end
    return found


def _roots_of(nodes: U64, members: Records) -> U64:
    order = np.argsort(members["node"], kind="stable")
    place = order[np.searchsorted(members["node"], nodes, sorter=order)]
    found: U64 = members["root"][place]
    return found


# ---------------------------------------------------------------------------------------------
# By rounds


def _by_rounds(
    files: Sequence[EdgeFile], folder: str, engine: Engine, limit: int, piece: int
) -> list[Piece]:
    total = sum(file.edges for file in files)
    shares = max(2, -(-4 * total // limit))
    groups = _groups(files, max(1, limit // 4))
    places = [storage.join(folder, f"spread-{i:05d}") for i in range(len(groups))]
    work = [_Spread(group, place, shares) for group, place in zip(groups, places, strict=True)]
    engine.map(_Spread.run, work, label="Spreading edges")
    spread = tuple(f"{place}-all" for place in places)
    links = tuple(f"{place}-links" for place in places)
    stars, seen = links, None
    for number in itertools.count():
        stars, _ = _round(links, folder, f"large-{number:04d}", shares, engine, large=True)
        links, told = _round(stars, folder, f"small-{number:04d}", shares, engine, large=False)
        if told == seen:  # the same edges as a round before: every tree is a star
            break
        seen = told
    join = [_Join(spread, stars, folder, share, shares) for share in range(shares)]
    engine.map(_Join.run, join, label="Labelling")
    gather = [_Gather(folder, share, shares, piece) for share in range(shares)]
    return [one for found in engine.map(_Gather.run, gather, label="Gathering") for one in found]


def _round(
    links: tuple[str, ...], folder: str, name: str, shares: int, engine: Engine, *, large: bool
) -> tuple[tuple[str, ...], int]:
    """One star operation; its files, and a checksum of the edges that it was given."""
    work = [
        _Star(links, share, shares, storage.join(folder, f"{name}-{share:05d}"), large)
        for share in range(shares)
    ]
    sums = engine.map(_Star.run, work, label="Connecting")
    return tuple(star.uri for star in work), sum(sums) % (1 << 64)


def _groups(files: Sequence[EdgeFile], most: int) -> list[tuple[EdgeFile, ...]]:
    """Neighbouring files in groups of up to ``most`` edges."""
    found: list[list[EdgeFile]] = []
    held = most
    for file in files:
        if held + file.edges > most:
            found.append([])
            held = 0
        found[-1].append(file)
        held += file.edges
    return [tuple(group) for group in found]


@dataclasses.dataclass(frozen=True)
class _Spread:
    """Both directions of some edges, by the node they start from."""

    files: tuple[EdgeFile, ...]
    place: str
    shares: int

    def run(self) -> None:
        edges = np.concatenate([file.read() for file in self.files])
        both = np.empty(2 * len(edges), _DIRECTED)
        both["node"] = np.concatenate([edges["left"], edges["right"]])
        both["other"] = np.concatenate([edges["right"], edges["left"]])
        both["similarity"] = np.concatenate([edges["similarity"]] * 2)
        share = destinations_of(both["node"], self.shares)
        write_shares(f"{self.place}-all", both, share, self.shares)
        write_shares(
            f"{self.place}-links", both[["node", "other"]].astype(_LINK), share, self.shares
        )


@dataclasses.dataclass(frozen=True)
class _Star:
    """Connect the neighbours of each node of a share with the smallest of them.

    The large star takes both directions of each edge and moves larger neighbours; it leaves each
    edge once, at its larger node. The small star takes those, moves the node and its (smaller)
    neighbours, and leaves both directions.
    """

    links: tuple[str, ...]
    share: int
    shares: int
    uri: str
    large: bool

    def run(self) -> int:
        links = _unique(read_shares(self.links, self.share, self.shares, _LINK))
        node, other = links["node"], links["other"]
        starts = np.flatnonzero(first_of_runs(node))
        least = np.minimum.reduceat(other, starts) if len(starts) else node[:0]
        least = np.minimum(least, node[starts])
        near = np.repeat(least, np.diff(np.append(starts, len(node))))
        if self.large:
            keep = other > node
            far, near = other[keep], near[keep]
        else:
            keep = other != near
            far = np.concatenate([other[keep], node[starts]])
            near = np.concatenate([near[keep], least])
        if not self.large:
            far, near = np.concatenate([far, near]), np.concatenate([near, far])
        made = np.empty(len(far), _LINK)
        made["node"], made["other"] = far, near
        made = _unique(made)
        write_shares(self.uri, made, destinations_of(made["node"], self.shares), self.shares)
        return _checksum(links)


def _unique(links: Records) -> Records:
    ordered = links[np.lexsort((links["other"], links["node"]))]
    same = (ordered["node"][1:] == ordered["node"][:-1]) & (
        ordered["other"][1:] == ordered["other"][:-1]
    )
    return ordered[np.concatenate([[True], ~same])] if len(ordered) else ordered


def _checksum(links: Records) -> int:
    mixed = links["node"] * np.uint64(0x9E3779B97F4A7C15) + links["other"]
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return int((mixed ^ (mixed >> np.uint64(32))).sum(dtype=np.uint64))


@dataclasses.dataclass(frozen=True)
class _Join:
    """Give the nodes of a share, and the edges from them, their roots."""

    spread: tuple[str, ...]
    stars: tuple[str, ...]
    folder: str
    share: int
    shares: int

    def run(self) -> None:
        from dsm_dask.duplicates import kernels

        edges = read_shares(self.spread, self.share, self.shares, _DIRECTED)
        stars = _unique(read_shares(self.stars, self.share, self.shares, _LINK))
        nodes, number = np.unique(edges["node"], return_inverse=True)
        members = np.empty(len(nodes), MEMBER)
        members["node"] = members["root"] = nodes
        members["root"][np.searchsorted(nodes, stars["node"])] = stars["other"]
        members["similarity"] = kernels.strongest(
            len(nodes), number, number, np.ascontiguousarray(edges["similarity"])
        )
        once = edges["node"] < edges["other"]
        labelled = np.empty(int(once.sum()), _LABELLED)
        labelled["root"], labelled["left"] = members["root"][number[once]], edges["node"][once]
        labelled["right"], labelled["similarity"] = edges["other"][once], edges["similarity"][once]
        for kind, records in (("members", members), ("edges", labelled)):
            uri = storage.join(self.folder, f"{kind}-{self.share:05d}")
            write_shares(uri, records, destinations_of(records["root"], self.shares), self.shares)


@dataclasses.dataclass(frozen=True)
class _Gather:
    """The components of a share of the roots."""

    folder: str
    share: int
    shares: int
    piece: int

    def run(self) -> list[Piece]:
        members, edges = (
            read_shares(
                [storage.join(self.folder, f"{kind}-{i:05d}") for i in range(self.shares)],
                self.share, self.shares, dtype,
            )
            for kind, dtype in (("members", MEMBER), ("edges", _LABELLED))
        )  # fmt: skip
        members = members[np.lexsort((members["node"], members["root"]))]
        strength = -np.nan_to_num(edges["similarity"], nan=-1.0)
        edges = edges[np.lexsort((strength, edges["right"], edges["left"], edges["root"]))]
        again = np.zeros(len(edges), np.bool_)
        again[1:] = (edges["left"][1:] == edges["left"][:-1]) & (
            edges["right"][1:] == edges["right"][:-1]
        )
        kept = edges[~again][list(EDGE.names or ())].astype(EDGE)
        return write_pieces(members, kept, self.folder, self.piece, f"piece-{self.share:05d}")
