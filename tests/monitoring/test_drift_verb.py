"""``dsm drift`` and ``dsm_dask.drift``: exit codes, one JSON object, text for people."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import dsm_dask
from dsm_dask.cli.drift import command
from dsm_dask.engine import Engine
from dsm_dask.monitoring.drift import sketch_for_drift
from dsm_dask.monitoring.schema import DRIFT

RNG = np.random.default_rng(31)
N = 4000
CITIES = ["Rome", "Oslo", "[red]Bonn[/red]"]


@pytest.fixture
def files(tmp_path):
    """A reference, more of the same, and data that moved."""

    def columns(shift):
        return {
            "price": RNG.normal(shift, 1, N),
            "city": RNG.choice(CITIES, N, p=[0.5 - shift / 4, 0.5, shift / 4]),
            "calm": RNG.integers(0, 1000, N),
            "error": RNG.random(N) + shift,
        }  # fmt: skip

    found = {}
    for name, shift in (("before", 0.0), ("same", 0.0), ("after", 1.0)):
        found[name] = str(tmp_path / f"{name}.parquet")
        pq.write_table(pa.table(columns(shift)), found[name])
    return found


def said(*args, code):
    done = CliRunner().invoke(command, [*map(str, args), "--workers", "0"])
    assert done.exit_code == code, done.output
    return done


def told(*args, code):
    return json.loads(said(*args, "--json", code=code).stdout)


def test_exit_codes_and_json(files):
    found = told(files["before"], files["after"], code=1)
    DRIFT.validate_python(found)
    assert found["drifted"] is True
    assert list(found["columns"])[-1] == "calm"
    for column in found["columns"].values():
        assert column.keys() >= {"type", "drift", "method", "distances", "threshold", "p_value"}
    assert found["io"].keys() >= {"bytes_read", "bytes_written", "requests", "client_bytes"}
    calm = told(files["before"], files["same"], code=0)
    assert (calm["drifted"], calm["share_drifted"]) == (False, 0)
    assert told(files["before"], files["after"], "--columns", "calm", code=0)["drifted"] is False
    assert told(files["before"], files["after"], "--share", "0.9", code=0)["share_drifted"] == 0.75
    assert (
        told(files["before"], files["after"], "--method", "no", code=2)["error"]["code"] == "usage"
    )


def test_a_column_without_the_method_says_so(files, engine):
    found = told(files["before"], files["after"], "--method", "ks", code=1)
    DRIFT.validate_python(found)
    notes = {name: column["method_note"] for name, column in found["columns"].items()}
    assert notes == {
        "price": None, "calm": None, "error": None, "city": "no ks distance, judged by js",
    }  # fmt: skip
    text = said(files["before"], files["after"], "--method", "ks", code=1).stdout
    assert "\nNo ks distance, judged by js: city\n" in text
    plain = said(files["before"], files["after"], code=1).stdout
    assert "judged by" not in plain
    made = dsm_dask.drift(files["before"], files["after"], method="linf", engine=engine)
    table = made.to_arrow()
    assert table.filter(table["column"].to_numpy() == "city")["method_note"].to_pylist() == [None]
    assert sum(table["method_note"].is_valid().to_pylist()) == 3


def test_text_is_for_people(files):
    text = said(files["before"], files["after"], "--score", "error", code=1).stdout
    lines = text.splitlines()
    assert lines[0] == "Drift: 3 of 4 columns moved"
    assert "4,000 rows" in lines[1]
    assert "[red]Bonn[/red]" in text  # values are text, not markup
    assert "new: " in text
    assert "Mean error: 0." in text
    order = [text.index(f" {name} ") for name in ("error", "price", "city", "calm")]
    assert order == sorted(order)
    assert said(files["before"], files["same"], code=0).stdout.startswith("No drift: 0 of 4")


def test_many_calm_columns_are_counted(tmp_path):
    path = str(tmp_path / "wide.parquet")
    pq.write_table(pa.table({f"c{i}": [1, 2, 3] for i in range(50)}), path)
    assert "and 30 more columns that did not drift" in said(path, path, code=0).stdout


def test_versions_of_a_dataset_and_saved_references(files, tmp_path):
    with Engine(workers=0) as engine:
        ds = dsm_dask.create(str(tmp_path / "ds"), files["before"], engine=engine).dataset
        dsm_dask.append(ds, files["after"], engine=engine)
        live = dsm_dask.drift(f"{ds}@1", ds, engine=engine)
        assert live.drifted
        again = dsm_dask.drift(f"{ds}@1", ds, engine=engine)
        assert {n: c.to_dict() for n, c in again.columns.items()} == {
            n: c.to_dict() for n, c in live.columns.items()
        }
        assert live.io.bytes_written > 0 == again.io.bytes_written  # all states were there
        saved = str(tmp_path / "reference.dsm")
        sketch_for_drift(dsm_dask.open(f"{ds}@1"), engine=engine).save(saved)
        found = dsm_dask.drift(saved, ds, engine=engine)
        assert found.columns["price"].to_dict() == live.columns["price"].to_dict()
    old = tmp_path / "old.dsm"
    old.write_bytes(b"dsm\x01 of another time")
    assert told(old, files["after"], code=2)["error"]["code"] == "state-version"
