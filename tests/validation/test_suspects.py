"""Partitions whose states clear them are not read, and that changes nothing of what is found."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.validation import suspects, violations
from dsm_dask.validation.check import check
from dsm_dask.validation.schema import Schema

ROWS, FILES = 50, 6
TYPED = pa.schema(
    {
        "n": pa.int64(),
        "f": pa.float64(),
        "s": pa.string(),
        "k": pa.string(),
        "v": pa.list_(pa.float32(), 2),
    }
)
SCHEMA = Schema(
    columns={
        "n": {"type": "int64", "min": 0, "max": 99, "nulls": 0.005},
        "f": {"type": "float64", "nan": False, "infinite": False, "normalised": "0..1"},
        "s": {"type": "string", "empty": False, "max_length": 3},
        "k": {"type": "string", "categories": ["a", "b"]},
        "v": {"type": "list<float32>[2]", "unit_norm": True},
    }
)
PLANTED = {
    "n": [(0, None), (0, None), (1, None), (4, 100), (5, -1)],
    "f": [(1, np.nan), (2, np.inf), (2, -0.5)],
    "s": [(3, ""), (4, "long"), (4, "longer")],
    "k": [(0, "c")],
    "v": [(5, [3.0, 4.0])],
}


def columns():
    return {
        "n": list(range(ROWS)), "f": [0.5] * ROWS, "s": ["xy"] * ROWS, "k": ["a", "b"] * 25,
        "v": [[0.6, 0.8]] * ROWS,
    }  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, engine):
    """A file is a partition, for each is an append of its own."""
    place = tmp_path_factory.mktemp("suspects")
    for number in range(FILES):
        made = columns()
        for name, planted in PLANTED.items():
            for slot, (at, value) in enumerate(planted):
                if at == number:
                    made[name][10 + slot] = value
        pq.write_table(pa.table(made, TYPED), place / f"{number}.parquet")
    create(str(place / "ds"), str(place / "0.parquet"), engine=engine)
    for number in range(1, FILES):
        append(str(place / "ds"), str(place / f"{number}.parquet"), engine=engine)
    return open_dataset(str(place / "ds"))


@pytest.fixture
def read(monkeypatch, dataset):
    """The numbers of the partitions that a check goes through."""
    numbers = {part.fingerprint: i for i, part in enumerate(dataset.partitions())}
    seen = []
    kind = type(dataset.partitions()[0])
    original = kind.read
    monkeypatch.setattr(suspects, "STATES", 0)
    monkeypatch.setattr(
        kind,
        "read",
        lambda p, *c, **k: seen.append(numbers[p.fingerprint]) or original(p, *c, **k),
    )
    return seen


def test_the_findings_are_those_of_reading_everything(dataset, engine, read, tmp_path):
    found = check(dataset, SCHEMA, engine=engine, examples=ROWS).findings
    files = open_parquet([f"{dataset.uri}/../{i}.parquet" for i in range(FILES)])
    expected = check(files, SCHEMA, engine=engine, examples=ROWS).findings
    assert len(found) == 11
    for one, other in zip(found, expected, strict=True):
        # plain files share a partition
        assert sum(place.count for place in one.partitions) == one.count
        assert one == dataclasses.replace(other, partitions=one.partitions)


@pytest.mark.parametrize("column", PLANTED)
def test_only_suspect_partitions_are_read(column, dataset, engine, read):
    check(dataset, SCHEMA, engine=engine)  # leaves the states
    read.clear()
    check(dataset, SCHEMA, [column], engine=engine)
    assert read == sorted({at for at, _ in PLANTED[column]})


def test_small_columns_are_read_without_a_look_at_states(dataset, engine, monkeypatch):
    assert suspects.cleared(dataset, {"n": SCHEMA.columns["n"]}, None) is None
    found = check(dataset, SCHEMA, ["k"], engine=engine).findings
    assert [f.count for f in found] == [1]
    inspect = violations.Inspect((), 5)
    assert inspect(dataset.partitions()[0])[1] == []
