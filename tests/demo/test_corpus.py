"""The demo's data: every function of a tree of packages, and an account of what gave none."""

from __future__ import annotations

import ast
import datetime
import io
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsm_dask.demo.corpus import (
    SCHEMA,
    Corpus,
    functions_of,
    parquet_files,
    read_corpus,
    segment,
    source_files,
    write_corpus,
)
from dsm_dask.errors import NotFound

MODIFIED = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)

CODE = '''\
"""A module."""
import functools

def plain(a, b=1, *args, c, **kwargs):
    """What it does.

    And more."""
    return a

async def later(): pass

class Outer:
    @property
    def x(self): return 'é'  # a comment that is not part of it

    class Inner:
        @functools.lru_cache(
            maxsize=None
        )
        @staticmethod
        def cached(a, /):
            def within(): return 1; x = 2
            return within

        async def method(self): ...

if True:
    try:
        def guarded(): return """
one
"""
    except* ValueError:
        def rescue(): pass
    else:
        def fine(): pass
    finally:
        def ever(): pass
else:
    for _ in ():
        with open(""):
            def looped(): pass

match 1:
    case 1:
        def matched(): pass
'''

QUALNAMES = [
    "plain",
    "later",
    "Outer.x",
    "Outer.Inner.cached",
    "Outer.Inner.cached.<locals>.within",
    "Outer.Inner.method",
    "guarded",
    "rescue",
    "fine",
    "ever",
    "looped",
    "matched",
]


def truth(text: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    """The slow way, by the standard library; its first line is widened to the decorators."""
    if node.decorator_list:
        node.lineno = min(decorator.lineno for decorator in node.decorator_list)
    return ast.get_source_segment(text, node)


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (MODIFIED.timestamp(),) * 2)
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    copy = "def shared():\n    return 1\n"
    return write(
        tmp_path,
        {
            "zebra/__init__.py": CODE,
            "zebra/_vendor/mouse/core.py": copy,
            "zebra/tests/test_it.py": "def test_it(): assert True\n",
            "mouse/core.py": copy,
            "ant.py": "def crlf():\r\n    return 1\r\n",
            "ant-1.0.dist-info/odd.py": "def not_code(): pass\n",
            "bad/syntax.py": "def f(:\n",
            "bad/nul.py": "def f(): pass\n\0",
            "bad/encoding.py": b"def f(): return '\xff'\n",
            "bad/unknown.py": "# coding: no-such-code\ndef f(): pass\n",
            "bad/deep.py": "x = " + "(" * 150 + ")" * 150 + "\n" + "-" * 100_000 + "1\n",
            "good/latin.py": b"# coding: latin-1\ndef f(): return '\xe9'\n",
            "good/half.py": 'def f():\n    "\\ud800"\n',
            "good/escape.py": "def f(): return '\\d'\n",
        },
    )


def corpus_of(root: Path, **options: int) -> Corpus:
    return read_corpus([root], **{"processes": 1, **options})


def rows_of(corpus: Corpus, module: str) -> list[dict[str, object]]:
    return [row for row in corpus.table.to_pylist() if row["module"] == module]


def test_every_kind_of_function_becomes_a_row(tree: Path) -> None:
    corpus = corpus_of(tree)
    assert corpus.table.schema == SCHEMA
    corpus.table.validate(full=True)
    rows = rows_of(corpus, "zebra")
    assert [row["qualname"] for row in rows] == QUALNAMES
    assert [row["n_args"] for row in rows[:4]] == [5, 0, 1, 1]
    assert rows[0] == {
        "package": "zebra",
        "module": "zebra",
        "qualname": "plain",
        "source": CODE[CODE.index("def plain") : CODE.index("\n\nasync def later")],
        "docstring": "What it does.\n\nAnd more.",
        "n_lines": 5,
        "n_args": 5,
        "is_test": False,
        "modified_at": MODIFIED,
    }
    assert rows[1]["docstring"] is None
    assert rows[2]["source"] == "@property\n    def x(self): return 'é'"


def test_sources_are_what_the_standard_library_says() -> None:
    lines = CODE.split("\n")
    for _, node in functions_of(ast.parse(CODE)):
        assert segment(lines, node) == truth(CODE, node)


@pytest.mark.parametrize("name", ["argparse", "typing", "contextlib", "json.encoder", "ast"])
def test_sources_of_real_modules_too(name: str) -> None:
    module = __import__(name, fromlist=["_"])
    text = Path(module.__file__).read_text(encoding="utf-8")
    functions = list(functions_of(ast.parse(text)))
    assert len(functions) > 5
    assert all(segment(text.split("\n"), node) == truth(text, node) for _, node in functions)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert len(functions) == sum(isinstance(node, kinds) for node in ast.walk(ast.parse(text)))


