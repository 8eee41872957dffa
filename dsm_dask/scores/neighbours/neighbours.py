"""What the nearest rows say of a row: how far they are, and which labels they have.

Of each row with a vector, its k nearest others by cosine. Their mean distance is the outlier
weight of Angiulli and Pizzuti ("Fast outlier detection in high dimensional spaces", PKDD 2002),
divided by k; their labels tell whether the row's own is likely.

Workers deal the vectors to cells (:mod:`dsm_dask.scores.neighbours.cells`), look for neighbours in
each cell (:mod:`dsm_dask.scores.neighbours.search`), and leave what they find by row id
(:mod:`dsm_dask.scores.neighbours.files`), where :meth:`Neighbours.apply` takes it from.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec, storage
from dsm_dask.duplicates.cells import Cells, one_dimension
from dsm_dask.duplicates.embedding_column import Embedding
from dsm_dask.duplicates.embeddings import FunctionMap, HashedNgrams
from dsm_dask.duplicates.unit_vectors import LeftOut
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.scores.data_digest import data_digest
from dsm_dask.scores.labels import Class, LearnClasses, from_codes
from dsm_dask.scores.neighbours.cells import Deal, Dealt, neighbour_cells
from dsm_dask.scores.neighbours.files import Listing, found_of, median, share_starts
from dsm_dask.scores.neighbours.search import Search, Searched
from dsm_dask.scores.scorer import Quantities
from dsm_dask.table import ROW_ID, Table, check_columns

NEIGHBOURS = 10
MOST_NEIGHBOURS = 1000
EXACT_ROWS = 1 << 14
"""Up to so many rows, all are compared with all; neighbours are exact then."""
EXACT_NUMBERS = 1 << 25
"""... unless their vectors have more components than this together (128 MB)."""


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Scores from the ``neighbours`` (k) nearest rows by cosine distance, ``1 - cos``, of the
    vectors in column ``on``, lists of floats.

    Columns (float32 unless told otherwise; null for a row whose vector is null, all zeros or not
    finite):

    * ``outlier_score``, from 0 to 1: ``1 - 2^(-d / s)``, where ``d`` is the mean distance of the
      row's neighbours and ``s`` the median of ``d`` over all rows. So half of the rows are below
      0.5, and at 0.75 a row is twice as far as that. (It ranks as ``exp(-d)`` of Kuan and Mueller,
      "Back to the basics: revisiting out-of-distribution detection baselines", 2022.)
    * ``neighbour_label``, text or int64: the label with the most weight among the neighbours (see
      :mod:`dsm_dask.scores.neighbours.search`), the first of equals in the order of the classes.
    * ``neighbour_agreement``: the share of the labelled neighbours that have the row's label; null
      when it has none.
    * ``neighbour_margin``: weight of the first label less that of the second, as a share of all; 0
      is a row on the boundary of two classes.
    * ``cluster_entropy``: how mixed the labels of the row's cluster are, from 0 to 1; clusters are
      those of spherical k-means, as many as the root of twice the rows.

    The last four are there with ``label``, a column of texts, integers or booleans. ``classes`` are
    learned from it unless they are given.

    Up to 16,384 rows (of up to 2^25 numbers together) neighbours are exact. Beyond, they are looked
    for in the row's own cell and its guests (:mod:`dsm_dask.scores.neighbours.cells`): of vectors
    that form clusters 98 % or more are found, of random directions in many dimensions, which are
    all about equally far, far fewer. All distances are exact. Memory of a worker: about 400 MB,
    whatever the rows.

    ``made_by`` makes vectors on the way, of a column that has none.

    :meth:`prepare` raises UnknownColumn, SchemaError when ``on`` holds no vectors or they differ in
    dimension or ``label`` holds no labels, UsageError for a ``neighbours`` that makes no sense.

    >>> table = pa.table({"v": [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], "y": ["a", "a", "b"]})
    >>> [field.name for field in Neighbours("v", "y").schema][:2]
    ['outlier_score', 'neighbour_label']
    """

    on: str
    label: str | None = None
    neighbours: int = NEIGHBOURS
    classes: tuple[Class, ...] = ()
    made_by: HashedNgrams | FunctionMap | None = None
    whole_labels: bool = False
    """Whether ``neighbour_label`` is int64 rather than text."""

    name = "neighbours"

    @classmethod
    def of(cls, table: Table, on: str, label: str | None = None, **options: Any) -> Neighbours:
        """With ``neighbour_label`` of the type that suits the label column of a table."""
        check_columns(table, [on, *([label] if label is not None else [])])
        whole = label is not None and not _is_text(table.schema.field(label).type)
        return cls(on, label, whole_labels=whole, **options)

    @property
    def columns(self) -> tuple[str, ...]:
        return (ROW_ID,)

    @property
    def schema(self) -> pa.Schema:
        kinds = {"outlier_score": pa.float32()}
        if self.label is not None:
            kinds["neighbour_label"] = pa.int64() if self.whole_labels else pa.string()
            for name in ("neighbour_agreement", "neighbour_margin", "cluster_entropy"):
                kinds[name] = pa.float32()
        return pa.schema([pa.field(name, kind) for name, kind in kinds.items()])

    @property
    def parameters(self) -> dict[str, Any]:
        made_by = None if self.made_by is None else self.made_by.to_dict()
        return {
            "method": "k nearest neighbours", "metric": "cosine", "on": self.on,
            "label": self.label, "neighbours": self.neighbours, "classes": list(self.classes),
            "embed": made_by,
        }  # fmt: skip

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that the scores depend on."""
        return (self.on,) if self.label is None else (self.on, self.label)

    def check(self, table: Table) -> None:
        """Raise what :meth:`prepare` would raise before it reads any row."""
        if not 1 <= self.neighbours <= MOST_NEIGHBOURS:
            raise UsageError(
                f"{self.neighbours} neighbours cannot be looked for.",
                valid=f"From 1 to {MOST_NEIGHBOURS:,}.",
            )
        check_columns(table, self.sources)
        Embedding(self.on, self.made_by).check(table)
        label = self.label
        if label is not None and _is_text(table.schema.field(label).type) == self.whole_labels:
            raise SchemaError(
                f"The labels in {label!r} are of type {table.schema.field(label).type}.",
                valid="Neighbours.of(table, ...) chooses the type of neighbour_label.",
            )

    def prepare(self, table: Table, engine: Engine, work: str) -> Quantities:
        """``scale``: the ``s`` of the outlier score, None without any vector; ``classes``; ``rows``
        that have a vector, and those ``left_out``, by reason; ``data``: a digest of the rows that
        were read. ``_found``: where the rest is, which is no quantity."""
        self.check(table)
        folder = storage.join(work, f"neighbours-{uuid.uuid4().hex}")
        classes = self._classes(table, engine)
        dealt, trained, exact = self._deal(table, classes, folder, engine)
        found = self._search(dealt, trained, exact, len(classes), folder, engine)
        listing = storage.join(folder, "found.dsm")
        some = [(one.first, one.last, one.rows) for one in dealt if one.rows]
        Listing(tuple(one.uri for one in found if one.uri), share_starts(some)).write(listing)
        histograms = tuple(one.histogram for one in found if one.uri)
        (scale,) = engine.map(_Median.run, [_Median(histograms)], label="Measuring")
        left_out = sum((one.left_out for one in dealt), LeftOut())
        return {
            "scale": scale, "classes": list(classes), "rows": sum(one.rows for one in dealt),
            "left_out": left_out.to_dict(), "data": self.data_digest(table), "_found": listing,
        }  # fmt: skip

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        rows = batch.column(ROW_ID).to_numpy()
        if not len(rows):
            return pa.RecordBatch.from_pylist([], schema=self.schema)
        found = found_of(quantities["_found"], rows)
        arrays = [_numbers(outlier_scores(found["distance"], quantities["scale"]))]
        if self.label is not None:
            labels = from_codes(found["label"], quantities["classes"])
            arrays.append(labels.cast(self.schema.field(1).type))
            arrays += [_numbers(found[name]) for name in ("agreement", "margin", "entropy")]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _classes(self, table: Table, engine: Engine) -> tuple[Class, ...]:
        if self.label is None or self.classes:
            return self.classes
        return tuple(engine.fold(table, LearnClasses(self.label)).result.classes)

    def _deal(
        self, table: Table, classes: tuple[Class, ...], folder: str, engine: Engine
    ) -> tuple[list[Dealt], Cells, bool]:
        embedding, parts = Embedding(self.on, self.made_by), table.partitions()
        rows = sum(part.rows for part in parts)
        trained = neighbour_cells(table, embedding, self.neighbours, folder, engine)
        exact = rows <= EXACT_ROWS and rows * (trained.dimension or 1) <= EXACT_NUMBERS
        deal = Deal(embedding, self.label, classes, folder, trained, not exact, self.neighbours + 1)
        dealt = engine.map_partitions(deal, parts, label="Dealing vectors to cells")
        one_dimension([(one.dimension, one.label) for one in dealt])
        return dealt, trained, exact

    def _search(
        self,
        dealt: Sequence[Dealt],
        trained: Cells,
        exact: bool,
        classes: int,
        folder: str,
        engine: Engine,
    ) -> list[Searched]:
        files = [file for one in dealt for file in one.files]
        if not files:
            return []
        listed, starts = storage.join(folder, "cells.dsm"), storage.join(folder, "starts.dsm")
        storage.write(listed, codec.encode(tuple(dataclasses.astuple(file) for file in files)))
        spans = [(one.first, one.last, one.rows) for one in dealt if one.rows]
        storage.write(starts, codec.encode(share_starts(spans)))
        size = sum(file.rows * file.dimension * 4 for file in files)
        work = [
            Search(
                listed, starts, folder, self.neighbours, classes, exact, trained.cells, first, stop
            )
            for first, stop in trained.groups(size)
        ]
        return engine.map(Search.run, work, label="Comparing vectors")

    def data_digest(self, table: Table) -> str:
        """Which rows and values the scores are of: the same as long as neither changed."""
        return data_digest(table, [*self.sources, ROW_ID])


def outlier_scores(
    distances: npt.NDArray[np.float32], scale: float | None
) -> npt.NDArray[np.float32]:
    """``1 - 2^(-d / scale)``; with a scale of 0, 1 for all that is farther.

    >>> outlier_scores(np.array([0, 0.2, 0.4], np.float32), 0.2).tolist()
    [0.0, 0.5, 0.75]
    """
    if not scale:
        found = np.where(distances > 0, 1.0, distances)
    else:
        found = 1 - np.exp2(-distances.astype(np.float64) / scale)
    return found.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _Median:
    histograms: tuple[str, ...]

    def run(self) -> float | None:
        return median([codec.decode(storage.read(uri)) for uri in self.histograms])


def _numbers(values: npt.NDArray[Any]) -> pa.Array:
    return pa.array(np.ascontiguousarray(values), mask=np.isnan(values))


def _is_text(kind: pa.DataType) -> bool:
    from dsm_dask.arrays import plain_type

    kind = plain_type(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
