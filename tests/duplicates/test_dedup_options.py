"""Options of the methods as a person gives them, on the command line and in Python: what makes no
sense is an error, whichever way it comes."""

import pyarrow as pa
import pytest
from click.testing import CliRunner
from dsm_trials import objects, parquet
from pictures import picture, stored

import dsm_dask as dsm
from dsm_dask.cli import dsm as command
from dsm_dask.dataset.write import create
from dsm_dask.errors import UsageError

TEXTS = ["A word or two of Text", "a word or  two of text", "something else", None]


@pytest.fixture
def ds(tmp_path, engine) -> str:
    images = pa.array([b"no image"] * 4, pa.binary())
    parquet(f"{tmp_path}/raw/0.parquet", pa.table({"text": TEXTS, "image": images}))
    parquet(f"{tmp_path}/other.parquet", pa.table({"text": ["", *TEXTS[:1]]}))
    create(f"{tmp_path}/ds", f"{tmp_path}/raw", engine=engine)
    return f"{tmp_path}/ds"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"keep": "last"}, "first or longest"),
        ({"method": "minhash", "keep": "last"}, "first or longest"),
        ({"method": "semantic", "embed": "ngrams"}, "'ngrams' makes no vectors"),
        ({"method": "phash", "on": "image", "distance": 2.5}, "2.5 differing bits"),
    ],
)
def test_what_makes_no_sense(ds, engine, options, told):
    with pytest.raises(UsageError, match=told):
        dsm.dedup(ds, **{"on": "text", "engine": engine, **options})


@pytest.mark.parametrize("method", ["exact", "minhash"])
@pytest.mark.parametrize("steps", ["case,whitespace", ["case", "whitespace"], ["case,whitespace"]])
def test_steps_in_one_string_or_several(ds, engine, method, steps):
    assert dsm.dedup(ds, "text", method=method, normalise=steps, engine=engine).duplicates == 1


def said(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, [*args, "--workers", "0"])
    return done.exit_code, done.output


def test_a_tag_needs_a_version(ds):
    before = objects(ds)
    code, told = said("dedup", ds, "--on", "text", "--tag", "clean")
    assert code == 2
    assert "--drop or --columns" in told
    assert objects(ds) == before
    code, _ = said(
        "dedup", ds, "--on", "text", "--normalise", "case,whitespace", "--drop", "--tag", "clean"
    )
    assert code == 0
    assert dsm.open(f"{ds}@clean").rows == 3


def test_a_row_of_another_table_is_told_with_its_name(ds, tmp_path):
    other = f"{tmp_path}/other.parquet"
    _, told = said("dedup", ds, "--on", "text", "--against", other)
    (row,) = [line for line in told.splitlines() if "A word" in line]
    assert row.split()[:2] == ["2", "1"]
    assert row.rstrip().endswith(other)
    _, told = said("dedup", ds, "--on", "text", "--normalise", "case,whitespace")
    assert not any(
        line.startswith("copies") and line.rstrip().endswith("of") for line in told.splitlines()
    )


def test_control_characters_are_told_by_their_code(tmp_path):
    texts = [
        "one two three \x1b[2Jfour\x07 \u202efive",
        "one two three \x1b[2Jfour\x07 \u202efive six",
    ]
    parquet(tmp_path / "a.parquet", pa.table({"text": [*texts, texts[0]]}))
    args = ["dedup", f"{tmp_path}/a.parquet", "--on", "text"]
    near = ["--method", "minhash", "--shingle", "word:1", "--threshold", "0.5", "--show", "1"]
    for more in ([], near):
        _, told = said(*args, *more)
        assert "\\u001b[2J" in told
        assert not set("\x1b\x07\u202e") & set(told)


def test_nothing_is_said_of_texts_where_there_are_none(tmp_path):
    images = [stored(picture(1)), stored(picture(1, (96, 80))), stored(picture(2))]
    parquet(tmp_path / "a.parquet", pa.table({"image": images}))
    _, told = said(
        "dedup", f"{tmp_path}/a.parquet", "--on", "image", "--method", "phash", "--show", "1"
    )
    assert "row 1, strongest pair" in told
    assert "the same" not in told
