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
import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.dataset.version import Dataset
from dsm_dask.duplicates.alike import Pairs
from dsm_dask.duplicates.cell_files import ByCell, Cell, CellFile, read_cells
from dsm_dask.duplicates.cells import Cells, make_cells, one_dimension
from dsm_dask.duplicates.damage import TRIES, gave_up, read_or_name
from dsm_dask.duplicates.dealing import Deal, Dealt, Places
from dsm_dask.duplicates.edges import EDGE, EdgeFile, edges_of
from dsm_dask.duplicates.embedding_column import Embedding
from dsm_dask.duplicates.embeddings import FunctionMap, HashedNgrams
from dsm_dask.duplicates.home_files import GONE, HomeFile
from dsm_dask.duplicates.indexes import describe
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.lasting_name import lasting_name
from dsm_dask.duplicates.result import IndexUse
from dsm_dask.duplicates.semantic_index import (
    Known,
    Recall,
    SemanticIndex,
    forget,
    keep_centres,
    load,
    may_write,
    save,
)
from dsm_dask.duplicates.summed_edges import SummedEdges, write_summed
from dsm_dask.duplicates.unit_vectors import LeftOut
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.report.text import many
from dsm_dask.table import Table

THRESHOLD = 0.95
COMPLETE = 0.8
"""Cosine from which next to all pairs are found. Of 10,000 random directions in 64 dimensions with
planted pairs at cosines from 0.4 to 1, the share of the pairs of a threshold that end up in one
cluster: 99.8 % at 0.95, 98.5 % at 0.8, 96 % at 0.7, 92 % at 0.6, 85 % at 0.5."""


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

    @property
    def index(self) -> str:
        """What the index for this is called."""
        made_by = None if self.made_by is None else self.made_by.to_dict()
        text = repr((1, self.on, made_by, self.threshold)).encode()
        return f"semantic-{self.threshold:g}-{hashlib.blake2b(text, digest_size=6).hexdigest()}"

    def pairs(
        self, tables: Sequence[Table], folder: str, *, engine: Engine, keep: bool = False
    ) -> Pairs:
        """See :func:`semantic_pairs`."""
        found = semantic_pairs(
            tables, self.embedding, self.threshold, folder, engine=engine, index=self.index,
            keep=keep,
        )  # fmt: skip
        if keep and found.index is not None and len(tables) == 1:
            home = storage.join(tables[0].uri, "_dsm", "index", self.index)
            describe(home, {"method": "semantic", "on": self.on, **self.to_dict()})
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
        return Pairs(found.edges, found.rows, left_out.to_dict(), tuple(notes), found.index)


@dataclasses.dataclass(frozen=True)
class SemanticPairs:
    """The pairs of rows that are alike, as edges in the store."""

    edges: tuple[EdgeFile, ...]
    rows: int
    """Of table 0."""
    left_out: LeftOut
    """Rows that have no direction: no duplicates of anything."""
    cells: int
    index: IndexUse | None = None
    """What an index was of use, where there is one."""


def semantic_pairs(
    tables: Sequence[Table],
    embedding: Embedding,
    threshold: float,
    folder: str,
    *,
    engine: Engine,
    index: str | None = None,
    keep: bool = False,
) -> SemanticPairs:
    """Pairs of rows of ``tables`` of which the embeddings have a cosine of ``threshold`` or more:
    a forest of them for each cell, written below ``folder``. Table 0 is the data.

    ``index`` is the name of an index beside datasets among the tables: the one of most use is used,
    and with ``keep`` that of the data is brought up to date, when it is the only table.

    Raises SchemaError when vectors have different dimensions.
    """
    folders = {
        number: storage.join(table.uri, "_dsm", "index", index)
        for number, table in enumerate(tables)
        if index is not None and isinstance(table, Dataset)
    }
    keep = keep and len(tables) == 1 and 0 in folders
    damaged: tuple[str, ...] = ()
    for number in range(TRIES):
        search = _Search(
            tables, embedding, threshold, storage.join(folder, str(number)), engine, folders, keep,
            uuid.uuid4().hex,
        )  # fmt: skip
        found = search.run()
        if isinstance(found, SemanticPairs):
            return found
        damaged = found
        if keep:
            forget(folders[0])
        else:
            folders = {}
    raise gave_up(damaged)


