"""The pages as text: what is said, what is left out, what is never there."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_checks import words

from dsm_dask.report import columns, html, profile_page, run_page, story


def sentence(run: dict[str, Any]) -> str:
    return "".join(phrase.text for phrase in story.headline(run)).replace("\u00a0", " ")


def test_a_real_run_is_told_in_a_sentence(run: dict[str, Any]) -> None:
    dedup = next(s["result"] for s in run["steps"] if s["verb"] == "dedup")
    told = sentence(run)
    assert told.startswith(f"Linked 4,000 rows as {run['dataset']} and dropped ")
    assert f"{dedup['duplicates']} exact duplicates on source." in told
    assert f"Version 2, tagged curated, holds {dedup['kept']:,} rows and cost " in told


def test_the_big_numbers_are_those_of_the_run(run: dict[str, Any]) -> None:
    shown = {number.label: number.value for number in story.numbers(run)}
    dedup = next(s["result"] for s in run["steps"] if s["verb"] == "dedup")
    assert shown["Rows in"] == "4,000"
    assert shown["Duplicates dropped"] == f"{dedup['duplicates']:,}"
    assert shown["Rows kept"] == f"{dedup['kept']:,}"
    assert shown["Cost of the new version"].endswith(" KB")
    assert len(shown) == 6


def test_running_again_says_that_nothing_new_was_committed(run: dict[str, Any]) -> None:
    again = copy.deepcopy(run)
    for step in again["steps"]:
        if "committed" in step["result"]:
            step["result"]["committed"] = False
    assert "committed by an earlier run of this job" in sentence(again)
    assert "dropped" in sentence(again)


def test_rows_of_several_drops_add_up() -> None:
    steps = [
        {"verb": "drop", "io": {"bytes_written": 300},
         "result": {"rows": 90, "dropped": 10, "version": 2}},
        {"verb": "dedup", "io": {"bytes_written": 500},
         "result": {"rows": 90, "duplicates": 15, "kept": 75, "version": 3, "on": ["x"]}},
    ]  # fmt: skip
    shown = {number.label: number.value for number in story.numbers({"steps": steps})}
    assert shown == {
        "Rows in": "100", "Rows dropped": "25", "Rows kept": "75",
        "Cost of the new versions": "800 B",
    }  # fmt: skip
    told = "Dropped 10 rows and dropped 15 duplicates on x. Version 3 holds 75 rows and cost 500 B."
    assert sentence({"steps": steps}) == told


def test_duplicates_that_stay_are_found_not_dropped() -> None:
    found = {"rows": 9, "duplicates": 2, "kept": 7, "clusters": 1, "version": 1, "on": ["x"],
             "committed": False, "largest": []}  # fmt: skip
    run = {"dataset": "d", "steps": [{"verb": "dedup", "result": found}]}
    assert sentence(run) == "Found 2 duplicates on x."
    assert [n.label for n in story.numbers(run)] == ["Rows in", "Duplicates found"]
    assert "2 rows found, not dropped" in words(run_page(run, title="t"))


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"steps": []},
        {"job": "j", "dataset": "d", "steps": [{"verb": "profile"}]},
        {"steps": [{"verb": v, "result": {}} for v in ("create", "append", "dedup", "drop", "tag",
                                                       "log", "diff", "profile", "report")]},
        {"steps": [{"verb": "log", "result": {"versions": [{}]}}]},
        {"steps": [{"verb": "dedup", "io": {}, "result": {"largest": [{}]}}]},
        {"steps": [{"verb": "profile", "io": {"bytes_read": 0},
                    "result": {"rows": 0, "columns": {"x": {}}}}]},
    ],
)  # fmt: skip
def test_what_is_not_known_is_left_out(run: dict[str, Any]) -> None:
    page = run_page(run, title="t")
    assert not re.search(r"\b(None|nan|undefined)\b", words(page)), words(page)


def test_every_part_of_a_real_run_may_be_missing(run: dict[str, Any]) -> None:
    """Take away one key at a time, of the run, of each step and of each result."""
    for place in [("top", key) for key in run] + [
        (i, key) for i, step in enumerate(run["steps"]) for key in [*step, *step["result"]]
    ]:
        less = copy.deepcopy(run)
        where, key = place
        if where == "top":
            del less[key]
        elif key in less["steps"][where]:
            del less["steps"][where][key]
        else:
            del less["steps"][where]["result"][key]
        assert " None " not in words(run_page(less, title="t")), place


def test_every_statistic_of_a_column_may_be_missing(run: dict[str, Any]) -> None:
    profile = next(s["result"] for s in run["steps"] if s["verb"] == "profile")
    keys = {key for column in profile["columns"].values() for key in column}
    for key in keys:
        for value in ("gone", None):
            less = copy.deepcopy(profile)
            for column in less["columns"].values():
                column.pop(key, None)
                if value is None and key != "type":
                    column[key] = None
            assert " None " not in words(profile_page(less, title="t")), key


def test_a_profile_page_has_every_column(run: dict[str, Any]) -> None:
    profile = next(s["result"] for s in run["steps"] if s["verb"] == "profile")
    page = words(profile_page(profile, title="functions"))
    for name in profile["columns"]:
        assert f" {name} " in page


def test_columns_that_came_and_went_are_marked() -> None:
    column = {"type": "int64", "count": 3, "nulls": 0, "distinct": 3}
    before, after = ({"rows": 3, "columns": {name: column}} for name in ("old", "new"))
    assert [(c.name, c.state) for c in columns.cards(after, before)] == [
        ("new", "new"), ("old", "gone"),
    ]  # fmt: skip


def test_partitions_left_out_are_named() -> None:
    skipped = [{"partition": "s3://b/x.parquet#3", "cause": "truncated"}]
    page = words(profile_page({"rows": 1, "columns": {}, "skipped": skipped}, title="t"))
    assert "1 partition left out" in page
    assert "s3://b/x.parquet#3" in page


@pytest.mark.parametrize(
    ("dtype", "edges", "unit"),
    [
        ("int64", [-(2**63), 2**62], "whole"),
        ("double", ["-Infinity", 1.0], None),
        ("double", [1e-300, 1e200], "number"),
        ("decimal128(9, 2)", [0.25, 0.5], "number"),
        ("date32[day]", ["1969-12-30", "2024-02-29"], "date"),
        ("timestamp[ns]", ["1970-01-01T00:00:00.000000001", "2020-01-01T00:00:00"], "moment"),
        ("timestamp[s]", ["-290000-01-01T00:00:00", "290000-01-01T00:00:00"], "moment"),
        ("time64[us]", ["01:00:00", "23:59:59.5"], "clock"),
        ("duration[ms]", ["-PT1.5S", "PT90S"], "seconds"),
        ("date32[day]", ["not a date", "2020-01-01"], None),
    ],
)
def test_a_histogram_is_drawn_on_an_axis_of_its_type(
    dtype: str, edges: list[Any], unit: str | None
) -> None:
    column = {"type": dtype, "count": 3, "histogram": {"edges": edges, "counts": [3]}}
    (card,) = columns.cards({"rows": 3, "columns": {"x": column}})
    assert card.chart.get("unit") == unit
    if unit:
        assert card.chart["low"] < card.chart["high"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v, max_size=4)
)


@given(st.lists(json_values, max_size=4))
def test_the_data_block_holds_no_markup_and_loses_nothing(values: list[Any]) -> None:
    block = html.data_block(values)
    assert not set("<>&\u2028\u2029") & set(block)
    assert json.loads(block) == values
    lines = block.split("\n")[1:-1]  # as the script reads them
    assert [json.loads(line.removesuffix(",")) for line in lines if line] == values


@given(st.text(st.characters(codec=None)))
def test_any_text_can_be_shown_and_stored(value: str) -> None:
    column = {"type": "string", "count": 1, "nulls": 0, "min": value, "max": value,
              "top": [{"value": value, "count": 1, "error": 0}]}  # fmt: skip
    profile_page({"rows": 1, "columns": {value: column}}, title=value).encode()


def test_the_same_run_gives_the_same_page(run: dict[str, Any]) -> None:
    assert run_page(run, title="t") == run_page(copy.deepcopy(run), title="t")


def test_importing_is_cheap() -> None:
    heavy = "jinja2 numpy pyarrow"
    code = f"import sys, dsm_dask.report; print(sorted(set({heavy.split()}) & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("method", "parameters", "told"),
    [
        ("exact", None, "2 groups of equal rows; the row that comes first of each stays."),
        ("minhash", {"threshold": 0.8, "verify": True, "keep": "longest"},
         "2 groups of rows with a Jaccard similarity of 0.8 or more, directly or through others; "
         "the longest row of each stays."),
        ("minhash", {"threshold": 0.8, "verify": False}, "share a band of their signatures"),
        ("semantic", {"threshold": 0.9, "prefer": "score"},
         "rows with a cosine of 0.9 or more, directly or through others; the row with the greatest "
         "score of each stays."),
        ("phash", {"distance": 6}, "images of which 6 of 64 bits or less differ"),
    ],
)  # fmt: skip
def test_what_duplicates_have_in_common_is_told_by_method(
    method: str, parameters: Any, told: str
) -> None:
    found = {"rows": 9, "duplicates": 3, "clusters": 2, "kept": 6, "on": ["t"], "method": method,
             "parameters": parameters,
             "largest": [{"size": 3, "survivor": 1, "values": {}}]}  # fmt: skip
    page = words(run_page({"steps": [{"verb": "dedup", "result": found}]}, title="t"))
    assert told in page
    assert ("3 copies" in page, "3 rows row 1 stays" in page) == (
        method == "exact",
        method != "exact",
    )
    assert "equal rows" not in page or method == "exact"
    found["against"] = [{"rows": 1}]
    page = words(run_page({"steps": [{"verb": "dedup", "result": found}]}, title="t"))
    assert "or none where another table has one." in page
