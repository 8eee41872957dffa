"""Every table that there is keeps the contract; and the check would notice one that does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dsm_dask import storage
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine
from dsm_dask.sources import parquet
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import ROW_ID
from dsm_dask.testing.tables import check_table

Write = Callable[..., str]

ROWS = pa.table(
    {
        "id": np.arange(4_000),
        "text": [f"text {n}" if n % 5 else None for n in range(4_000)],
        "score": np.random.default_rng(1).random(4_000),
        "tags": [[str(n)] * (n % 3) for n in range(4_000)],
        "at": pa.array(np.arange(4_000), pa.timestamp("us", "UTC")),
    }
)


@pytest.fixture
def sources(write: Write, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of three files, of which the rows are those of ``ROWS``."""
    monkeypatch.setattr(parquet, "PARTITION_BYTES", (20_000, 20_000))
    write("raw/1.parquet", ROWS.slice(0, 2_000), row_group_size=300)
    write("raw/2.parquet", ROWS.slice(2_000, 50))
    return storage.parent(write("raw/3.parquet", ROWS.slice(2_050), row_group_size=1_000))


def test_parquet_files(sources: str) -> None:
    table = open_parquet(sources)
    assert len(table.partitions()) > 3
    check_table(table, ROWS, row_ids=range(4_000))


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
def test_datasets(place: str, sources: str, copy: bool) -> None:
    uri = storage.join(place, "dataset")
    with Engine(workers=0) as engine:
        create(uri, sources, engine=engine, copy=copy)
    check_table(open_dataset(uri), ROWS)


@dataclasses.dataclass(frozen=True)
class Bent:
    """A partition that does something wrong."""

    inner: Any
    fault: str

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def rows(self) -> int:
        return int(self.inner.rows) - (self.fault == "rows")

    @property
    def fingerprint(self) -> str:
        return "same" if self.fault == "fingerprint" else str(self.inner.fingerprint)

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for batch in self.inner.read(columns):
            if self.fault == "lost row":
                yield batch.slice(1)
            elif self.fault == "order" and len(columns) == 1:
                yield batch.take(pa.array(np.arange(batch.num_rows)[::-1]))
            elif self.fault == "column order":
                yield batch.select(sorted(batch.schema.names))
            elif self.fault == "empty batch" and not columns:
                return
            elif self.fault == "row ids" and ROW_ID in columns and len(columns) > 1:
                at = batch.schema.names.index(ROW_ID)
                yield batch.set_column(at, ROW_ID, pa.array(range(batch.num_rows), pa.uint64()))
            else:
                yield batch


@dataclasses.dataclass(frozen=True)
class BentTable:
    inner: Any
    fault: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def partitions(self) -> list[Bent]:
        return [Bent(partition, self.fault) for partition in self.inner.partitions()]


@pytest.mark.parametrize("place", ["local"], indirect=True)
@pytest.mark.parametrize(
    "fault",
    ["rows", "fingerprint", "lost row", "order", "column order", "empty batch", "row ids"],
)
def test_the_check_notices(sources: str, fault: str) -> None:
    table = open_parquet(sources)
    check_table(BentTable(table, "none"), ROWS)
    with pytest.raises(AssertionError):
        check_table(BentTable(table, fault), ROWS)
