"""``dsm profile --by``, ``dsm drift --over`` and ``--by``."""

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import dsm, parquet

DAYS, ROWS = 12, 200
START = 1_704_067_200  # 2024-01-01, a Monday


def made(seed, change):
    rng = np.random.default_rng(seed)
    day = np.arange(DAYS * ROWS) // ROWS
    return pa.table(
        {
            "at": pa.array(START + day * 86_400, pa.timestamp("s", "UTC")),
            "lang": pa.array(rng.choice(["en", "de", None], len(day))),
            "x": rng.normal(size=len(day)) + 3 * (day >= change),
            "calm": rng.normal(size=len(day)),
        }
    )


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return parquet(tmp_path_factory.mktemp("raw") / "1.parquet", made(0, 7))


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    return parquet(tmp_path_factory.mktemp("calm") / "1.parquet", made(2, DAYS))


def told(*args, code=0):
    said = dsm(*args, "--json", "--workers", "0")
    assert said.code == code, said.err
    return said.json


def text(*args, code=0):
    said = dsm(*args, "--workers", "0")
    assert said.code == code, said.err
    return said.out


def test_profile_by_value(raw):
    found = told("profile", raw, "--by", "lang")
    assert (found["by"], found["window"], found["rows"]) == ("lang", None, DAYS * ROWS)
    assert {group["value"] for group in found["groups"]} == {"en", "de", None}
    assert sum(group["rows"] for group in found["groups"]) == DAYS * ROWS
    assert set(found["groups"][0]["columns"]) == {"at", "x", "calm"}
    assert found["left_out"] == {"groups": 0, "exact": True, "rows": 0}
    (one,) = told("profile", raw, "--by", "lang", "--group", "en", "--columns", "x")["groups"]
    assert (one["value"], list(one["columns"])) == ("en", ["x"])


def test_profile_by_window(raw):
    found = told("profile", raw, "--by", "at", "--window", "1w", "--groups", "1")
    (week,) = found["groups"]
    assert (week["start"], week["end"]) == (
        "2024-01-08T00:00:00+00:00",
        "2024-01-15T00:00:00+00:00",
    )
    assert (week["rows"], found["left_out"]["rows"]) == (5 * ROWS, 7 * ROWS)
    shown = text("profile", raw, "--by", "at", "--window", "1w")
    assert "2024-01-08" in shown
    assert "x: mean / median" in shown


def test_drift_over_time(raw, calm):
    over = ("--over", "at", "--window", "1d")
    found = told("drift", raw, *over, code=1)
    assert found["drifted"] is True
    assert found["columns"]["x"]["change_points"][0]["start"] == "2024-01-08T00:00:00+00:00"
    assert found["columns"]["calm"]["drifted"] is False
    assert told("drift", calm, *over, "--columns", "x,calm")["drifted"] is False
    shown = text("drift", raw, *over, "--method", "ks", "--threshold", "0.001", code=1)
    assert "1 of 3 columns" in shown
    assert "ks" in next(line.split() for line in shown.splitlines() if " x " in line)
    assert "p 0.001" in shown
    assert "No ks distance, judged by chi2: lang" in shown
    noted = told("drift", raw, *over, "--method", "ks", code=1)["columns"]
    assert noted["lang"]["method_note"] == "no ks distance, judged by chi2"
    assert noted["x"]["method_note"] is None
    assert "2024-01-08" in shown
    before = told("drift", raw, *over, "--reference", "previous", code=1)
    assert [i for i, flag in enumerate(before["columns"]["x"]["drift"]) if flag] == [7]
    other = told("drift", raw, *over, "--reference", calm, "--columns", "x", code=1)
    assert other["columns"]["x"]["drift"] == [False] * 7 + [True] * 5


def test_drift_over_a_dataset_against_a_tag(tmp_path, raw, calm):
    assert dsm("create", tmp_path / "ds", calm, "--tag", "good").code == 0
    assert dsm("append", tmp_path / "ds", raw).code == 0
    arguments = ("--over", "at", "--window", "1d", "--reference", "good", "--columns", "x")
    found = told("drift", tmp_path / "ds", *arguments, code=1)
    assert found["columns"]["x"]["drift"] == [False] * 7 + [True] * 5


def test_drift_by_slice(raw, calm):
    found = told("drift", calm, raw, "--by", "lang", "--columns", "x,calm", code=1)
    assert {one["value"] for one in found["slices"]} == {"en", "de", None}
    assert all(one["drifted"] for one in found["slices"])
    assert next(iter(found["slices"][0]["columns"])) == "x"
    assert told("drift", calm, calm, "--by", "lang")["drifted"] is False
    shown = text("drift", calm, raw, "--by", "lang", "--method", "psi", code=1)
    assert "3 of 3 values of lang moved" in shown
    (judged,) = [line for line in shown.splitlines() if line.startswith("Judged by psi")]
    assert judged.startswith("Judged by psi, threshold 0.1: x, ")
    options = ("--by", "lang", "--method", "linf", "--columns", "x")
    shown = text("drift", calm, raw, *options, code=1)
    note = "no linf distance, judged by ks"
    assert f"\n{note.capitalize()}: x" in shown
    assert "Judged by ks, threshold p 0.05: x" in shown
    found = told("drift", calm, raw, *options, code=1)
    assert {one["columns"]["x"]["method_note"] for one in found["slices"]} == {note}


def test_a_label_with_too_many_classes_says_so(tmp_path):
    many = parquet(tmp_path / "many.parquet", {"sku": [f"s{i}" for i in range(700)] + ["s1"] * 50})
    shown = text("profile", many, "--label", "sku")
    assert "Classes of sku: 700 classes: too many to list (limit 512); most frequent: s1 " in shown
    rare = parquet(
        tmp_path / "rare.parquet", {"sku": [f"s{i}" for i in range(700)], "x": [1.5] * 700}
    )
    shown = text("profile", rare, "--label", "sku")
    assert "Classes of sku: 700 classes: too many to list (limit 512)" in shown.splitlines()
    shown = text("profile", rare, "--label", "sku", "--columns", "x")
    assert "Classes of sku: more than 512 classes: too many to list" in shown
    text("profile", rare, "--label", "sku", "--html", tmp_path / "rare.html")
    assert "Too many classes to list." in (tmp_path / "rare.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("profile", "--window", "1d"), "--by"),
        (("profile", "--by", "x", "--window", "1d"), "timestamps or dates"),
        (("profile", "--by", "lang", "--groups", "0"), "groups cannot be kept"),
        (("profile", "--by", "lang", "--html", "x.html"), "--html"),
        (("profile", "--by", "lang", "--group", "en", "--group", "dee"), "Did you mean 'de'?"),
        (("profile", "--by", "x", "--group", "77"), "has no group '77'"),
        (("drift",), "CURRENT"),
        (("drift", "--over", "at"), "--window 1d"),
        (("drift", "--over", "at", "--window", "1fortnight"), "15min"),
        (("drift", "--over", "at", "--window", "1d", "--by", "lang"), "--by"),
        (("drift", "--over", "at", "--window", "1d", "--reference", "no/such"), "no/such"),
    ],
)
def test_what_makes_no_sense(raw, arguments, message):
    verb, *options = arguments
    said = dsm(verb, raw, *options, "--workers", "0")
    assert said.code == 2
    assert message in said.err
    assert "Traceback" not in said.err
