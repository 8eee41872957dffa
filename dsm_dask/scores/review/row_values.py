"""Values of a few rows, fetched by workers: only row groups that hold any of the rows are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask.dataset.partition import DatasetPartition
from dsm_dask.engine import Engine
from dsm_dask.scores.review.thumbnails import Image, as_image
from dsm_dask.stats.values import to_json, to_python
from dsm_dask.table import ROW_ID, Partition, Table

U64 = npt.NDArray[np.uint64]
ITEMS = 64
"""Items shown of a list."""


@dataclasses.dataclass(frozen=True)
class Text:
    """A text, perhaps cut: of ``length`` characters in all."""

    text: str
    length: int


Value = Any
"""A :class:`Text`, an ``Image``, or a number or the like as in
JSON."""


def fetch(
    table: Table, rows: U64, columns: Sequence[str], engine: Engine, cut: int
) -> dict[int, dict[str, Value]]:
    """Values of some rows by id and column, texts of up to ``cut`` characters."""
    if not len(rows) or not columns:
        return {}
    worker = _Fetch(tuple(columns), np.sort(rows), cut)
    found = engine.map_partitions(worker, table.partitions(), label="Fetching rows")
    return {row: values for some in found for row, values in some}


@dataclasses.dataclass(frozen=True, eq=False)
class _Fetch:
    columns: tuple[str, ...]
    rows: U64
    cut: int

    def __call__(self, partition: Partition) -> list[tuple[int, dict[str, Value]]]:
        found: list[tuple[int, dict[str, Value]]] = []
        for batch in self._batches(partition):
            hits = np.flatnonzero(np.isin(batch.column(ROW_ID).to_numpy(), self.rows))
            for hit in hits.tolist():
                row = batch.column(ROW_ID)[hit].as_py()
                values = {name: told(batch.column(name)[hit], self.cut) for name in self.columns}
                found.append((row, values))
        return found

    def _batches(self, partition: Partition) -> Iterator[pa.RecordBatch]:
        columns = [*dict.fromkeys([*self.columns, ROW_ID])]
        if isinstance(partition, DatasetPartition):
            for fragment in partition.fragments:
                yield from partition.take(fragment, self.rows, columns)
            return
        ids = [batch.column(0).to_numpy() for batch in partition.read([ROW_ID])]
        if any(np.isin(some, self.rows).any() for some in ids):
            yield from partition.read(columns)


def told(scalar: pa.Scalar, cut: int) -> Value:
    """A value as people look at it.

    >>> told(pa.scalar("abcdef"), 4), told(pa.scalar(2.5), 4), told(pa.scalar(None, pa.int8()), 4)
    (Text(text='abcd', length=6), 2.5, None)
    """
    if isinstance(scalar, pa.DictionaryScalar):
        scalar = scalar.value
    if not scalar.is_valid:
        return None
    types, kind = pa.types, scalar.type
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _bytes(scalar.as_py(), cut)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        return to_json(scalar.as_py())
    if types.is_nested(kind):
        text = _listed(scalar)
    elif types.is_string(kind) or types.is_large_string(kind):
        text = scalar.as_py()
    else:
        return str(to_json(to_python(scalar)))
    return Text(text[:cut], len(text))


def _bytes(value: bytes, cut: int) -> Image | Text:
    image = as_image(value)
    if image is not None:
        return image
    text = value[: 4 * cut].decode("utf-8", "replace")
    return Text(text[:cut], len(value))


def _listed(scalar: Any) -> str:
    values = scalar.values if hasattr(scalar, "values") and scalar.values is not None else None
    if isinstance(values, pa.Array):
        more = len(values) - ITEMS
        shown = ", ".join(str(one) for one in values[:ITEMS].to_pylist())
        return f"[{shown}{f', … {more:,} more' if more > 0 else ''}]"
    return str(scalar.as_py())
