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
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.borderline import PAIRS, Scored
from dsm_dask.duplicates.compared_rows import ComparedRows, to_compare
from dsm_dask.duplicates.components import LIMIT, Piece, components
from dsm_dask.duplicates.directory import directory
from dsm_dask.duplicates.edges import EdgeFile, edges_of, write_edges
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.normalise import Normalise
from dsm_dask.duplicates.recall import Recall, Recalled
from dsm_dask.duplicates.set_files import WriteSets, read_sets
from dsm_dask.duplicates.settled import Settled
from dsm_dask.duplicates.shingles import Shingles
from dsm_dask.duplicates.verified_groups import GroupFile, Groups
from dsm_dask.engine import Engine
from dsm_dask.table import Table

U64 = npt.NDArray[np.uint64]
Records = npt.NDArray[np.void]

HOME = 1 << 15
"""Rows in a home, about; a group of connected candidates is never cut."""

ALL_PAIRS = 512


@dataclasses.dataclass(frozen=True)
class Verified:
    """Groups of candidates with their accepted pairs."""

    groups: tuple[GroupFile, ...] = ()
    edges: tuple[EdgeFile, ...] = ()
    """What connects rows: accepted pairs, and rows of the same shingles."""
    compared: int = 0
    """Candidate rows of which the texts were read: not those of which the outcome was known."""
    unread: int = 0
    """... of which the texts could not be read, with ``on_error="skip"``: compared with nothing."""
    refused: tuple[Scored, ...] = ()
    """The strongest of the candidate pairs that were compared and refused, and that no others
    connect."""


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
    settled: Settled,
    known: Sequence[GroupFile] = (),
    home: int = HOME,
    limit: int = LIMIT,
) -> Verified:
    """Compare candidate rows of ``tables`` by the exact Jaccard similarity of their shingles.

    Edges of ``files`` with a similarity connect each row with the smallest one that has the same
    shingles; only the smallest one is compared with others. ``settled`` is where the outcome goes.
    That of the groups ``known`` is taken as it is, where these are among the candidates' again.
    Rows of partitions that the engine skips take no part.
    """
    pieces = components(
        files, storage.join(folder, "candidates"), engine=engine, limit=limit, piece=home
    )
    recalled: list[Recalled] = []
    if known:
        recall = Recall(settled, tuple(known), folder)
        recalled = engine.map(recall, list(enumerate(pieces)), label="Recalling")
        pieces = [one.rest for one in recalled if one.rest.members]
    found = _verified(
        pieces, tables, column, shingles, normalise, threshold, folder, engine, settled
    )
    every: list[Recalled | _Found] = [*recalled, *found]
    return Verified(
        tuple(one.groups for one in every),
        tuple(one.edges for one in every),
        sum(one.compared for one in found),
        sum(one.unread for one in found),
        strongest(pair for one in every for pair in one.refused),
    )


def strongest(pairs: Iterable[Scored]) -> tuple[Scored, ...]:
    """The few of the greatest similarity."""
    return tuple(heapq.nsmallest(PAIRS, pairs, lambda one: (-one[0], one)))


def _verified(
    pieces: Sequence[Piece], tables: Sequence[Table], column: str, shingles: Shingles,
    normalise: Normalise, threshold: float, folder: str, engine: Engine, settled: Settled,
) -> list[_Found]:  # fmt: skip
    if not pieces:
        return []
    places = directory(pieces, folder, engine=engine, members=to_compare)
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

    groups: GroupFile
    edges: EdgeFile
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
    settled: Settled

    def run(self) -> _Found:
        members, edges = self.piece.read()
        rows = ComparedRows.of(members, edges)
        groups, every = rows.groups(members), len(rows.nodes)
        held = read_sets(codec.decode(storage.read(self.listed)), self.number)
        rows = rows.only(np.isin(rows.nodes, held[0]))
        found = self._compare(rows, groups, *held)
        del held
        found = dataclasses.replace(found, pairs=edges)
        file = self.settled.write(f"{self.number:05d}", found)
        uri = storage.join(self.folder, f"verified-{self.number:05d}")
        told = write_edges(uri, found.connecting()), every, every - len(rows.nodes)
        return _Found(file, *told, found.strongest_refused())

    def _compare(
        self, rows: ComparedRows, groups: Records, owners: U64, counts: Any, hashes: U64
    ) -> Groups:
        """The groups with what was found, but without their candidate pairs."""
        from dsm_dask.duplicates import pair_kernels
        from dsm_dask.duplicates.kernels import roots

        none, nodes, group = Groups.none(), rows.nodes, rows.group
        if not len(nodes):
            return dataclasses.replace(none, groups=groups)
        order = np.argsort(owners)
        place = order[np.searchsorted(owners, nodes, sorter=order)]
        ends = np.cumsum(counts)
        starts, ends = (ends - counts)[place], ends[place]
        first = _same(pair_kernels.digests(hashes, starts, ends), ends - starts, group)
        pairs = rows.pairs(first)
        a, b, alike, checked, accepted = pair_kernels.compare(
            hashes, starts, ends, group, first, pairs, self.threshold, ALL_PAIRS
        )
        by_group = np.argsort(group[a], kind="stable")
        found = edges_of(nodes[a], nodes[b], alike)[by_group]
        apart = pairs[np.not_equal(*roots(len(nodes), a, b)[pairs].T)]
        chosen, told = pair_kernels.strongest(hashes, starts, ends, group, apart, PAIRS)
        refused = edges_of(nodes[chosen[:, 0]], nodes[chosen[:, 1]], told)
        for name, of in (("edges", a), ("refused", chosen[:, 0])):
            groups[name] = np.bincount(group[of], minlength=len(groups))
        groups["checked"] = np.bincount(group[checked], minlength=len(groups))
        groups["accepted"] = np.bincount(group[accepted], minlength=len(groups))
        return dataclasses.replace(none, groups=groups, edges=found, refused=refused)


def _same(digests: U64, counts: Any, group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each member, the first one of its group that has the same set. Members of a group are in
    the order of their nodes."""
    order = np.lexsort((np.arange(len(group)), digests[:, 1], digests[:, 0], counts, group))
    keys = (group, counts, digests[:, 0], digests[:, 1])
    is_first = first_of_runs(*(key[order] for key in keys))
    found = np.empty(len(order), np.int64)
    found[order] = order[is_first][np.cumsum(is_first) - 1]
    return found
