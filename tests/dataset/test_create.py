"""A dataset reads back as its sources, whatever is in them, linked or copied, local or S3."""

import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import dsm, objects, parquet, put, rows, sql
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsm_dask import storage
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.errors import CorruptFile, DatasetExists, NotFound, SchemaError, UsageError
from dsm_dask.testing.arrow import TYPES, arrow_arrays, unique_array

NOT_IN_PARQUET = {"month_day_nano_interval"}
TOO_LONG_AGO = {"timestamp[s]"}  # the extremes do not fit Parquet's milliseconds
NOT_IN_LANCE = {"decimal32(5, 2)", "decimal64(12, 3)", "list_view<item: int8>"}


def tricky(rows: int = 50) -> pa.Table:
    numbers = np.arange(rows)
    return pa.table(
        {
            "a": pa.array(numbers, pa.int64()),
            "big": pa.array([2**64 - 1 - n for n in range(rows)], pa.uint64()),
            "f": [[None, float("nan"), -0.0, float("inf"), 1.5][n % 5] for n in range(rows)],
            "s": [None if n % 7 == 0 else f"naïve 日本 🙂 {n}" for n in range(rows)],
            "d": [decimal.Decimal(n) / 100 for n in range(rows)],
            "t": pa.array(numbers, pa.timestamp("us", "Asia/Tokyo")),
            "day": [dt.date(1969, 12, 31) + dt.timedelta(n) for n in range(rows)],
            "raw": [bytes([n]) for n in range(rows)],
            "items": [None if n % 3 == 0 else list(range(n % 4)) for n in range(rows)],
            "deep": [{"x": n, "y": [{"z": str(n)}] * (n % 3)} for n in range(rows)],
            "pairs": pa.array(
                [[("k", n), ("l", None)] for n in range(rows)], pa.map_(pa.string(), pa.int64())
            ),
            "kind": pa.array(
                [["red", "blue", None][n % 3] for n in range(rows)]
            ).dictionary_encode(),
            "none": pa.nulls(rows),
            "with space": numbers,
            "Ünï": numbers,
            "select": numbers,
        }
    )


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
def test_reads_back_as_its_sources(place, engine, copy):
    """Against pyarrow's own reading of the same bytes, and against what was written."""
    table = tricky()
    for index in range(3):
        parquet(f"{place}/raw/{index}.parquet", table.slice(index * 20, 20), row_group_size=7)
    made = create(f"{place}/ds", f"{place}/raw", engine=engine, copy=copy)
    assert (made.version, made.rows, made.committed) == (1, 50, True)
    dataset = open_dataset(f"{place}/ds")
    assert dataset.rows == 50
    assert dataset.schema.names == table.schema.names
    assert _same(dataset.to_table(), table)
    some = ["pairs", "a", "_rowid", "kind"]
    assert dataset.to_table(some).column_names == some
    assert dataset.to_table(["_rowid"])["_rowid"].to_pylist() == list(range(50))
    assert sum(batch.num_rows for batch in dataset.to_batches([])) == 50


def test_duckdb_sees_the_same(tmp_path, engine):
    """DuckDB reads the Parquet files itself; the dataset reaches it as an Arrow reader."""
    table = tricky(200).drop_columns(["none", "kind", "Ünï"])
    for index in range(4):
        parquet(tmp_path / f"raw/{index}.parquet", table.slice(index * 50, 50))
    for copy in (False, True):
        uri = str(tmp_path / f"ds{copy}")
        create(uri, str(tmp_path / "raw"), engine=engine, copy=copy)
        ours = open_dataset(uri).reader()
        files = f"read_parquet('{tmp_path}/raw/*.parquet')"
        query = "select count(*), sum(hash(x::varchar)) from {} x"
        (theirs,), (found,) = (
            sql(query.format(files)),
            sql(query.format("ours"), ours=ours.read_all()),
        )
        assert theirs[0] == 200
        assert found == theirs


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
@pytest.mark.parametrize("dtype", [t for t in TYPES if str(t) not in NOT_IN_PARQUET], ids=str)
def test_every_type(tmp_path, engine, dtype, copy):
    data = pa.concat_arrays([unique_array(dtype, 60), pa.nulls(3, dtype)])
    source = parquet(tmp_path / "x.parquet", {"x": data}, row_group_size=25)
    want = pq.read_table(source)
    if copy and str(dtype) in NOT_IN_LANCE:
        return
    create(str(tmp_path / "ds"), source, engine=engine, copy=copy)
    found = open_dataset(str(tmp_path / "ds")).to_table()
    if copy and pa.types.is_dictionary(
        want["x"].type
    ):  # copies have room for the values of all files
        assert found.column("x").type == pa.dictionary(pa.int32(), dtype.value_type)
        found, want = (pa.table({"x": t["x"].cast(dtype.value_type)}) for t in (found, want))
    assert _same(_plain(found), _plain(want)) if copy else _same(found, want)


