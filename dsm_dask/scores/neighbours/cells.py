"""Vectors dealt to cells, with the labels of their rows: what neighbours are looked for in.

As in semantic deduplication (:mod:`dsm_dask.duplicates.semantic`), each worker writes the unit
vectors of a partition to a file that is sorted by cell (:mod:`dsm_dask.duplicates.cell_files`). A
vector is at home in the cell of the nearest centroid, and a guest of those that are hardly farther,
so that a row whose own home they are finds it there. This is the closure of Chen et al. ("SPANN:
Highly-efficient billion-scale approximate nearest neighbor search", NeurIPS 2021).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec, storage
from dsm_dask.duplicates.cell_files import RECORD, CellFile, encode
from dsm_dask.duplicates.cells import (
    SAMPLE_BYTES,
    Cells,
    centroids_at,
    file_name,
    make_cells,
    quantiles_of,
)
from dsm_dask.duplicates.embedding_column import Embedding
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.unit_vectors import LeftOut, UnitVectors, Vectors, unit_vectors
from dsm_dask.engine import Engine
from dsm_dask.scores.labels import Class, codes_of
from dsm_dask.table import ROW_ID, Partition, Table

CELLS = 8
"""A vector is in so many cells at most: at home in one, a guest of others."""
FARTHER = 0.3
"""It is a guest of cells of which the centroid is farther than that of its home by this share at
most."""
FILE_BYTES = 8 << 20
"""Vectors of a partition that are held until they are written as a file of cells: several times as
many bytes, as guests are written too."""


def clusters_for(rows: int) -> int:
    """How many cells there are: their rows are also the clusters that ambiguity is told of.

    >>> clusters_for(1_000), clusters_for(200_000)
    (22, 632)
    """
    from dsm_dask.duplicates.kmeans import SMALLEST, cells_for

    return max(1, math.isqrt(rows // 2)) if rows < SMALLEST else cells_for(rows)


def neighbour_cells(
    table: Table, embedding: Embedding, neighbours: int, folder: str, engine: Engine
) -> Cells:
    """Cells for the vectors of a table, their centroids written below ``folder``: none that would
    be home to fewer rows than ``neighbours + 1`` or so, for a row that is alone in its cell, as one
    far from all others is apt to be, would have no neighbour."""
    from dsm_dask.duplicates.kmeans import BY_CELL

    parts = table.partitions()
    rows = sum(part.rows for part in parts)
    asked = clusters_for(rows)
    made = make_cells([(0, part) for part in parts], embedding, folder, engine, asked)
    if made.uri is None or made.dimension is None:
        return made
    sampled = min(BY_CELL * asked, SAMPLE_BYTES // (4 * made.dimension), rows)
    least = max((neighbours + 1) / rows, 2 / sampled)
    (found,) = engine.map(_Thin.run, [_Thin(made, least, folder)], label="Making cells")
    return found


@dataclasses.dataclass(frozen=True)
class _Thin:
    """Leave out the centroids that are home to less than some share of the sample."""

    made: Cells
    least: float
    folder: str

    def run(self) -> Cells:
        from dsm_dask.duplicates.kmeans import Centroids

        known = codec.decode(storage.read(str(self.made.uri)))
        kept = np.flatnonzero(known.shares >= self.least * (1 - 1e-9))
        if not len(kept):
            kept = np.array([int(np.argmax(known.shares))])
        shares = known.shares[kept] / known.shares[kept].sum()
        uri = storage.join(self.folder, "cells-kept.dsm")
        storage.write(uri, codec.encode(Centroids(known.points[kept], shares)))
        return Cells(uri, len(kept), known.dimension, quantiles_of(shares))


@dataclasses.dataclass(frozen=True)
class Dealt:
    """What a partition left."""

    files: tuple[CellFile, ...]
    left_out: LeftOut
    dimension: int
    rows: int
    """Rows that have a vector; ``first`` and ``last`` are their least and greatest ids."""
    first: int
    last: int
    label: str


@dataclasses.dataclass(frozen=True)
class Deal:
    """Deal the vectors of a partition to cells, and write them, a file every so many bytes."""

    embedding: Embedding
    label: str | None
    classes: tuple[Class, ...]
    folder: str
    trained: Cells
    guests: bool
    copies: int
    """Of equal vectors, so many are guests at most: no row has more neighbours."""

    def __call__(self, partition: Partition) -> Dealt:
        files: list[CellFile] = []
        left_out, dimension = LeftOut(), self.trained.dimension or 0
        held: list[tuple[UnitVectors, npt.NDArray[np.int32]]] = []
        spans: list[tuple[int, int, int]] = []

        def flush() -> None:
            if held:
                files.append(self._write(held, f"{file_name(partition, self._name)}-{len(files)}"))
                held.clear()

        for found, labels in self._read(partition):
            left_out += found.left_out
            if not len(found.ids):
                continue
            dimension = found.vectors.shape[1]
            spans.append((int(found.ids.min()), int(found.ids.max()), len(found.ids)))
            held.append((found, labels))
            if sum(one.vectors.nbytes for one, _ in held) > FILE_BYTES:
                flush()
        flush()
        return Dealt(
            tuple(files), left_out, dimension, sum(rows for *_, rows in spans),
            min((first for first, _, _ in spans), default=0),
            max((last for _, last, _ in spans), default=0), partition.label,
        )  # fmt: skip

    @property
    def _name(self) -> str:
        return self.embedding.column

    def _read(self, partition: Partition) -> Iterator[tuple[UnitVectors, npt.NDArray[np.int32]]]:
        columns = dict.fromkeys([self._name, *([self.label] if self.label else []), ROW_ID])
        dimension = self.trained.dimension
        for batch in partition.read(list(columns)):
            ids = batch.column(ROW_ID).to_numpy()
            found = unit_vectors(
                self._vectors(batch), ids, dimension=dimension, where=partition.label
            )
            dimension = found.vectors.shape[1] or dimension
            order = np.argsort(ids, kind="stable")
            rows = order[np.searchsorted(ids, found.ids, sorter=order)]
            yield found, self._labels(batch)[rows]

    def _vectors(self, batch: pa.RecordBatch) -> pa.Array:
        made_by = self.embedding.made_by
        if made_by is None:
            return batch.column(self._name)
        return made_by.apply(batch.select([self._name])).column(0)

    def _labels(self, batch: pa.RecordBatch) -> npt.NDArray[np.int32]:
        if self.label is None:
            return np.full(batch.num_rows, -1, np.int32)
        return codes_of(batch, self.label, self.classes)

    def _write(
        self, held: Sequence[tuple[UnitVectors, npt.NDArray[np.int32]]], name: str
    ) -> CellFile:
        ids = np.concatenate([one.ids for one, _ in held])
        hashes = np.concatenate([one.hashes for one, _ in held])
        vectors = np.concatenate([one.vectors for one, _ in held])
        labels = np.concatenate([two for _, two in held])
        cells, counted, count = self._cells(vectors)
        counted[:, 1:] &= (_rank_among_equals(ids, hashes) < self.copies)[:, None]
        rows, place = np.nonzero(counted)
        records = np.zeros(len(rows), RECORD)
        records["node"], records["home"], records["label"] = ids[rows], place == 0, labels[rows]
        records["high"], records["low"] = hashes[rows].T
        uri = storage.join(self.folder, "cells", name)
        storage.write(uri, encode(records, vectors, rows, cells[counted], count), durable=False)
        return CellFile(uri, len(rows), vectors.shape[1], count)

    def _cells(self, vectors: Vectors) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_], int]:
        if self.trained.uri is None:
            shape = (len(vectors), 1)
            return np.zeros(shape, np.int32), np.ones(shape, np.bool_), 1
        centroids = centroids_at(self.trained.uri, storage.current_options())
        most = min(CELLS if self.guests else 1, self.trained.cells)
        return *near_cells(vectors, centroids.points, most), self.trained.cells


def near_cells(
    vectors: Vectors, centres: Vectors, most: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """The ``most`` nearest cells of each unit vector, home first: int32 of shape (rows, most); and
    which of them count. ``centres`` are as :class:`dsm_dask.duplicates.kmeans.Centroids` has them.
    """
    from dsm_dask.duplicates.kmeans import nearest, rounded

    points = rounded(vectors)
    found = nearest(points, centres, most)
    counted = np.zeros(found.shape, np.bool_)
    counted[:, 0] = True
    lengths = np.sqrt(np.einsum("ij,ij->i", centres, centres, dtype=np.float64))
    norms = np.sqrt(np.einsum("ij,ij->i", points, points, dtype=np.float64))
    limit = np.empty(0)
    for place in range(most):
        centre = centres[found[:, place]]
        cosine = np.einsum("ij,ij->i", points, centre, dtype=np.float64)
        cosine /= np.maximum(norms * lengths[found[:, place]], 1)
        apart = 2 - 2 * cosine  # the square of the distance on the sphere
        if place == 0:
            limit = (1 + FARTHER) ** 2 * apart
        else:
            counted[:, place] = apart <= limit
    return found, counted


def _rank_among_equals(
    ids: npt.NDArray[np.uint64], hashes: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """How many rows of the same vector have a smaller id."""
    order = np.lexsort((ids, hashes[:, 1], hashes[:, 0]))
    is_first = first_of_runs(hashes[order, 0], hashes[order, 1])
    starts = np.flatnonzero(is_first)
    found = np.empty(len(ids), np.int64)
    found[order] = np.arange(len(ids)) - starts[np.cumsum(is_first) - 1]
    return found
