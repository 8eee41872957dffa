"""The YAML of a schema: it survives a round trip, and says what is wrong with it and where."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask.errors import NotFound, SchemaFileError
from dsm_dask.validation.schema import ColumnSchema, Schema
from dsm_dask.validation.schema_file import dump_schema, load_schema, parse_schema

NAMES = st.sampled_from(
    ["no", "null", "1.10", "2024-02-29", "a: b", "- a", "#", "", " ", "🙂", "a\x00b", "\u2028", "~",
     "'\"\\", "{a}", "x" * 2000, "<<", "new\nline", "\ufeff", "=", "!x", "*a", "&a", "0x1F"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)  # fmt: skip
COLUMNS = st.one_of(
    st.builds(
        ColumnSchema,
        type=st.just("string"), nulls=st.floats(0, 1), optional=st.booleans(),
        categories=st.lists(NAMES, max_size=12).map(tuple), empty=st.booleans() | st.none(),
        unique=st.booleans(), max_length=st.integers(0) | st.none(),
    ),
    st.builds(
        ColumnSchema,
        type=st.sampled_from(["int64", "float32", "decimal(76, 3)"]),
        nan=st.booleans() | st.none(),
        max=st.integers().map(str) | st.floats(allow_nan=False, allow_infinity=False).map(repr),
        normalised=st.sampled_from(["0..1", "-1..1", "standard", None]),
    ),
    st.builds(
        ColumnSchema,
        type=st.sampled_from(["timestamp[us, tz=+09:00]", "date32"]),
        min=st.dates().map(str) | st.datetimes().map(lambda t: t.isoformat()),
    ),
    st.builds(ColumnSchema, type=st.just("struct<a: int64, b: list<string>>")),
)  # fmt: skip


@settings(max_examples=60)
@given(st.dictionaries(NAMES, COLUMNS, max_size=5), st.data())
def test_load_of_dump_is_the_same(columns, data):
    keys = st.lists(st.sampled_from(list(columns)), min_size=1).map(tuple) if columns else st.none()
    schema = Schema(
        columns=columns,
        keys=data.draw(st.lists(keys, max_size=2)) if columns else (),
        rows=data.draw(st.none() | st.just({"min": 1, "max": 10**20})),
        new_columns=data.draw(st.booleans()),
    )
    text = dump_schema(schema, source="no: #\n", estimated=list(columns))
    found = parse_schema(text)
    assert found == schema
    assert list(found.columns) == list(columns)


def test_scalars_are_the_texts_they_look_like():
    text = "columns: {a: {type: string, categories: [no, 1.10, 2024-02-29, null, 0x1F, ~]}}"
    assert parse_schema(text).columns["a"].categories == (
        "no", "1.10", "2024-02-29", "null", "0x1F", "~",
    )  # fmt: skip
    found = parse_schema("columns: {no: {type: double, max: 1e400, min: 99999999999999999999}}"
                         .replace("1e400", "1e30"))  # fmt: skip
    assert (found.columns["no"].type, found.columns["no"].max) == ("float64", "1e30")
    assert parse_schema("columns:\n  a:\n  b: {}\n").columns["a"] == ColumnSchema()


BAD = {
    "version: 2\n": ("version (line 1)", ""),
    "columns:\n  a:\n    typ: int64\n": ("columns.a.typ (line 3): there is no key 'typ'", "'type'"),
    "colums: {}\n": ("colums (line 1)", "'columns'"),
    "columns:\n  a: {type: float46}\n": ("columns.a.type (line 2)", "'float64'"),
    "columns:\n  a: {nulls: 1.5}\n": ("columns.a.nulls (line 2)", ""),
    "columns:\n  a: {nulls: many}\n": ("columns.a.nulls (line 2)", ""),
    "columns:\n  a: {}\n  a: {}\n": ("columns.a (line 3): this key is given twice", ""),
    "columns:\n  amount: {}\nkeys:\n  - [amuont]\n": ("keys[0][0] (line 4)", "'amount'"),
    "columns:\n  a:\n    type: int64\n    min: x\n": ("columns.a.min (line 4): 'x'", ""),
    "columns:\n  a: {type: int64, min: 2, max: 1}\n": ("min is above max", ""),
    "columns:\n  a: {min: 2}\n": ("a bound needs the type", "type: int64"),
    "columns:\n  a: {type: date32, min: 29.2.2024}\n": ("'29.2.2024' is not written like", ""),
    "columns:\n  a: {type: int64, min: nan}\n": ("no bound", ""),
    "columns:\n  a: {type: int64, min: 1e999999999}\n": ("no bound", ""),
    "columns:\n  a: {type: string, min: 1}\n": ("have no bounds", ""),
    "columns:\n  a: {type: int64, categories: [b]}\n": ("'b' is not an integer", ""),
    "columns:\n  a: {type: date32, max_length: 3}\n": ("no rule for date32", "string"),
    "columns:\n  a: {min_length: 4, max_length: 3}\n": ("min_length is above", ""),
    "columns:\n  a: {normalised: 0..2}\n": ("columns.a.normalised (line 2)", ""),
    "rows: {min: 3, max: 2}\n": ("rows.min (line 1)", ""),
    "rows: [1]\n": ("rows (line 1)", ""),
    "columns: [a]\n": ("columns (line 1)", ""),
    "? [a]\n: 1\n": ("a key has to be a text", ""),
    "a: &a [*a]\n": ("nested too deeply", ""),
    "[" * 3000: ("nested too deeply", ""),
    "a: [": ("not valid YAML at line", ""),
    "just words": ("holds no schema", "columns"),
    "": ("holds no schema", ""),
}  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_errors_name_path_and_line(text):
    problem, valid = BAD[text]
    with pytest.raises(SchemaFileError) as caught:
        parse_schema(text, "my.yaml")
    assert problem in caught.value.what
    assert valid in str(caught.value)
    assert "my.yaml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_files(tmp_path):
    with pytest.raises(NotFound):
        load_schema(str(tmp_path / "none.yaml"))
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SchemaFileError, match="not text"):
        load_schema(str(path))
    path.write_text(dump_schema(Schema(columns={"ä": {"type": "int8"}})), encoding="utf-8")
    assert load_schema(str(path)).columns["ä"].type == "int8"
