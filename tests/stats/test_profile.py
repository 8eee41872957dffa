"""A profile of a table, and the JSON contract."""

import dataclasses
import datetime as dt
import decimal
import json
import math
import pathlib
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dsm_dask as dsm
from dsm_dask.cli import text
from dsm_dask.errors import SchemaError, UnknownColumn
from dsm_dask.fold import merge_all, update_all
from dsm_dask.report import profile_page
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.stats.profile import TOGETHER, Profile, folds_for, profile
from dsm_dask.stats.profile_schema import PROFILE, json_schema
from dsm_dask.storage import IO
from dsm_dask.testing.arrow import TYPES, unique_array


@dataclasses.dataclass(frozen=True)
class Memory:
    """A table of one partition, in memory."""

    data: pa.Table
    uri: str = "memory"

    @property
    def schema(self):
        return self.data.schema

    @property
    def rows(self):
        return self.data.num_rows

    def partitions(self):
        return self.data.to_batches(3)

    def column_sizes(self):
        return {name: self.data[name].nbytes for name in self.schema.names}


@dataclasses.dataclass(frozen=True)
class Folded:
    result: tuple[Any, ...]
    partitions: Any
    io: Any = dataclasses.field(default_factory=lambda: IO(bytes_read=5))
    skipped: Any = ()


@dataclasses.dataclass(frozen=True)
class Engine:
    """Folds in this process; every batch of a few rows is a partition."""

    size: int = 3
    scans: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def fold(self, table, fold, *, over_partitions):
        self.scans.append(fold.columns)
        batches = table.data.select(fold.columns).to_batches(self.size)
        states = [update_all(fold, [batch]) for batch in batches]
        seen = [over_partitions.observe(f"part-{i}", s) for i, s in enumerate(states)]
        told = over_partitions.finish(merge_all(over_partitions, seen))
        return Folded(fold.finish(merge_all(fold, states)), told)


CONTRACT = {
    *("type", "count", "nulls", "min", "max", "mean", "std"),
    *("distinct", "quantiles", "top", "histogram"),
}
TABLE = Memory(
    pa.table(
        {
            "n": pa.array([1, 2, None, 2**60], pa.int64()),
            "f": [1.5, math.nan, math.inf, None],
            "s": ["<b>", "a", "a", None],
            "t": pa.array([0, 1, None, 3], pa.timestamp("ns", "UTC")),
            "d": [decimal.Decimal("1.10"), None, decimal.Decimal("2.20"), decimal.Decimal("3.30")],
            "day": [dt.date(2024, 2, 29), None, dt.date(2024, 3, 1), dt.date(2024, 3, 1)],
            "b": [True, False, True, None],
            "raw": [b"\xff", b"", None, b"\x00"],
            "items": [[1], None, [], [1, 2]],
            "none": pa.nulls(4),
        }
    )
)


def test_contract():
    shown = profile(TABLE, engine=Engine()).to_dict()
    assert shown["rows"] == 4
    assert [name for name in shown["columns"] if name != "items[]"] == TABLE.schema.names
    for column in shown["columns"].values():
        assert set(column) >= CONTRACT
        assert set(column["histogram"]) >= {"edges", "counts"}
        assert column["count"] == 4 or column["path"] == ["items", "[]"]
    columns = json.loads(json.dumps(shown, allow_nan=False))["columns"]
    assert (columns["n"]["max"], columns["n"]["nulls"], columns["n"]["distinct"]) == (2**60, 1, 3)
    assert columns["n"]["quantiles"]["0.5"] == 2
    assert (columns["f"]["max"], columns["f"]["mean"], columns["f"]["nan"]) == ("Infinity",) * 2 + (
        1,
    )
    assert columns["s"]["top"][0] == {"value": "a", "count": 2, "error": 0}
    assert columns["t"]["max"] == "1970-01-01T00:00:00.000000003+00:00"
    assert (columns["d"]["min"], columns["d"]["mean"]) == ("1.10", 2.2)
    assert columns["day"]["quantiles"]["0.5"] == "2024-03-01"
    assert columns["b"]["top"] == [
        {"value": True, "count": 2, "error": 0},
        {"value": False, "count": 1, "error": 0},
    ]
    assert columns["raw"]["max"] == "ff"
    assert columns["items"]["lengths"] == {
        "unit": "items", "min": 0, "max": 2, "mean": 1.0, "total": 3,
    }  # fmt: skip
    assert columns["none"]["nulls"] == 4
    assert columns["none"]["distinct"] == 0


