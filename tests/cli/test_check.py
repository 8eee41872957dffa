"""``dsm check``: a round through a schema file, JSON, text and exit codes."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from dsm_trials import dsm, parquet

import dsm_dask
from dsm_dask.validation.result_schema import CHECKED, json_schema

ROWS = 40


@pytest.fixture
def old(tmp_path):
    lang = ["de", "en"] * (ROWS // 2)
    return parquet(tmp_path / "old.parquet", {"id": range(ROWS), "lang": lang})


@pytest.fixture
def new(tmp_path):
    lang = ["de", "en"] * (ROWS // 2 - 1) + ["fr", None]
    data = {"id": pa.array([0, *range(ROWS - 1)], pa.int64()), "lang": lang}
    return parquet(tmp_path / "new.parquet", data)


def check(*args, code):
    said = dsm("check", *args, "--json", "--workers", "0")
    assert said.code == code, said.err
    if code < 2:
        CHECKED.validate_python(said.json)
    return said.json


def test_infer_edit_check(tmp_path, old, new):
    path = str(tmp_path / "schema.yaml")
    made = dsm("check", old, "--infer", path, "--json", "--workers", "0").json
    assert (made["schema"], made["columns"], made["estimated"]) == (path, ["id", "lang"], [])
    assert check(old, "--against", path, code=0)["passed"] is True
    found = check(new, "--against", path, "--examples", "1", code=1)
    assert {(f["rule"], f["column"], f["count"]) for f in found["findings"]} == {
        ("unique", "id", 1), ("nulls", "lang", 1), ("categories", "lang", 1),
    }  # fmt: skip
    assert found["findings"] == check(new, "--against", old, "--examples", "1", code=1)["findings"]
    text = Path(path).read_text().replace("nulls: 0\n    cat", "nulls: 0.5\n    cat")
    Path(path).write_text(text.replace('"en"', '"en", fr').replace("    unique: true\n", ""))
    assert check(new, "--against", path, code=0)["findings"] == []
    assert check(new, "--against", old, "--columns", "lang", code=1)["checked"]["columns"] == 1


def test_errors(tmp_path, old):
    path = tmp_path / "bad.yaml"
    path.write_text("columns:\n  id: {tpye: int64}\n")
    error = check(old, "--against", path, code=2)["error"]
    assert error["code"] == "schema-file"
    assert "columns.id.tpye (line 2)" in error["what"]
    assert "'type'" in error["valid"]
    for args in ([], ["--infer", "x.yaml", "--against", old], ["--infer", "x.txt"]):
        assert check(old, *args, code=2)["error"]["code"] == "usage"
    assert check(old, "--against", old, "--columns", "idd", code=2)["error"]["code"] == (
        "unknown-column"
    )


def test_keys_go_to_scratch(tmp_path, old, new):
    scratch = tmp_path / "scratch"
    plain = check(new, "--against", old, code=1)["findings"]
    assert check(new, "--against", old, "--scratch", scratch, code=1)["findings"] == plain
    assert list(scratch.rglob("*.keys")) == []
    assert scratch.exists()


def test_text(old, new):
    said = dsm("check", new, "--against", old, "--workers", "0")
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[0] == "Failed: 3 findings"
    assert any(line.startswith("✗ lang: new categories: 1 row (2.5 %)") for line in lines)
    assert any("rows 38 = 'fr'" in line for line in lines)
    assert lines[-1].startswith(f"Checked {ROWS} rows, 2 columns")
    assert dsm("check", old, "--against", old, "--workers", "0").out.startswith("Passed")


def test_python_is_the_same(old, new):
    with dsm_dask.Engine(workers=0) as engine:
        found = dsm_dask.check(new, old, engine=engine)
        assert found.to_dict()["findings"] == check(new, "--against", old, code=1)["findings"]
        assert (found.against, found.passed) == (old, False)
        schema = dsm_dask.infer_schema(old, engine=engine).schema
        assert dsm_dask.check(new, schema, engine=engine).findings == found.findings


@pytest.mark.cluster
def test_workers_make_no_difference(old, new, engine, cluster):
    many = dsm_dask.check(new, old, engine=cluster)
    assert many.findings == dsm_dask.check(new, old, engine=engine).findings


def test_the_published_schema_is_the_code_s():
    published = Path(__file__).parents[2] / "docs/check.schema.json"
    assert published.read_text() == json_schema()
    assert json.loads(json_schema())["$schema"]