@dataclasses.dataclass(frozen=True)
class _Search:
    """One search for pairs."""

    tables: Sequence[Table]
    embedding: Embedding
    threshold: float
    folder: str
    engine: Engine
    folders: dict[int, str]
    """Where the index of a table is, by its number."""
    keep: bool
    run_id: str

    def run(self) -> SemanticPairs | tuple[str, ...]:
        """What was found, or the files of the index that turned out to be damaged."""
        mark = self.engine.mark()
        known = self._known()
        cells, made_of = self._cells(known)
        keep = self.keep and cells.uri is not None and may_write(self.folders[0], self.run_id)
        kept = self.folders[0] if keep else storage.join(self.folder, "kept")
        dealt = self._dealt(cells, known, Places(kept, self.folder, self.run_id))
        one_dimension([(one.part.dimension, one.part.label) for one in dealt])
        edges = [] if known is None else list(known.edges)
        edges += [file for one in dealt for file in one.copies]
        found, damaged = self._compare(dealt, cells, kept)
        if damaged:
            return damaged
        edges += found
        if keep and not mark.skipped:
            self._save(cells, known, made_of, dealt, edges)
        left_out = sum((one.part.left_out for one in dealt), LeftOut())
        rows = sum(one.part.rows for one in dealt if one.table == 0)
        return SemanticPairs(
            tuple(EdgeFile(file.uri, file.edges) for file in edges), rows, left_out, cells.cells,
            _use(dealt) if keep or known is not None else None,
        )  # fmt: skip

    @property
    def _rows(self) -> int:
        return sum(part.rows for table in self.tables for part in table.partitions())

    def _known(self) -> Known | None:
        """What the index of some table knows: that of the one with most rows."""
        recalls = []
        for number, folder in self.folders.items():
            index, partitions = load(folder), self.tables[number].partitions()
            if index is not None:
                kept = folder if self.keep else storage.join(self.folder, "kept")
                recall = Recall(index, number, self.embedding.column, kept, self.folder)
                if recall.fits(partitions, self._rows):
                    recalls.append((sum(part.rows for part in partitions), -number, recall))
        if not recalls:
            return None
        _, number, recall = max(recalls, key=lambda one: one[:2])
        return recall.run(self.tables[-number].partitions(), self.engine)

    def _cells(self, known: Known | None) -> tuple[Cells, int]:
        """The cells, and how many rows they were made of."""
        if known is not None:
            return known.index.cells, known.index.made_of
        parts = [
            (number, part)
            for number, table in enumerate(self.tables)
            for part in table.partitions()
        ]
        return make_cells(parts, self.embedding, self.folder, self.engine), self._rows

    def _dealt(self, cells: Cells, known: Known | None, places: Places) -> list[Dealt]:
        deal = Deal(
            self.embedding, self.threshold, cells, places, wide=known is not None
        )  # fmt: skip
        dealt = [] if known is None else list(known.dealt)
        for number, table in enumerate(self.tables):
            parts = table.partitions()
            if known is not None and number == known.table:
                column = self.embedding.column
                parts = [one for one in parts if lasting_name(one, column) not in known.names]
            one = dataclasses.replace(deal, table=number)
            dealt += self.engine.map_partitions(one, parts, label="Dealing vectors to cells")
        return dealt

    def _compare(
        self, dealt: Sequence[Dealt], cells: Cells, kept: str
    ) -> tuple[list[SummedEdges], tuple[str, ...]]:
        """Pairs of which one row is fresh; and files that turned out to be damaged."""
        homes = [
            (one.fresh, file) for one in dealt for file in one.part.homes if file.rows
        ]  # fmt: skip
        guests = [file for one in dealt for file in one.guests]
        if not any(fresh for fresh, _ in homes):
            return [], ()
        listed = storage.join(self.folder, "cells.dsm")
        rows = ([(fresh, dataclasses.astuple(file)) for fresh, file in homes],
                [dataclasses.astuple(file) for file in guests])  # fmt: skip
        storage.write(listed, codec.encode(rows), durable=False)
        size = sum(4 * file.rows * file.dimension for _, file in homes)
        size += sum(4 * file.rows * file.dimension for file in guests)
        work = [
            _Compare(listed, first, stop, self.threshold, kept, self.run_id)
            for first, stop in cells.groups(size)
        ]
        found = self.engine.map(_Compare.run, work, label="Comparing vectors")
        edges = [file for file, _ in found if file is not None]
        return edges, tuple(uri for _, damaged in found for uri in damaged)

    def _save(
        self, cells: Cells, known: Known | None, made_of: int, dealt: Sequence[Dealt],
        edges: Sequence[SummedEdges],
    ) -> None:  # fmt: skip
        folder = self.folders[0]
        if known is None:
            cells, xxh3 = keep_centres(cells, folder, self.run_id, self.engine)
        else:
            xxh3 = known.index.centres_xxh3
        parts = tuple(one.part for one in dealt)
        save(folder, SemanticIndex(cells, xxh3, made_of, parts, tuple(edges)))