def test_the_cut_makes_no_difference():
    one, other = (profile(TABLE, engine=Engine(size)).to_dict() for size in (1, 4))
    for shown in (one, other):
        del shown["table"]["partition_outliers"]
    assert json.dumps(one) == json.dumps(other)


def test_some_columns_only():
    found = profile(TABLE, ["s", "n", "s"], engine=Engine())
    assert list(found.columns) == ["s", "n"]
    assert found.table.correlation is found.table.missing_together is None
    with pytest.raises(UnknownColumn):
        profile(TABLE, ["nope"], engine=Engine())


def test_no_columns_and_no_rows():
    assert profile(TABLE, [], engine=Engine()).to_dict()["rows"] == 4
    empty = profile(Memory(TABLE.data[:0]), engine=Engine())
    shown = empty.to_dict()["columns"]["n"]
    assert (shown["count"], shown["min"], shown["mean"], shown["distinct"]) == (0, None, None, 0)
    assert shown["quantiles"]["0.5"] is None
    assert shown["histogram"]["counts"] == []


def test_notebook_table_escapes_values():
    page = profile(TABLE, engine=Engine())._repr_html_()
    assert "<td>&lt;b&gt;</td>" in page
    assert "<b>" not in page


def test_to_arrow_has_one_row_a_column():
    table = profile(TABLE, engine=Engine()).to_arrow()
    assert set(table["column"].to_pylist()) == {*TABLE.schema.names, "items[]"}
    assert dict(table["quantiles"][0].as_py())["0.5"] == "2"
    assert table["max"].to_pylist()[0] == str(2**60)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_has_a_profile(dtype):
    data = unique_array(dtype, 100)
    table = Memory(pa.table({"x": pa.concat_arrays([data, pa.nulls(1, data.type)])}))
    found = profile(table, engine=Engine(64))
    assert isinstance(found, Profile)
    check_json(found)
    assert found.columns["x"].counts.count == 101
    assert found.to_arrow().num_rows == len(found.columns)
    assert "Count" in [type(fold).__name__ for fold in folds_for(pa.field("x", dtype))]


def check_json(found):
    """It is JSON, it is what the published schema says, and it can be shown."""
    shown = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    PROFILE.validate_json(json.dumps(shown), strict=True)
    text.profile(shown)
    profile_page(shown, title="x")
    return shown


def test_the_published_schema_is_the_code_s():
    docs = pathlib.Path(__file__).parents[2] / "docs"
    assert (docs / "profile.schema.json").read_text() == json_schema()
    check_json(profile(TABLE, label="s", engine=Engine()))


def test_statistics_by_type():
    shown = check_json(profile(TABLE, engine=Engine()))["columns"]
    assert shown["b"]["booleans"] == {"true": 2, "false": 1}
    assert (shown["s"]["text"]["count"], shown["s"]["text"]["bytes"]) == (3, 5)
    assert shown["raw"]["text"]["invalid_utf8"] == 1
    assert shown["t"]["gaps"]["longest"][0]["seconds"] == 2e-9
    assert shown["day"]["gaps"]["step"] == 86_400
    assert shown["s"]["zeros"] is None
    assert "text" not in shown["n"]


def test_what_lies_inside_columns():
    data = pa.table(
        {
            "s": pa.array(
                [{"a": 1, "v": [1.0, 2.0]}, None, {"a": None, "v": [3.0, 4.0]}],
                pa.struct({"a": pa.int64(), "v": pa.list_(pa.float32(), 2)}),
            ),
            "s.a": ["not", "the", "same"],
            "m": pa.array([[("k", 5)], [], None], pa.map_(pa.string(), pa.int8())),
        }
    )
    shown = check_json(profile(Memory(data), engine=Engine(2)))["columns"]
    names = ["s", '"s".a', "s.v", "s.a", "m", "m{}.key", "m{}.value"]
    assert list(shown) == names
    assert (shown['"s".a']["count"], shown['"s".a']["nulls"], shown['"s".a']["max"]) == (3, 2, 1)
    assert shown["s.a"]["type"] == "string"
    assert shown["s.v"]["vectors"]["means"] == [2.0, 3.0]
    assert (shown["m{}.value"]["count"], shown["m{}.value"]["max"]) == (1, 5)
    assert shown["s"]["nested"] == {"columns": ['"s".a', "s.v"], "left_out": 0}


