"""What the largest clusters look like: the values of their surviving rows, cut short."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask.engine import Engine
from dsm_dask.table import ROW_ID, Partition, Table

CUT = 400
"""Characters shown of a value."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Rows that are duplicates of each other."""

    size: int
    survivor: int
    """Row id of the one that is kept."""
    values: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of the survivor, as text."""


def with_examples(
    table: Table, clusters: Sequence[Cluster], columns: Sequence[str], engine: Engine
) -> tuple[Cluster, ...]:
    """The clusters with the values of their survivors, fetched by workers."""
    wanted = [cluster.survivor for cluster in clusters]
    if not wanted:
        return ()
    partitions = _holding(table.partitions(), wanted)
    found = engine.map_partitions(
        _Fetch(tuple(columns), tuple(wanted)), partitions, label="Fetching examples"
    )
    values = {row: shown for part in found for row, shown in part}
    return tuple(dataclasses.replace(c, values=values.get(c.survivor, {})) for c in clusters)


def _holding(partitions: Sequence[Partition], row_ids: Sequence[int]) -> list[Partition]:
    """Partitions that may hold some rows, where their row ids are known to follow on."""
    return [p for p in partitions if any(_may_hold(p, row) for row in row_ids)]


def _may_hold(partition: Partition, row_id: int) -> bool:
    span = getattr(partition, "row_id_span", None)
    return span is None or span[0] <= row_id < span[1]


@dataclasses.dataclass(frozen=True)
class _Fetch:
    columns: tuple[str, ...]
    row_ids: tuple[int, ...]

    def __call__(self, partition: Partition) -> list[tuple[int, dict[str, str]]]:
        wanted = pa.array(self.row_ids, pa.uint64())
        present = set()
        for batch in partition.read([ROW_ID]):
            hits = batch.column(0).filter(pc.is_in(batch.column(0), wanted))
            present.update(hits.to_pylist())
        found: list[tuple[int, dict[str, str]]] = []
        if not present:
            return found
        for batch in partition.read([*self.columns, ROW_ID]):
            hits = pc.indices_nonzero(pc.is_in(batch.column(ROW_ID), wanted)).to_pylist()
            for index in hits:
                values = {name: _short(batch.column(name)[index]) for name in self.columns}
                found.append((batch.column(ROW_ID)[index].as_py(), values))
            if len(found) == len(present):
                break
        return found


def _short(scalar: pa.Scalar) -> str:
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError):  # a time that Python has no object for
        value = pc.cast(scalar, pa.string()).as_py()
    text = "null" if value is None else str(value)
    return text if len(text) <= CUT else text[:CUT] + " …"
