"""A check finds nothing in the data it was made from, and exactly what was planted in other."""

import dataclasses
import datetime as dt
import decimal
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine
from dsm_dask.errors import UnknownColumn, UsageError
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.stats.sketches import load, sketch
from dsm_dask.testing.arrow import TYPES, arrow_arrays
from dsm_dask.validation.check import check, infer_schema
from dsm_dask.validation.findings import SHOWN
from dsm_dask.validation.schema import Schema
from dsm_dask.validation.schema_file import parse_schema

QUICK = settings(max_examples=5, suppress_health_check=list(HealthCheck))
N = 600


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_data_keeps_to_its_own_schema(dtype, memory, engine):
    @QUICK
    @given(arrow_arrays(dtype), st.integers(15, 60), st.integers(1, 4))
    def holds(array, cut, times):
        table = memory({"x": pa.concat_arrays([array] * times)}, cut)
        inferred = infer_schema(table, engine=engine)
        again = parse_schema(inferred.to_yaml())
        assert again == inferred.schema
        for against in (table, again, sketch(table, engine=engine)):
            assert check(table, against, engine=engine).findings == ()

    holds()


def base(rows=N):
    """A column for every rule, none of which is broken."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(rows, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return {
        "id": np.arange(rows).tolist(),
        "a": [i // 10 for i in range(rows)],
        "b": [i % 10 for i in range(rows)],
        "price": rng.uniform(1, 100, rows).tolist(),
        "share": np.linspace(0, 1, rows).tolist(),
        "signed": np.linspace(-1, 1, rows).tolist(),
        "lang": [("en", "de", "no")[i % 3] for i in range(rows)],
        "text": [f"some text {i:09d}"[: 14 + i % 5] for i in range(rows)],
        "code": [f"{i:06x}" for i in range(rows)],
        "day": [dt.date(2020, 1, 1) + dt.timedelta(days=i) for i in range(rows)],
        "money": [decimal.Decimal(i) / 100 for i in range(rows)],
        "vector": vectors.tolist(),
        "tags": [["x"] * 3 for _ in range(rows)],
    }


TYPED = pa.schema(
    {
        "id": pa.int64(), "a": pa.int32(), "b": pa.int8(), "price": pa.float64(),
        "share": pa.float32(), "signed": pa.float64(), "lang": pa.string(), "text": pa.string(),
        "code": pa.string(), "day": pa.date32(), "money": pa.decimal128(12, 2),
        "vector": pa.list_(pa.float32(), 3), "tags": pa.list_(pa.string()),
    }
)  # fmt: skip

PLANTS = {
    # rule, column, planted value (or a function of the row): as JSON
    "nulls": ("price", None, None),
    "nan": ("price", float("nan"), "NaN"),
    "infinite": ("share", float("-inf"), "-Infinity"),
    "min": ("price", -0.5, -0.5),
    "max": ("money", decimal.Decimal("6.60"), "6.60"),
    "normalised": ("signed", 1.5, 1.5),
    "categories": ("lang", "fr", "fr"),
    "max_length": ("text", "é" * 300, "é" * 200 + "…"),
    "min_length": ("code", "short", "short"),
    "empty": ("text", "", ""),
    "unit_norm": ("vector", [0.0, 0.5, 0.0], "[0.0, 0.5, 0.0]"),
    "unique": ("id", 0, 0),
}


@pytest.fixture(scope="module")
def reference(memory, engine):
    schema = infer_schema(memory(pa.table(base(), TYPED)), engine=engine).schema
    assert schema.columns["id"].unique
    assert schema.columns["lang"].categories == ("de", "en", "no")
    return schema


@pytest.mark.parametrize("rule", PLANTS)
def test_exactly_the_planted_rows_are_found(rule, reference, memory, engine):
    column, value, shown = PLANTS[rule]

    @QUICK
    @given(
        st.sets(st.integers(1, N - 1), min_size=1, max_size=60), st.integers(25, 200),
        st.integers(0, 8),
    )  # fmt: skip
    def found(rows, cut, examples):
        data = base()
        for row in rows:
            data[column][row] = value
        table = memory(pa.table(data, TYPED), cut)
        checked = check(table, reference, [column], engine=engine, examples=examples)
        by_rule = {(f.rule, f.column): f for f in checked.findings}
        finding = by_rule.pop((rule, column))
        planted = sorted(rows)
        assert finding.count == len(planted)
        assert finding.share == len(planted) / N
        assert [(e.row_id, e.value) for e in finding.examples] == [
            (row, shown) for row in planted[:examples]
        ]
        # the truth by partition, from NumPy
        starts, counts = np.unique(np.array(planted) // cut * cut, return_counts=True)
        truth = [(f"part {s}", c) for s, c in zip(starts.tolist(), counts.tolist(), strict=True)]
        assert [(p.partition, p.count) for p in finding.partitions] == truth[:SHOWN]
        assert finding.more_partitions == max(0, len(truth) - SHOWN)
        # an infinity is outside any range, and an empty text repeats, too
        assert {rule for rule, _ in by_rule} <= {"normalised", "unique", "min"}

    found()


PAIRS = st.tuples(st.integers(0, 4) | st.none(), st.sampled_from(["x", "y", None]))


@QUICK
@given(rows=st.lists(PAIRS, max_size=60), cut=st.integers(5, 25))
def test_keys_are_exact(rows, cut, memory, engine):
    """Against a dictionary of what was seen; rows with a null have no key."""
    assume(rows)
    schema = Schema(columns={"a": {}, "b": {"unique": True}}, keys=[["a", "b"]])
    types = pa.schema({"a": pa.int64(), "b": pa.string()})
    table = memory(pa.table({"a": [a for a, _ in rows], "b": [b for _, b in rows]}, types), cut)
    checked = check(table, schema, engine=engine, examples=100)
    found = {f.rule: [(e.row_id, e.value) for e in f.examples] for f in checked.findings}
    seen, repeats = set(), {"key": [], "unique": []}
    for i, (a, b) in enumerate(rows):
        keys = {"key": None if None in (a, b) else (a, b), "unique": b}
        for rule, key in keys.items():
            if key is not None and (rule, key) in seen:
                repeats[rule].append((i, {"a": a, "b": b} if rule == "key" else b))
            seen.add((rule, key))
    assert found == {rule: shown for rule, shown in repeats.items() if shown}
    assert all(f.count == len(f.examples) for f in checked.findings)


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        (pa.float64(), pa.float32(), "precision"),
        (pa.int64(), pa.int32(), "precision"),
        (pa.int64(), pa.float64(), "type"),
        (pa.int64(), pa.uint64(), "type"),
        (pa.timestamp("us"), pa.timestamp("ns"), "precision"),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), "type"),
        (pa.timestamp("us", "Asia/Tokyo"), pa.timestamp("us", "UTC"), "type"),
        (pa.date32(), pa.timestamp("s"), "type"),
        (pa.decimal128(10, 2), pa.decimal128(10, 3), "precision"),
        (pa.string(), pa.binary(), "type"),
        (pa.list_(pa.float32(), 2), pa.list_(pa.float32(), 3), "dimension"),
        (pa.string(), pa.dictionary(pa.int8(), pa.string()), None),
        (pa.string(), pa.large_string(), None),
        (pa.decimal128(10, 2), pa.decimal256(10, 2), None),
    ],
    ids=str,
)
def test_types(before, after, rule, memory, engine):
    old, new = (pa.table({"x": pa.nulls(3, dtype)}) for dtype in (before, after))
    found = check(memory(new), memory(old), engine=engine).findings
    assert [(f.rule, f.column) for f in found] == ([(rule, "x")] if rule else [])


def test_values_are_checked_across_types(memory, engine):
    """Integers that became floats are still held to their range; texts are not."""
    old = memory({"x": pa.array(range(1, 50)), "y": pa.array(range(1, 50))})
    new = memory({"x": pa.array([-1.0, *range(48)]), "y": [str(i) for i in range(49)]})
    found = check(new, old, engine=engine).findings
    assert [(f.rule, f.column, f.count) for f in found] == [
        ("type", "x", None), ("min", "x", 1), ("type", "y", None),
    ]  # fmt: skip


def test_columns_missing_new_and_optional(memory, engine):
    schema = Schema(columns={"amount": {"type": "int64"}, "b": {"optional": True}, "c": {}})
    table = memory({"ammount": [1], "c": [1]})
    found = {f.column: f for f in check(table, schema, engine=engine).findings}
    assert {name: f.rule for name, f in found.items()} == {
        "amount": "missing_column", "ammount": "new_column",
    }  # fmt: skip
    assert "'ammount'" in found["amount"].what
    assert found["ammount"].severity == "warning"
    lenient = schema.model_copy(update={"new_columns": True})
    assert len(check(table, lenient, engine=engine).findings) == 1
    assert check(table, schema, ["c"], engine=engine).findings == ()
    with pytest.raises(UnknownColumn, match="'d'"):
        check(table, schema, ["d"], engine=engine)
    with pytest.raises(UsageError):
        check(table, schema, engine=engine, examples=-1)


def test_rows_and_null_share(memory, engine):
    table = memory({"x": [None, 1, 2, 3]})
    rule = {"columns": {"x": {"nulls": 0.25}}}
    assert check(table, Schema(**rule), engine=engine).passed
    assert check(table, Schema(**rule, rows={"min": 4, "max": 4}), engine=engine).passed
    for rows, what in (({"min": 5}, "too few rows"), ({"max": 3}, "too many rows")):
        (found,) = check(table, Schema(**rule, rows=rows), engine=engine).findings
        assert (found.rule, found.column, found.what) == ("rows", None, what)
    (found,) = check(table, Schema(columns={"x": {"nulls": 0.24}}), engine=engine).findings
    assert (found.rule, found.count, found.found) == ("nulls", 1, 0.25)


def test_a_standardised_column_that_moved(memory, engine):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 4000)
    values = (values - values.mean()) / values.std()
    schema = infer_schema(memory({"x": values}), engine=engine).schema
    assert schema.columns["x"].normalised == "standard"
    (found,) = check(memory({"x": values * 0.5}), schema, engine=engine).findings
    assert (found.rule, found.count) == ("normalised", None)
    assert check(memory({"x": values[:1000]}), schema, engine=engine).passed


def test_uniqueness_by_estimate_is_looked_up(memory, engine, tmp_path):
    """One repeat among more values than a sketch counts exactly."""
    rows = 40_000
    numbers = np.arange(rows)
    for repeated in (False, True):
        numbers[-1] = 5 if repeated else rows
        table = memory({"x": numbers}, 9000)
        made = infer_schema(table, engine=engine)
        assert made.schema.columns["x"].unique is not repeated
        assert made.estimated == {}
        sketches = sketch(table, engine=engine)
        sketches.save(str(tmp_path / "s"))
        made = infer_schema(load(str(tmp_path / "s")), engine=engine)
        assert list(made.estimated) == ["x"]
        assert (made.schema.columns["x"].max, made.certain().columns["x"].max) == (None, "44000")
        assert "unique: true  # estimated" in made.to_yaml()
        assert parse_schema(made.to_yaml()) == made.schema
        assert check(table, sketches, engine=engine).passed
        found = check(table, made.schema, engine=engine).findings
        assert [(f.rule, f.count) for f in found] == ([("unique", 1)] if repeated else [])


class Remote(Engine):
    """Says that its workers are on other machines."""

    is_local = False


@pytest.mark.parametrize("kind", ["files", "read-only dataset"])
def test_keys_of_what_cannot_be_written_to(kind, tmp_path):
    """In scratch, of which nothing is left; without one, only where workers share a disk."""
    pq.write_table(pa.table({"x": [*range(5000), 7]}), tmp_path / "1.parquet")
    scratch, schema = tmp_path / "scratch", Schema(columns={"x": {"unique": True}})
    with Remote(workers=0) as remote, Engine(workers=0) as local:
        table = open_parquet(str(tmp_path / "1.parquet"))
        if kind != "files":
            create(str(tmp_path / "ds"), str(tmp_path / "1.parquet"), engine=local)
            table = open_dataset(str(tmp_path / "ds"))
            sketch(table, engine=local)
            shutil.rmtree(tmp_path / "ds/_dsm/runs", ignore_errors=True)
            (tmp_path / "ds/_dsm/runs").write_text("no folder can be made here")
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(UsageError, match="--scratch URI"):
            check(table, schema, engine=remote)
        places = [(remote, str(scratch)), (local, str(scratch)), (local, None)]
        for engine, place in places:
            found = check(table, schema, engine=engine, scratch=place).findings
            assert [(f.count, f.examples[0].row_id) for f in found] == [(1, 5000)]
            assert not [path for path in scratch.rglob("*") if path.is_file()]
            assert infer_schema(table, engine=engine, scratch=place).estimated == {}
        assert sorted(path for path in tmp_path.rglob("*") if path.parent != scratch
                      and path != scratch) == before  # fmt: skip


def test_only_suspect_columns_are_read(memory, engine, monkeypatch):
    read = []
    table = memory({"a": range(20), "b": range(20)}, 5)
    part = type(table.partitions()[0])
    schema = infer_schema(table, engine=engine).schema
    original = part.read
    monkeypatch.setattr(part, "read", lambda s, c: read.append(tuple(c)) or original(s, c))
    other = memory({"a": range(20), "b": [*range(19), 0]}, 5)
    assert not check(other, schema, engine=engine).passed
    assert set(read) == {("a", "b"), ("b", "_rowid")}


def test_results(memory, engine):
    hostile = "<script>alert(1)</script>"
    old = memory({hostile: [f"{i:03}" for i in range(30)]})
    new = memory({hostile: [hostile] * 30})
    checked = check(new, old, engine=engine)
    shown = checked.to_dict()
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert shown.keys() >= {"data", "against", "passed", "rows", "findings", "checked"}
    assert {f["rule"] for f in shown["findings"]} == {"unique", "max_length"}
    table = checked.to_arrow()
    assert table["rule"].to_pylist() == [f.rule for f in checked.findings]
    assert "<script>" not in checked._repr_html_()
    assert dataclasses.replace(checked, findings=()).passed


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_far_away(unit, memory, engine):
    for ends in ([-(2**63) + 1, -(2**63) + 2], [2**63 - 2, 2**63 - 1], [-(2**63) + 1, 2**63 - 1]):
        table = memory({"x": pa.array(ends, pa.int64()).view(pa.timestamp(unit))})
        assert check(table, table, engine=engine).passed


@pytest.mark.parametrize("rows", [0, 1])
def test_next_to_no_rows(rows, memory, engine, reference):
    table = memory(pa.table(base(), TYPED).slice(0, rows))
    assert check(table, table, engine=engine).passed
    found = check(table, reference, engine=engine).findings
    assert [(f.rule, f.expected, f.found) for f in found] == [("rows", "at least 1", 0)][rows:]
