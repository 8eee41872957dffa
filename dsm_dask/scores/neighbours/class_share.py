"""How common a row's label is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask.engine import Engine
from dsm_dask.scores.labels import LearnClasses, codes_of
from dsm_dask.scores.scorer import Quantities
from dsm_dask.table import Table, check_columns


@dataclasses.dataclass(frozen=True)
class ClassShare:
    """``class_share``, float32: the share of the labelled rows that have the row's label; null when
    it has none. Of an even set of K classes it is 1/K everywhere.

    >>> batch = pa.record_batch({"y": ["a", "b", None]})
    >>> scorer = ClassShare("y")
    >>> scorer.apply(batch, {"classes": ["a", "b"], "counts": [3, 1]}).column(0).to_pylist()
    [0.75, 0.25, None]
    """

    label: str

    name = "class_share"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.label,)

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field("class_share", pa.float32())])

    @property
    def parameters(self) -> dict[str, Any]:
        return {"method": "share of the label", "label": self.label}

    def prepare(self, table: Table, engine: Engine, work: str) -> Quantities:
        """The classes, and how often each occurs. Raises UnknownColumn, SchemaError when the column
        holds no labels."""
        del work
        check_columns(table, self.columns)
        found = engine.fold(table, LearnClasses(self.label)).result
        return {"classes": list(found.classes), "counts": list(found.counts)}

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        found = codes_of(batch, self.label, quantities["classes"])
        counts = np.array([*quantities["counts"], 0], np.float64)
        shares = (counts / max(1.0, counts.sum())).astype(np.float32)
        return pa.RecordBatch.from_arrays(
            [pa.array(shares[found], mask=found < 0)], schema=self.schema
        )
