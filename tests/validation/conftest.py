"""Tables in memory, in as many partitions as wanted, and an engine in this process."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from dsm_dask.engine import Engine
from dsm_dask.table import ROW_ID


@dataclasses.dataclass(frozen=True)
class Part:
    data: pa.Table
    start: int
    table: int

    rows = property(lambda self: self.data.num_rows)
    size = property(lambda self: self.data.nbytes)
    label = property(lambda self: f"part {self.start}")
    fingerprint = property(lambda self: f"{self.table}-{self.start}")

    def values_fingerprint(self, columns):
        return ""

    def read(self, columns):
        ids = pa.array(np.arange(self.start, self.start + self.rows), pa.uint64())
        whole = self.data.append_column(ROW_ID, ids)
        yield from whole.select(list(columns)).combine_chunks().to_batches(97)


@dataclasses.dataclass(frozen=True)
class Memory:
    data: pa.Table
    cut: int
    uri: str = "memory"

    schema = property(lambda self: self.data.schema)
    rows = property(lambda self: self.data.num_rows)

    def partitions(self):
        starts = range(0, self.rows, self.cut)
        return [Part(self.data.slice(i, self.cut), i, id(self.data)) for i in starts]

    def column_sizes(self):
        return dict.fromkeys(self.schema.names, 1)


@pytest.fixture(scope="session")
def memory():
    def table(data, cut=10**9):
        return Memory(data if isinstance(data, pa.Table) else pa.table(data), cut)

    return table


@pytest.fixture(scope="session")
def engine():
    with Engine(workers=0) as used:
        yield used
