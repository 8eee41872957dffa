"""``--where`` chooses the rows that SQL chooses: DuckDB is asked the same."""

from __future__ import annotations

import datetime
import decimal
import functools
import string
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsm_dask.errors import InvalidExpression, UnknownColumn
from dsm_dask.where import Where

UTC = datetime.UTC
EPOCH = datetime.datetime(2020, 1, 1, tzinfo=UTC)
TEXTS = ["", "a", "A", "ab", "b_", "a%b", "a\\b", "it's", "naïve", "日本", "10", "a\nb"]

# NaN is left out: DuckDB holds it for the greatest value and equal to itself, Arrow follows IEEE.
SCHEMA = pa.schema(
    {
        "i8": pa.int8(),
        "i32": pa.int32(),
        "i64": pa.int64(),
        "u64": pa.uint64(),
        "f32": pa.float32(),
        "f64": pa.float64(),
        "dec": pa.decimal128(9, 2),
        "flag": pa.bool_(),
        "text": pa.string(),
        "large": pa.large_string(),
        "cat": pa.dictionary(pa.int8(), pa.string()),
        "day": pa.date32(),
        "ts": pa.timestamp("us"),
        "zoned": pa.timestamp("ms", "UTC"),
        "odd name": pa.int16(),
    }
)
SMALL = st.integers(-4, 4)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "i8": SMALL,
    "i32": SMALL,
    "i64": SMALL | st.sampled_from([2**63 - 1, -(2**63) + 1, 2**53 + 1]),
    "u64": st.integers(0, 4) | st.just(2**64 - 1),
    "f32": st.sampled_from([0.0, -0.0, 0.1, 1.5, -2.0, 3.0, float("inf")]),
    "f64": st.sampled_from([0.0, -0.0, 0.1, 1.5, -2.0, 3.0, float("-inf")]),
    "dec": st.integers(-400, 400).map(lambda n: decimal.Decimal(n).scaleb(-2)),
    "flag": st.booleans(),
    "text": st.sampled_from(TEXTS),
    "large": st.sampled_from(TEXTS),
    "cat": st.sampled_from(TEXTS[:5]),
    "day": st.integers(-3, 3).map(lambda n: EPOCH.date() + datetime.timedelta(n)),
    "ts": st.integers(-3, 3).map(lambda n: EPOCH.replace(tzinfo=None) + datetime.timedelta(n / 2)),
    "zoned": st.integers(-3, 3).map(lambda n: EPOCH + datetime.timedelta(n / 2)),
    "odd name": SMALL,
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}),
    min_size=1,
    max_size=12,
)


@functools.cache
def connected() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    # Division by zero is NULL, as in most databases and in dsm, not infinity.
    connection.execute("SET ieee_floating_point_ops = false")
    connection.execute("SET error_on_division_by_zero = false")
    return connection


def chosen_by_duckdb(batch: pa.RecordBatch, text: str) -> list[bool]:
    table = pa.Table.from_batches([batch])
    table = table.append_column("#", pa.array(range(batch.num_rows)))
    connection = connected()
    connection.register("rows", table)
    found = connection.execute(f'SELECT "#" FROM rows WHERE {text}').fetchall()
    chosen = {number for (number,) in found}
    return [number in chosen for number in range(batch.num_rows)]


# -- conditions, by kind of column -----------------------------------------------------------

OPERATORS = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])
INTEGERS = ["i8", "i32", "i64", "u64", '"odd name"']
FRACTIONS = ["f32", "f64", "dec"]
SAFE = ["i8", "i32", '"odd name"', "f64", "dec"]  # small enough to compute with


def quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


NUMBERS = st.integers(-5, 5).map(str) | st.sampled_from(
    ["0.1", "1.5", "-2.0", "2.25", ".5", "1e0", "9223372036854775807", "18446744073709551615"]
)
STRINGS = st.sampled_from(TEXTS).map(quoted)
PATTERNS = st.text(alphabet="abA%_\\'1é\n", max_size=4).map(quoted)
TIMES = st.integers(-4, 4).map(
    lambda n: quoted(str(EPOCH.replace(tzinfo=None) + datetime.timedelta(n / 2)))
)
DAYS = st.integers(-4, 4).map(lambda n: quoted(str(EPOCH.date() + datetime.timedelta(n))))
ZONED = st.sampled_from(["+00:00", "+02:00", "-05:30", "Z"]).flatmap(
    lambda zone: TIMES.map(lambda text: text[:-1] + zone + "'")
)

MATH = st.builds(
    "{} {} {}".format, st.sampled_from(SAFE), st.sampled_from("+-*/"), st.sampled_from(SAFE)
) | st.builds("{} {} {}".format, st.sampled_from(SAFE), st.sampled_from("+-*/"), SMALL.map(str))
NUMERIC = (
    st.sampled_from(INTEGERS + FRACTIONS)
    | MATH.map("({})".format)
    | st.sampled_from([f"-{name}" for name in SAFE] + [f"abs({name})" for name in SAFE])
    | st.sampled_from(["length(text)", "length(cat)", "length(large)"])
)
WORDS = st.sampled_from(["text", "large", "cat", "lower(text)", "upper(cat)"])


