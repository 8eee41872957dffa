"""Dealing: the vectors of a partition go to cells, at home in one and guests of others.

Homes go to :mod:`dsm_dask.duplicates.home_files`, which a dataset keeps, guests to
:mod:`dsm_dask.duplicates.cell_files`, which go away with the run. Vectors that repeat are held
once, and their rows linked with the first of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.duplicates import cell_files, home_files
from dsm_dask.duplicates.cell_files import CellFile
from dsm_dask.duplicates.cells import Cells, centroids_at
from dsm_dask.duplicates.edges import edges_of, nodes_of
from dsm_dask.duplicates.embedding_column import Embedding
from dsm_dask.duplicates.home_files import HomeFile
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.lasting_name import lasting_name
from dsm_dask.duplicates.summed_edges import SummedEdges, write_summed
from dsm_dask.duplicates.unit_vectors import LeftOut, UnitVectors, Vectors
from dsm_dask.table import ROW_ID, Partition

U64 = npt.NDArray[np.uint64]

FILE_BYTES = 16 << 20
"""Vectors of a partition that are held until they are written as a file of homes: several times as
many bytes, as guests are written too."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A partition's vectors, as they were dealt."""

    name: str
    """The same whichever of its rows were dropped."""
    seen: str
    """The partition's fingerprint when its pairs were found."""
    rows: int
    left_out: LeftOut
    dimension: int
    label: str
    homes: tuple[HomeFile, ...]

    @staticmethod
    def of(row: Sequence[Any]) -> Part:
        """The description that :func:`dataclasses.astuple` made ``row`` of."""
        name, seen, rows, left_out, dimension, label, homes = row
        files = tuple(HomeFile.of(file) for file in homes)
        return Part(name, seen, rows, LeftOut(*left_out), dimension, label, files)


@dataclasses.dataclass(frozen=True)
class Dealt:
    """What is known of a partition's vectors, and what of that is of this run only."""

    table: int
    part: Part
    guests: tuple[CellFile, ...] = ()
    copies: tuple[SummedEdges, ...] = ()
    """Edges between rows of equal vectors."""
    fresh: bool = True


@dataclasses.dataclass(frozen=True)
class Places:
    """Folders: for what the next run can use, and for what passes between tasks; and what the names
    of files begin with."""

    kept: str
    work: str
    run: str