@pytest.mark.parametrize("dtype", [t for t in TYPES if str(t) in NOT_IN_LANCE], ids=str)
def test_copying_refuses_what_lance_cannot_store(tmp_path, engine, dtype):
    source = parquet(tmp_path / "x.parquet", {"x": unique_array(dtype, 60)})
    with pytest.raises(SchemaError, match="'x'"):
        create(str(tmp_path / "ds"), source, engine=engine, copy=True)


def test_dictionaries_that_together_outgrow_their_index(tmp_path, engine):
    """Four files with 100 values each, all with 8-bit indices, in one fragment."""
    kind = pa.dictionary(pa.int8(), pa.string())
    tables = [
        pa.table({"x": pa.array([f"{n}-{i}" for i in range(100)]).dictionary_encode().cast(kind)})
        for n in range(4)
    ]
    for number, table in enumerate(tables):
        parquet(tmp_path / f"raw/{number}.parquet", table)
    want = [value for table in tables for value in table["x"].to_pylist()]
    for copy in (False, True):
        uri = str(tmp_path / f"ds{copy}")
        create(uri, str(tmp_path / "raw"), engine=engine, copy=copy)
        assert open_dataset(uri).to_table()["x"].to_pylist() == want


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_values_of_any_types(tmp_path_factory, engine, data):
    kinds = [kind for kind in TYPES if str(kind) not in NOT_IN_PARQUET | TOO_LONG_AGO]
    picked = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))
    size = data.draw(st.integers(1, 30))
    columns = [data.draw(arrow_arrays(kind, min_size=size, max_size=size)) for kind in picked]
    table = pa.table(columns, names=[f"c{i}" for i in range(len(columns))])
    group = data.draw(st.integers(1, 30))
    folder = tmp_path_factory.mktemp("any")
    source = parquet(folder / "x.parquet", table, row_group_size=group)
    want = pq.read_table(source)
    uri = str(folder / "linked")
    create(uri, source, engine=engine)
    assert _same(open_dataset(uri).to_table(), want)
    if not any(_not_in_lance(kind) for kind in want.schema.types):
        uri = str(folder / "copied")
        create(uri, source, engine=engine, copy=True)
        assert _same(_plain(open_dataset(uri).to_table()), _plain(want))


