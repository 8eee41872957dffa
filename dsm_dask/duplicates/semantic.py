"""Near duplicates by meaning: rows of which the embeddings point almost the same way.

Workers deal the unit vectors of each partition to cells (:mod:`dsm_dask.duplicates.kmeans`), in
files that other tasks read a few cells of (:mod:`dsm_dask.duplicates.cell_files`); those find the
pairs in each cell whose cosine reaches the threshold (:mod:`dsm_dask.duplicates.near_vectors`) and
write them as edges. Equal vectors are linked with the first of them and compared once.

Every pair found is verified in float64. A pair is missed only when its border runs between more
than :data:`~dsm_dask.duplicates.kmeans.CELLS` cells, which is rare from a cosine of
:data:`COMPLETE`. The sample that cells are made from is chosen
by the hash of the values, and cells are computed in exact arithmetic: the same rows give the same
pairs, however the table is cut.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.alike import Pairs
from dsm_dask.duplicates.cell_files import RECORD, Cell, CellFile, encode, read_cells
from dsm_dask.duplicates.cells import Cells, centroids_at, file_name, make_cells, one_dimension
from dsm_dask.duplicates.edges import EDGE, EdgeFile, edges_of, nodes_of, write_edges
from dsm_dask.duplicates.embedding_column import Embedding
from dsm_dask.duplicates.embeddings import FunctionMap, HashedNgrams
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.unit_vectors import (
    LeftOut,
    UnitVectors,
    Vectors,
)
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.report.text import many
from dsm_dask.table import Partition, Table

THRESHOLD = 0.95
COMPLETE = 0.8
"""Cosine from which next to all pairs are found. Of 10,000 random directions in 64 dimensions with
planted pairs at cosines from 0.4 to 1, the share of the pairs of a threshold that end up in one
cluster: 99.8 % at 0.95, 98.5 % at 0.8, 96 % at 0.7, 92 % at 0.6, 85 % at 0.5."""
FILE_BYTES = 16 << 20
"""Vectors of a partition that are held until they are written as a file of cells: several times as
many bytes, as guests are written too."""


@dataclasses.dataclass(frozen=True)
class Semantic:
    """What semantic duplicates are: rows whose vectors have a cosine of ``threshold`` or more.

    The vectors are in column ``on``; or, with ``made_by``, are made on the way from what it holds
    (see :mod:`dsm_dask.duplicates.embeddings`).
    """

    on: str
    threshold: float = THRESHOLD
    made_by: HashedNgrams | FunctionMap | None = None

    name = "semantic"

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.on, self.made_by)

    def to_dict(self) -> dict[str, Any]:
        """As in JSON, and in the lineage of a commit."""
        made_by = None if self.made_by is None else self.made_by.to_dict()
        return {"threshold": self.threshold, "embed": made_by}

    def check(self, tables: Sequence[Table]) -> None:
        """Raise UsageError, UnknownColumn or SchemaError for what cannot be compared."""
        if not 0 < self.threshold <= 1:
            raise UsageError(
                f"A threshold of {self.threshold} is no cosine of near vectors.",
                valid="Above 0, up to 1.",
            )
        for table in tables:
            self.embedding.check(table)

    def pairs(self, tables: Sequence[Table], folder: str, *, engine: Engine) -> Pairs:
        """See :func:`semantic_pairs`."""
        found = semantic_pairs(tables, self.embedding, self.threshold, folder, engine=engine)
        left_out, notes = found.left_out, []
        if left_out.rows:
            have = "has" if left_out.rows == 1 else "have"
            notes.append(
                f"{many(left_out.rows, 'row')} {have} no direction (duplicates of nothing): "
                f"{left_out.null:,} null, {left_out.zero:,} all zeros, {left_out.not_finite:,} "
                "with NaN, infinity or null among the components."
            )
        if found.cells > 1 and self.threshold < COMPLETE:
            notes.append(
                f"Vectors were compared by cells, which find nearly all pairs of {COMPLETE:g} or "
                "more, and fewer the lower the threshold: some of those near it may be missing."
            )
        return Pairs(found.edges, found.rows, left_out.to_dict(), tuple(notes))


@dataclasses.dataclass(frozen=True)
class SemanticPairs:
    """The pairs of rows that are alike, as edges in the store."""

    edges: tuple[EdgeFile, ...]
    rows: int
    """Of table 0."""
    left_out: LeftOut
    """Rows that have no direction: no duplicates of anything."""
    cells: int


def semantic_pairs(
    tables: Sequence[Table],
    embedding: Embedding,
    threshold: float,
    folder: str,
    *,
    engine: Engine,
) -> SemanticPairs:
    """Pairs of rows of ``tables`` of which the embeddings have a cosine of ``threshold`` or more:
    a forest of them for each cell, written below ``folder``. Table 0 is the data.

    Raises SchemaError when vectors have different dimensions.
    """
    parts = [(number, part) for number, table in enumerate(tables) for part in table.partitions()]
    trained = make_cells(parts, embedding, folder, engine)
    writer = _WriteCells(embedding, threshold, folder, trained)
    written: list[_Written] = []
    for number, table in enumerate(tables):
        one = dataclasses.replace(writer, table=number)
        written += engine.map_partitions(one, table.partitions(), label="Dealing vectors to cells")
    one_dimension([(one.dimension, one.label) for one in written])
    files = [file for one in written for file in one.files]
    edges = [file for one in written for file in one.edges]
    if files:
        edges += _compare(files, trained, threshold, folder, engine)
    left_out = sum((one.left_out for one in written), LeftOut())
    rows = sum(one.rows for one in written if one.table == 0)
    return SemanticPairs(tuple(edges), rows, left_out, trained.cells)


def _compare(
    files: Sequence[CellFile], trained: Cells, threshold: float, folder: str, engine: Engine
) -> list[EdgeFile]:
    listed = storage.join(folder, "cells.dsm")
    storage.write(listed, codec.encode(tuple(dataclasses.astuple(file) for file in files)))
    work = [
        _Compare(listed, first, stop, threshold, folder)
        for first, stop in trained.groups(sum(file.rows * file.dimension * 4 for file in files))
    ]
    found = engine.map(_Compare.run, work, label="Comparing vectors")
    return [file for file in found if file is not None]


# ---------------------------------------------------------------------------------------------
# Cells


@dataclasses.dataclass(frozen=True)
class _Written:
    table: int
    rows: int
    files: tuple[CellFile, ...]
    edges: tuple[EdgeFile, ...]
    left_out: LeftOut
    dimension: int
    label: str


@dataclasses.dataclass(frozen=True)
class _WriteCells:
    """Deal the vectors of a partition to cells, and write them, a file every so many bytes."""

    embedding: Embedding
    threshold: float
    folder: str
    trained: Cells
    table: int = 0

    def __call__(self, partition: Partition) -> _Written:
        files: list[CellFile] = []
        edges: list[EdgeFile] = []
        left_out, dimension, rows = LeftOut(), self.trained.dimension, 0
        held: list[UnitVectors] = []

        def flush() -> None:
            if held:
                name = (
                    f"{self.table:03}-{file_name(partition, self.embedding.column)}-{len(files):04}"
                )
                file, repeated = self._write(held, name)
                files.append(file)
                edges.extend(repeated)
                held.clear()

        for found in self.embedding.read(partition, dimension):
            left_out += found.left_out
            rows += len(found.ids)
            if len(found.ids):
                dimension = found.vectors.shape[1]
                held.append(found)
            if sum(one.vectors.nbytes for one in held) > FILE_BYTES:
                flush()
        flush()
        return _Written(
            self.table, rows + left_out.rows, tuple(files), tuple(edges), left_out,
            dimension or 0, partition.label,
        )  # fmt: skip

    def _write(self, held: Sequence[UnitVectors], name: str) -> tuple[CellFile, list[EdgeFile]]:
        nodes = nodes_of(np.concatenate([one.ids for one in held]), self.table)
        hashes = np.concatenate([one.hashes for one in held])
        vectors = np.concatenate([one.vectors for one in held])
        order = np.lexsort((nodes, hashes[:, 1], hashes[:, 0]))
        is_first = first_of_runs(hashes[order, 0], hashes[order, 1])
        firsts = order[is_first]
        edges = []
        if len(firsts) < len(order):
            leaders = firsts[np.cumsum(is_first) - 1][~is_first]
            repeated = edges_of(nodes[leaders], nodes[order[~is_first]], 1.0)
            edges.append(write_edges(storage.join(self.folder, "edges", name), repeated))
        cells, counted, count = self._cells(vectors[firsts])
        rows, place = np.nonzero(counted)
        records = np.empty(len(rows), RECORD)
        records["node"], records["home"] = nodes[firsts][rows], place == 0
        records["high"], records["low"] = hashes[firsts][rows].T
        uri = storage.join(self.folder, "cells", name)
        storage.write(uri, encode(records, vectors[firsts], rows, cells[counted], count))
        return CellFile(uri, len(rows), vectors.shape[1], count), edges

    def _cells(self, vectors: Vectors) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_], int]:
        if self.trained.uri is None:
            shape = (len(vectors), 1)
            return np.zeros(shape, np.int32), np.ones(shape, np.bool_), 1
        from dsm_dask.duplicates.kmeans import cells_of

        centroids = centroids_at(self.trained.uri, storage.current_options())
        apart = math.sqrt(2 - 2 * self.threshold)
        return *cells_of(vectors, centroids, apart), self.trained.cells


# ---------------------------------------------------------------------------------------------
# Pairs


@dataclasses.dataclass(frozen=True)
class _Compare:
    """The pairs of some cells, as an object of edges; None when there are none."""

    listed: str
    first: int
    stop: int
    threshold: float
    folder: str

    def run(self) -> EdgeFile | None:
        files = [CellFile(*row) for row in codec.decode(storage.read(self.listed))]
        found = [np.empty(0, EDGE)]
        for cell in read_cells(files, self.first, self.stop):
            found += self._of(cell)
        edges = np.concatenate(found)
        if not len(edges):
            return None
        return write_edges(storage.join(self.folder, "edges", f"{self.first:06}"), edges)

    def _of(self, cell: Cell) -> list[npt.NDArray[Any]]:
        from dsm_dask.duplicates.near_vectors import near_pairs

        records = cell.records
        is_first = first_of_runs(records["high"], records["low"])
        firsts = np.flatnonzero(is_first)
        again = ~is_first & records["home"]
        leaders = firsts[np.cumsum(is_first) - 1][again]
        repeated = edges_of(records["node"][leaders], records["node"][again], 1.0)
        vectors = cell.vectors if is_first.all() else cell.vectors[firsts]
        left, right, cosine = near_pairs(vectors, records["home"][firsts], self.threshold)
        nodes = records["node"][firsts]
        return [repeated, edges_of(nodes[left], nodes[right], cosine.astype(np.float32))]