def compared(left: st.SearchStrategy[str], right: st.SearchStrategy[str]) -> Any:
    right = right | st.just("NULL")
    return st.one_of(
        st.builds("{} {} {}".format, left, OPERATORS, right),
        st.builds("{} {} {}".format, right, OPERATORS, left),
        st.builds(
            "{} IN ({})".format, left, st.lists(right, min_size=1, max_size=3).map(", ".join)
        ),
        st.builds("{} NOT IN ({})".format, left, st.lists(right, min_size=1).map(", ".join)),
        st.builds("{} BETWEEN {} AND {}".format, left, right, right),
        st.builds("{} NOT BETWEEN {} AND {}".format, left, right, right),
        st.builds("{} IS NULL".format, left),
        st.builds("{} IS NOT NULL".format, left),
    )


LEAVES = st.one_of(
    compared(NUMERIC, NUMBERS),
    st.builds("{} {} {}".format, st.sampled_from(INTEGERS), OPERATORS, st.sampled_from(INTEGERS)),
    st.builds("{} {} {}".format, st.sampled_from(SAFE), OPERATORS, st.sampled_from(SAFE)),
    compared(WORDS, STRINGS | WORDS),
    st.builds("{} {} {}".format, WORDS,
              st.sampled_from(["LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"]), PATTERNS),
    compared(st.just("day"), DAYS | DAYS.map("DATE {}".format) | st.just("ts")),
    compared(st.just("ts"), TIMES | TIMES.map("TIMESTAMP {}".format) | DAYS),
    compared(st.just("zoned"), TIMES | ZONED | TIMES.map("TIMESTAMP {}".format) | st.just("ts")),
    st.sampled_from(["flag", "flag = true", "flag <> false", "flag IS TRUE", "flag IS NOT FALSE",
                     "flag IS NULL", "true", "false", "NULL", "NULL = NULL", "NULL IS NULL",
                     "CAST(f64 AS BIGINT) = 2 AND f64 < 9 AND f64 > -9", "i8::DOUBLE = 1.0",
                     "CAST(ts AS DATE) = day", "text = 'a' -- a comment"][:-1]),
)  # fmt: skip
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("({}) AND ({})".format, inner, inner),
        st.builds("({}) OR ({})".format, inner, inner),
        st.builds("NOT ({})".format, inner),
        st.builds("{} AND {} OR {}".format, LEAVES, LEAVES, LEAVES),
    ),
    max_leaves=4,
)


@settings(max_examples=250)
@given(rows=ROWS, text=CONDITIONS)
@example(rows=[{"i8": 1}, {"i8": 2}, {}], text="i8 / 0 IS NULL")
@example(rows=[{"i8": 1}, {"i8": 2}, {}], text="i8 / 2 = 0.5")
@example(rows=[{"i8": 1}, {}], text="i8 NOT IN (2, NULL)")
@example(rows=[{"i64": 2**62}, {"i64": 1}], text="i64 > 1.5")
@example(rows=[{"u64": 2**64 - 1, "i8": -1}], text="u64 > i8")
@example(rows=[{"f32": 0.1}], text="f32 = 0.1")
@example(rows=[{"text": ""}, {"text": "a"}, {}], text="text NOT LIKE 'a'")
@example(rows=[{"text": ""}, {"text": "a"}, {}], text="text NOT ILIKE ''")
@example(rows=[{"text": "a\\b"}], text="text LIKE 'a\\b'")
@example(rows=[{"zoned": EPOCH}], text="zoned = '2020-01-01 02:00:00+02:00'")
def test_the_same_rows_as_duckdb(rows: list[dict[str, Any]], text: str) -> None:
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    try:
        expected = chosen_by_duckdb(batch, text)
    except (duckdb.OutOfRangeException, duckdb.ConversionException):
        return  # an overflow there; here integers are computed with as int64
    where = Where(text)
    where.check(SCHEMA, "the table")
    assert where.mask(batch).tolist() == expected


@settings(max_examples=60)
@given(rows=ROWS, text=CONDITIONS, cut=st.integers(0, 12))
def test_batches_do_not_matter(rows: list[dict[str, Any]], text: str, cut: int) -> None:
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    where = Where(text)
    try:
        whole = where.mask(batch)
    except InvalidExpression:  # an overflow
        return
    parts = [where.mask(batch.slice(0, cut)), where.mask(batch.slice(cut))]
    assert whole.dtype == np.bool_
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_the_columns_that_it_looks_at() -> None:
    where = Where('a < 2 OR length(b) = "odd name" AND a IS NULL')
    assert sorted(where.columns) == ["a", "b", "odd name"]
    assert Where("1 < 2").columns == ()
    assert Where('"a.b" > 1').columns == ("a.b",)


