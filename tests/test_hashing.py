"""Equal rows hash alike, unequal rows do not, whatever the storage."""

import decimal
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsm_dask.errors import SchemaError
from dsm_dask.hashing import hash_rows
from dsm_dask.testing.arrow import TYPES, arrow_arrays
from dsm_dask.text_hash import hash_texts

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def hashes(*columns):
    return [tuple(row) for row in hash_rows(columns).tolist()]


def identity(value):
    """A Python value that is equal exactly when two rows should be."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    if isinstance(value, (list, tuple)):
        return tuple(identity(item) for item in value)
    if isinstance(value, dict):
        return tuple(identity(item) for item in value.values())
    return value


def stored(array):
    """Python values; the stored integers of dates and times, which Python cannot always hold."""
    dtype = array.type
    if pa.types.is_temporal(dtype) and not pa.types.is_interval(dtype):
        array = array.view(pa.int32() if dtype.bit_width == 32 else pa.int64())
    return [identity(value) for value in array.to_pylist()]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_equal_values_exactly_when_equal_hashes(dtype):
    @QUICK
    @given(arrow_arrays(dtype))
    def check(array):
        pairs = set(zip(stored(array), hashes(array), strict=True))
        assert len(pairs) == len({v for v, _ in pairs}) == len({h for _, h in pairs})

    check()


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_slices_and_chunks_make_no_difference(dtype):
    @QUICK
    @given(arrow_arrays(dtype), st.integers(0, 40))
    def check(array, cut):
        whole = hashes(array)
        assert hashes(array[cut:]) == whole[cut:]
        assert hashes(pa.chunked_array([array[:cut], array[cut:]])) == whole
        copied = pa.ipc.open_stream(_stream(array)).read_all().column(0)
        assert hashes(copied) == whole

    check()


def _stream(array):
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([array], names=["x"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


@pytest.mark.parametrize(
    "group",
    [
        [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint64()],
        [pa.float16(), pa.float32(), pa.float64()],
        [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
        [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(1)],
        [pa.decimal32(5, 2), pa.decimal64(10, 2), pa.decimal128(20, 2), pa.decimal256(60, 2)],
        [pa.list_(pa.int8()), pa.large_list(pa.int64()), pa.list_(pa.int32(), 1)],
        [pa.list_view(pa.int8()), pa.large_list_view(pa.int8()), pa.list_(pa.int8())],
        [pa.date32(), pa.date64()],
        [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")],
        [pa.null(), pa.int8(), pa.string(), pa.list_(pa.int8())],
    ],
    ids=lambda group: str(group[0]),
)
def test_storage_makes_no_difference(group):
    first = group[0]
    if pa.types.is_null(first):
        columns = [pa.nulls(3, dtype) for dtype in group]
    else:
        columns = [_sample(first, dtype) for dtype in group]
    assert len({tuple(hashes(column)) for column in columns}) == 1


def _sample(first, dtype):
    if pa.types.is_list(first) or pa.types.is_list_view(first):
        return pa.array([[1], [2], [3]], dtype)  # pyarrow 26 casts list views to invalid lists
    return _scalars(first).cast(dtype)


def _scalars(dtype):
    if pa.types.is_decimal(dtype):
        return pa.array([decimal.Decimal("1.25"), decimal.Decimal("-7.5"), None], dtype)
    if pa.types.is_string(dtype) or pa.types.is_binary(dtype):
        return pa.array(["a", None, "b"]).cast(dtype)
    if pa.types.is_date(dtype) or pa.types.is_time(dtype):
        return pa.array([1, None, 70], pa.int32()).cast(dtype)
    return pa.array([1, None, 70]).cast(dtype)


def test_types_are_told_apart():
    ones = [
        pa.array([1]),
        pa.array([1.0]),
        pa.array(["1"]),
        pa.array([b"1"]),
        pa.array([True]),
        pa.array([decimal.Decimal("1")]),
        pa.array([decimal.Decimal("1.0")]),
        pa.array([1], pa.date32()),
        pa.array([1], pa.time64("ns")),
        pa.array([1], pa.timestamp("s")),
        pa.array([1], pa.timestamp("us")),
        pa.array([1], pa.timestamp("us", "UTC")),
        pa.array([1], pa.duration("us")),
        pa.array([[1]]),
        pa.array([[[1]]]),
        pa.array([{"a": 1}]),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([None], pa.int64()),
    ]
    assert len({hashes(one)[0] for one in ones}) == len(ones)


def test_signs():
    low, high = pa.array([-1]), pa.array([2**64 - 1], pa.uint64())
    assert hashes(low) != hashes(high)
    assert hashes(pa.array([-0.0, math.nan])) == hashes(pa.array([0.0, -math.nan]))


def test_garbage_under_nulls_makes_no_difference():
    def masked(values, dtype, valid):
        full = pa.array(values, dtype)
        bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
        buffers = [bitmap, *full.buffers()[1:]]
        return pa.Array.from_buffers(dtype, len(values), buffers)

    valid = np.array([1, 0, 1], bool)
    for values, dtype in [([1, 7, 3], pa.int64()), (["a", "x", "c"], pa.string())]:
        clean = [v if ok else None for v, ok in zip(values, valid, strict=True)]
        assert hashes(masked(values, dtype, valid)) == hashes(pa.array(clean, dtype))
    mask = pa.array(~valid)
    child = pa.array([1, 2, 3, 4])
    listed = pa.ListArray.from_arrays(pa.array([0, 1, 3, 4], pa.int32()), child, mask=mask)
    assert hashes(listed) == hashes(pa.array([[1], None, [4]]))
    struct = pa.StructArray.from_arrays([child[:3]], ["a"], mask=mask)
    assert hashes(struct) == hashes(pa.array([{"a": 1}, None, {"a": 3}]))
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(range(6)), 2, mask=mask)
    assert hashes(fixed) == hashes(pa.array([[0, 1], None, [4, 5]]))
    codes = masked([0, 99, 1], pa.int8(), valid)
    coded = pa.DictionaryArray.from_arrays(codes, ["a", "b"], safe=False)
    assert hashes(coded) == hashes(pa.array(["a", None, "b"]))


def test_encodings_and_extensions_hash_as_their_values():
    texts = pa.array(["a", None, "b", "b"])
    coded = pa.DictionaryArray.from_arrays([0, 1, 2, 2], ["a", None, "b"])
    assert hashes(coded) == hashes(texts)
    runs = pa.RunEndEncodedArray.from_arrays([1, 2, 4], ["a", None, "b"])
    assert hashes(runs) == hashes(runs[0:]) == hashes(texts)
    assert hashes(runs[1:]) == hashes(texts)[1:]
    uuid = pa.array([b"0" * 16], pa.uuid())
    assert hashes(uuid) == hashes(uuid.storage)
    many = pa.array([f"value {i % 5}" for i in range(10_000)])
    assert hashes(many) == hashes(many[:5]) * 2000


def test_order_counts():
    a, b = pa.array([1, 2]), pa.array([2, 1])
    assert set(hashes(a, b)).isdisjoint(hashes(b, a)) is False  # (1, 2) is a row of both
    assert hashes(a, b)[0] != hashes(b, a)[0]
    assert hashes(a, b) == hashes(b, a)[::-1]
    assert hashes(pa.array(["ab"]), pa.array(["c"])) != hashes(pa.array(["a"]), pa.array(["bc"]))
    lists = [[[1], [2]], [[1, 2]], [[2], [1]], [[2, 1]], [[], [1, 2]], [[1, 2], []], [], [[]], None]
    assert len(set(hashes(pa.array(lists)))) == len(lists)
    texts = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["", "abc"], ["c", "ab"], [None]]
    assert len(set(hashes(pa.array(texts)))) == len(texts)
    structs = [{"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": None, "b": 2}, None]
    assert len(set(hashes(pa.array(structs)))) == len(structs)
    assert len(set(hashes(pa.array([1, None]), pa.array([None, 1])))) == 2


@pytest.mark.parametrize(
    "columns",
    [
        [np.arange(10**6)],
        [np.arange(10**6) << 40],
        [np.arange(10**6) * 0.5],
        [np.repeat(np.arange(1000), 1000), np.tile(np.arange(1000), 1000)],
        [np.repeat(np.arange(-500, 500), 1000), np.tile(np.arange(1000) << 32, 1000)],
    ],
)
def test_no_collisions_on_structured_sets(columns):
    found = hash_rows([pa.array(column) for column in columns])
    for lane in range(2):
        # a lane of 64 bits collides with a probability of about 3e-8
        assert len(np.unique(found[:, lane])) == 10**6
        bits = np.unpackbits(found[:100_000, lane].copy().view(np.uint8)).reshape(-1, 64)
        assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.01


def test_lists_of_pairs_do_not_collide():
    flat = np.stack([np.repeat(np.arange(400), 400), np.tile(np.arange(400), 400)], 1).ravel()
    pairs = pa.FixedSizeListArray.from_arrays(pa.array(flat), 2)
    assert len(np.unique(hash_rows([pairs])[:, 0])) == 160_000


def test_hashes_are_stored_so_they_never_change():
    assert hashes(pa.array([1])) == [GOLDEN["integer"]]
    assert hashes(pa.array(["a"]), pa.array([[1.5, None]])) == [GOLDEN["mixed"]]


def test_texts_are_hashed_by_the_published_function():
    """The verification that SMHasher (https://github.com/aappleby/smhasher) does of it."""
    keys = np.arange(256, dtype=np.uint8)
    rows = [hash_texts(keys, np.array([0, size]), 256 - size) for size in range(256)]
    found = np.array([[low[0], high[0]] for low, high in rows]).ravel().view(np.uint8)
    (low,), _ = hash_texts(found, np.array([0, len(found)]), 0)
    assert int(low) & 0xFFFFFFFF == 0x6384BA69


GOLDEN = {
    "integer": (7559950803251656447, 1878429688149786049),
    "mixed": (12979530104084326938, 11723514481044428386),
}


def test_what_cannot_be_hashed_is_refused():
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pytest.raises(SchemaError, match="sparse_union"):
        hash_rows([union])
    with pytest.raises(ValueError, match="at least one"):
        hash_rows([])
    with pytest.raises(ValueError, match="numbers of rows"):
        hash_rows([pa.array([1]), pa.array([1, 2])])


def test_empty():
    for dtype in TYPES:
        assert hash_rows([pa.array([], dtype)]).shape == (0, 2)
    assert hash_rows([pa.chunked_array([], pa.int64())]).shape == (0, 2)
