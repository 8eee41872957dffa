"""Candidates: rows that share a band key, found a range of keys at a time.

A task reads its range of keys from every band file, sorts them, and links the rows of each run of
equal keys with the smallest one: a bucket of n rows gives n - 1 edges, never n².
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.band_files import BandFile
from dsm_dask.duplicates.damage import read_or_name
from dsm_dask.duplicates.edges import EdgeFile, edges_of, nodes_of, tables_of, write_edges
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.shares import side_by_side
from dsm_dask.engine import Engine

U64 = npt.NDArray[np.uint64]

RANGE = 3_000_000
"""Keys that one task sorts, about."""


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Edges between rows that share a band key, and between rows of the same shingles in one
    partition (of similarity 1)."""

    edges: tuple[EdgeFile, ...]
    copies: tuple[EdgeFile, ...]
    damaged: tuple[str, ...] = ()
    """Band files that could not be used: when there are any, the edges are not all."""


def candidates(
    files: Sequence[Sequence[BandFile]],
    folder: str,
    *,
    engine: Engine,
    keys: int = RANGE,
    measured: bool = True,
) -> Candidates:
    """Find the candidates among the rows of several tables, given the band files of each.

    Without ``measured`` the similarity of copies is NaN: no pair has one when candidates are not
    compared, and which copies share a partition is a matter of the cut.
    """
    listed = storage.join(folder, "bands.dsm")
    rows = [(table, dataclasses.astuple(file)) for table, some in enumerate(files) for file in some]
    storage.write(listed, codec.encode(rows), durable=False)
    total = sum(file.keys for some in files for file in some)
    ranges = max(4, -(-total // keys))
    work = [
        _Range(listed, number, ranges, folder, 1.0 if measured else np.nan)
        for number in range(ranges)
    ]
    found = engine.map(_Range.run, work, label="Grouping")
    return Candidates(
        tuple(edges for edges, _, _ in found if edges.edges),
        tuple(copies for _, copies, _ in found if copies.edges),
        tuple(sorted({uri for _, _, damaged in found for uri in damaged})),
    )


def _listed(uri: str) -> list[tuple[int, BandFile]]:
    return [(table, BandFile.of(row)) for table, row in codec.decode(storage.read(uri))]


@dataclasses.dataclass(frozen=True)
class _Range:
    listed: str
    number: int
    ranges: int
    folder: str
    copies: float
    """The similarity of copies."""

    def run(self) -> tuple[EdgeFile, EdgeFile, tuple[str, ...]]:
        files = _listed(self.listed)
        low = (self.number << 64) // self.ranges
        high = ((self.number + 1) << 64) // self.ranges - 1
        damaged: list[str] = []
        read = side_by_side(
            lambda one: read_or_name(lambda: _range_of(*one, low, high), damaged), files
        )
        parts = [part for part in read if part is not None]
        del read
        keys = np.concatenate([np.empty(0, np.uint64), *(part[0] for part in parts)])
        nodes = np.concatenate([np.empty(0, np.uint64), *(part[1] for part in parts)])
        del parts
        left, right = _linked(keys, nodes)
        edges = write_edges(
            storage.join(self.folder, f"candidates-{self.number:05d}"),
            edges_of(left, right, np.nan),
        )
        copies = self._copies(files[self.number :: self.ranges], damaged)
        return edges, copies, tuple(damaged)

    def _copies(self, files: Sequence[tuple[int, BandFile]], damaged: list[str]) -> EdgeFile:
        with_any = [(table, file) for table, file in files if file.copies]
        read = side_by_side(
            lambda one: read_or_name(lambda: nodes_of(one[1].read_copies(), one[0]), damaged),
            with_any,
        )
        pairs = [some for some in read if some is not None]
        every = np.concatenate([np.empty((0, 2), np.uint64), *pairs])
        uri = storage.join(self.folder, f"copies-{self.number:05d}")
        return write_edges(uri, edges_of(every[:, 0], every[:, 1], self.copies))


def _range_of(table: int, file: BandFile, low: int, high: int) -> tuple[U64, U64]:
    keys, rows = file.between(low, high)
    return keys, nodes_of(rows, table)


def _linked(keys: U64, nodes: U64) -> tuple[U64, U64]:
    """Pairs (smallest node, other node) of each run of equal keys that has a row of the data."""
    from dsm_dask.stats.kernels import sort_pairs

    keys, nodes = sort_pairs(keys, nodes)
    again = keys[1:] == keys[:-1]
    shared = np.zeros(len(keys), np.bool_)
    shared[1:] |= again
    shared[:-1] |= again
    keys, nodes = keys[shared], nodes[shared]
    if not len(keys):
        return nodes, nodes
    starts = np.flatnonzero(first_of_runs(keys))
    least = np.repeat(np.minimum.reduceat(nodes, starts), np.diff(np.append(starts, len(keys))))
    kept = (nodes != least) & (tables_of(least) == 0)
    return least[kept], nodes[kept]
