"""Table and Partition: what every read-only verb works on.

A partition is a small picklable description of some rows: a worker opens it and reads just the
byte ranges that the asked columns need. Nothing larger is ever sent to a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import pyarrow as pa

from dsm_dask.errors import UnknownColumn, nearest

ROW_ID = "_rowid"
"""Ask for this column to get each row's id: uint64, stable over the life of a dataset; for plain
files, the row's number in the table."""


@runtime_checkable
class Partition(Protocol):
    """Some rows of a table. Implementations are frozen dataclasses."""

    @property
    def rows(self) -> int:
        """Number of live rows."""
        ...

    @property
    def size(self) -> int:
        """Stored bytes of all columns: what a scan of everything would fetch."""
        ...

    @property
    def fingerprint(self) -> str:
        """Which rows these are: changes whenever the source or the live rows do."""
        ...

    def values_fingerprint(self, columns: Sequence[str]) -> str:
        """What else the values of some columns depend on: their types, files of their own."""
        ...

    @property
    def label(self) -> str:
        """What to call it in messages: file and row groups."""
        ...

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches of just these columns, in row order, with the table's types. (A partition
        may say ``takes_encoded = True`` and take ``encoded=True`` here: texts that are stored so
        then come as dictionaries, which is faster.)

        (One that is made of several files may have a property ``pieces``: a partition for each, so
        that ``on_error="skip"`` leaves out no more than it has to.)

        No columns asked for gives batches with no columns and the right numbers of rows."""
        ...


@runtime_checkable
class Table(Protocol):
    """Anything with a schema and partitions."""

    @property
    def uri(self) -> str:
        """Where it came from, for people."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the readable columns (without :data:`ROW_ID`)."""
        ...

    @property
    def rows(self) -> int:
        """Number of live rows, known without reading any."""
        ...

    def partitions(self) -> Sequence[Partition]:
        """The partitions, in row order."""
        ...

    def column_sizes(self) -> dict[str, int]:
        """Stored bytes of each column: what a scan of just that column would fetch."""
        ...


def check_columns(table: Table, columns: Iterable[str]) -> None:
    """Raise :class:`~dsm_dask.errors.UnknownColumn` for the first column the table lacks."""
    known = set(table.schema.names) | {ROW_ID}
    for column in columns:
        if column not in known:
            raise UnknownColumn(
                f"There is no column {column!r}.",
                where=table.uri,
                valid=nearest(column, table.schema.names),
            )


def read_all(table: Table, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Every batch of a table, in this process."""
    names = list(table.schema.names) if columns is None else list(columns)
    check_columns(table, names)
    for partition in table.partitions():
        yield from partition.read(names)
