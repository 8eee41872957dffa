"""A few rows of a fragment, by their ids: what a scan gives of them, for fewer bytes."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from dsm_trials import parquet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsm_dask.dataset import partition as partitions
from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.update import update
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.engine import Engine
from dsm_dask.table import ROW_ID


@dataclasses.dataclass(frozen=True)
class Half:
    columns = ("n",)
    schema = pa.schema([("half", pa.float64()), ("name", pa.string())])

    def apply(self, batch):
        half = pc.divide(batch.column("n").cast(pa.float64()), 2.0)
        name = pc.binary_join_element_wise("row", batch.column("n").cast(pa.string()), "-")
        return pa.record_batch([half, name], schema=self.schema)


def rows(first, last):
    return {
        "n": np.arange(first, last),
        "text": [f"text {i} " * (i % 7) for i in range(first, last)],
        "list": [[i] * (i % 3) for i in range(first, last)],
    }


def made(place, copy, engine):
    """Row groups of 7 rows; rows dropped, cells changed, columns added, rows appended since."""
    sources = parquet(place / "a.parquet", rows(0, 100), row_group_size=7)
    ds = create(str(place / "ds"), sources, engine=engine, copy=copy).dataset
    drop(ds, "n IN (0, 5, 44, 99) OR n BETWEEN 20 AND 40", engine=engine)
    add_columns(ds, Half(), engine=engine)
    (place / "fixes.csv").write_text("n,text\n13,changed\n98,\n")
    update(ds, str(place / "fixes.csv"), "n", engine=engine, who="ann")
    append(ds, parquet(place / "b.parquet", rows(100, 130), row_group_size=9), engine=engine)
    return open_dataset(ds)


@pytest.fixture(scope="module", params=["linked", "copied"])
def dataset(request, tmp_path_factory):
    with Engine(workers=0) as engine:
        yield made(tmp_path_factory.mktemp("take"), request.param == "copied", engine)


COLUMNS = st.lists(
    st.sampled_from(["n", "text", "list", "half", "name", ROW_ID]), min_size=1, unique=True
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sets(st.integers(0, 140)), COLUMNS, st.sampled_from([0, 1, 1 << 16]))
def test_rows_by_id_are_those_of_a_scan(dataset, chosen, columns, random_read):
    ids = np.array(sorted(chosen), np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "RANDOM_READ", random_read)
        for partition in dataset.partitions():
            for fragment in partition.fragments:
                found = list(partition.take(fragment, ids, columns))
                names = [*dict.fromkeys([*columns, ROW_ID])]
                scanned = pa.Table.from_batches(partition.read_fragment(fragment, names))
                there = pc.is_in(scanned.column(ROW_ID), pa.array(ids, pa.uint64()))
                wanted = scanned.filter(there).select(columns)
                if not wanted.num_rows:
                    assert found == []
                    continue
                assert pa.Table.from_batches(found).to_pydict() == wanted.to_pydict()


def test_only_their_row_groups_and_pages_are_read(tmp_path):
    texts = [f"{i:06} " * 4 for i in range(60_000)]
    table = {"n": np.arange(60_000), "text": texts}
    with Engine(workers=0) as engine:
        sources = parquet(tmp_path / "a.parquet", table, row_group_size=5000, compression="none")
        create(str(tmp_path / "ds"), sources, engine=engine)
        add_columns(str(tmp_path / "ds"), Half(), engine=engine)
        dataset = open_dataset(str(tmp_path / "ds"))
        sizes = dataset.column_sizes()
        one = np.array([31_234], np.uint64)

        def taken(columns):
            mark = engine.mark()
            found = engine.map_partitions(_Take(one, columns), dataset.partitions())
            assert [row["n"] for rows in found for row in rows] == [31_234]
            return mark.io.bytes_read

        taken(["n"])  # the footer
        assert taken(["n", "text"]) < (sizes["n"] + sizes["text"]) / 8
        assert taken(["n", "half"]) - taken(["n"]) < sizes["half"] / 4


@dataclasses.dataclass(frozen=True)
class _Take:
    rows: np.ndarray
    columns: list

    def __call__(self, partition):
        return [
            row
            for fragment in partition.fragments
            for batch in partition.take(fragment, self.rows, self.columns)
            for row in batch.to_pylist()
        ]
