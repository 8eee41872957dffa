"""From edges to decisions: clusters, the row of each that stays, and what to tell about them.

Every method that finds pairs of rows that are alike ends here. It leaves its pairs as edge files
(:mod:`dsm_dask.duplicates.edges`) and calls :func:`decide`::

    edge_files = [write_edges(uri, edges_of(left_nodes, right_nodes, similarities)), ...]
    found = decide(
        edge_files, [table, *others], rule=Rule("first"), reason="semantic",
        engine=engine, folder=run_folder, decisions=folder_or_none, run=run,
    )

Rows that edges connect, directly or through others, are one cluster (connected components). Of each
one row of the data stays, by the rule; of equal rows the one with the smallest row id. Rows of the
other tables are never dropped: a cluster that has any keeps the first of those, and all its rows of
the data are duplicates. Clusters without a row of the data do not count. Edges between two rows of
other tables are allowed; they matter only through the rows of the data that they connect.

The result depends on the set of edges alone (and on the values that the rule looks at). Nothing of
the size of the rows or edges passes through the client.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.dataset.commit import ObjectRecord, checksum_of
from dsm_dask.duplicates.components import LIMIT, PIECE, Piece, components
from dsm_dask.duplicates.decisions import DUPLICATE, KEPT, DecisionWriter
from dsm_dask.duplicates.directory import Directory, directory
from dsm_dask.duplicates.edges import TABLE_BITS, EdgeFile, nodes_of, rows_of, tables_of
from dsm_dask.duplicates.result import Overlap
from dsm_dask.duplicates.rule import Rule
from dsm_dask.duplicates.shares import read_shares, write_shares
from dsm_dask.engine import Engine
from dsm_dask.table import ROW_ID, Partition, Table

U64 = npt.NDArray[np.uint64]

LARGEST = 10
"""Clusters described in a result, unless more are asked for."""

SHOWN = 5
"""Rows shown of each of them."""

SIMILARITY_BINS = 20
_SIZE_EDGES = np.array([2, 3, 4, 5, 6, 8, 11, 21, 51, 101, 1001, 10_001, 100_001, 1_000_001])
_RANKED = np.dtype([("node", "<u8"), ("rank", "<f8")])


@dataclasses.dataclass(frozen=True)
class Group:
    """One of the largest clusters: the row that is kept, and some others, as nodes."""

    size: int
    survivor: int
    members: tuple[tuple[int, float | None], ...]
    """(node, similarity of the strongest of the pairs that connect it to the cluster): the first
    few, the survivor not among them."""


@dataclasses.dataclass(frozen=True)
class Clusters:
    """What :func:`decide` found."""

    clusters: int = 0
    duplicates: int = 0
    """Rows of the data that do not stay."""
    sizes: tuple[tuple[int, int, int], ...] = ()
    """Histogram of the rows in a cluster: (least, most, clusters)."""
    similarities: tuple[tuple[float, float, int], ...] = ()
    """Histogram of the similarity of the pairs that connect the clusters: (from, to, pairs)."""
    against: tuple[Overlap, ...] = ()
    largest: tuple[Group, ...] = ()
    records: tuple[ObjectRecord, ...] = ()
    """The files of decisions, as they were written."""


def decide(
    files: Sequence[EdgeFile],
    tables: Sequence[Table],
    *,
    rule: Rule,
    reason: str,
    engine: Engine,
    folder: str,
    run: str,
    decisions: str | None = None,
    largest: int = LARGEST,
    limit: int = LIMIT,
    piece: int = PIECE,
) -> Clusters:
    """Cluster the rows that edges connect, choose the row of each cluster that stays, and write the
    decisions (see :data:`dsm_dask.duplicates.decisions.SCHEMA`) when there is a folder for them.

    ``tables[0]`` is the data, the others are what it is held against, in the order of the nodes'
    table numbers. ``folder`` takes what passes between tasks; ``run`` begins the names of the files
    of decisions. ``largest`` clusters are described. ``limit`` and ``piece`` are those of
    :func:`dsm_dask.duplicates.components.components`.
    """
    rule.check(tables[0])
    pieces = components(files, folder, engine=engine, limit=limit, piece=piece)
    return decide_pieces(
        pieces, tables, rule=rule, reason=reason, engine=engine, folder=folder, run=run,
        decisions=decisions, largest=largest,
    )  # fmt: skip


def decide_pieces(
    pieces: Sequence[Piece],
    tables: Sequence[Table],
    *,
    rule: Rule,
    reason: str,
    engine: Engine,
    folder: str,
    run: str,
    decisions: str | None = None,
    largest: int = LARGEST,
) -> Clusters:
    """The same for clusters that are known: pieces of whole ones, of which all rows have the
    smallest one as their root."""
    ranks = _ranks(tables[0], rule, pieces, folder, engine)
    names = tuple(name_of(table) for table in tables[1:])
    work = [
        _Decide(one, number, len(pieces), ranks, names, reason, decisions, run, largest)
        for number, one in enumerate(pieces)
    ]
    return _merged(engine.map(_Decide.run, work, label="Deciding"), names, largest)


def name_of(table: Table) -> str:
    """What a table is called in results: a dataset with its version."""
    return str(getattr(table, "name", table.uri))


# ---------------------------------------------------------------------------------------------
# Ranks


def _ranks(
    table: Table, rule: Rule, pieces: Sequence[Piece], folder: str, engine: Engine
) -> tuple[str, ...]:
    """Files with the ranks of the members that are rows of the data; none for ``first``."""
    if rule.reads is None or not pieces:
        return ()
    places = directory(pieces, folder, engine=engine)
    found = engine.map_partitions(
        _RankRows(rule, places, folder), table.partitions(), label="Ranking"
    )
    return tuple(uri for uri in found if uri is not None)


@dataclasses.dataclass(frozen=True)
class _RankRows:
    rule: Rule
    directory: Directory
    folder: str

    def __call__(self, partition: Partition) -> str | None:
        nodes, pieces = self.directory.rows_of(partition, 0)
        if not len(nodes):
            return None
        ranks = np.full(len(nodes), -np.inf)
        for batch in partition.read([str(self.rule.reads), ROW_ID]):
            ids = nodes_of(batch.column(ROW_ID).to_numpy(), 0)
            chosen = np.flatnonzero(np.isin(ids, nodes))
            if len(chosen):
                place = np.searchsorted(nodes, ids[chosen])
                ranks[place] = self.rule.ranks(batch.column(0))[chosen]
        records = np.empty(len(nodes), _RANKED)
        records["node"], records["rank"] = nodes, ranks
        uri = storage.join(self.folder, f"ranks-{int(nodes[0])}-{partition.fingerprint}")
        write_shares(uri, records, pieces, self.directory.pieces)
        return uri


# ---------------------------------------------------------------------------------------------
# Deciding


@dataclasses.dataclass(frozen=True)
class _Decided:
    """What one piece held."""

    clusters: int
    duplicates: int
    sizes: npt.NDArray[np.int64]
    similarities: npt.NDArray[np.int64]
    against: npt.NDArray[np.int64]
    """Clusters, rows, other rows: a row for each other table."""
    largest: tuple[Group, ...]
    record: ObjectRecord | None


@dataclasses.dataclass(frozen=True)
class _Decide:
    piece: Piece
    number: int
    pieces: int
    ranks: tuple[str, ...]
    names: tuple[str, ...]
    reason: str
    decisions: str | None
    run_id: str
    largest: int

    def run(self) -> _Decided:
        members, edges = self.piece.read()
        node, tables = members["node"], tables_of(members["node"])
        if self.ranks or self.names:  # members come by root and node
            order = np.lexsort((-self._ranks_of(node), tables == 0, members["root"]))
            members, node, tables = members[order], node[order], tables[order]
        root = members["root"]
        heads = np.flatnonzero(np.concatenate([[True], root[1:] != root[:-1]]))
        cluster = np.repeat(np.arange(len(heads)), np.diff(np.append(heads, len(node))))
        own = tables == 0
        counts = np.bincount(cluster, weights=own).astype(np.int64) > 0
        live = counts[cluster]
        losing = own.copy()
        losing[heads] = False
        sizes = np.bincount(cluster)
        counted = ~np.isnan(edges["similarity"])
        if not live.all():
            counted &= np.isin(edges["left"], node[live])
        return _Decided(
            clusters=int(counts.sum()),
            duplicates=int(losing.sum()),
            sizes=size_histogram(sizes[counts]),
            similarities=np.histogram(edges["similarity"][counted], SIMILARITY_BINS, (0.0, 1.0))[0],
            against=self._overlaps(cluster, tables, own, live),
            largest=_largest(members, heads, np.where(counts, sizes, 0), self.largest),
            record=self._write(members, heads[cluster], own, losing),
        )

    def _ranks_of(self, node: U64) -> npt.NDArray[np.float64]:
        ranks = np.full(len(node), -np.inf)  # of a row that could not be read, too
        if self.ranks:
            from dsm_dask.stats.kernels import argsort

            told = read_shares(self.ranks, self.number, self.pieces, _RANKED)
            order = argsort(node)
            ranks[order[np.searchsorted(node, told["node"], sorter=order)]] = told["rank"]
        return ranks

    def _overlaps(
        self,
        cluster: npt.NDArray[np.int64],
        tables: npt.NDArray[np.int64],
        own: npt.NDArray[np.bool_],
        live: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        found = np.zeros((len(self.names), 3), np.int64)
        for other in range(len(self.names)):
            here = (tables == other + 1) & live
            shared = np.bincount(cluster, weights=here) > 0
            found[other] = shared.sum(), (own & shared[cluster]).sum(), here.sum()
        return found

    def _write(
        self,
        members: npt.NDArray[np.void],
        head: npt.NDArray[np.int64],
        own: npt.NDArray[np.bool_],
        losing: npt.NDArray[np.bool_],
    ) -> ObjectRecord | None:
        if self.decisions is None or not own.any():
            return None
        survivors = members["node"][head][own]
        writer = DecisionWriter(self.reason, self.names)
        writer.add(
            rows_of(members["node"][own]),
            rows_of(survivors),
            roles=np.where(losing[own], DUPLICATE, KEPT).astype(np.int8),
            similarity=members["similarity"][own],
            tables=tables_of(survivors),
        )
        uri = storage.join(self.decisions, f"{self.run_id}-{self.number:05d}.parquet")
        data = writer.close()
        storage.write(uri, data)
        return checksum_of(data, uri)


def no_sizes() -> npt.NDArray[np.int64]:
    """The :func:`size_histogram` of no clusters."""
    return np.zeros(len(_SIZE_EDGES), np.int64)


def size_histogram(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many clusters are of each range of sizes."""
    return np.bincount(
        np.searchsorted(_SIZE_EDGES, sizes, "right") - 1, minlength=len(_SIZE_EDGES)
    ).astype(np.int64)


