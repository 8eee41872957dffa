"""A Dask DataFrame over a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from dsm_dask import storage
from dsm_dask.errors import MissingExtra
from dsm_dask.table import ROW_ID, Partition, Table, check_columns


def dask_dataframe(table: Table, columns: Sequence[str] | None = None) -> Any:
    """A Dask DataFrame over a table, a partition for a partition, with Arrow-backed types.

    Needs ``pip install 'dsm-dask[dataframe]'``; raises MissingExtra without it.
    """
    names = list(table.schema.names) if columns is None else list(columns)
    check_columns(table, names)
    try:
        import dask.dataframe as dd
        import pandas as pd
    except ImportError as error:
        raise MissingExtra(
            "A Dask DataFrame needs pandas and dask[dataframe].",
            valid="pip install 'dsm-dask[dataframe]'",
        ) from error
    frame = _Frame(tuple(names), table.schema, storage.current_options())
    meta = frame.schema.empty_table().to_pandas(types_mapper=pd.ArrowDtype)
    return dd.from_map(frame, table.partitions(), meta=meta)


@dataclasses.dataclass(frozen=True)
class _Frame:
    """A partition as a pandas DataFrame."""

    columns: tuple[str, ...]
    table_schema: Any
    options: storage.Options

    @property
    def schema(self) -> Any:
        import pyarrow as pa

        kinds = [
            (n, pa.uint64() if n == ROW_ID else self.table_schema.field(n).type)
            for n in self.columns
        ]
        return pa.schema(kinds)

    def __call__(self, partition: Partition) -> Any:
        import pandas as pd
        import pyarrow as pa

        with storage.using(self.options):
            batches = [batch.cast(self.schema) for batch in partition.read(self.columns)]
        return pa.Table.from_batches(batches, self.schema).to_pandas(types_mapper=pd.ArrowDtype)