def test_the_table_as_a_whole():
    rng = np.random.default_rng(1)
    x, gone = rng.normal(size=400), rng.random(400) < 0.2
    data = pa.table(
        {
            "x": x,
            "twice": 2 * x,
            "a": pa.array(rng.integers(0, 9, 400), mask=gone),
            "b": pa.array(["t"] * 400, mask=gone),
            "label": ["cat"] * 300 + ["dog"] * 98 + [None] * 2,
        }
    )
    table = Memory(data)
    shown = check_json(profile(table, label="label", engine=Engine(20)))
    whole = shown["table"]
    assert (whole["rows"], whole["partitions"]) == (400, 134)
    assert whole["bytes"] == sum(table.column_sizes().values())
    strongest = whole["correlation"]["strongest"][0]
    assert strongest == {"columns": ["x", "twice"], "r": 1.0, "rows": 400}
    assert whole["missing_together"]["always"] == [["a", "b"]]
    balance = whole["class_balance"]
    assert balance["classes"] == [{"value": "cat", "count": 300}, {"value": "dog", "count": 98}]
    assert balance["unlabelled"] == 2
    assert balance["imbalance"] == pytest.approx(300 / 98)
    shares = np.array([300, 98]) / 398
    assert balance["entropy"] == pytest.approx(-(shares * np.log2(shares)).sum())
    assert balance["entropy"] == balance["evenness"]
    told = text.profile(shown)
    for words in ("x, twice", "a, b", "cat", "3.06"):
        assert words in told


def test_labels():
    data = Memory(pa.table({"x": [1, 2], "l": [[1], [2]], "y": ["a", "a"]}))
    with pytest.raises(SchemaError, match="label"):
        profile(data, label="l", engine=Engine())
    with pytest.raises(UnknownColumn):
        profile(data, label="nope", engine=Engine())
    found = profile(data, ["x"], label="y", engine=Engine())
    assert list(found.columns) == ["x"]
    balance = found.table.class_balance
    assert (balance.classes, balance.entropy, balance.evenness) == ((("a", 2),), 0, None)
    many = Memory(pa.table({"y": [str(i) for i in range(2000)]}))
    balance = profile(many, label="y", engine=Engine(900)).table.class_balance
    assert (balance.exact, balance.entropy, balance.imbalance) == (False, None, None)


