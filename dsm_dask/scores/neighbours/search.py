"""The nearest rows of each row, and what they say of it.

A task takes some cells. Blocked matrix products in float32 find, for each distinct vector, the
:data:`SPARE` + k nearest distinct vectors of its cell; distances in float64 put them in order. Of
equal vectors every row is a neighbour of its own, and no row is a neighbour of itself. Neighbours
that are equally far come in the order of their vectors' hashes, then of their row ids. A cell does
not depend on how the table was cut, and nor does anything found in it.

Of the neighbours' labels each counts ``exp(-d / d_k)``: ``d`` is its distance, ``d_k`` that of the
farthest of the k, which is the local scale of Zelnik-Manor and Perona ("Self-tuning spectral
clustering", NeurIPS 2004).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.cell_files import CellFile, read_cells
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.unit_vectors import Vectors
from dsm_dask.scores.neighbours.files import FOUND, histogram, write_found

SPARE = 16
"""Candidates looked at more closely than asked for: float32 may put those of a distance within
about 1e-6 in another order."""
BLOCK = 1024
WIDTH = 4096
"""Rows of the sides of a product: 16 MB of cosines."""

Ints = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Searched:
    """Where a task left what it found; None when its cells are nobody's home."""

    uri: str | None
    histogram: str = ""
    rows: int = 0


@dataclasses.dataclass(frozen=True)
class Search:
    """What the neighbours of the rows at home in cells ``first`` to ``stop`` say."""

    listed: str
    starts: str
    folder: str
    neighbours: int
    classes: int
    everywhere: bool
    """Neighbours are looked for in all cells, rather than in the row's own."""
    cells: int
    first: int
    stop: int

    def run(self) -> Searched:
        files = [CellFile(*row) for row in codec.decode(storage.read(self.listed))]
        found = [one for one in self._all(files) if len(one)]
        if not found:
            return Searched(None)
        told = np.concatenate(found)
        uri = storage.join(self.folder, "found", f"{self.first:06}")
        write_found(uri, told, codec.decode(storage.read(self.starts)))
        counted = storage.join(self.folder, "histograms", f"{self.first:06}")
        counts = codec.encode(histogram(told["distance"]))
        storage.write(counted, counts, durable=False)
        return Searched(uri, counted, len(told))

    def _all(self, files: list[CellFile]) -> Iterator[npt.NDArray[Any]]:
        if not self.everywhere:
            for cell in read_cells(files, self.first, self.stop):
                yield self._of(cell.records, cell.vectors, 0, [len(cell.records)])
            return
        first = sum(int(np.ptp(file.index(0, self.first))) for file in files)
        sizes = [len(cell.records) for cell in read_cells(files, self.first, self.stop)]
        parts = list(read_cells(files, 0, self.cells))
        records = np.concatenate([cell.records for cell in parts])
        yield self._of(records, np.concatenate([cell.vectors for cell in parts]), first, sizes)

    def _of(
        self, records: npt.NDArray[Any], vectors: Vectors, first: int, sizes: list[int]
    ) -> npt.NDArray[Any]:
        """Of the rows from ``first`` that are at home: they are clusters of these sizes."""
        found = np.zeros(len(records), FOUND)
        found["row"] = records["node"]
        asked = slice(first, first + sum(sizes))
        neighbours_of(records, vectors, asked, self.neighbours, found)
        home = records["home"]
        for size in sizes:
            cluster = slice(first, first + size)
            labels = records["label"][cluster][home[cluster]]
            found["entropy"][cluster] = label_entropy(labels, self.classes)
            first += size
        told: npt.NDArray[Any] = found[asked][home[asked]]
        return told


def neighbours_of(
    records: npt.NDArray[Any],
    vectors: Vectors,
    asked: slice,
    neighbours: int,
    found: npt.NDArray[Any],
) -> None:
    """Fill in ``found``, a record for each of ``records``, for those that are ``asked`` for and at
    home. ``records`` and ``vectors`` are as :class:`dsm_dask.duplicates.cell_files.Cell` has
    them."""
    from dsm_dask.scores.neighbours import kernels

    vectors = np.asarray(vectors)  # one in a file, too
    is_first = first_of_runs(records["high"], records["low"])
    starts = np.flatnonzero(is_first)
    stops = np.append(starts[1:], len(records))
    listed = np.minimum(stops, starts + neighbours + 1)
    labels = records["label"].astype(np.int64)
    wanted = records["home"][starts] & (starts >= asked.start) & (starts < asked.stop)
    homes = np.flatnonzero(wanted)
    for start in range(0, len(homes), BLOCK):
        queries = homes[start : start + BLOCK]
        where = _candidates(vectors, starts, queries, neighbours + 1 + SPARE)
        apart = kernels.distances(vectors, starts, queries, where)
        order = np.lexsort((where, apart))
        where, apart = np.take_along_axis(where, order, 1), np.take_along_axis(apart, order, 1)
        kernels.tell(queries, where, apart, starts, stops, listed, labels, neighbours, found)


def _candidates(vectors: Vectors, starts: Ints, queries: Ints, count: int) -> Ints:
    """The nearest of the distinct vectors, which are at ``starts``, of some of them, themselves
    included: int64 of shape (queries, count), -1 where there are fewer."""
    from dsm_dask.scores.neighbours import kernels

    best = np.full((len(queries), count), -np.inf, np.float32)
    where = np.full(best.shape, -1, np.int64)
    asked = vectors[starts[queries]]
    for start in range(0, len(starts), WIDTH):
        scores = asked @ vectors[starts[start : start + WIDTH]].T
        kernels.keep_largest(scores, start, best, where)
    return where


def label_entropy(labels: npt.NDArray[np.int32], classes: int) -> float:
    """How mixed labels are: ``-sum p log p / log classes``, 0 when all are the same and 1 when
    every class has the same share; -1 is no label. NaN without any, or with a single class.

    >>> label_entropy(np.array([0, 1, 1, 0, -1], np.int32), 2)
    1.0
    """
    counts = np.bincount(labels[labels >= 0])
    if not counts.sum() or classes < 2:
        return float("nan")
    shares = counts[counts > 0] / counts.sum()
    return abs(float(-(shares * np.log(shares)).sum() / np.log(classes)))
