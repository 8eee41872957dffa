"""What the tests of datasets, engine, deduplication, jobs and command line share.

A module of its own, found by name on ``sys.path`` (``pythonpath`` in ``pyproject.toml``), so that
workers of a cluster can import the functions that are sent to them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from dsm_dask import codec, storage
from dsm_dask.engine import Engine
from dsm_dask.errors import CorruptFile
from dsm_dask.fold import Product
from dsm_dask.table import ROW_ID

# ---------------------------------------------------------------------------------------------
# Places and files


def parquet(uri: str | Path, data: pa.Table | dict[str, Any], **options: Any) -> str:
    """Write a Parquet file to a local path or an S3 URI; its URI."""
    table = data if isinstance(data, pa.Table) else pa.table(data)
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return put(uri, sink.getvalue())


def put(uri: str | Path, data: bytes) -> str:
    """Write an object, or write over one."""
    uri = str(uri)
    if storage.is_local(uri):
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        Path(uri).write_bytes(data)
    else:
        storage.write(uri, data)
    return uri


def objects(place: str | Path) -> dict[str, tuple[int, str]]:
    """Every object below a place, with its size and ETag: equal only if nothing was touched."""
    return {item.uri: (item.size, item.etag) for item in storage.listing(str(place))}


def scratch(place: str | Path) -> list[str]:
    """What runs left in their folders of scratch below a place."""
    found = [uri.removeprefix(str(place)).split("/") for uri in objects(place)]
    return ["/".join(parts) for parts in found if "work" in parts]


def flip(uri: str, position: int) -> None:
    """Turn one bit of an object."""
    data = bytearray(storage.read(uri))
    data[position] ^= 0x10
    put(uri, bytes(data))


def sql(query: str, **tables: pa.Table) -> list[tuple[Any, ...]]:
    """What DuckDB answers about Arrow tables."""
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return list(connection.execute(query).fetchall())


# ---------------------------------------------------------------------------------------------
# The command line


@dataclasses.dataclass(frozen=True)
class Said:
    """What one call of ``dsm`` did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        assert self.out.count("\n") == 1
        return found

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]  # type: ignore[no-any-return]


def dsm(*args: Any, workers: int = 0) -> Said:
    """Call ``dsm`` in this process."""
    from dsm_dask.cli import main

    argv = [str(arg) for arg in args]
    told = {"--workers", "--scheduler", "--scheduler-file"} & set(argv)
    if argv and not argv[0].startswith("-") and not told:
        argv += ["--workers", str(workers)]
    out, err = io.StringIO(), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(argv)
    except SystemExit as done:
        return Said(int(done.code or 0), out.getvalue(), err.getvalue())
    finally:
        signal.signal(signal.SIGTERM, before)
    raise AssertionError("dsm did not exit")


