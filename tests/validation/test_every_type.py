"""Nulls and repeats planted in columns of every type: exactly those rows, by count and by id."""

import numpy as np
import pyarrow as pa
import pytest

from dsm_dask.arrays import plain
from dsm_dask.hashing import hash_rows
from dsm_dask.testing.arrow import TYPES, unique_array
from dsm_dask.validation.check import check
from dsm_dask.validation.schema import Schema

ROWS = 40
NULL = (3, 11, 12, 29)
WITH_VALUES = [dtype for dtype in TYPES if not pa.types.is_null(dtype)]
KEYED = [dtype for dtype in WITH_VALUES if not pa.types.is_floating(dtype)]
EVERY = pytest.mark.parametrize("dtype", WITH_VALUES, ids=str)


def picked(dtype: pa.DataType, rows: list[int | None]) -> pa.Array:
    """Some of the different values of a type, in this order; None gives a null."""
    values = [one.as_py() for one in plain(unique_array(dtype, ROWS))]
    items = [None if row is None else values[row] for row in rows]
    if pa.types.is_float16(dtype):
        return pa.array([None if x is None else np.float16(x) for x in items], dtype)
    if pa.types.is_dictionary(dtype):
        return pa.array(items, dtype.value_type).dictionary_encode().cast(dtype)
    return pa.array(items, dtype)


@EVERY
def test_planted_nulls_are_found(dtype, memory, engine):
    rows = [None if row in NULL else row for row in range(ROWS)]
    table = memory({"x": picked(dtype, rows)}, 15)
    (found,) = check(table, Schema(columns={"x": {"nulls": 0}}), engine=engine).findings
    assert (found.rule, found.count) == ("nulls", len(NULL))
    assert [(one.row_id, one.value) for one in found.examples] == [(row, None) for row in NULL]


@pytest.mark.parametrize("dtype", KEYED, ids=str)
def test_planted_repeats_are_found_among_nulls(dtype, memory, engine):
    rows = [None if row in NULL else row for row in range(ROWS)]
    rows[20], rows[33], rows[39] = 5, 5, 17
    array = picked(dtype, rows)
    hashes = hash_rows([array])[:, 0].tolist()  # small types have fewer values than rows
    valid = [row for row in range(ROWS) if row not in NULL]
    repeats = [row for row in valid if hashes.index(hashes[row]) < row]
    assert {20, 33, 39} <= set(repeats)
    table = memory({"x": array, "y": array}, 15)
    unique = Schema(columns={"x": {"unique": True}, "y": {}})
    for schema in (unique, Schema(columns={"x": {}, "y": {}}, keys=[["x", "y"]])):
        (found,) = check(table, schema, engine=engine, examples=ROWS).findings
        assert found.count == len(repeats)
        assert [one.row_id for one in found.examples] == repeats
        assert sum(place.count for place in found.partitions) == len(repeats)
