"""Classes of text against Python's own reading of each value."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsm_dask.fold import run
from dsm_dask.stats.text_classes import TextClasses, TextCounts

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
PIECES = st.sampled_from([*SPACE, *"+-.eE0123456789", "é", "日", "🙂", "x", "\u200b", "\x1c"])
TEXTS = st.lists(st.none() | st.text(PIECES, max_size=6), max_size=30)


def told(values, dtype=None):
    return run(TextClasses("x"), [pa.record_batch({"x": pa.array(values, dtype)})])


def truth(texts):
    known = [text for text in texts if text is not None]
    bare = [text.strip(SPACE) for text in known]
    return TextCounts(
        count=len(known),
        empty=sum(text == "" for text in known),
        blank=sum(text != "" and rest == "" for text, rest in zip(known, bare, strict=True)),
        padded=sum(rest not in ("", text) for text, rest in zip(known, bare, strict=True)),
        numeric=sum(bool(NUMBER.fullmatch(rest)) for rest in bare),
        non_ascii=sum(not text.isascii() for text in known),
        invalid_utf8=0,
        bytes=sum(len(text.encode()) for text in known),
        characters=sum(map(len, known)),
    )


@QUICK
@given(TEXTS)
def test_texts_are_read_as_python_reads_them(texts):
    assert told(texts, pa.string()) == truth(texts)


@QUICK
@given(st.lists(st.binary(max_size=6) | st.text(max_size=3).map(str.encode), max_size=20))
def test_bytes_are_utf8_when_python_says_so(values):
    def broken(value):
        try:
            value.decode()
        except UnicodeDecodeError:
            return True
        return False

    found = told(values, pa.binary())
    assert found.invalid_utf8 == sum(map(broken, values))
    assert found.count == len(values)
    assert found.bytes == sum(map(len, values))


@pytest.mark.parametrize(
    "value",
    [b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80", b"\xff", b"a\xc3"],
)
def test_what_only_looks_like_utf8(value):
    assert told([value, "né".encode()], pa.binary()).invalid_utf8 == 1


@pytest.mark.parametrize(
    ("text", "is_number"),
    [
        *((text, True) for text in ("1", "-1.5e-3", "1.", ".5", " 42 ", "+0", "007")),
        *((text, False) for text in ("1_000", "1,5", "e5", ".", "1e", "", "0x1f", "nan", "١")),
        *((text, False) for text in ("1 2", "--1", "+", "1.2.3", "1e+")),
    ],
)
def test_numbers(text, is_number):
    assert told([text], pa.string()).numeric == is_number


def test_no_values():
    assert told([], pa.string()) == told([None, None], pa.string()) == TextCounts()


def test_dictionaries_weigh_and_nulls_in_them_do_not():
    codes = pa.array([0, 1, 1, None, 2, 1], pa.int8())
    words = pa.array(["", " é", None, "unused"])
    coded = pa.DictionaryArray.from_arrays(codes, words)
    assert told(coded) == truth(["", " é", " é", None, None, " é"])


def test_fixed_and_sliced_bytes():
    wide = pa.array([b"12 ", None, b"\xff  ", b"   "], pa.binary(3))[1:]
    found = told(wide)
    assert (found.count, found.invalid_utf8, found.blank, found.bytes) == (2, 1, 1, 6)


def test_many_rows_at_once():
    texts = np.array(["a", " b", "né", "17", ""])[np.random.default_rng(3).integers(0, 5, 20_000)]
    assert told(texts.tolist()) == truth(texts.tolist())