def _use(dealt: Sequence[Dealt]) -> IndexUse:
    homes = [(one.fresh, file) for one in dealt for file in one.part.homes]
    return IndexUse(
        len(homes),
        sum(fresh for fresh, _ in homes),
        sum(file.size for _, file in homes),
        sum(one.part.rows for one in dealt if one.fresh),
    )


@dataclasses.dataclass(frozen=True)
class _Compare:
    """The pairs of some cells of which one row is fresh, as an object of edges; None when there are
    none. And files that are damaged."""

    listed: str
    first: int
    stop: int
    threshold: float
    folder: str
    run_id: str

    def run(self) -> tuple[SummedEdges | None, tuple[str, ...]]:
        homes, guests = codec.decode(storage.read(self.listed))
        files: list[ByCell] = [HomeFile.of(row) for _, row in homes]
        files += [CellFile(*row) for row in guests]
        fresh = np.array([*(one for one, _ in homes), *(True for _ in guests)], np.bool_)
        damaged: list[str] = []
        found = read_or_name(lambda: self._edges(files, fresh), damaged)
        if found is None or not len(found):
            return None, tuple(damaged)
        uri = storage.join(self.folder, f"{self.run_id}-{self.first:06}.pairs")
        return write_summed(uri, found), ()

    def _edges(self, files: Sequence[ByCell], fresh: npt.NDArray[np.bool_]) -> npt.NDArray[np.void]:
        found = [np.empty(0, EDGE)]
        for cell in read_cells(files, self.first, self.stop):
            found += self._of(cell, fresh[cell.files])
        return np.concatenate(found)

    def _of(self, cell: Cell, fresh: npt.NDArray[np.bool_]) -> list[npt.NDArray[Any]]:
        from dsm_dask.duplicates.near_vectors import near_pairs

        there = np.flatnonzero(cell.records["node"] != GONE)
        records, fresh = cell.records[there], fresh[there]
        is_first = first_of_runs(records["high"], records["low"])
        firsts = np.flatnonzero(is_first)
        if not fresh.any():
            return []
        again = ~is_first & records["home"]
        leaders = firsts[np.cumsum(is_first) - 1][again]
        repeated = edges_of(records["node"][leaders], records["node"][again], 1.0)
        whole = len(firsts) == len(cell.records)
        vectors = cell.vectors if whole else cell.vectors[there[firsts]]
        fresh = np.logical_and.reduceat(fresh, firsts)  # of equal ones, the pairs of one are known
        left, right, cosine = near_pairs(
            vectors, records["home"][firsts], self.threshold, None if fresh.all() else fresh
        )
        nodes = records["node"][firsts]
        return [repeated, edges_of(nodes[left], nodes[right], cosine.astype(np.float32))]
