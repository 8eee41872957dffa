"""Tables for people and for programs: what is never cut, at which width."""

import os
import subprocess
import sys
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsm_dask.cli.text import table, written

WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=40)
ROWS = st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5)


@given(ROWS)
def test_nothing_is_cut_for_a_program(rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        lines = table(["a", "b", "c"], rows, "1").splitlines()
    assert [tuple(line.split()) for line in lines[1:]] == rows
    assert all(line == line.rstrip() for line in lines)


@given(ROWS, st.integers(10, 120))
def test_names_to_copy_are_whole_however_narrow_the_terminal(rows, width):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        told = table(["a", "b", "c"], rows, whole="0 2")
    for first, _, last in rows:
        assert first in told
        assert last in told


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"added": 1, "rows": 1}, "ds@2: 1 row added; 1 row"),
        ({"columns_added": 1, "rows": 2000}, "ds@2: 1 column added; 2,000 rows"),
        ({"restored": 1, "rows": 3}, "ds@2: version 1 restored; 3 rows"),
    ],
)
def test_what_was_written_in_words(changed, said):
    assert written({"dataset": "ds", "version": 2, "committed": True, **changed}) == said


def test_errors_are_as_wide_as_the_terminal_and_paths_stay_whole(tmp_path):
    words = [sys.executable, "-c", "from dsm_dask.cli import main; main()", "log"]
    words.append(str(tmp_path / ("a-long-name-" * 8)))
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 60))
    subprocess.run(words, stderr=theirs, check=False, timeout=60)
    os.close(theirs)
    told = os.read(ours, 10_000).decode().splitlines()
    os.close(ours)
    assert told[-1].strip() == "(dsm explain not-a-dataset)"
    assert all(len(line) <= 60 for line in told if words[-1] not in line)
    plain = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60).stderr
    assert words[-1] in " ".join(told)
    assert " ".join(told).split() == plain.split()
    assert len(plain.splitlines()) == 2
