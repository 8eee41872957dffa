"""Which piece a row is in: the way from a partition's rows to the pieces that hold them.

Pieces hold whole components, whose rows lie anywhere. A directory is the members of many pieces
sorted by node, with a mark every few thousand, so that a partition reads just the nodes between its
smallest and its largest row id.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.components import Piece
from dsm_dask.duplicates.edges import nodes_of
from dsm_dask.engine import Engine
from dsm_dask.table import ROW_ID, Partition

U64 = npt.NDArray[np.uint64]

ENTRY = np.dtype([("node", "<u8"), ("piece", "<u4")])
STEP = 4096
MEMBERS = 2_000_000
"""Members that one task sorts."""


@dataclasses.dataclass(frozen=True)
class Directory:
    """Where the sorted members are: an object that lists files and their marks."""

    listing: str
    pieces: int

    def rows_of(self, partition: Partition, table: int) -> tuple[U64, npt.NDArray[np.int64]]:
        """The nodes of a partition's rows that are members, ascending, and the piece of each."""
        batches = [batch.column(0).to_numpy() for batch in partition.read([ROW_ID])]
        rows = np.sort(np.concatenate([np.empty(0, np.uint64), *batches]))
        if not len(rows):
            return rows, np.empty(0, np.int64)
        nodes = nodes_of(rows, table)
        entries = self._between(int(nodes[0]), int(nodes[-1]))
        entries = entries[np.isin(entries["node"], nodes, assume_unique=True)]
        return entries["node"].copy(), entries["piece"].astype(np.int64)

    def _between(self, first: int, last: int) -> npt.NDArray[Any]:
        found = [np.empty(0, ENTRY)]
        for uri, count, marks in codec.decode(storage.read(self.listing)):
            begin = max(0, int(np.searchsorted(marks, np.uint64(first))) - 1) * STEP
            end = min(count, int(np.searchsorted(marks, np.uint64(last), "right")) * STEP)
            if begin < end:
                size = ENTRY.itemsize
                (data,) = storage.read_ranges(uri, [(begin * size, end * size)])
                entries = np.frombuffer(data, ENTRY)
                node = entries["node"]
                found.append(entries[(node >= np.uint64(first)) & (node <= np.uint64(last))])
        entries = np.concatenate(found)
        return entries[np.argsort(entries["node"])]


def all_members(piece: Piece) -> U64:
    """The nodes of a piece."""
    nodes: U64 = piece.read_members()["node"]
    return nodes


def directory(
    pieces: Sequence[Piece],
    folder: str,
    *,
    engine: Engine,
    members: Callable[[Piece], U64] = all_members,
) -> Directory:
    """Sort the members of all pieces by node, or some of them; pieces are numbered as they
    come."""
    work: list[_Sort] = []
    held = MEMBERS
    for number, piece in enumerate(pieces):
        if held + piece.members > MEMBERS:
            work.append(_Sort((), number, members, storage.join(folder, f"nodes-{len(work):05d}")))
            held = 0
        work[-1] = dataclasses.replace(work[-1], pieces=(*work[-1].pieces, piece))
        held += piece.members
    files = engine.map(_Sort.run, work, label="Sorting members")
    listing = storage.join(folder, "nodes.dsm")
    storage.write(listing, codec.encode(tuple(files)), durable=False)
    return Directory(listing, len(pieces))


@dataclasses.dataclass(frozen=True)
class _Sort:
    pieces: tuple[Piece, ...]
    first: int
    members: Callable[[Piece], U64]
    uri: str

    def run(self) -> tuple[str, int, U64]:
        from dsm_dask.stats.kernels import argsort

        held = [self.members(piece) for piece in self.pieces]
        sizes = [len(nodes) for nodes in held]
        entries = np.empty(sum(sizes), ENTRY)
        entries["node"] = np.concatenate(held)
        entries["piece"] = np.repeat(np.arange(len(held)) + self.first, sizes)
        entries = entries[argsort(entries["node"])]
        storage.write(self.uri, entries.tobytes(), durable=False)
        return self.uri, len(entries), entries["node"][::STEP].copy()
