"""Cell files: the shuffle of semantic deduplication, through the store.

One object holds some vectors of a partition, sorted by cell, with an index, so that a task reads
its cells from every file by two byte ranges. Vectors that repeat are written once.

Layout, little-endian: magic, rows, dimension, cells (u64 each); an index of cells + 1 u64; then a
record a row (node, hash, whether this is its home, label: 29 bytes), and its vector (float32 each).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.duplicates.mapped import mapped
from dsm_dask.duplicates.shares import READERS, side_by_side
from dsm_dask.duplicates.unit_vectors import Vectors

MAGIC = int.from_bytes(b"dsmcell1", "little")
HEADER = 4 * 8
RECORD = np.dtype(
    [("node", "<u8"), ("high", "<u8"), ("low", "<u8"), ("home", "?"), ("label", "<i4")]
)
"""``label`` is a number for those who compare labels, too."""
IN_MEMORY = 128 << 20
"""Bytes of vectors read together; those of a larger cell are kept in a temporary file."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """The rows of a cell, sorted by hash and node, and a vector for each."""

    records: npt.NDArray[Any]
    vectors: Vectors
    files: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))
    """The number of the file that each is from."""


class ByCell(Protocol):
    """A file that holds vectors by cell."""

    @property
    def dimension(self) -> int: ...

    def index(self, first: int, stop: int) -> npt.NDArray[np.int64]:
        """Where cells ``first`` to ``stop`` begin: ``stop - first + 1`` numbers."""
        ...

    def read(self, start: int, stop: int) -> tuple[npt.NDArray[Any], Vectors]:
        """Records and vectors of rows in the file's order."""
        ...


def encode(
    records: npt.NDArray[Any],
    vectors: Vectors,
    rows: npt.NDArray[np.int64],
    cells: npt.NDArray[np.int32],
    count: int,
) -> bytes:
    """The bytes of a file: record ``i`` is of vector ``rows[i]`` in cell ``cells[i]`` of
    ``count``."""
    order = np.argsort(cells, kind="stable")
    index = np.searchsorted(cells[order], np.arange(count + 1)).astype("<u8")
    header = np.array([MAGIC, len(records), vectors.shape[1], count], "<u8")
    arranged = (header, index, records[order], vectors[rows[order]])
    return b"".join([part.data.cast("B") if part.size else b"" for part in arranged])


@dataclasses.dataclass(frozen=True)
class CellFile:
    """Where the vectors of some rows are, and how many."""

    uri: str
    rows: int
    dimension: int
    cells: int

    def index(self, first: int, stop: int) -> npt.NDArray[np.int64]:
        """Where cells ``first`` to ``stop`` begin: ``stop - first + 1`` numbers."""
        (raw,) = storage.read_ranges(self.uri, [(HEADER + first * 8, HEADER + (stop + 1) * 8)])
        return np.frombuffer(raw, "<u8").astype(np.int64)

    def read(self, start: int, stop: int) -> tuple[npt.NDArray[Any], Vectors]:
        """Records and vectors of rows in the file's order."""
        records_at = HEADER + (self.cells + 1) * 8
        vectors_at = records_at + self.rows * RECORD.itemsize
        width = self.dimension * 4
        spans = ((records_at, RECORD.itemsize), (vectors_at, width))
        ranges = [(at + start * size, at + stop * size) for at, size in spans]
        records, vectors = storage.read_ranges(self.uri, ranges)
        shape = (stop - start, self.dimension)
        return np.frombuffer(records, RECORD), np.frombuffer(vectors, "<f4").reshape(shape)


def read_cells(files: Sequence[ByCell], first: int, stop: int) -> Iterator[Cell]:
    """Cells ``first`` to ``stop`` that hold any rows, as many at once as fit in memory."""
    index = np.array(side_by_side(lambda file: file.index(first, stop), files))
    yield from _between(files, index, 0, stop - first)


def _between(
    files: Sequence[ByCell], index: npt.NDArray[np.int64], first: int, stop: int
) -> Iterator[Cell]:
    rows = int((index[:, stop] - index[:, first]).sum())
    if not rows:
        return
    if stop - first > 1 and rows * files[0].dimension * 4 > IN_MEMORY:
        middle = (first + stop) // 2
        yield from _between(files, index, first, middle)
        yield from _between(files, index, middle, stop)
        return
    index = index[:, first : stop + 1]
    records, vectors = _read(files, index[:, 0], index[:, -1], rows)
    cells = np.concatenate([np.repeat(np.arange(stop - first), np.diff(one)) for one in index])
    order = np.lexsort((records["node"], records["low"], records["high"], cells))
    records, vectors = records[order], _ordered(vectors, order)
    numbers = np.repeat(np.arange(len(files)), index[:, -1] - index[:, 0])[order]
    edges = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=stop - first))])
    for start, end in pairwise(edges.tolist()):
        if end > start:
            yield Cell(records[start:end], vectors[start:end], numbers[start:end])


def _read(
    files: Sequence[ByCell], starts: npt.NDArray[Any], stops: npt.NDArray[Any], rows: int
) -> tuple[npt.NDArray[Any], Vectors]:
    """Rows of several files, one file's after the other's."""
    records, vectors = np.empty(rows, RECORD), _room(rows, files[0].dimension)
    ends = np.cumsum(stops - starts)

    def read(number: int) -> None:
        file, at = files[number], int(ends[number] - stops[number] + starts[number])
        step = max(1, IN_MEMORY // (4 * READERS * file.dimension))
        for start in range(int(starts[number]), int(stops[number]), step):
            stop = min(start + step, int(stops[number]))
            place = slice(at, at + stop - start)
            records[place], vectors[place] = file.read(start, stop)
            at += stop - start

    side_by_side(read, range(len(files)))
    return records, vectors


def _room(rows: int, dimension: int) -> Vectors:
    if rows * dimension * 4 <= IN_MEMORY:
        return np.empty((rows, dimension), np.float32)
    return mapped((rows, dimension), np.float32)


def _ordered(vectors: Vectors, order: npt.NDArray[np.int64]) -> Vectors:
    made = _room(*vectors.shape)
    step = max(1, IN_MEMORY // (8 * vectors.shape[1]))
    for start in range(0, len(order), step):
        made[start : start + step] = vectors[order[start : start + step]]
    return made