def _not_in_lance(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_list_view(kind) or types.is_decimal32(kind) or types.is_decimal64(kind)


def _same(left: pa.Table, right: pa.Table) -> bool:
    """Equal, NaN and all: Arrow's own equality says that NaN is not NaN."""
    if left.schema != right.schema.remove_metadata():
        return False
    pairs = zip(left.columns, right.columns, strict=True)
    return all(one.equals(other) or _values(one) == _values(other) for one, other in pairs)


def _plain(table: pa.Table) -> pa.Table:
    """As a copy has it: views as plain strings, which Lance has none of, and the indices of
    dictionaries in 32 bits."""
    return table.cast(pa.schema([f.with_type(_copied(f.type)) for f in table.schema]))


def _copied(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return pa.dictionary(pa.int32(), kind.value_type, kind.ordered)
    return {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}.get(kind, kind)


def _values(column: pa.ChunkedArray) -> str:
    if pa.types.is_temporal(column.type):  # Python's own dates end in the year 9999
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
    return repr(column.to_pylist())


def test_files_that_differ_in_columns_and_width(place, engine):
    one = parquet(f"{place}/1.parquet", {"a": pa.array([1], pa.int8()), "s": ["x"]})
    two = parquet(f"{place}/2.parquet", {"a": pa.array([2**40]), "t": [1.5]})
    create(f"{place}/ds", [one, two], engine=engine)
    found = open_dataset(f"{place}/ds").to_table()
    assert found.schema == pa.schema({"a": pa.int64(), "s": pa.string(), "t": pa.float64()})
    assert found.to_pydict() == {"a": [1, 2**40], "s": ["x", None], "t": [None, 1.5]}


def test_a_linked_dataset_costs_kilobytes_and_moves_no_rows(place, engine):
    noise = np.random.default_rng(1).random(200_000)
    source = parquet(f"{place}/raw/a.parquet", {"x": noise})
    assert storage.info(source).size > 1_000_000
    create(f"{place}/ds", source, engine=engine)
    assert sum(size for size, _ in objects(f"{place}/ds").values()) < 10_000
    assert engine.io.bytes_read < 100_000  # the end of the file, where its footer is
    assert open_dataset(f"{place}/ds").to_table().num_rows == 200_000


def test_large_files_are_cut_and_small_ones_share(tmp_path, engine):
    noise = np.random.default_rng(1).random(600_000)
    parquet(tmp_path / "raw/large.parquet", {"x": noise}, row_group_size=50_000)
    for index in range(20):
        parquet(tmp_path / f"raw/small-{index:02}.parquet", {"x": noise[:5]})
    create(str(tmp_path / "ds"), str(tmp_path / "raw"), engine=engine)
    dataset = open_dataset(str(tmp_path / "ds"))
    parts = dataset.partitions()
    assert 3 < len(parts) < 12
    assert sum(part.rows for part in parts) == dataset.rows == 600_100
    wanted = pq.read_table(tmp_path / "raw")
    assert dataset.to_table().combine_chunks() == wanted.combine_chunks()


def test_hidden_files_and_other_files_are_left_out(place, engine):
    parquet(f"{place}/raw/deep/er/a.parquet", {"a": [1]})
    parquet(f"{place}/raw/_tmp/b.parquet", {"a": [2]})
    parquet(f"{place}/raw/.c.parquet", {"a": [3]})
    put(f"{place}/raw/_SUCCESS", b"")
    put(f"{place}/raw/notes.txt", b"no")
    create(f"{place}/ds", f"{place}/raw", engine=engine)
    assert open_dataset(f"{place}/ds").to_table().to_pydict() == {"a": [1]}


def test_a_file_named_twice_is_linked_once(tmp_path, engine):
    source = parquet(tmp_path / "raw/a.parquet", {"a": [1, 2]})
    create(str(tmp_path / "ds"), [source, str(tmp_path / "raw/*.parquet")], engine=engine)
    assert open_dataset(str(tmp_path / "ds")).rows == 2


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
def test_no_rows_at_all(tmp_path, engine, copy):
    table = pa.table({"a": pa.array([], pa.int64()), "s": pa.array([], pa.string())})
    source = parquet(tmp_path / "empty.parquet", table)
    made = create(str(tmp_path / "ds"), source, engine=engine, copy=copy)
    assert (made.version, made.rows) == (1, 0)
    dataset = open_dataset(str(tmp_path / "ds"))
    assert dataset.to_table().num_rows == 0
    assert dataset.schema == table.schema


def test_an_empty_file_among_others(tmp_path, engine):
    parquet(tmp_path / "raw/1.parquet", {"a": pa.array([], pa.int64())})
    parquet(tmp_path / "raw/2.parquet", {"a": [1, 2]})
    for copy in (False, True):
        create(str(tmp_path / f"ds{copy}"), str(tmp_path / "raw"), engine=engine, copy=copy)
        assert open_dataset(str(tmp_path / f"ds{copy}")).to_table().to_pydict() == {"a": [1, 2]}


def test_refusals_write_nothing(place, engine):
    good = parquet(f"{place}/raw/a.parquet", {"a": [1]})
    text = parquet(f"{place}/odd/a.parquet", {"a": ["x"]})
    put(f"{place}/junk/a.parquet", b"not a parquet file at all, but long enough for one")
    put(f"{place}/cut/a.parquet", storage.read(good)[:-9])
    create(f"{place}/there", good, engine=engine)
    before = objects(place)
    with pytest.raises(DatasetExists, match="there"):
        create(f"{place}/there", good, engine=engine)
    with pytest.raises(SchemaError) as both:
        create(f"{place}/ds", [good, text], engine=engine)
    assert good in str(both.value)
    assert text in str(both.value)
    for kind in ("junk", "cut"):
        with pytest.raises(CorruptFile, match=f"{kind}/a.parquet"):
            create(f"{place}/ds", f"{place}/{kind}", engine=engine)
    with pytest.raises(NotFound, match="none"):
        create(f"{place}/ds", f"{place}/none/*.parquet", engine=engine)
    with pytest.raises(UsageError):
        create(f"{place}/ds@tag", good, engine=engine)
    assert objects(place) == before


def test_reserved_and_repeated_names(tmp_path, engine):
    for names in (["_rowid"], ["_dsm_link"], ["a", "a"]):
        table = pa.table([pa.array([1])] * len(names), names=names)
        source = parquet(tmp_path / f"{'-'.join(names)}.parquet", table)
        with pytest.raises(SchemaError):
            create(str(tmp_path / "ds"), source, engine=engine)
    assert not (tmp_path / "ds").exists()


def test_names_that_other_tools_stumble_over(tmp_path, engine):
    """Dots, quotes and upper case in column names; both ways of storing."""
    table = pa.table({"a.b": [1, 2], 'quo"te': [3, 4], "A": [5, 6], "a": [7, 8], "": [9, 10]})
    source = parquet(tmp_path / "x.parquet", table)
    create(str(tmp_path / "linked"), source, engine=engine)
    assert open_dataset(str(tmp_path / "linked")).to_table() == table


def test_files_of_one_name_with_an_at_sign(tmp_path, engine):
    """An @ in a path of sources is part of the path."""
    source = parquet(tmp_path / "mail@home/part@1.parquet", {"a": [1]})
    create(str(tmp_path / "ds"), source, engine=engine)
    assert rows(open_dataset(str(tmp_path / "ds"))) == {0: {"a": 1}}
    assert dsm("profile", source, "--json").code == 0