def test_partitions_unlike_the_rest():
    stamps = np.arange(900) * 10**6
    stamps[300:330] -= 10**12
    data = pa.table(
        {"x": np.where(np.arange(900) // 30 == 10, 1e6, np.arange(900) % 7), "t": stamps}
    ).set_column(1, "t", pa.array(stamps).cast(pa.timestamp("us", "UTC")))
    shown = check_json(profile(Memory(data), engine=Engine(30)))
    found = {one["column"]: one for one in shown["table"]["partition_outliers"]["found"]}
    assert {one["partition"] for one in found.values()} == {"part-10"}
    assert found["x"]["statistic"] in {"mean", "median"}
    assert found["x"]["value"] == 1e6
    assert found["t"]["value"].startswith("1969-12-20")
    assert "part-10" in text.profile(shown)


def test_wide_tables_are_scanned_in_groups():
    rng = np.random.default_rng(2)
    texts = {f"s{i}": [f"v{i}"] * 5 for i in range(TOGETHER + 6)}
    numbers = {f"n{i}": rng.normal(size=5) for i in range(TOGETHER + 2)}
    table = Memory(pa.table({**texts, **numbers, "label": list("aabbb")}))
    engine = Engine()
    found = profile(table, label="label", engine=engine)
    assert list(found.columns) == table.schema.names
    first, *rest = engine.scans
    assert set(first) == {*list(numbers)[:TOGETHER], "label"}
    assert all(len(names) <= TOGETHER for names in rest)
    assert found.io.bytes_read == 5 * len(engine.scans)
    assert found.table.correlation.left_out == ("n64", "n65")
    assert len(found.table.missing_together.left_out) == table.data.num_columns - TOGETHER
    alone = profile(table, ["s3", "n1"], engine=Engine())
    shown = check_json(found)
    assert all(shown["columns"][name] == alone.to_dict()["columns"][name] for name in ("s3", "n1"))


TIGHT = {
    "all null": pa.nulls(5, pa.float64()),
    "null type": pa.nulls(5),
    "no rows": pa.array([], pa.float64()),
    "no texts": pa.array([], pa.string()),
    "one row": pa.array([7]),
    "one moment": pa.array([7], pa.timestamp("s", "UTC")),
    "constant": pa.array([0.1] * 9),
    "infinities": pa.array([math.inf, -math.inf, math.inf]),
    "nan": pa.array([math.nan, math.nan]),
    "huge sums": pa.array([1e308, 1e308, 1.7e308, -1e308]),
    "int64": pa.array([2**63 - 1, -(2**63), 0]),
    "uint64": pa.array([2**64 - 1, 0], pa.uint64()),
    "decimals": pa.array([decimal.Decimal("9" * 38)] * 2, pa.decimal128(38, 0)),
    "binary": pa.array([b"\xff\xfe", b"", None]),
    "vectors": pa.array([None, [math.nan, 1.0], [1e308, 0.0]], pa.list_(pa.float64(), 2)),
    "structs": pa.array([None, None], pa.struct({"a": pa.int8()})),
    "lists": pa.array([[], None], pa.list_(pa.string())),
}
EXPECTED = {
    "all null": {"nulls": 5, "min": None, "mean": None, "distinct": 0},
    "null type": {"nulls": 5, "distinct": 0, "top": []},
    "no rows": {"count": 0, "nulls": 0, "mean": None, "histogram.counts": []},
    "no texts": {"count": 0, "text.count": 0, "lengths.mean": None},
    "one row": {"mean": 7.0, "std": None, "min": 7, "max": 7, "quantiles.0.5": 7},
    "one moment": {"gaps.longest": [], "gaps.step": None, "gaps.occupied": None},
    "constant": {"std": 0.0, "distinct": 1, "mean": 0.1},
    "infinities": {"mean": "NaN", "std": "NaN", "histogram.above": 2, "max": "Infinity"},
    "nan": {"nan": 2, "mean": None, "min": None, "distinct": 0},
    "huge sums": {"mean": 6.75e307, "max": 1.7e308, "nan": 0},
    "int64": {"min": -(2**63), "max": 2**63 - 1, "mean": -1 / 3},
    "uint64": {"max": 2**64 - 1, "min": 0},
    "decimals": {"min": "9" * 38, "max": "9" * 38, "std": 0.0},
    "binary": {"text.invalid_utf8": 1, "text.empty": 1, "max": "fffe"},
    "vectors": {"vectors.count": 0, "vectors.nulls": 1, "vectors.nan": 1, "vectors.infinite": 1},
    "structs": {"nulls": 2, "nested.columns": ["x.a"]},
    "lists": {"nulls": 1, "lengths.max": 0, "nested.columns": ["x[]"]},
}


def at(shown, place):
    key, _, rest = place.partition(".")
    return (
        at(shown[key], rest)
        if rest and key != "quantiles"
        else shown[key][rest]
        if rest
        else shown[key]
    )


@pytest.mark.parametrize("name", TIGHT)
def test_columns_that_are_hard(name):
    array = TIGHT[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Memory(pa.table({"x": array, "other": array}))
        shown = check_json(profile(table, engine=Engine(2)))
    column = shown["columns"]["x"]
    assert {place: at(column, place) for place in EXPECTED[name]} == EXPECTED[name]
    correlation = shown["table"]["correlation"]
    if correlation and name not in {"one row"}:
        assert all(pair["r"] == 1.0 for pair in correlation["strongest"])


def test_time_zones_are_told_apart():
    moments = pa.array([0, 3600], pa.timestamp("s", "UTC"))
    table = Memory(pa.table({"a": moments, "b": moments.cast(pa.timestamp("s", "Asia/Tokyo"))}))
    shown = check_json(profile(table, engine=Engine()))["columns"]
    assert [shown[name]["type"] for name in "ab"] == [
        "timestamp[s, tz=UTC]", "timestamp[s, tz=Asia/Tokyo]",
    ]  # fmt: skip
    assert shown["a"]["min"] == shown["b"]["min"] == "1970-01-01T00:00:00+00:00"
    assert shown["a"]["gaps"] == shown["b"]["gaps"]


def test_times_that_python_has_no_objects_for_reach_the_client(tmp_path):
    nanos = pa.array([1_234_567, 1_234_666], pa.time64("ns"))
    far = pa.array([dt.date(2024, 1, 1), dt.date(9999, 12, 31)])
    pq.write_table(pa.table({"t": nanos, "valid_to": far}), tmp_path / "times.parquet")
    with dsm.Engine(workers=0) as engine:
        shown = profile(open_parquet(str(tmp_path)), engine=engine).to_dict()["columns"]
    assert shown["t"]["min"] == "00:00:00.001234567"
    assert shown["t"]["max"] == "00:00:00.001234666"
    assert shown["valid_to"]["max"] == "9999-12-31"
    assert sum(shown["valid_to"]["histogram"]["counts"]) == 2
