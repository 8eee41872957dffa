"""Equal rows of several tables, or of one when more is asked than which rows lose: each bucket
leaves its clusters whole, as pieces that :mod:`dsm_dask.duplicates.clusters` decides on. Rows of
equal hashes share a bucket, so there are no edges to connect."""

from __future__ import annotations

import dataclasses

import numpy as np

from dsm_dask.duplicates.buckets import Bucket, Held
from dsm_dask.duplicates.components import MEMBER, PIECE, Piece, Records, write_pieces
from dsm_dask.duplicates.damage import read_or_name
from dsm_dask.duplicates.edges import EDGE, nodes_of, tables_of
from dsm_dask.duplicates.keys import piece_bits


@dataclasses.dataclass(frozen=True)
class Pieces:
    """What one bucket held."""

    pieces: tuple[Piece, ...] = ()
    damaged: tuple[str, ...] = ()
    """Key files that could not be used: when there are any, the pieces are none."""


@dataclasses.dataclass(frozen=True)
class WritePieces:
    """Write the clusters of a bucket that have a row of the data (table 0)."""

    folder: str

    def __call__(self, bucket: Bucket) -> Pieces:
        damaged: list[str] = []
        found = read_or_name(lambda: self._found(bucket, damaged), damaged)
        return Pieces(damaged=tuple(damaged)) if found is None else found

    def _found(self, bucket: Bucket, damaged: list[str]) -> Pieces | None:
        held = bucket.read(damaged)
        if held is None:
            return None
        members = _members(held, bucket.bits)
        if not len(members):
            return Pieces()
        name = f"piece-{bucket.number:05d}"
        return Pieces(tuple(write_pieces(members, np.empty(0, EDGE), self.folder, PIECE, name)))


def _members(held: Held, skipped: int) -> Records:
    """The rows of clusters, by root and node."""
    from dsm_dask.duplicates.key_kernels import group, grouped

    records = held.records()
    keys, least, _, sizes = group(records, skipped, piece_bits(len(records)))
    # the rows of the data are the smallest nodes
    wanted = np.flatnonzero((sizes > 1) & (tables_of(least) == 0))
    if not len(wanted):
        return np.empty(0, MEMBER)
    wanted = wanted[np.argsort(least[wanted])]
    number = np.full(len(least), -1, np.int64)
    number[wanted] = np.arange(len(wanted))
    starts = np.concatenate([[0], np.cumsum(sizes[wanted])])
    numbers, nodes = [number[keys]], [records["row"]]
    split = np.split(keys, np.cumsum(held.counts)[:-1])
    for file, table, share, own in zip(held.files, held.tables, held.shares, split, strict=True):
        first, rows = file.others(share)
        numbers.append(number[own[first]])
        nodes.append(nodes_of(rows, table))
    members = np.empty(starts[-1], MEMBER)
    members["node"] = grouped(np.concatenate(numbers), np.concatenate(nodes), starts)
    members["root"] = np.repeat(least[wanted], sizes[wanted])
    members["similarity"] = 1
    return members
