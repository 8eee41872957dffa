"""Columns with names that Lance does not take, or stores and does not find again."""

import json

import pytest
from dsm_trials import parquet, put

from dsm_dask.dataset.update import update
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.errors import SchemaError


def test_linked_ones_are_corrected(tmp_path, engine):
    names = ["a.b", "a%2Eb", "c`d", 'e"f', "g h", "é日"]
    parquet(tmp_path / "1.parquet", {"id": [1, 2], **{name: ["x", "y"] for name in names}})
    ds = str(tmp_path / "ds")
    create(ds, str(tmp_path / "1.parquet"), engine=engine)
    line = {"id": 2, **{name: f"{name}!" for name in names}}
    update(ds, put(tmp_path / "f.jsonl", json.dumps(line).encode()), "id", engine=engine)
    found = open_dataset(ds)
    assert found.schema.names == ["id", *names]
    assert found.to_table().to_pylist() == [{"id": 1, **dict.fromkeys(names, "x")}, line]


@pytest.mark.parametrize("name", ["a.b", "c`d"])
def test_they_are_not_copied(tmp_path, engine, name):
    source = parquet(tmp_path / "1.parquet", {"id": [1], name: ["x"]})
    with pytest.raises(SchemaError, match=f"Column '{name}'"):
        create(str(tmp_path / "ds"), source, engine=engine, copy=True)
