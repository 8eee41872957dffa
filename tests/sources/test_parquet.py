"""Parquet files as a table: every type, exact byte ranges, every row once."""

from __future__ import annotations

import decimal
import pickle
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask import storage
from dsm_dask.errors import SchemaError
from dsm_dask.sources import parquet
from dsm_dask.sources.file_part import BATCH_VALUES
from dsm_dask.sources.parquet import ParquetTable, open_parquet
from dsm_dask.table import ROW_ID, read_all
from dsm_dask.testing.arrow import TYPES, arrow_arrays, unique_array
from dsm_dask.testing.tables import check_table, gather

from .conftest import parquet_bytes

Write = Callable[..., str]

STORABLE = [
    *(kind for kind in TYPES if kind != pa.month_day_nano_interval()),
    pa.list_(pa.struct({"a": pa.int8(), "b": pa.list_(pa.string())})),
    pa.struct({"x": pa.struct({"y": pa.dictionary(pa.int32(), pa.string())}), "z": pa.int8()}),
    pa.map_(pa.string(), pa.list_(pa.struct({"a": pa.float32()}))),
    pa.list_(pa.decimal256(60, 4)),
    pa.list_(pa.struct({"a": pa.int8()}), 2),
    pa.list_view(pa.struct({"a": pa.int8(), "b": pa.string()})),
    pa.uuid(),
    pa.json_(),
    pa.bool8(),
    pa.fixed_shape_tensor(pa.int8(), [2]),
]


def truth(uris: Sequence[str]) -> pa.Table:
    """What pyarrow alone reads."""
    return pa.concat_tables([pq.read_table(pa.BufferReader(storage.read(uri))) for uri in uris])


def sample(kind: pa.DataType, rows: int) -> pa.Array:
    if kind == pa.uuid():
        storage_array = pa.array([n.to_bytes(16) for n in range(rows)], kind.storage_type)
        return pa.ExtensionArray.from_storage(kind, storage_array)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, unique_array(kind.storage_type, rows))
    return unique_array(kind, rows)


@pytest.mark.parametrize("kind", STORABLE, ids=str)
def test_every_type_comes_through(tmp_path: Path, kind: pa.DataType) -> None:
    values = pa.chunked_array([sample(kind, 30), pa.nulls(5, kind), sample(kind, 25)])
    table = pa.table({"before": range(60), "it": values, "after": range(60)})
    uri = str(tmp_path / "a.parquet")
    pq.write_table(table, uri, row_group_size=25, data_page_size=64)
    expected = pq.read_table(uri).replace_schema_metadata()
    assert expected.column("it").to_pylist() == table.column("it").to_pylist()
    check_table(open_parquet(uri), expected, row_ids=range(60))


