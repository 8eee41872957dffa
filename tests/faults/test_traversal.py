"""Names that would lead out of a dataset: in tags, branches, versions, and in what is stored."""

from __future__ import annotations

import json

import lance
import pytest
from dsm_trials import dsm, inline, objects, parquet
from lance.fragment import FragmentMetadata

from dsm_dask import storage
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.errors import DatasetDamaged, DsmError

OUT = [
    "../x",
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../x",
    "..",
    "%2e%2e/x",
    "x\x00y",
    "x\\..\\y",
]


@pytest.fixture
def places(tmp_path):
    """A dataset, and one that it should not lead to."""
    for name in ("open", "secret"):
        parquet(tmp_path / name / "a.parquet", {"text": [f"{name} data"]})
        with inline() as engine:
            create(str(tmp_path / f"{name}.ds"), str(tmp_path / name), engine=engine)
            create(
                str(tmp_path / f"{name}.copy"), str(tmp_path / name), engine=engine, copy=True
            )  # fmt: skip
    return tmp_path


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("verb", ["tag", "branch", "restore"])
def test_names(places, verb, name):
    before = objects(places)
    said = dsm(verb, places / "open.ds", name, "--json")
    assert said.code == 2
    assert said.error["code"] in ("invalid-name", "unknown-version", "usage")
    assert objects(places) == before


@pytest.mark.parametrize("name", OUT)
def test_versions(places, name):
    with pytest.raises(DsmError):
        open_dataset(f"{places}/open.ds@{name}")
    with pytest.raises(DsmError):
        open_dataset(f"{places}/open.ds@main:{name}")


def test_a_list_of_files_elsewhere(places):
    """A transaction names the lists of linked files."""
    secret = open_dataset(f"{places}/secret.ds").source_lists[0]
    elsewhere = f"../../../secret.ds/_dsm/links/{secret}"
    dataset = lance.dataset(f"{places}/open.ds")
    transaction = lance.Transaction(
        1, lance.LanceOperation.Append([]), transaction_properties={"dsm.lists": elsewhere}
    )
    lance.LanceDataset.commit(dataset, transaction)
    with pytest.raises(DatasetDamaged, match="not the name of a list"):
        open_dataset(f"{places}/open.ds").to_table()
    said = dsm("append", f"{places}/open.ds", f"{places}/open", "--json")
    assert said.error["code"] == "dataset-damaged"


def test_a_data_file_elsewhere(places):
    """A manifest names the files of each fragment."""
    (file,) = [uri for uri in objects(places / "secret.copy") if "/data/" in uri]
    dataset = lance.dataset(f"{places}/open.copy")
    told = dataset.get_fragments()[0].metadata.to_json()
    told["files"][0]["path"] = f"../../secret.copy/data/{storage.name(file)}"
    fragment = FragmentMetadata.from_json(json.dumps(told))
    operation = lance.LanceOperation.Overwrite(dataset.schema, [fragment])
    lance.LanceDataset.commit(dataset.uri, operation, read_version=1)
    with pytest.raises(DsmError) as failure:
        open_dataset(f"{places}/open.copy").to_table()
    assert "secret data" not in str(failure.value)
