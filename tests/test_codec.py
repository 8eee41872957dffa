"""What goes into the codec comes out, as the same bytes, and nothing else gets in."""

import dataclasses
import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask import codec
from dsm_dask.errors import StateVersion
from dsm_dask.testing.arrow import TYPES, arrow_arrays

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(-9, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_round_trip(value):
    data = codec.encode(value)
    back = codec.decode(data)
    assert back == value
    assert type(back) is type(value)
    assert codec.encode(back) == data


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_arrow_round_trip(dtype):
    @settings(max_examples=5, deadline=None)
    @given(arrow_arrays(dtype, min_size=1, max_size=5))
    def check(array):
        data = codec.encode(array)
        back = codec.decode(data)
        assert back.type == array.type
        assert codec.encode(back) == data
        assert codec.encode(codec.decode(codec.encode(array[0]))) == codec.encode(array[0])

    check()


@pytest.mark.parametrize("kind", ["ns", "us", "s"])
def test_scalars_keep_every_digit(kind):
    for dtype in (pa.timestamp(kind), pa.timestamp(kind, "UTC"), pa.duration(kind)):
        scalar = pa.scalar(1_700_000_000_123_456_789, pa.int64()).cast(dtype)
        assert codec.decode(codec.encode(scalar)).value == scalar.value


@pytest.mark.parametrize("dtype", ["<f8", "<u8", "<i2", "|b1", ">u8", "<f4"])
def test_numpy_round_trip(dtype):
    array = np.arange(6).astype(dtype).reshape(2, 3)
    back = codec.decode(codec.encode([array, array[1], array[:, 1], array[0, 0]]))
    for one, other in zip(back, [array, array[1], array[:, 1], array[0, 0]], strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
        assert type(one) is type(other)


def test_states_are_versioned():
    @codec.state("test.codec", 1)
    @dataclasses.dataclass(frozen=True)
    class Old:
        x: object

    data = codec.encode({"nested": (Old(Old([1])),)})
    assert codec.decode(data) == {"nested": (Old(Old([1])),)}
    head = len(codec.MAGIC)
    packed = data[head + 8 :].replace(b"test.codec/1", b"test.codec/2")
    newer = data[:head] + xxhash.xxh3_64_digest(packed) + packed
    with pytest.raises(StateVersion, match=r"test\.codec/2"):
        codec.decode(newer)


@pytest.mark.parametrize("data", [b"", b"dsm", b"PAR1 and so on", b"dsm\x02\xc0"])
def test_foreign_bytes_are_refused(data):
    with pytest.raises(StateVersion):
        codec.decode(data)


def test_truncated_bytes_are_refused():
    data = codec.encode({"a": (1, np.arange(3), pa.array(["x"]), decimal.Decimal("1.5"))})
    for size in range(len(data)):
        with pytest.raises(StateVersion):
            codec.decode(data[:size])


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), len, complex(1)])
def test_other_objects_are_refused(value):
    with pytest.raises(TypeError):
        codec.encode(value)
