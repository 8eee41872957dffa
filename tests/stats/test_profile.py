"""A profile of a table, and the JSON contract."""

import dataclasses
import datetime as dt
import decimal
import json
import math
from typing import Any

import pyarrow as pa
import pytest

from dsm_dask.errors import UnknownColumn
from dsm_dask.fold import run
from dsm_dask.stats.profile import Profile, folds_for, profile
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
        return []

    def column_sizes(self):
        return {}


@dataclasses.dataclass(frozen=True)
class Folded:
    result: tuple[Any, ...]
    io: Any = None
    skipped: Any = ()


@dataclasses.dataclass(frozen=True)
class Engine:
    """Folds in this process, in batches of a few rows."""

    size: int = 3

    def fold(self, table, fold):
        return Folded(run(fold, table.data.select(fold.columns).to_batches(self.size)))


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
    assert list(shown["columns"]) == TABLE.schema.names
    for column in shown["columns"].values():
        assert set(column) >= CONTRACT
        assert set(column["histogram"]) >= {"edges", "counts"}
        assert column["count"] == 4
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
    assert json.dumps(one) == json.dumps(other)


def test_some_columns_only():
    found = profile(TABLE, ["s", "n", "s"], engine=Engine())
    assert list(found.columns) == ["s", "n"]
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
    assert table["column"].to_pylist() == TABLE.schema.names
    assert dict(table["quantiles"][0].as_py())["0.5"] == "2"
    assert table["max"].to_pylist()[0] == str(2**60)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_has_a_profile(dtype):
    data = unique_array(dtype, 100)
    table = Memory(pa.table({"x": pa.concat_arrays([data, pa.nulls(1, data.type)])}))
    found = profile(table, engine=Engine(64))
    assert isinstance(found, Profile)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.columns["x"].counts.count == 101
    assert found.to_arrow().num_rows == 1
    assert "Count" in [type(fold).__name__ for fold in folds_for(pa.field("x", dtype))]
