"""What every Table must keep to, as one check for the tables of this package and for yours.

>>> import pyarrow as pa, pyarrow.parquet as pq, tempfile
>>> from dsm_dask.sources.parquet import open_parquet
>>> expected = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})
>>> with tempfile.TemporaryDirectory() as folder:
...     pq.write_table(expected, f"{folder}/a.parquet")
...     check_table(open_parquet(folder), expected)
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import pyarrow as pa

from dsm_dask.errors import UnknownColumn
from dsm_dask.table import ROW_ID, Partition, Table, check_columns, read_all

PICKLED = 4 << 10
"""Most bytes that a partition of one file may take on its way to a worker."""


def check_table(table: Table, expected: pa.Table, *, row_ids: Sequence[int] | None = None) -> None:
    """Assert that a table holds exactly these rows, in this order, and keeps the contract.

    ``row_ids`` are the expected ids; by default they must be distinct and, like the rows, the same
    whichever columns are asked for with them.
    """
    _check_description(table, expected)
    _check_rows(table, expected)
    _check_row_ids(table, expected, row_ids)
    for partition in table.partitions():
        _check_partition(table, partition)
    _check_stable(table)


def _check_description(table: Table, expected: pa.Table) -> None:
    assert isinstance(table, Table), f"{table!r} lacks a method of Table"
    assert table.schema.names == expected.schema.names
    assert table.schema.types == expected.schema.types
    assert table.rows == expected.num_rows
    assert set(table.column_sizes()) == set(table.schema.names)
    assert all(size >= 0 for size in table.column_sizes().values())
    check_columns(table, [*table.schema.names, ROW_ID])
    try:
        check_columns(table, ["no such column"])
    except UnknownColumn:
        return
    raise AssertionError("a column that does not exist was accepted")


def _check_rows(table: Table, expected: pa.Table) -> None:
    """All columns, each alone, none, and all of them backwards."""
    names = expected.schema.names
    for columns in [names, names[::-1], *([name] for name in names)]:
        found = gather(table, columns)
        _assert_same(found, expected.select(columns))
    assert sum(batch.num_rows for batch in read_all(table, [])) == expected.num_rows
    assert all(batch.num_columns == 0 for batch in read_all(table, []))


def _check_row_ids(table: Table, expected: pa.Table, row_ids: Sequence[int] | None) -> None:
    alone = gather(table, [ROW_ID])
    assert alone.schema.field(ROW_ID).type == pa.uint64()
    ids = alone.column(ROW_ID).to_pylist()
    assert len(set(ids)) == len(ids) == expected.num_rows, "row ids are not distinct"
    if row_ids is not None:
        assert ids == list(row_ids)
    for name in expected.schema.names[:3]:
        for columns in ([ROW_ID, name], [name, ROW_ID]):
            both = gather(table, columns)
            assert both.column_names == columns
            assert both.column(ROW_ID).to_pylist() == ids
            _assert_same(both.select([name]), expected.select([name]))


def _check_partition(table: Table, partition: Partition) -> None:
    assert isinstance(partition, Partition), f"{partition!r} lacks a method of Partition"
    assert partition.label
    assert partition.rows > 0, f"{partition.label} is empty"
    assert partition.size >= 0
    data = pickle.dumps(partition)
    assert len(data) <= PICKLED + 1024 * _files(partition), f"{len(data)} bytes for a partition"
    again = pickle.loads(data)  # noqa: S301 - our own, of a moment ago
    assert again.fingerprint == partition.fingerprint
    names = table.schema.names
    assert again.values_fingerprint(names) == partition.values_fingerprint(names)
    assert sum(batch.num_rows for batch in partition.read([])) == partition.rows
    here, there = list(partition.read(names)), list(again.read(names))
    assert all(batch.schema.types == table.schema.types for batch in here)
    schema = pa.schema([(field.name, field.type) for field in table.schema])
    assert sum(batch.num_rows for batch in here) == partition.rows
    _assert_same(_table(here, schema), _table(there, schema))


def _files(partition: Partition) -> int:
    return len(getattr(partition, "parts", None) or getattr(partition, "fragments", None) or [0])


def _check_stable(table: Table) -> None:
    """Fingerprints tell partitions apart, and asking again gives the same."""
    prints = [partition.fingerprint for partition in table.partitions()]
    assert prints == [partition.fingerprint for partition in table.partitions()]
    assert len(set(prints)) == len(prints), "two partitions have one fingerprint"
    assert sum(partition.rows for partition in table.partitions()) == table.rows


def gather(table: Table, columns: Sequence[str]) -> pa.Table:
    """Some columns of a table in memory, by way of its partitions."""
    types = {ROW_ID: pa.uint64(), **{field.name: field.type for field in table.schema}}
    batches = list(read_all(table, columns))
    return _table(batches, pa.schema([(name, types[name]) for name in columns]))


def _table(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    # Nullability and metadata are not part of the contract; names, order and types are.
    for batch in batches:
        assert batch.schema.names == schema.names
        assert batch.schema.types == schema.types
    return pa.Table.from_batches(
        [pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in batches], schema
    )


def _assert_same(found: pa.Table, expected: pa.Table) -> None:
    assert found.column_names == expected.column_names
    for name in expected.column_names:
        left, right = found.column(name), expected.column(name)
        assert left.type == right.type, f"{name}: {left.type}, not {right.type}"
        if not left.equals(right):  # NaN is not equal to itself, nor are -0.0 and 0.0 the same
            assert repr(left.to_pylist()) == repr(right.to_pylist()), f"column {name} differs"
