"""Where the vectors of rows come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from dsm_dask.duplicates.embeddings import FunctionMap, HashedNgrams
from dsm_dask.duplicates.unit_vectors import UnitVectors, is_embedding, unit_vectors
from dsm_dask.errors import SchemaError
from dsm_dask.hashing import hash_rows
from dsm_dask.table import ROW_ID, Partition, Table, check_columns


@dataclasses.dataclass(frozen=True)
class Embedding:
    """Where the vectors of a row come from: a column of them, or a row map that makes one."""

    column: str
    made_by: HashedNgrams | FunctionMap | None = None

    def check(self, table: Table) -> None:
        """Raise UnknownColumn, or SchemaError when the column holds no vectors."""
        check_columns(table, (self.column,))
        dtype = table.schema.field(self.column).type
        if self.made_by is not None:
            self.made_by.check(dtype)
        elif not is_embedding(dtype):
            raise SchemaError(
                f"The column {self.column!r} is of type {dtype}, which is no embedding.",
                where=table.uri,
                valid="Lists of float16, float32 or float64; --embed makes vectors of a text.",
            )

    def read(
        self, partition: Partition, dimension: int | None, below: int | None = None
    ) -> Iterator[UnitVectors]:
        """The unit vectors of a partition, batch by batch; with ``below`` only those of rows whose
        value has a smaller hash."""
        for batch in partition.read([self.column, ROW_ID]):
            if below is not None:
                hashes = hash_rows([batch.column(self.column)])[:, 0]
                batch = batch.filter(pa.array(hashes < np.uint64(below)))
            if not batch.num_rows:
                continue
            found = self._of(batch, dimension, partition.label)
            dimension = found.vectors.shape[1] or dimension
            yield found

    def _of(self, batch: pa.RecordBatch, dimension: int | None, label: str) -> UnitVectors:
        ids = batch.column(ROW_ID).to_numpy()
        if self.made_by is None:
            column = batch.column(self.column)
        else:
            column = self.made_by.apply(batch.select([self.column])).column(0)
        return unit_vectors(column, ids, dimension=dimension, where=label)
