"""What the largest clusters look like: the values of their surviving rows, cut short."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask.engine import Engine
from dsm_dask.table import ROW_ID, Partition, Table

CUT = 400
"""Characters shown of a value."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A row of a cluster besides the one that is kept."""

    row: int
    similarity: float | None = None
    """Of the strongest of the pairs that connect the row to its cluster."""
    table: str | None = None
    """The other table that the row is in; None for a row of the data."""
    values: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Rows that are duplicates of each other."""

    size: int
    survivor: int
    """Row id of the one that is kept."""
    values: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of the survivor, as text."""
    table: str | None = None
    """The other table that the survivor is in; None when it is a row of the data."""
    members: tuple[Member, ...] = ()
    """Some of the other rows. Exact copies have none: they are the same."""

    def to_dict(self) -> dict[str, Any]:
        """As in JSON; what there is nothing to say about is left out."""
        found = dataclasses.asdict(self)
        for name in ("table", "members"):
            if not found[name]:
                del found[name]
        return found


@dataclasses.dataclass(frozen=True)
class Beside:
    """Two rows that are about as alike as the threshold asks."""

    similarity: float
    joined: bool
    """False when they were compared and refused, and no others connect them."""
    rows: tuple[Member, Member]


def with_examples(
    table: Table,
    clusters: Sequence[Cluster],
    columns: Sequence[str],
    engine: Engine,
    partitions: Sequence[Partition] | None = None,
) -> tuple[Cluster, ...]:
    """The clusters with the values of their survivors, fetched by workers from the ``partitions``
    that hold them, where these are known."""
    rows = [cluster.survivor for cluster in clusters]
    values = fetch(table, rows, columns, engine, partitions=partitions)
    return tuple(dataclasses.replace(c, values=values.get(c.survivor, {})) for c in clusters)


def fetch(
    table: Table,
    row_ids: Sequence[int],
    columns: Sequence[str],
    engine: Engine,
    cut: int = CUT,
    partitions: Sequence[Partition] | None = None,
) -> dict[int, dict[str, str]]:
    """Values of some rows as text, of up to ``cut`` characters, fetched by workers; from
    ``partitions``, where these are known to hold them."""
    if not row_ids:
        return {}
    partitions = _holding(table.partitions() if partitions is None else partitions, row_ids)
    found = engine.map_partitions(
        _Fetch(tuple(columns), tuple(row_ids), cut), partitions, label="Fetching examples"
    )
    return {row: shown for part in found for row, shown in part}


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
    cut: int

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
                values = {
                    name: _short(batch.column(name)[index], self.cut) for name in self.columns
                }
                found.append((batch.column(ROW_ID)[index].as_py(), values))
            if len(found) == len(present):
                break
        return found


def _short(scalar: pa.Scalar, cut: int) -> str:
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError):  # a time that Python has no object for
        value = pc.cast(scalar, pa.string()).as_py()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = "null" if value is None else str(value)
    return text if len(text) <= cut else text[:cut] + " …"