def test_files_without_rows_are_accounted_for(tree: Path) -> None:
    corpus = corpus_of(tree)
    deep = corpus.skipped.pop("too deep", 0) + corpus.skipped.pop("syntax")  # by Python's version
    assert corpus.skipped == {"encoding": 2}
    assert deep == 3
    assert corpus.files == 13  # what lies in dist-info is not code
    assert not corpus.truncated


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "def f(): pass\n"})
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere")
    assert corpus_of(tmp_path).skipped == {"unreadable": 1}


def test_odd_texts(tree: Path) -> None:
    corpus = corpus_of(tree)
    assert rows_of(corpus, "ant")[0]["source"] == "def crlf():\n    return 1"
    assert rows_of(corpus, "good.latin")[0]["source"] == "def f(): return 'é'"
    assert rows_of(corpus, "good.half")[0]["docstring"] == "?"
    assert len(rows_of(corpus, "good.escape")) == 1


def test_tests_are_marked(tree: Path) -> None:
    rows = corpus_of(tree).table.to_pylist()
    assert {row["module"] for row in rows if row["is_test"]} == {"zebra.tests.test_it"}


def test_copies_come_first_and_their_originals_next(tree: Path) -> None:
    packages = list(dict.fromkeys(file.package for file in source_files([tree])))
    assert packages == ["zebra", "mouse", "ant", "bad", "good"]
    sources = corpus_of(tree).table["source"].to_pylist()
    assert sources.count("def shared():\n    return 1") == 2


def test_the_rows_do_not_depend_on_the_processes(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsm_dask.demo.corpus._BATCH_BYTES", 100)  # nearly a task for each file
    alone, again, together = (corpus_of(tree, processes=count) for count in (1, 1, 2))
    assert alone == again
    assert alone == together


def test_a_cap_takes_the_first_rows(tree: Path) -> None:
    full = corpus_of(tree).table
    capped = corpus_of(tree, max_rows=7)
    assert capped.truncated
    assert capped.table.to_pylist() == full.to_pylist()[:7]
    assert not corpus_of(tree, max_rows=full.num_rows).truncated


def test_no_files_at_all(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no Python source"):
        corpus_of(tmp_path)


def test_files_are_written_and_read_back(tree: Path, tmp_path: Path) -> None:
    written: dict[str, bytes] = {}
    summary = write_corpus(written.__setitem__, files=3, roots=[tree], processes=1)
    assert summary.names == tuple(written)
    assert summary.bytes == sum(map(len, written.values()))
    assert (summary.files, summary.skipped["encoding"]) == (13, 2)
    tables = [pq.read_table(io.BytesIO(content)) for content in written.values()]
    assert all(table.schema == SCHEMA for table in tables)
    assert sum(table.num_rows for table in tables) == summary.rows
    whole = pa.concat_tables(tables, promote_options="default").unify_dictionaries()
    assert whole.to_pylist() == corpus_of(tree).table.to_pylist()


def test_files_are_of_like_size_and_in_row_groups() -> None:
    count = 40_000
    row = corpus_row()
    table = pa.table(
        {name: pa.array([value] * count) for name, value in row.items()}, schema=SCHEMA
    )
    files = [pq.ParquetFile(io.BytesIO(content)) for _, content in parquet_files(table, 16)]
    assert [file.metadata.num_rows for file in files] == [2500] * 16
    [(_, whole)] = parquet_files(table, 1)
    metadata = pq.ParquetFile(io.BytesIO(whole)).metadata
    assert metadata.num_row_groups == 16
    assert metadata.row_group(0).column(3).compression == "ZSTD"


def corpus_row() -> dict[str, object]:
    return {
        "package": "p",
        "module": "p.m",
        "qualname": "f",
        "source": "def f(): pass",
        "docstring": None,
        "n_lines": 1,
        "n_args": 0,
        "is_test": False,
        "modified_at": MODIFIED,
    }


def test_fewer_rows_than_files() -> None:
    table = pa.table({name: pa.array([value]) for name, value in corpus_row().items()}, SCHEMA)
    parts = [pq.read_table(io.BytesIO(content)) for _, content in parquet_files(table, 16)]
    assert len(parts) == 16
    assert sum(part.num_rows for part in parts) == 1