def test_a_condition_without_columns_is_for_every_row() -> None:
    batch = pa.record_batch({"a": [1, 2, 3]})
    assert Where("1 < 2").mask(batch).tolist() == [True] * 3
    assert Where("NULL").mask(batch).tolist() == [False] * 3


@pytest.mark.parametrize(
    "kind",
    [pa.float16(), pa.decimal32(9, 2), pa.decimal256(60, 4), pa.dictionary(pa.int8(), pa.int64())],
    ids=str,
)
def test_unusual_numbers(kind: pa.DataType) -> None:
    array = pa.array([1, 2, None], pa.int8())
    array = array.dictionary_encode() if pa.types.is_dictionary(kind) else array.cast(kind)
    batch = pa.record_batch({"a": array})
    assert Where("a > 1.5 OR a = 1").mask(batch).tolist() == [True, True, False]
    assert Where("a / 2 = 0.5").mask(batch).tolist() == [True, False, False]


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.binary()], ids=str)
def test_unusual_strings(kind: pa.DataType) -> None:
    batch = pa.record_batch({"a": pa.array(["x", "yy", None]).cast(kind)})
    assert Where("a = 'x' OR length(a) = 2").mask(batch).tolist() == [True, True, False]


# -- refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "meant"), [("txt", "text"), ("i46", "i64"), ("Flag", "flag")])
def test_an_unknown_column_suggests_the_nearest(asked: str, meant: str) -> None:
    with pytest.raises(UnknownColumn, match=f"'{meant}'") as caught:
        Where(f"{asked} IS NULL").check(SCHEMA, "s3://lake/table")
    assert "s3://lake/table" in str(caught.value)
    with pytest.raises(UnknownColumn, match=asked):
        Where(f"{asked} IS NULL").mask(pa.RecordBatch.from_pylist([], schema=SCHEMA))


@pytest.mark.parametrize(
    "text",
    ["text < 3", "i64 = 'abc'", "flag > 3", "day = 5", "zoned = 'yesterday'", "day < '2020-13-01'",
     "NOT i64", "i64", "text", "i64 AND flag", "lower(i64) = 'a'", "abs(text) = 1", "text + 1 = 2",
     "text / 2 = 1", "flag / 2 = 1", "text LIKE 3", "i64 LIKE 'a'", "-text = 1", "length(i64) = 1",
     "text LIKE cat", "i64 BETWEEN 'a' AND 'b'", "CAST(text AS JSON) = 1", "i64 < 1 < 2"],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_before_reading(text: str) -> None:
    with pytest.raises(InvalidExpression):
        Where(text).check(SCHEMA, "table")


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "__import__('os').system('true')", "1; DROP TABLE t", "i64 = 1; SELECT 1",
     "(SELECT 1) = 1", "i64 IN (SELECT 1)", "EXISTS (SELECT 1)", "getenv('HOME') = ''",
     "read_csv('/etc/passwd') IS NULL", "'a' || text = 'a'", "i64 = ?", "i64 = $1", "i64 = :x",
     "lambda x: x", "[x for x in y]", "*", "", ";", "i64 <", "i64 = 1 i64", "'open",
     "TRY_CAST(text AS INT) = 1",
     "i64 BETWEEN SYMMETRIC 3 AND 1", "i64 IS 5", "CASE WHEN flag THEN true END", "{{ i64 }}",
     "i64 IN i32", "text LIKE 'a' ESCAPE 'b'", "DATE(day, 'UTC') = day", "text LIKE ANY ('a')",
     "COPY t TO 'x'", "ATTACH 'x'", "i64 = 1 UNION SELECT 1", "text ~ 'a'", "exec('x')"],
)  # fmt: skip
def test_code_and_all_that_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InvalidExpression):
        Where(text)


@given(text=st.text(alphabet=string.printable, max_size=25))
@example(text="0E")
@example(text="i64 = 0E")
def test_any_text_is_a_condition_or_an_error_of_ours(text: str) -> None:
    try:
        Where(text).check(SCHEMA, "table")
    except (InvalidExpression, UnknownColumn):
        return


@pytest.mark.parametrize(
    "text",
    ["(" * 3_000 + "flag" + ")" * 3_000, " AND ".join(["flag"] * 5_000), "NOT " * 3_000 + "flag"],
    ids=["parentheses", "and", "not"],
)
def test_nesting_without_end(text: str) -> None:
    batch = pa.RecordBatch.from_pylist([{"flag": True}], schema=SCHEMA)
    with pytest.raises(InvalidExpression, match="nested"):
        Where(text).mask(batch)


def test_numbers_without_end() -> None:
    batch = pa.RecordBatch.from_pylist([{"i64": 1}], schema=SCHEMA)
    assert Where("i64 < 99999999999999999999").mask(batch).tolist() == [True]
    for text in ("i64 < " + "9" * 100, "i64 * 9223372036854775807 + i64 > 0"):
        with pytest.raises(InvalidExpression):
            assert Where(text).mask(batch).tolist() == [None]