def _largest(
    members: npt.NDArray[np.void],
    heads: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    most: int,
) -> tuple[Group, ...]:
    order = np.lexsort((members["root"][heads], -sizes))[:most]
    found = []
    for index in order[sizes[order] > 0].tolist():
        begin, size = int(heads[index]), int(sizes[index])
        shown = np.sort(members[begin + 1 : begin + size], order="node")[:SHOWN]
        pairs = zip(shown["node"].tolist(), shown["similarity"].tolist(), strict=True)
        told = tuple((node, None if np.isnan(alike) else alike) for node, alike in pairs)
        found.append(Group(size, int(members["node"][begin]), told))
    return tuple(found)


def _merged(found: Sequence[_Decided], names: Sequence[str], largest: int) -> Clusters:
    if not found:
        return Clusters(against=tuple(Overlap(name, 0, 0, 0) for name in names))
    sizes = sum((one.sizes for one in found), no_sizes())
    alike = sum((one.similarities for one in found), np.zeros(SIMILARITY_BINS, np.int64))
    shared = sum((one.against for one in found), np.zeros((len(names), 3), np.int64))
    return Clusters(
        clusters=sum(one.clusters for one in found),
        duplicates=sum(one.duplicates for one in found),
        sizes=size_bins(sizes),
        similarities=_bins(alike),
        against=tuple(
            Overlap(name, *counts) for name, counts in zip(names, shared.tolist(), strict=True)
        ),
        largest=tuple(
            heapq.nsmallest(
                largest,
                (group for one in found for group in one.largest),
                key=lambda group: (-group.size, group.survivor),
            )
        ),
        records=tuple(one.record for one in found if one.record is not None),
    )


def size_bins(counts: npt.NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    """A :func:`size_histogram` as (least, most, clusters), without what is empty."""
    ends = [*(_SIZE_EDGES[1:] - 1).tolist(), 1 << TABLE_BITS]
    return tuple(
        (least, most, count)
        for least, most, count in zip(_SIZE_EDGES.tolist(), ends, counts.tolist(), strict=True)
        if count
    )


def _bins(counts: npt.NDArray[Any]) -> tuple[tuple[float, float, int], ...]:
    width = SIMILARITY_BINS
    return tuple(
        (index / width, (index + 1) / width, count)
        for index, count in enumerate(counts.tolist())
        if count
    )
