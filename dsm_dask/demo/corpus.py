"""Real data for the demo: the Python source that is on this machine anyway.

Every function and method of the standard library and of the installed packages becomes a row.
There are real exact duplicates in it (packages carry copies of one another, and much code is
generated) and real near ones (the copies are not of the same age).

The work is bounded by ``max_rows``; what comes first is chosen so that copies meet their
originals: the standard library, then packages that carry copies of others, then those others,
then the rest, each by name, and the standard library's own tests at the end. So a machine gives
the same rows in the same order every time, whatever the number of processes.
"""

from __future__ import annotations

import ast
import gc
import io
import itertools
import os
import sysconfig
import time
import tokenize
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsm_dask.errors import NotFound

MAX_ROWS = 60_000
ROW_GROUP_ROWS = 2_500

SCHEMA = pa.schema(
    [
        pa.field("package", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("module", pa.string(), nullable=False),
        pa.field("qualname", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("docstring", pa.string()),
        pa.field("n_lines", pa.int32(), nullable=False),
        pa.field("n_args", pa.int16(), nullable=False),
        pa.field("is_test", pa.bool_(), nullable=False),
        pa.field("modified_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
_FLAT = SCHEMA.set(0, pa.field("package", pa.string(), nullable=False))  # between processes

_COPIES = {"_vendor", "vendor", "vendored", "_vendored", "externals", "extern", "third_party"}
_NOT_CODE = {"__pycache__", "site-packages", "dist-packages"}
_BATCH_BYTES = 1_000_000

# What can hold a function: not expressions, and not the simple statements that most are.
_COMPOUND = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.Try,
    ast.TryStar,
    ast.ExceptHandler,
    ast.Match,
    ast.match_case,
)

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class SourceFile:
    """A file of Python source and the name under which it is imported."""

    path: str
    package: str
    module: str
    size: int


@dataclass(frozen=True)
class Corpus:
    """The rows, and how many files they came from; files without rows are accounted for."""

    table: pa.Table
    files: int
    skipped: dict[str, int]  # reason -> files: "syntax", "encoding", "unreadable", "too deep"
    truncated: bool  # max_rows was reached before the last file


@dataclass(frozen=True)
class WrittenCorpus:
    """What :func:`write_corpus` read and wrote."""

    rows: int
    files: int
    skipped: dict[str, int]
    truncated: bool
    names: tuple[str, ...]
    bytes: int
    seconds: float


def write_corpus(
    put: Callable[[str, bytes], object],
    *,
    files: int = 16,
    max_rows: int = MAX_ROWS,
    roots: Sequence[str | Path] | None = None,
    processes: int | None = None,
) -> WrittenCorpus:
    """Read the corpus and hand it to ``put(name, content)`` as Parquet files of like size.

    ``put`` writes one file; where to is its business, so any store will do."""
    started = time.perf_counter()
    corpus = read_corpus(roots, max_rows=max_rows, processes=processes)
    sizes: dict[str, int] = {}
    for name, content in parquet_files(corpus.table, files):
        put(name, content)
        sizes[name] = len(content)
    return WrittenCorpus(
        rows=corpus.table.num_rows,
        files=corpus.files,
        skipped=corpus.skipped,
        truncated=corpus.truncated,
        names=tuple(sizes),
        bytes=sum(sizes.values()),
        seconds=time.perf_counter() - started,
    )


def read_corpus(
    roots: Sequence[str | Path] | None = None,
    *,
    max_rows: int = MAX_ROWS,
    processes: int | None = None,
) -> Corpus:
    """Every function under ``roots`` (this interpreter's library and packages by default), as a
    table of at most ``max_rows`` rows. ``processes=1`` works in this process."""
    found = list(source_files(installed_roots() if roots is None else roots))
    if not found:
        raise NotFound("no Python source files in the folders given")
    batches: list[pa.RecordBatch] = []
    skipped: Counter[str] = Counter()
    files = rows = 0
    truncated = False
    with _in_order(_cut(found), processes or _cores()) as results:
        for result in results:
            batches.append(result.rows)
            skipped.update(result.skipped)
            files += result.files
            rows += result.rows.num_rows
            if rows >= max_rows:
                truncated = rows > max_rows or files < len(found)
                break
    table = pa.Table.from_batches(batches, _FLAT).slice(0, max_rows).combine_chunks()
    package = table["package"].combine_chunks().dictionary_encode()
    table = table.set_column(0, SCHEMA.field("package"), package)
    return Corpus(table, files, dict(skipped), truncated)


def parquet_files(table: pa.Table, files: int) -> Iterator[tuple[str, bytes]]:
    """Cut a table into ``files`` Parquet files of about as many bytes of source each.

    >>> table = SCHEMA.empty_table()
    >>> [name for name, _ in parquet_files(table, 2)]
    ['functions-000.parquet', 'functions-001.parquet']
    """
    lengths = pc.binary_length(table["source"]).to_numpy().astype(np.int64)
    weight = np.cumsum(lengths + 200)  # the other columns weigh something too
    total = int(weight[-1]) if len(weight) else 0
    cuts = np.searchsorted(weight, [total * k // files for k in range(1, files)], side="left") + 1
    edges = [0, *(min(int(cut), table.num_rows) for cut in cuts), table.num_rows]
    for number in range(files):
        part = table.slice(edges[number], edges[number + 1] - edges[number])
        groups = max(1, round(part.num_rows / ROW_GROUP_ROWS))
        sink = io.BytesIO()
        pq.write_table(
            part,
            sink,
            compression="zstd",
            row_group_size=max(1, -(-part.num_rows // groups)),
            use_dictionary=["package", "module", "modified_at", "n_lines", "n_args"],
        )
        yield f"functions-{number:03}.parquet", sink.getvalue()


# ------------------------------------------------------------------------ which files


def installed_roots() -> list[Path]:
    """The folders of the standard library and of the installed packages, in this order.

    >>> (installed_roots()[0] / "json" / "decoder.py").exists()
    True
    """
    paths = sysconfig.get_paths()
    named = [paths["stdlib"], paths["purelib"], paths["platlib"]]
    return list(dict.fromkeys(Path(name) for name in named))


def source_files(roots: Iterable[str | Path]) -> Iterator[SourceFile]:
    """All Python files below the roots, whole packages at a time, copies near their originals."""
    library = Path(sysconfig.get_paths()["stdlib"])
    packages: list[tuple[tuple[bool, int, int, str], list[SourceFile]]] = []
    for number, root in enumerate(map(Path, roots)):
        grouped: dict[str, list[SourceFile]] = {}
        for file in _walk(root):
            grouped.setdefault(file.package, []).append(file)
        copied = _copied(grouped)
        for name, files in grouped.items():
            late = root == library and name == "test"  # the largest package of all
            packages.append(((late, number, copied.get(name, 2), name), files))
    for _, files in sorted(packages, key=lambda entry: entry[0]):
        yield from files


def _copied(packages: dict[str, list[SourceFile]]) -> dict[str, int]:
    """0 for packages that carry copies of others, 1 for the others where they are installed.

    >>> def file(module): return SourceFile("", module.split(".")[0], module, 0)
    >>> _copied({"pip": [file("pip._vendor.rich.text")], "rich": [file("rich.text")], "six": []})
    {'rich': 1, 'pip': 0}
    """
    carriers: dict[str, int] = {}
    originals: dict[str, int] = {}
    for name, files in packages.items():
        for file in files:
            parts = file.module.split(".")
            for place, copy in itertools.pairwise(parts):
                if place in _COPIES:
                    carriers[name] = 0
                    if copy in packages:
                        originals[copy] = 1
    return originals | carriers


def _walk(root: Path) -> Iterator[SourceFile]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _NOT_CODE and not name.startswith(".") and not name.endswith("-info")
        )
        above = Path(folder).relative_to(root).parts
        for name in sorted(names):
            if name.endswith(".py"):
                path = Path(folder, name)
                parts = [*above, name.removesuffix(".py")]
                if len(parts) > 1 and parts[-1] == "__init__":
                    parts.pop()
                size = path.stat().st_size if path.exists() else 0
                yield SourceFile(str(path), parts[0], ".".join(parts), size)


# ------------------------------------------------------------------------ work in parallel


@dataclass(frozen=True)
class _Extracted:
    rows: pa.RecordBatch
    files: int
    skipped: Counter[str]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cut(files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    """Runs of files of about a megabyte: a task of a quarter of a second."""
    run: list[SourceFile] = []
    size = 0
    for file in files:
        run.append(file)
        size += file.size
        if size >= _BATCH_BYTES:
            yield run
            run, size = [], 0
    if run:
        yield run


@contextmanager
def _in_order(tasks: Iterator[list[SourceFile]], processes: int) -> Iterator[Iterator[_Extracted]]:
    """The results of the tasks, in their order; no more is begun than is asked for."""
    if processes == 1:
        yield map(extract, tasks)
        return
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        yield _results(pool, tasks, 2 * processes)
    finally:
        pool.shutdown(cancel_futures=True)


def _results(
    pool: ProcessPoolExecutor, tasks: Iterator[list[SourceFile]], ahead: int
) -> Iterator[_Extracted]:
    waiting: deque[Future[_Extracted]] = deque()
    for task in tasks:
        waiting.append(pool.submit(extract, task))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


# ------------------------------------------------------------------------ from file to rows


@dataclass
class _Columns:
    """Rows while they are collected, in the order of the schema."""

    values: tuple[list[Any], ...] = field(default_factory=lambda: tuple([] for _ in _FLAT))

    def append(self, *row: object) -> None:
        for column, value in zip(self.values, row, strict=True):
            column.append(value)

    def batch(self) -> pa.RecordBatch:
        arrays = [
            _array(column, kind.type) for column, kind in zip(self.values, _FLAT, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=_FLAT)


def extract(files: Sequence[SourceFile]) -> _Extracted:
    """The functions of some files as one record batch; runs in a process of the pool."""
    columns = _Columns()
    skipped: Counter[str] = Counter()
    collecting = gc.isenabled()
    gc.disable()  # syntax trees are many small objects without cycles: twice as fast
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the escapes in other people's strings
            for file in files:
                try:
                    _add_functions(file, columns)
                except OSError:
                    skipped["unreadable"] += 1
                except (RecursionError, MemoryError):
                    skipped["too deep"] += 1
                except _NotText:
                    skipped["encoding"] += 1
                except (SyntaxError, ValueError):  # ValueError: there are NUL characters
                    skipped["syntax"] += 1
    finally:
        if collecting:
            gc.enable()
    return _Extracted(columns.batch(), len(files), skipped)


class _NotText(Exception):
    """The bytes of a file are not in the encoding that it declares."""


def _add_functions(file: SourceFile, columns: _Columns) -> None:
    text = _text(Path(file.path).read_bytes())
    functions = list(functions_of(ast.parse(text)))  # all or nothing
    modified = os.stat(file.path).st_mtime_ns // 1000
    test = is_test(file.module)
    lines = text.split("\n")
    for qualname, node in functions:
        source = segment(lines, node)
        columns.append(
            file.package,
            file.module,
            qualname,
            source,
            ast.get_docstring(node),
            source.count("\n") + 1,
            _count_arguments(node.args),
            test,
            modified,
        )


def _text(content: bytes) -> str:
    """The text of a source file, its line ends as Python sees them."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise _NotText from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def functions_of(tree: ast.AST) -> Iterator[tuple[str, _Function]]:
    """Every function with its qualified name, in the order of the source.

    >>> tree = ast.parse("class A:\\n  def f(self):\\n    async def g(): pass\\ndef h(): pass")
    >>> [name for name, _ in functions_of(tree)]
    ['A.f', 'A.f.<locals>.g', 'h']
    """
    pending: list[tuple[str, ast.AST]] = [("", tree)]
    while pending:
        prefix, node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
            prefix += f"{node.name}.<locals>."
        elif isinstance(node, ast.ClassDef):
            prefix += f"{node.name}."
        below = [
            (prefix, inner)
            for name in ("body", "handlers", "orelse", "finalbody", "cases")
            for inner in getattr(node, name, ())
            if isinstance(inner, _COMPOUND)
        ]
        pending.extend(reversed(below))


def segment(lines: Sequence[str], node: _Function) -> str:
    """The exact text of a function, decorators included, from its first character to its last.

    As with :func:`ast.get_source_segment`, the first line comes without its indentation, the
    others as they are.

    >>> text = "class A:\\n    @property\\n    def x(self):\\n        return 'é'  # comment"
    >>> [(_, function)] = functions_of(ast.parse(text))
    >>> segment(text.split("\\n"), function)
    "@property\\n    def x(self):\\n        return 'é'"
    """
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    last = lines[node.end_lineno - 1]
    if last.isascii():
        last = last[: node.end_col_offset]
    else:  # the parser counts bytes
        last = last.encode()[: node.end_col_offset].decode()
    # A function starts its line, so all before it is indentation, one byte a character, and its
    # decorators have the same.
    return "\n".join([*lines[first - 1 : node.end_lineno - 1], last])[node.col_offset :]


def is_test(module: str) -> bool:
    """Whether a module is part of a test suite, by its name.

    >>> [is_test(name) for name in ("numpy.tests.test_io", "six", "numpy.testing", "a.conftest")]
    [True, False, False, True]
    """
    return any(
        part in ("test", "tests", "conftest")
        or part.startswith("test_")
        or part.endswith(("_test", "_tests"))
        for part in module.split(".")
    )


def _count_arguments(args: ast.arguments) -> int:
    stars = (args.vararg is not None) + (args.kwarg is not None)
    return len(args.posonlyargs) + len(args.args) + len(args.kwonlyargs) + stars


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeError:  # a docstring may hold half a surrogate pair, which is no text
        clean = [None if v is None else v.encode("utf-8", "replace").decode() for v in values]
        return pa.array(clean, kind)