@pytest.mark.parametrize("kind", STORABLE[: len(TYPES) - 1], ids=str)
@settings(max_examples=5)
@given(data=st.data())
def test_every_value_comes_through(kind: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(arrow_arrays(kind, max_size=20))
    try:
        content = parquet_bytes(pa.table({"it": values}), row_group_size=7)
    except pa.ArrowInvalid:  # a date or time that Parquet has no room for
        return
    with tempfile.TemporaryDirectory() as folder:
        storage.write(f"{folder}/a.parquet", content)
        expected = truth([f"{folder}/a.parquet"])
        found = gather(open_parquet(folder), ["it"])
    assert found.schema.types == expected.schema.types
    if not found.equals(expected):  # NaN does not equal itself
        assert repr(found.column(0).to_pylist()) == repr(expected.column(0).to_pylist())


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_every_compression_and_page_version(tmp_path: Path, compression: str, version: str) -> None:
    table = pa.table({"a": range(1000), "b": [f"text {n % 7}" for n in range(1000)]})
    uri = str(tmp_path / "a.parquet")
    pq.write_table(table, uri, compression=compression, data_page_version=version,
                   row_group_size=300, use_dictionary=["b"], write_page_index=True)  # fmt: skip
    check_table(open_parquet(uri), table, row_ids=range(1000))


# -- projection ------------------------------------------------------------------------------

WIDE = pa.table(
    {
        "a": range(300),
        "a.b": [f"dotted {n}" for n in range(300)],
        "s": [{"x": n, "y": {"z": str(n)}, "x.q": [n]} for n in range(300)],
        "l": [[{"k": n, "v": str(n)}] * (n % 3) for n in range(300)],
        "s.x": [float(n) for n in range(300)],
        "m": pa.array([[("k", n)] for n in range(300)], pa.map_(pa.string(), pa.int64())),
        "d": pa.array(["x", "y", None] * 100).dictionary_encode(),
        "": [b"nameless"] * 300,
    }
)


def chunk_bytes(metadata: pq.FileMetaData, columns: Sequence[str]) -> int:
    """Stored bytes of some columns, by the names of the Parquet schema's top-level nodes."""
    schema = metadata.schema.to_arrow_schema()
    tops: list[str] = []
    for field in schema:
        alone = parquet_bytes(pa.table([pa.array([], field.type)], schema=pa.schema([field])))
        leaves = pq.read_metadata(pa.BufferReader(alone)).num_columns
        tops += [field.name] * leaves
    assert len(tops) == metadata.num_columns
    return sum(
        metadata.row_group(group).column(leaf).total_compressed_size
        for group in range(metadata.num_row_groups)
        for leaf, top in enumerate(tops)
        if top in columns
    )


@pytest.mark.parametrize(
    "columns",
    [["a"], ["a.b"], ["s"], ["s.x"], ["l", "a"], ["m", "d"], [""], ["a.b", "a", "s.x", "s"],
     list(reversed(WIDE.column_names))],
    ids=str,
)  # fmt: skip
def test_only_the_chunks_asked_for_are_read(write: Write, columns: list[str]) -> None:
    uri = write("a.parquet", WIDE, row_group_size=110)
    content = storage.read(uri)
    metadata = pq.read_metadata(pa.BufferReader(content))
    footer = int.from_bytes(content[-8:-4], "little") + 8
    table = open_parquet(uri)
    assert len(table.partitions()) == 1
    with storage.counting() as moved:
        found = gather(table, columns)
    assert moved().bytes_read == chunk_bytes(metadata, columns) + footer
    assert found.equals(WIDE.select(columns))
    sizes = table.column_sizes()
    assert sum(sizes[name] for name in columns) == chunk_bytes(metadata, columns)


def test_all_shapes_of_columns_keep_the_contract(write: Write) -> None:
    uri = write("a.parquet", WIDE, row_group_size=110)
    check_table(open_parquet(uri), truth([uri]).replace_schema_metadata(), row_ids=range(300))


def test_opening_reads_footers_only(write: Write) -> None:
    big = pa.table({"x": np.random.default_rng(0).random(50_000)})
    for number in range(3):
        write(f"{number}.parquet", big)
    folder = storage.parent(write("3.parquet", big))
    with storage.counting() as moved:
        table = open_parquet(folder)
    assert table.rows == 200_000
    assert moved().bytes_read <= 4 * (64 << 10)
    with storage.counting() as moved:
        assert sum(batch.num_rows for batch in read_all(table, [])) == 200_000
        assert sum(batch.num_rows for batch in read_all(table, [ROW_ID])) == 200_000
    assert moved().bytes_read == 0


def test_a_footer_larger_than_the_first_read(write: Write) -> None:
    names = [f"column {number} {'x' * 100}" for number in range(600)]
    table = pa.table({name: [number] for number, name in enumerate(names)})
    uri = write("a.parquet", table)
    assert int.from_bytes(storage.read(uri)[-8:-4], "little") > 64 << 10
    assert gather(open_parquet(uri), names[::-7]).equals(table.select(names[::-7]))


# -- partitions ------------------------------------------------------------------------------


@pytest.fixture
def small_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition takes 20 kB, so that small files do for large ones."""
    monkeypatch.setattr(parquet, "PARTITION_BYTES", (20_000, 20_000))


def numbers(first: int, rows: int) -> pa.Table:
    """8 bytes a row in the file."""
    return pa.table({"n": np.arange(first, first + rows)})


PLAIN = {"compression": "none", "use_dictionary": False}


@pytest.mark.usefixtures("small_partitions")
def test_large_files_are_cut_and_small_ones_coalesced(write: Write) -> None:
    write("1.parquet", numbers(0, 10_000), row_group_size=1_000, **PLAIN)  # 80 kB
    for name in range(2, 8):
        write(f"{name}.parquet", numbers(10_000 + (name - 2) * 500, 500), **PLAIN)  # 4 kB each
    folder = storage.parent(write("8.parquet", numbers(13_000, 20_000), **PLAIN))  # one row group
    table = open_parquet(folder)
    rows = [partition.rows for partition in table.partitions()]
    assert rows == [2_000] * 5 + [2_000, 1_000, 20_000]
    assert [len(partition.parts) for partition in table.partitions()] == [1] * 5 + [4, 2, 1]
    assert len(table.parts) == 5 + 6 + 1
    check_table(table, numbers(0, 33_000), row_ids=range(33_000))


@pytest.mark.usefixtures("small_partitions")
def test_files_and_row_groups_without_rows(write: Write, tmp_path: Path) -> None:
    write("1.parquet", numbers(0, 0))
    write("2.parquet", numbers(0, 10))
    path = tmp_path / "local"
    with pq.ParquetWriter(path, numbers(0, 0).schema, **PLAIN) as writer:
        for first, rows in [(10, 0), (10, 5), (15, 0), (15, 6_000), (6015, 0), (6015, 7), (9, 0)]:
            writer.write_table(numbers(first, rows), row_group_size=max(1, rows))
    folder = storage.parent(write("4.parquet", numbers(0, 0)))
    storage.write(storage.join(folder, "3.parquet"), path.read_bytes())
    assert pq.read_metadata(path).num_rows == 6_012
    table = open_parquet(folder)
    check_table(table, numbers(0, 6_022), row_ids=range(6_022))
    assert all(part.rows for part in table.parts)


def test_a_table_without_rows(write: Write) -> None:
    uri = write("1.parquet", numbers(0, 0))
    table = open_parquet(uri)
    check_table(table, numbers(0, 0))
    assert list(table.partitions()) == []


def test_many_row_groups(write: Write) -> None:
    uri = write("a.parquet", numbers(0, 600), row_group_size=10)
    assert gather(open_parquet(uri), [ROW_ID, "n"]).column("n").to_pylist() == list(range(600))


GROUPS = st.lists(st.integers(0, 40), max_size=5)


@settings(max_examples=40)
@given(layout=st.lists(GROUPS, min_size=1, max_size=6), limit=st.integers(1, 1_500))
def test_partitions_cover_every_row_once_in_order(layout: list[list[int]], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "PARTITION_BYTES", (limit, limit))
        total = 0
        for number, groups in enumerate(layout):
            with pq.ParquetWriter(f"{folder}/{number}.parquet", numbers(0, 0).schema) as writer:
                for rows in groups:
                    writer.write_table(numbers(total, rows))
                    total += rows
        table = open_parquet(folder)
        check_table(table, numbers(0, total), row_ids=range(total))
        spans = [partition.row_id_span for partition in table.partitions()]
        assert [stop for _, stop in spans[:-1]] == [start for start, _ in spans[1:]]
        for partition in table.partitions():
            groups = sum(part.stop_group - part.first_group for part in partition.parts)
            assert partition.size <= limit or groups == 1 or len(partition.parts) == 1
        paths = [f"{folder}/{number}.parquet" for number in range(len(layout))]
        assert truth(paths).column("n").to_pylist() == list(range(total))


def test_long_texts_come_in_small_batches(tmp_path: Path) -> None:
    texts = [random.Random(n).randbytes(50_000).hex() for n in range(400)]
    pq.write_table(pa.table({"t": texts}), tmp_path / "a.parquet", row_group_size=400)
    table = open_parquet(str(tmp_path))
    assert max(batch.nbytes for batch in read_all(table, ["t"])) <= 20 << 20
    assert gather(table, ["t"]).column("t").to_pylist() == texts


def test_lists_come_in_batches_of_few_values(tmp_path: Path) -> None:
    lists = pa.array(np.arange(3.0 * BATCH_VALUES).reshape(-1, 16).tolist())
    rows = pa.table({"n": np.arange(len(lists)), "v": lists})
    pq.write_table(rows, tmp_path / "a.parquet")
    table = open_parquet(str(tmp_path))
    batches = list(read_all(table, ["n", "v"]))
    assert max(batch.num_rows for batch in batches) == BATCH_VALUES // 16
    assert pa.Table.from_batches(batches).equals(rows)
    assert next(iter(read_all(table, ["n"]))).num_rows == len(rows)  # the others as ever


# -- fingerprints and pickles ----------------------------------------------------------------


def prints(table: ParquetTable) -> list[str]:
    return [partition.fingerprint for partition in table.partitions()]


@pytest.mark.usefixtures("small_partitions")
def test_fingerprints_change_with_the_file_only(write: Write) -> None:
    write("1.parquet", numbers(0, 4_000), **PLAIN)
    uri = write("2.parquet", numbers(4_000, 4_000), **PLAIN)
    folder = storage.parent(uri)
    before = prints(open_parquet(folder))
    assert len(set(before)) == 2
    assert prints(open_parquet(folder)) == before
    assert prints(open_parquet([f"{folder}/2.parquet", f"{folder}/1.parquet"])) == before[::-1]
    write("3.parquet", numbers(8_000, 4_000), **PLAIN)
    assert prints(open_parquet(folder))[:2] == before
    write("2.parquet", numbers(5_000, 4_000), **PLAIN)  # as large as before
    after = prints(open_parquet(folder))
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_values_depend_on_types_and_row_ids_on_places(write: Write) -> None:
    first = write("1.parquet", pa.table({"a": pa.array([1], pa.int8()), "b": [1]}))
    second = write("2.parquet", pa.table({"a": pa.array([1], pa.int16()), "b": [1]}))
    (alone,) = open_parquet(second).partitions()
    (both,) = open_parquet([first, second]).partitions()
    (narrow,) = open_parquet(first).partitions()
    assert both.values_fingerprint(["a"]) != narrow.values_fingerprint(["a"])
    assert both.values_fingerprint(["b"]) == narrow.values_fingerprint(["b"])
    assert alone.values_fingerprint(["a"]) == both.values_fingerprint(["a"])


def test_partitions_travel_light(write: Write) -> None:
    for number in range(5):
        write(f"{number}.parquet", WIDE, row_group_size=10)
    folder = storage.parent(write("6.parquet", WIDE))
    (partition,) = open_parquet(folder).partitions()
    data = pickle.dumps(partition)
    assert len(data) < 8_000
    again = pickle.loads(data)
    assert again == partition
    assert pa.Table.from_batches(again.read(["a.b", "s"])).num_rows == 6 * 300


# -- several files ---------------------------------------------------------------------------


def test_files_that_differ_are_unified(write: Write) -> None:
    write("1.parquet", pa.table({"a": pa.array([1, 2], pa.int8()), "b": ["x", None]}))
    write(
        "2.parquet", pa.table({"c": [decimal.Decimal("1.50")], "a": pa.array([300], pa.uint16())})
    )
    write("3.parquet", pa.table({"b": pa.array(["y"], pa.large_string()), "a": pa.nulls(1)}))
    folder = storage.parent(write("4.parquet", pa.table({"c": pa.nulls(2, pa.decimal128(3, 2))})))
    expected = pa.table(
        {
            "a": pa.array([1, 2, 300, None, None, None], pa.int32()),
            "b": pa.array(["x", None, None, "y", None, None], pa.large_string()),
            "c": pa.array([None, None, decimal.Decimal("1.50"), None, None, None]),
        }
    )
    check_table(open_parquet(folder), expected, row_ids=range(6))


def test_files_that_clash_are_named(write: Write) -> None:
    first = write("1.parquet", pa.table({"a": [1]}))
    second = write("2.parquet", pa.table({"a": ["x"]}))
    with pytest.raises(SchemaError) as caught:
        open_parquet([first, second])
    assert first in str(caught.value)
    assert second in str(caught.value)


def test_each_file_once_in_the_order_given(write: Write) -> None:
    for number in range(3):
        write(f"{number}.parquet", numbers(number, 1))
    folder = storage.parent(write("_hidden.parquet", numbers(99, 1)))
    table = open_parquet([f"{folder}/2.parquet", f"{folder}/*.parquet", folder])
    got = gather(table, ["n"]).column("n").to_pylist()
    assert got == [2, 0, 1]
    assert gather(open_parquet(f"{folder}/_hidden.parquet"), ["n"]).num_rows == 1
    assert gather(open_parquet(folder), ["n"]).column("n").to_pylist() == [0, 1, 2]


def test_footers_may_be_read_elsewhere(write: Write) -> None:
    for number in range(40):
        write(f"{number:02}.parquet", numbers(number, 1))
    folder = storage.parent(write("40.parquet", numbers(40, 1)))
    sent: list[Any] = []

    def far(function: Any, items: Sequence[Any]) -> list[Any]:
        """Like a cluster: everything is pickled, there and back."""
        sent.extend(items)
        return [
            pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(function))(item))) for item in items
        ]

    assert open_parquet(folder, map_=far) == open_parquet(folder)
    assert len(sent) == 2
