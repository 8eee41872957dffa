"""Other tools see the same rows: plain Lance, DuckDB, Polars, Dask, pandas."""

import dask
import lance
import numpy as np
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from dsm_trials import Doubled, parquet, sql

from dsm_dask import storage
from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.errors import UnknownColumn

BOTH = pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])


def build(place: str, engine, copy: bool) -> str:
    ds = f"{place}/ds"
    for index in range(3):
        numbers = np.arange(index * 100, index * 100 + 100)
        table = pa.table(
            {
                "a": numbers,
                "s": [f"naïve {n % 7}" if n % 5 else None for n in numbers.tolist()],
                "f": pa.array(numbers / 3).cast(pa.float32()),
                "t": pa.array(numbers, pa.timestamp("us", "UTC")),
                "items": [[n, n + 1] for n in numbers.tolist()],
                "deep": [{"x": n, "y": "z"} for n in numbers.tolist()],
            }
        )
        parquet(f"{place}/raw/{index}.parquet", table, row_group_size=30)
    create(ds, f"{place}/raw", engine=engine, copy=copy)
    drop(ds, "a < 20 or a = 150 or s = 'naïve 3'", engine=engine)
    add_columns(ds, Doubled(), engine=engine)
    return ds


def test_a_copied_dataset_in_plain_lance(place, engine):
    """Without dsm: the same schema, rows, ids, versions."""
    ds = build(place, engine, copy=True)
    ours = open_dataset(ds).to_table()
    plain = lance.dataset(ds, storage_options=storage.lance_options(ds))
    assert plain.version == 3
    assert plain.schema == ours.schema
    assert plain.to_table() == ours
    assert plain.count_rows("a > 200") == pc.sum(pc.greater(ours["a"], 200)).as_py()
    ids = plain.to_table(["a"], with_row_id=True)["_rowid"]
    assert ids.to_pylist() == open_dataset(ds).to_table(["_rowid"])["_rowid"].to_pylist()
    assert plain.checkout_version(1).count_rows() == 300
    assert plain.take([0], ["a"]).to_pydict() == {"a": [20]}


def test_a_copied_dataset_in_duckdb_and_polars_without_dsm(tmp_path, engine):
    ds = build(str(tmp_path), engine, copy=True)
    plain = lance.dataset(ds)
    want = open_dataset(ds).to_table()
    (row,) = sql("select count(*), sum(a), count(s), sum(items[2]) from t", t=plain.to_table())
    assert row == (
        want.num_rows, pc.sum(want["a"]).as_py(), pc.count(want["s"]).as_py(),
        sum(items[1] for items in want["items"].to_pylist()),
    )  # fmt: skip
    frame = polars.scan_pyarrow_dataset(plain).filter(polars.col("a") >= 100).collect()
    assert frame["a"].to_list() == [n for n in want["a"].to_pylist() if n >= 100]


@BOTH
def test_the_reader_in_duckdb_polars_and_pandas(tmp_path, engine, copy):
    dataset = open_dataset(build(str(tmp_path), engine, copy))
    want = dataset.to_table()
    reader = dataset.reader()
    assert isinstance(reader, pa.RecordBatchReader)
    assert reader.schema == dataset.schema
    (row,) = sql("select count(*), sum(doubled), max(t) is not null from r", r=dataset.reader())
    assert row == (want.num_rows, pc.sum(want["doubled"]).as_py(), True)
    frame = polars.from_arrow(dataset.reader())
    assert frame["s"].to_list() == want["s"].to_pylist()
    assert dataset.reader(["f", "a"]).read_all() == want.select(["f", "a"])
    assert dataset.reader(["a"]).read_pandas()["a"].tolist() == want["a"].to_pylist()
    with pytest.raises(UnknownColumn, match="'doubled'"):
        dataset.reader(["dubbled"])


@BOTH
def test_to_dask(tmp_path, engine, copy):
    dataset = open_dataset(build(str(tmp_path), engine, copy))
    want = dataset.to_table()
    frame = dataset.to_dask()
    assert frame.npartitions == len(dataset.partitions())
    with dask.config.set(scheduler="synchronous"):
        found = frame.compute()
        assert int(frame["a"].sum().compute()) == pc.sum(want["a"]).as_py()
        ids = dataset.to_dask(["_rowid", "a"]).compute()
    assert list(found.columns) == want.column_names
    assert pa.Table.from_pandas(found, preserve_index=False).cast(want.schema) == want
    assert str(found.dtypes["t"]) == "timestamp[us, tz=UTC][pyarrow]"
    assert list(frame._meta.dtypes) == list(found.dtypes)
    assert ids["_rowid"].tolist() == ids["a"].tolist()


@pytest.mark.s3
def test_to_dask_on_s3(bucket, engine):
    dataset = open_dataset(build(f"s3://{bucket}", engine, copy=False))
    with dask.config.set(scheduler="threads", num_workers=2):
        found = dataset.to_dask(["a"]).compute()
    assert found["a"].tolist() == dataset.to_table(["a"])["a"].to_pylist()
