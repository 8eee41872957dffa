"""Tables of labels and probabilities that tests of confident learning share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dsm_dask import codec
from dsm_dask.engine import Engine
from dsm_dask.scores.confident_learning.label_issues import LabelIssues
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import Table, read_all

Array = npt.NDArray[Any]
ENGINE = Engine(workers=0)


def planted(
    rows: int, classes: int, seed: int, dtype: Any = np.float32, noise: float = 0.05
) -> tuple[Array, Array]:
    """Labels, some of them wrong, and probabilities of a fair model."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, rows)
    logits = rng.normal(0, 1.3, (rows, classes))
    logits[np.arange(rows), true] += 3.0
    p = np.exp(logits)
    labels = np.where(rng.random(rows) < noise, rng.integers(0, classes, rows), true)
    return labels, (p / p.sum(axis=1, keepdims=True)).astype(dtype)


def lists(p: Array) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(p.reshape(-1)), p.shape[1])


def table(path: Path, labels: Any, p: Array, rows: int = 1000) -> Table:
    """A new file of batches of ``rows``."""
    made = pa.table({"y": labels, "p": lists(p)})
    file = path / f"{len(list(path.iterdir()))}.parquet"
    pq.write_table(made, file, row_group_size=rows)
    return open_parquet(str(file))


def source(classes: int, **options: Any) -> Probabilities:
    return Probabilities(("p",), tuple(range(classes)), **options)


def flagged(data: Table, scorer: LabelIssues) -> list[bool | None]:
    quantities = codec.decode(codec.encode(dict(scorer.prepare(data, ENGINE, ""))))
    found = [scorer.apply(batch, quantities) for batch in read_all(data, scorer.columns)]
    return [flag for batch in found for flag in batch.column(0).to_pylist()]


class Batches:
    """A table in memory, of a partition for each batch."""

    def __init__(self, *batches: pa.RecordBatch) -> None:
        self.uri, self.schema, self.rows = "memory", batches[0].schema, sum(map(len, batches))
        self._parts = [_Part(batch, number) for number, batch in enumerate(batches)]

    def partitions(self) -> list[Any]:
        return self._parts

    def column_sizes(self) -> dict[str, int]:
        return {}


class _Part:
    def __init__(self, batch: pa.RecordBatch, number: int) -> None:
        self.batch, self.rows, self.size = batch, len(batch), 1
        self.fingerprint = self.label = str(number)

    def values_fingerprint(self, columns: Any) -> str:
        return ""

    def read(self, columns: Any) -> Any:
        yield self.batch.select(columns)
