"""Verification: of candidates, the pairs of which the exact Jaccard similarity is high enough.

Connected candidates are dealt to homes, a bounded number of rows each. Candidates that are known to
have the same shingles (edges of similarity 1) are one: the smallest stands for all. One scan of the
texts of these leaves their sets of shingles, laid out by home; a home then compares:

1. rows of the same set are one too (the same shingles, more often in one text than in the other);
2. candidate pairs, in the order of their rows, unless they are connected by then;
3. in a group of up to :data:`ALL_PAIRS` different sets, all other pairs that are not connected; in
   a larger one, the smallest rows of what is connected so far, up to as many, with each other.

What is accepted is a forest, in this order: enough to connect, at most one edge a row, and not the
strongest pairs that there are. The outcome depends on the rows and their texts alone. The share of
accepted pairs among those of step 2 is the measured precision of the candidates.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.borderline import PAIRS, Scored, scored
from dsm_dask.duplicates.components import LIMIT, Piece, components
from dsm_dask.duplicates.directory import directory
from dsm_dask.duplicates.edges import EDGE, EdgeFile, edges_of, write_edges
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.normalise import Normalise
from dsm_dask.duplicates.set_files import WriteSets, read_sets
from dsm_dask.duplicates.settled import Recall, Recalled, Settled, SettledFile, groups_of
from dsm_dask.duplicates.shingles import Shingles
from dsm_dask.engine import Engine
from dsm_dask.table import Table

U64 = npt.NDArray[np.uint64]
Int64 = npt.NDArray[np.int64]

HOME = 1 << 15
"""Rows in a home, about; a group of connected candidates is never cut."""

ALL_PAIRS = 128

REFUSED = 4096
"""Refused pairs of a home among which the strongest are looked for."""


@dataclasses.dataclass(frozen=True)
class Verified:
    """Accepted pairs, with their similarity."""

    edges: tuple[EdgeFile, ...]
    checked: int = 0
    """Candidate pairs that were compared."""
    accepted: int = 0
    """... of which this many are alike enough."""
    compared: int = 0
    """Candidate rows of which the texts were read: not those that an earlier run had settled."""
    unread: int = 0
    """... of which the texts could not be read, with ``on_error="skip"``: compared with nothing."""
    refused: tuple[Scored, ...] = ()
    """Some of the candidate pairs that this run compared and refused, and that no others connect:
    the strongest."""


def verify(
    files: Sequence[EdgeFile],
    tables: Sequence[Table],
    column: str,
    shingles: Shingles,
    normalise: Normalise,
    threshold: float,
    folder: str,
    *,
    engine: Engine,
    home: int = HOME,
    limit: int = LIMIT,
    settled: Settled | None = None,
) -> Verified:
    """Compare candidate rows of ``tables`` by the exact Jaccard similarity of their shingles.

    Edges of ``files`` with a similarity connect each row with the smallest one that has the same
    shingles. They are not told of again; only the smallest one is compared with others.
    ``settled`` is where the outcome is kept for the next run, and may be known from the last one.
    Rows of partitions that the engine skips take no part, and then nothing is kept.
    """
    mark = engine.mark()
    pieces = components(
        files, storage.join(folder, "candidates"), engine=engine, limit=limit, piece=home
    )
    recalled = _recalled(pieces, folder, settled, engine)
    left = [one.rest for one in recalled if one.rest.members] if recalled else pieces
    found = _verified(left, tables, column, shingles, normalise, threshold, folder, engine, settled)
    if settled is not None and not mark.skipped:
        settled.save([*(one.kept for one in recalled), *(one.kept for one in found)])
    every: list[Recalled | _Found] = [*recalled, *found]
    return Verified(
        tuple(one.edges for one in every if one.edges.edges),
        sum(one.checked for one in every),
        sum(one.accepted for one in every),
        sum(one.compared for one in found),
        sum(one.unread for one in found),
        tuple(
            heapq.nsmallest(
                PAIRS, (pair for one in found for pair in one.refused), lambda one: (-one[0], one)
            )
        ),
    )


def _recalled(
    pieces: Sequence[Piece], folder: str, settled: Settled | None, engine: Engine
) -> list[Recalled]:
    """What is known of each piece from an earlier run; nothing when there was none."""
    known = settled.load() if settled is not None and pieces else ()
    if not known or settled is None:
        return []
    return engine.map(Recall(settled, known, folder), list(enumerate(pieces)), label="Recalling")


def _verified(
    pieces: Sequence[Piece], tables: Sequence[Table], column: str, shingles: Shingles,
    normalise: Normalise, threshold: float, folder: str, engine: Engine, settled: Settled | None,
) -> list[_Found]:  # fmt: skip
    if not pieces:
        return []
    places = directory(pieces, folder, engine=engine, members=_to_compare)
    stored: list[str] = []
    for number, table in enumerate(tables):
        worker = WriteSets(column, shingles, normalise, number, places, folder)
        for uris in engine.map_partitions(worker, table.partitions(), label="Reading candidates"):
            stored += uris
    listed = storage.join(folder, "sets.dsm")
    storage.write(listed, codec.encode(tuple(stored)), durable=False)
    work = [
        _Home(piece, number, listed, threshold, folder, settled)
        for number, piece in enumerate(pieces)
    ]
    return engine.map(_Home.run, work, label="Verifying")


# ---------------------------------------------------------------------------------------------
# Homes


@dataclasses.dataclass(frozen=True)
class _Found:
    """What a home accepted."""

    edges: EdgeFile
    checked: int
    accepted: int
    kept: SettledFile
    compared: int
    unread: int
    refused: tuple[Scored, ...]


@dataclasses.dataclass(frozen=True)
class _Home:
    """Whole groups of connected candidates."""

    piece: Piece
    number: int
    listed: str
    threshold: float
    folder: str
    settled: Settled | None

    def run(self) -> _Found:
        members, edges = self.piece.read()
        rows = _rows_of(members, edges)
        every = len(rows.nodes)
        held = read_sets(codec.decode(storage.read(self.listed)), self.number)
        rows = rows.only(np.isin(rows.nodes, held[0]))
        found, group, checked, accepted, refused = self._compare(rows, *held)
        del held
        uri = storage.join(self.folder, f"verified-{self.number:05d}")
        file, unread = write_edges(uri, found), every - len(rows.nodes)
        kept = SettledFile("", 0, 0, 0, 0)
        if self.settled is not None and not unread:
            groups = groups_of(members, edges)
            size = len(groups)
            groups["edges"] = np.bincount(group, minlength=size)
            groups["checked"] = np.bincount(rows.group[checked], minlength=size)
            groups["accepted"] = np.bincount(rows.group[accepted], minlength=size)
            kept = self.settled.write(f"{self.number:05d}", groups, found)
        return _Found(file, len(checked), len(accepted), kept, every, unread, refused)

    def _compare(
        self, rows: _Rows, owners: U64, counts: Any, hashes: U64
    ) -> tuple[Any, Int64, Int64, Int64, tuple[Scored, ...]]:
        """Accepted edges by group, the group of each; of each candidate pair that was checked, and
        that was accepted, the number of a row; and the strongest refused."""
        from dsm_dask.duplicates import pair_kernels
        from dsm_dask.duplicates.kernels import roots

        nodes, group = rows.nodes, rows.group
        if not len(nodes):
            none = np.empty(0, np.int64)
            return np.empty(0, EDGE), none, none, none, ()
        order = np.argsort(owners)
        place = order[np.searchsorted(owners, nodes, sorter=order)]
        ends = np.cumsum(counts)
        starts, ends = (ends - counts)[place], ends[place]
        first = _same(pair_kernels.digests(hashes, starts, ends), ends - starts, group)
        left, right = first[rows.left], first[rows.right]
        pairs = np.unique(np.stack([np.minimum(left, right), np.maximum(left, right)], 1), axis=0)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        a, b, alike, checked, accepted = pair_kernels.compare(
            hashes, starts, ends, group, first, pairs, self.threshold, ALL_PAIRS
        )
        by_group = np.argsort(group[a], kind="stable")
        found = edges_of(nodes[a], nodes[b], alike)[by_group]
        apart = pairs[np.not_equal(*roots(len(nodes), a, b)[pairs].T)][:REFUSED]
        told = pair_kernels.similarities(hashes, starts, ends, apart)
        best = np.argsort(-told, kind="stable")[:PAIRS]
        ends = nodes[apart[best]]
        refused = scored(edges_of(ends[:, 0], ends[:, 1], told[best]))
        return found, group[a][by_group], checked, accepted, tuple(refused)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The rows of a piece that are to be compared, by group and node, and the candidate pairs among
    them, as numbers of rows."""

    nodes: U64
    group: Int64
    left: Int64
    right: Int64

    def only(self, there: npt.NDArray[np.bool_]) -> _Rows:
        """Some of the rows, and the pairs among those."""
        number = np.cumsum(there) - 1
        both = there[self.left] & there[self.right]
        left, right = number[self.left[both]], number[self.right[both]]
        return _Rows(self.nodes[there], self.group[there], left, right)