@dataclasses.dataclass(frozen=True)
class Deal:
    """Deal the vectors of a partition to cells, and write them, a file every so many bytes. With
    ``wide`` there are others that are guests nowhere."""

    embedding: Embedding
    threshold: float
    cells: Cells
    places: Places
    table: int = 0
    wide: bool = False

    def __call__(self, partition: Partition) -> Dealt:
        name = lasting_name(partition, self.embedding.column)
        found: list[tuple[HomeFile, list[CellFile], list[SummedEdges]]] = []
        left_out, dimension, rows = LeftOut(), self.cells.dimension, 0
        held: list[UnitVectors] = []
        for some in self.embedding.read(partition, dimension):
            left_out += some.left_out
            rows += len(some.ids) + some.left_out.rows
            dimension = some.vectors.shape[1] or dimension
            held.append(some)
            if sum(one.vectors.nbytes for one in held) > FILE_BYTES:
                found.append(self._write(held, f"{self.table:03}-{name}-{len(found):04}"))
                held.clear()
        if rows and any(len(one.ids) or len(one.left) for one in held):
            found.append(self._write(held, f"{self.table:03}-{name}-{len(found):04}"))
        homes = tuple(homes for homes, _, _ in found)
        seen, label = partition.fingerprint, partition.label
        return Dealt(
            self.table,
            Part(name, seen, rows, left_out, dimension or 0, label, homes),
            tuple(file for _, guests, _ in found for file in guests),
            tuple(file for _, _, copies in found for file in copies),
        )  # fmt: skip

    def _write(
        self, held: Sequence[UnitVectors], name: str
    ) -> tuple[HomeFile, list[CellFile], list[SummedEdges]]:
        name = f"{self.places.run}-{name}"
        ids = np.concatenate([one.ids for one in held])
        hashes = np.concatenate([one.hashes for one in held])
        some = [one.vectors for one in held if len(one.ids)]
        vectors = np.concatenate(some) if some else np.empty((0, 1), np.float32)
        order = np.lexsort((ids, hashes[:, 1], hashes[:, 0]))
        is_first = first_of_runs(hashes[order, 0], hashes[order, 1])
        firsts = order[is_first]
        leaders = firsts[np.cumsum(is_first) - 1][~is_first]
        copies = np.stack([ids[leaders], ids[order[~is_first]]], axis=1)
        ids, hashes, vectors = ids[firsts], hashes[firsts], vectors[firsts]
        cells, counted = self._cells(vectors)
        left = np.concatenate([one.left for one in held])
        data, homes = home_files.encode(
            ids, hashes, vectors, cells[:, 0], self.cells.cells, copies, left
        )
        homes = dataclasses.replace(
            homes, uri=storage.join(self.places.kept, name + home_files.SUFFIX), table=self.table
        )
        storage.write(homes.uri, data, durable=False)
        return homes, self._guests(ids, hashes, vectors, cells, counted, name), self._copies(
            copies, name
        )  # fmt: skip

    def _cells(self, vectors: Vectors) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        if self.cells.uri is None or not len(vectors):
            shape = (len(vectors), 1)
            return np.zeros(shape, np.int32), np.ones(shape, np.bool_)
        from dsm_dask.duplicates.kmeans import CELLS, WIDE, cells_of

        centroids = centroids_at(self.cells.uri, storage.current_options())
        apart = math.sqrt(2 - 2 * self.threshold)
        if self.wide:
            return cells_of(vectors, centroids, 2 * apart, WIDE)
        return cells_of(vectors, centroids, apart, CELLS)

    def _guests(
        self, ids: U64, hashes: U64, vectors: Vectors, cells: npt.NDArray[np.int32],
        counted: npt.NDArray[np.bool_], name: str,
    ) -> list[CellFile]:  # fmt: skip
        rows, place = np.nonzero(counted[:, 1:])
        if not len(rows):
            return []
        records = np.zeros(len(rows), cell_files.RECORD)
        records["node"] = nodes_of(ids[rows], self.table)
        records["high"], records["low"] = hashes[rows].T
        count = self.cells.cells
        uri = storage.join(self.places.work, "cells", name)
        data = cell_files.encode(records, vectors, rows, cells[rows, place + 1], count)
        storage.write(uri, data, durable=False)
        return [CellFile(uri, len(rows), vectors.shape[1], count)]

    def _copies(self, copies: U64, name: str) -> list[SummedEdges]:
        if not len(copies):
            return []
        nodes = nodes_of(copies, self.table)
        uri = storage.join(self.places.kept, f"{name}.pairs")
        return [write_summed(uri, edges_of(nodes[:, 0], nodes[:, 1], 1.0))]


@dataclasses.dataclass(frozen=True)
class Trim:
    """A part of which rows were dropped since its pairs were found: they take no part. Which ones
    goes to ``folder``."""

    part: Part
    partition: Partition
    table: int
    folder: str

    def run(self) -> Dealt | None:
        """None when there is a row that was gone then: its pairs are not known."""
        batches = [batch.column(0).to_numpy() for batch in self.partition.read([ROW_ID])]
        live = np.concatenate([np.empty(0, np.uint64), *batches])
        homes, left, known = [], [np.empty((0, 2), np.uint64)], 0
        for file in self.part.homes:
            if file.gone is not None and np.isin(file.gone.read()[0], live).any():
                return None
            name = storage.name(file.uri).removesuffix(home_files.SUFFIX)
            uri = storage.join(self.folder, f"{name}-{self.partition.fingerprint}.gone")
            told, others, count = file.without(live, uri)
            known += count
            homes.append(dataclasses.replace(told, table=self.table))
            left.append(others)
        if known < len(live):  # rows were gone already when it was dealt
            return None
        part = dataclasses.replace(
            self.part, seen=self.partition.fingerprint, rows=len(live), homes=tuple(homes),
            left_out=LeftOut.of(np.concatenate(left)),
        )  # fmt: skip
        return Dealt(self.table, part, fresh=False)
