"""Suspects: which rules a partition cannot break, by the states that are kept of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from dsm_dask.states import StateStore, fold_partition
from dsm_dask.stats.profile import FOLDS, folds_for
from dsm_dask.stats.sketches import Sketches
from dsm_dask.table import Partition, Table
from dsm_dask.validation.column_rules import column_rules
from dsm_dask.validation.schema import ColumnSchema
from dsm_dask.validation.violations import Violation

STATES = 64 << 10
"""Bytes that the states of a column take, by partition, about."""


@dataclasses.dataclass(frozen=True)
class Cleared:
    """The violations that a partition has none of. Sound, not complete."""

    columns: Mapping[str, ColumnSchema]
    ipc_schema: bytes
    store: StateStore

    def __call__(self, partition: Partition) -> frozenset[Violation]:
        empty = Sketches(partition.label, self.ipc_schema, partition.rows, {})
        folds = tuple(
            fold
            for name in self.columns
            for fold in folds_for(empty.schema.field(name))
            if type(fold) in FOLDS
        )
        found: dict[str, dict[str, object]] = {name: {} for name in self.columns}
        for fold, state in zip(folds, fold_partition(folds, partition, self.store), strict=True):
            found[fold.columns[0]][FOLDS[type(fold)]] = state
        sketches = dataclasses.replace(empty, columns=found)
        return frozenset(
            rule.violation
            for name, column in self.columns.items()
            for rule in column_rules(name, _without_nulls(column), sketches)
            if rule.holds and rule.violation is not None
        )


def cleared(data: Table, columns: Mapping[str, ColumnSchema], sketches: Sketches) -> Cleared | None:
    """How to tell partitions that need not be read; None where reading ``columns`` costs less than
    the states do, which are stored with those of all columns."""
    store: StateStore | None = getattr(data, "states", None)
    sizes, partitions = data.column_sizes(), data.partitions()
    stored = sum(sizes[name] for name in columns)
    if store is None or stored <= STATES * len(sizes) * len(partitions):
        return None
    return Cleared(columns, sketches.ipc_schema, store)


def _without_nulls(column: ColumnSchema) -> ColumnSchema:
    """A share that is too large for all rows may come from any of them."""
    return column if column.nulls is None else column.model_copy(update={"nulls": 0.0})
