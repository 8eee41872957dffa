"""One schema for many files: what is allowed, and what is refused by name."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsm_dask.errors import SchemaError
from dsm_dask.sources.schema import conform, leaf_count, unify, widen
from dsm_dask.testing.arrow import TYPES, unique_array

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(),
            pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]  # fmt: skip


def limits(kind: pa.DataType) -> tuple[int, int]:
    bits = kind.bit_width
    if pa.types.is_signed_integer(kind):
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


@pytest.mark.parametrize(("left", "right"), list(itertools.product(INTEGERS, INTEGERS)), ids=str)
def test_integers_widen_to_the_narrowest_that_holds_both(
    left: pa.DataType, right: pa.DataType
) -> None:
    low = min(limits(left)[0], limits(right)[0])
    high = max(limits(left)[1], limits(right)[1])
    enough = [k for k in INTEGERS if limits(k)[0] <= low and high <= limits(k)[1]]
    narrowest = min(enough, key=lambda kind: kind.bit_width, default=None)
    assert widen(left, right) == narrowest


@pytest.mark.parametrize("left", TYPES, ids=str)
def test_widening_is_symmetric_and_loses_nothing(left: pa.DataType) -> None:
    assert widen(left, left) == left
    for right in TYPES:
        wide = widen(left, right)
        assert wide == widen(right, left)
        if wide is not None:
            check_conforms([left, right], wide)


def check_conforms(kinds: list[pa.DataType], wide: pa.DataType) -> None:
    for narrow in kinds:
        array = pa.concat_arrays([unique_array(narrow, 20), pa.nulls(2, narrow)])
        schema = pa.schema({"a": wide, "missing": wide})
        batch = conform(pa.record_batch({"a": array}), schema)
        assert batch.schema == schema
        assert batch.column("a").to_pylist() == array.to_pylist()
        assert batch.column("missing").null_count == len(array) or pa.types.is_null(wide)


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_all_null_columns_take_any_type(kind: pa.DataType) -> None:
    assert widen(pa.null(), kind) == widen(kind, pa.null()) == kind
    batch = conform(pa.record_batch({"a": pa.nulls(3)}), pa.schema({"a": kind}))
    assert batch.column("a").type == kind
    assert batch.column("a").to_pylist() == [None] * 3


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.int64(), pa.float64()),
        (pa.int64(), pa.uint64()),
        (pa.float32(), pa.float64()),
        (pa.string(), pa.int64()),
        (pa.string(), pa.binary()),
        (pa.timestamp("us"), pa.timestamp("ns")),
        (pa.timestamp("us"), pa.timestamp("us", "UTC")),
        (pa.decimal128(9, 2), pa.decimal128(9, 3)),
        (pa.date32(), pa.date64()),
        (pa.list_(pa.int32()), pa.list_(pa.int64())),
        (pa.struct({"a": pa.int8()}), pa.struct({"a": pa.int8(), "b": pa.int8()})),
        (pa.dictionary(pa.int8(), pa.string()), pa.string()),
        (pa.bool_(), pa.int8()),
    ],
    ids=str,
)
def test_anything_else_names_the_column_and_both_files(
    left: pa.DataType, right: pa.DataType
) -> None:
    files = [("s3://x/one", left), ("s3://x/two", left), ("s3://x/three", right)]
    schemas = [(uri, pa.schema({"ok": pa.int8(), "bad": kind})) for uri, kind in files]
    with pytest.raises(SchemaError) as caught:
        unify(schemas)
    for part in ("'bad'", "s3://x/one", "s3://x/three", str(left), str(right)):
        assert part in str(caught.value)


def test_columns_keep_the_order_in_which_they_appear() -> None:
    found = unify(
        [
            ("1", pa.schema({"b": pa.int8()})),
            ("2", pa.schema({"a": pa.string(), "b": pa.int8()})),
            ("3", pa.schema({"c": pa.int8(), "a": pa.string()})),
        ]
    )
    assert found.names == ["b", "a", "c"]


def test_nothing_is_required_and_metadata_of_files_is_dropped() -> None:
    field = pa.field("a", pa.int8(), nullable=False, metadata={"x": "y"})
    found = unify([("1", pa.schema([field], metadata={"z": "z"}))])
    assert found.field("a").nullable
    assert not found.metadata
    assert not found.field("a").metadata


@pytest.mark.parametrize("width", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"])
def test_dictionaries_widen_by_index_and_by_value(width: str) -> None:
    left = pa.dictionary(getattr(pa, width)(), pa.string())
    right = pa.dictionary(pa.int32(), pa.large_string())
    wide = widen(left, right)
    assert wide is not None
    assert wide.value_type == pa.large_string()
    assert wide.index_type == widen(left.index_type, pa.int32())
    for narrow in (left, right):
        array = pa.array(["a", None, "b", "a"]).dictionary_encode().cast(narrow)
        batch = conform(pa.record_batch({"a": array}), pa.schema({"a": wide}))
        assert batch.column("a").to_pylist() == ["a", None, "b", "a"]


def test_repeated_and_reserved_names_are_refused_by_file() -> None:
    with pytest.raises(SchemaError, match=r"file1.*: a"):
        unify([("file1", pa.schema([("a", pa.int8()), ("a", pa.int8())]))])
    for name in ("_rowid", "_rowaddr", "_dsm_link"):
        with pytest.raises(SchemaError, match=name):
            unify([("file0", pa.schema({"x": pa.int8()})), ("file1", pa.schema({name: pa.int8()}))])


KINDS = st.sampled_from([pa.null(), *INTEGERS, pa.string(), pa.large_string(), pa.float64()])
SCHEMAS = st.lists(
    st.dictionaries(st.sampled_from("abc"), KINDS, max_size=3).map(pa.schema),
    min_size=1,
    max_size=5,
)


@given(schemas=SCHEMAS, data=st.data())
def test_the_order_of_files_matters_only_for_the_order_of_columns(
    schemas: list[pa.Schema], data: st.DataObject
) -> None:
    def outcome(files: list[pa.Schema]) -> dict[str, pa.DataType] | None:
        try:
            found = unify([(str(number), schema) for number, schema in enumerate(files)])
        except SchemaError:
            return None
        return dict(zip(found.names, found.types, strict=True))

    assert outcome(schemas) == outcome(data.draw(st.permutations(schemas)))
    assert outcome(schemas) == outcome(schemas + schemas)


@pytest.mark.parametrize(
    ("kind", "leaves"),
    [
        (pa.int8(), 1),
        (pa.dictionary(pa.int8(), pa.string()), 1),
        (pa.list_(pa.struct({"a": pa.int8(), "b": pa.list_(pa.int8())})), 2),
        (pa.map_(pa.string(), pa.struct({"a": pa.int8(), "b": pa.int8()})), 3),
        (pa.list_(pa.float32(), 4), 1),
        (pa.list_view(pa.struct({"a": pa.int8(), "b": pa.int8()})), 2),
        (pa.uuid(), 1),
    ],
    ids=str,
)
def test_leaf_count(kind: pa.DataType, leaves: int) -> None:
    assert leaf_count(kind) == leaves