def dsm_apart(*args: Any, env: dict[str, str] | None = None, timeout: float = 60) -> Said:
    """Call ``dsm`` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", "from dsm_dask.cli import main; main()", *map(str, args)],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


# ---------------------------------------------------------------------------------------------
# Work for an engine


@dataclasses.dataclass(frozen=True)
class Piece:
    """A partition of numbers, without storage."""

    number: int
    rows: int = 10
    size: int = 1
    trouble: str = ""
    marker: str = ""

    @property
    def fingerprint(self) -> str:
        return f"piece-{self.number}-{self.rows}"

    def values_fingerprint(self, columns: Any) -> str:
        return ",".join(columns)

    @property
    def label(self) -> str:
        return f"memory/file-{self.number}.parquet (row groups {self.number} to {self.number})"

    def read(self, columns: Any) -> Iterator[pa.RecordBatch]:
        trouble(self.trouble, self.marker)
        first = self.number * 1000
        yield pa.record_batch({"x": pa.array(range(first, first + self.rows), pa.int64())})


@dataclasses.dataclass(frozen=True)
class Pieces:
    """A table of :class:`Piece`."""

    parts: tuple[Piece, ...]
    uri: str = "memory"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema({"x": pa.int64()})

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    def partitions(self) -> tuple[Piece, ...]:
        return self.parts

    def column_sizes(self) -> dict[str, int]:
        return {"x": self.rows * 8}


def trouble(kind: str, marker: str = "") -> None:
    """Fail in some way; with a ``marker`` file, the first time only."""
    if not kind or (marker and Path(marker).exists()):
        return
    if marker:
        Path(marker).touch()
    if kind == "raise":
        raise ValueError("the milk is sour")
    if kind == "corrupt":
        raise CorruptFile("memory/file cannot be decoded.")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hoard":
        hoard = [b"x" * (64 << 20) for _ in range(32)]
        time.sleep(60)
        del hoard
    if kind == "sleep":
        time.sleep(60)


@dataclasses.dataclass(frozen=True)
class Trail:
    """A Fold of which the result shows in what order states were merged, and how."""

    column: str = "x"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> list[int]:
        return []

    def update(self, state: list[int], batch: pa.RecordBatch) -> list[int]:
        return [*state, int(batch.column(0)[0].as_py()) // 1000]

    def merge(self, left: list[int], right: list[int]) -> list[int]:
        return [*left, *right]

    def finish(self, state: list[int]) -> list[int]:
        return state


@dataclasses.dataclass(frozen=True)
class Deadly:
    """The sum of a column of integers; while there is a ``marker`` file, whoever reads ``at`` in it
    is killed."""

    column: str
    at: int
    marker: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> int:
        return 0

    def update(self, state: int, batch: pa.RecordBatch) -> int:
        values = batch.column(0).to_pylist()
        if self.at in values and Path(self.marker).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return state + sum(values)

    def merge(self, left: int, right: int) -> int:
        return left + right

    def finish(self, state: int) -> int:
        return state


@dataclasses.dataclass(frozen=True)
class Heap:
    """Its state grows by so many bytes with every batch, and is no use to anybody."""

    columns: tuple[str, ...] = ("x",)
    size: int = 10_000_000

    def init(self) -> bytes:
        return b""

    def update(self, state: bytes, batch: pa.RecordBatch) -> bytes:
        return state + os.urandom(self.size)

    def merge(self, left: bytes, right: bytes) -> bytes:
        return left + right

    def finish(self, state: bytes) -> int:
        return len(state)


@dataclasses.dataclass(frozen=True)
class Bits:
    """All Folds of a profile of one column, finished as the bytes of their states."""

    column: str
    kind: str

    @property
    def _all(self) -> Product:
        from dsm_dask.stats.profile import folds_for

        return Product(tuple(folds_for(pa.field(self.column, pa.type_for_alias(self.kind)))))

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> Any:
        return self._all.init()

    def update(self, state: Any, batch: pa.RecordBatch) -> Any:
        return self._all.update(state, batch)

    def merge(self, left: Any, right: Any) -> Any:
        return self._all.merge(left, right)

    def finish(self, state: Any) -> bytes:
        return codec.encode(state)


def label_of(item: Any) -> str:
    return str(item.label)


def rows_of(item: Any) -> int:
    """Reads the partition."""
    return sum(batch.num_rows for batch in item.read(["x"]))


def square(number: int) -> int:
    return number * number


def pid(_: Any) -> int:
    return os.getpid()


@dataclasses.dataclass(frozen=True)
class Stumble:
    """Rows of a partition, but trouble for one of them."""

    at: str
    kind: str
    marker: str = ""

    def __call__(self, partition: Any) -> int:
        if self.at in partition.label:
            trouble(self.kind, self.marker)
        return int(partition.rows)


# ---------------------------------------------------------------------------------------------
# Row maps


@dataclasses.dataclass(frozen=True)
class Doubled:
    """``name`` = 2 * ``column``."""

    name: str = "doubled"
    column: str = "a"

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def schema(self) -> pa.Schema:
        return pa.schema({self.name: pa.int64()})

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow.compute as pc

        values = pc.multiply(batch.column(self.column).cast(pa.int64()), 2)
        return pa.record_batch([values], schema=self.schema)


@dataclasses.dataclass(frozen=True)
class Short:
    """Forgets a row."""

    columns: tuple[str, ...] = ("a",)

    @property
    def schema(self) -> pa.Schema:
        return pa.schema({"short": pa.int64()})

    def apply(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch([pa.nulls(batch.num_rows - 1, pa.int64())], schema=self.schema)


# ---------------------------------------------------------------------------------------------
# Datasets


def inline() -> Engine:
    """An engine in this process, with counters at zero."""
    return Engine(workers=0)


def rows(dataset: Any) -> dict[int, dict[str, Any]]:
    """Rows by row id, and in row id order."""
    table = dataset.to_table([ROW_ID, *dataset.schema.names])
    found = {row.pop(ROW_ID): row for row in table.to_pylist()}
    assert len(found) == table.num_rows
    return found