def _rows_of(members: Any, edges: Any) -> _Rows:
    """Of rows of the same shingles the smallest one, unless there are no others in its group."""
    root = members["root"]
    group = np.cumsum(np.concatenate([[False], root[1:] != root[:-1]])[: len(root)])
    left, right = _places(edges, members)
    same = edges["similarity"] == 1
    stands = np.arange(len(members))
    stands[right[same]] = left[same]
    is_own = stands == np.arange(len(members))
    others = np.bincount(group, weights=is_own) > 1
    rows = _Rows(members["node"], group, stands[left], stands[right])
    return rows.only(is_own & others[group])


def _to_compare(piece: Piece) -> U64:
    return _rows_of(*piece.read()).nodes


def _same(digests: U64, counts: Any, group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each member, the first one of its group that has the same set. Members of a group are in
    the order of their nodes."""
    order = np.lexsort((np.arange(len(group)), digests[:, 1], digests[:, 0], counts, group))
    keys = (group, counts, digests[:, 0], digests[:, 1])
    is_first = first_of_runs(*(key[order] for key in keys))
    found = np.empty(len(order), np.int64)
    found[order] = order[is_first][np.cumsum(is_first) - 1]
    return found


def _places(edges: Any, members: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    order = np.argsort(members["node"])
    nodes = members["node"][order]
    return (
        order[np.searchsorted(nodes, edges["left"])],
        order[np.searchsorted(nodes, edges["right"])],
    )
