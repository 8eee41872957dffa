"""``dsm embed`` with a function of the user's."""

import sys

import pytest
from dsm_trials import dsm, dsm_apart, parquet

import dsm_dask
from dsm_dask.cli.embed import function_at
from dsm_dask.dataset.version import open_dataset

MODULE = """
import os

class Sizes:
    def of(self, texts):
        return [[len(text), len(texts)] for text in texts]

lengths = Sizes().of

def broken(texts):
    raise RuntimeError("no model")

number = 3
"""


@pytest.fixture
def ds(tmp_path) -> str:
    raw = parquet(tmp_path / "raw/1.parquet", {"text": ["a", "bb", None, "cccc", "", "a"]})
    assert dsm("create", tmp_path / "ds", raw).code == 0
    return str(tmp_path / "ds")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module, which is the one that people are in."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here/models_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("models_of_mine", None)


def embedded(ds) -> list:
    return open_dataset(ds).to_table(["v"])["v"].to_pylist()


WANT = [[1, 2], [2, 2], None, [4, 2], [0, 2], [1, 1]]
OPTIONS = ("--column", "text", "--dimension", 2, "--name", "v", "--batch-size", 2)


def test_a_function_by_its_path(ds, folder):
    said = dsm("embed", ds, *OPTIONS, "--function", "models_of_mine:lengths", "--json")
    assert said.code == 0, said.err
    assert (said.json["column"], said.json["version"]) == ("v", 2)
    assert embedded(ds) == WANT


@pytest.mark.cluster
def test_local_workers_find_it(ds, folder):
    said = dsm_apart(
        "embed", ds, *OPTIONS, "--function", "models_of_mine:lengths", "--workers", 1, "--json"
    )
    assert said.code == 0, said.err
    assert embedded(ds) == WANT


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--function", "models_of_mine"], "names no function"),
        (["--function", "no_such:f", "--dimension", 2], "ModuleNotFoundError"),
        (["--function", "models_of_mine:f", "--dimension", 2], "AttributeError"),
        (["--function", "models_of_mine:number", "--dimension", 2], "type int"),
        (["--function", "models_of_mine:lengths"], "How many components"),
        (["--function", "models_of_mine:lengths", "--dimension", 3, "--dry-run"], r"shape (5, 2)"),
        (["--function", "models_of_mine:broken", "--dimension", 2, "--dry-run"], "no model"),
        (["--dimension", 40_000], "no dimension"),
    ],
)
def test_what_cannot_be(ds, folder, given, told):
    """A dry run finds out, too."""
    said = dsm("embed", ds, "--column", "text", *given)
    assert said.code in (2, 3)
    assert told in said.err
    assert open_dataset(ds).version == 1


def test_python_is_the_same(ds, folder, engine):
    lengths = function_at("models_of_mine:lengths")

    asked = {"function": lengths, "dimension": 2, "batch_size": 2, "name": "v", "engine": engine}
    made = dsm_dask.embed(ds, "text", **asked, dry_run=True)
    assert (made.committed, made.version) == (False, 1)
    dsm_dask.embed(ds, "text", **asked)
    assert embedded(ds) == WANT
    again = dsm("embed", ds, *OPTIONS, "--function", "models_of_mine:lengths", "--json")
    assert (again.code, again.error["code"]) == (2, "schema")
