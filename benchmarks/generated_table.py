"""The table that benchmarks run on: mixed columns of made-up orders, the same for the same seed.

Numbers, times, words of low and of high cardinality, and a long text, about a tenth of which repeat
an earlier row's, in the same file or in another one. Written as zstd Parquet, file by file, on as
many threads as there are cores.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Ints = npt.NDArray[np.int64]

NUMBERS = ("id", "customer", "quantity", "price", "score")
TIMES = ("ordered_at", "shipped_at")
WORDS = ("country", "status", "sku", "title")
WITH_TEXT = (*NUMBERS, *TIMES, *WORDS, "review")
"""Twelve columns; the last one, a long text, takes most of the bytes."""
WITHOUT_TEXT = (*NUMBERS, "in_stock", "discount", *TIMES, *WORDS)
"""Thirteen columns of about 50 stored bytes a row."""

GROUP_ROWS = 100_000
"""Rows in a row group."""
REPEATED = 0.1
"""Share of rows of which the text is that of an earlier row."""
_SAMPLE_ROWS = 20_000
_POOL_WORDS = 1_500_000
_STAMP = 8  # characters at the start of a text that say which one it is


@dataclasses.dataclass(frozen=True)
class Shape:
    """What to generate. ``rows`` is a multiple of ``files``."""

    columns: tuple[str, ...]
    rows: int
    files: int = 16
    seed: int = 7

    @property
    def rows_per_file(self) -> int:
        return self.rows // self.files


@dataclasses.dataclass(frozen=True)
class Generated:
    """What was generated, read back from the files themselves."""

    paths: tuple[Path, ...]
    rows: int
    row_groups: int
    size: int
    """Bytes of all files."""
    chunk_sizes: dict[str, int]
    """Bytes of each column's chunks, as the Parquet metadata tell."""
    repeated_texts: int | None
    """Rows of which the text occurred before; None without that column."""

    def to_dict(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        return {**found, "paths": len(self.paths)}


def shape_of_size(size: int, columns: tuple[str, ...], files: int = 16, seed: int = 7) -> Shape:
    """A shape that comes to about ``size`` bytes on disk."""
    sample = Shape(columns, _SAMPLE_ROWS, 1, seed)
    sink = pa.BufferOutputStream()
    pq.write_table(_rows(sample, _Pool(seed), 0, _SAMPLE_ROWS), sink, compression="zstd")
    rows = int(size / (sink.tell() / _SAMPLE_ROWS))
    return Shape(columns, max(1, rows // files) * files, files, seed)


def generate(shape: Shape, folder: Path) -> Generated:
    """Write the files of a shape into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pool = _Pool(shape.seed)
    paths = tuple(folder / f"part-{index:03d}.parquet" for index in range(shape.files))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(lambda i: _write(shape, pool, i, paths[i]), range(shape.files)))
    sizes = chunk_sizes(paths)
    repeated = _repeated_texts(shape) if "review" in shape.columns else None
    size = sum(path.stat().st_size for path in paths)
    groups = sum(pq.read_metadata(path).num_row_groups for path in paths)
    return Generated(paths, shape.rows, groups, size, sizes, repeated)


def chunk_sizes(paths: Sequence[Path]) -> dict[str, int]:
    """Stored bytes of the column chunks of each column."""
    found: dict[str, int] = {}
    for path in paths:
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            for leaf in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(leaf)
                name = chunk.path_in_schema
                found[name] = found.get(name, 0) + chunk.total_compressed_size
    return found


def _write(shape: Shape, pool: _Pool, index: int, path: Path) -> None:
    first = index * shape.rows_per_file
    stop = first + shape.rows_per_file
    schema = _rows(shape, pool, first, first + 1).schema
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(first, stop, GROUP_ROWS):
            writer.write_table(_rows(shape, pool, start, min(start + GROUP_ROWS, stop)))


# ---------------------------------------------------------------------------------------------
# Columns


class _Pool:
    """Words, and a long run of them of which texts are cut."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        letters = rng.integers(ord("a"), ord("z") + 1, (4_000, 12), dtype=np.uint8)
        lengths = rng.integers(2, 12, 4_000)
        self.words = [bytes(row[:n]).decode() for row, n in zip(letters, lengths, strict=True)]
        picks = np.minimum(rng.zipf(1.2, _POOL_WORDS) - 1, len(self.words) - 1)
        text = " ".join([self.words[i] for i in picks.tolist()])
        self.text = np.frombuffer(text.encode(), np.uint8)
        self.titles = [" ".join(self.words[i] for i in row) for row in picks[:8_000].reshape(-1, 4)]


def _rows(shape: Shape, pool: _Pool, start: int, stop: int) -> pa.Table:
    ids = np.arange(start, stop)
    made = {}
    for name in shape.columns:
        rng = np.random.default_rng([shape.seed, start, *name.encode()])
        made[name] = _COLUMNS[name](shape, pool, rng, ids)
    return pa.table(made)


Column = Callable[[Shape, _Pool, np.random.Generator, Ints], pa.Array]


def _with_nulls(rng: np.random.Generator, values: Any, share: float, kind: Any = None) -> pa.Array:
    return pa.array(values, kind, mask=rng.random(len(values)) < share)


def _pick(rng: np.random.Generator, ids: Ints, choices: Sequence[str]) -> pa.Array:
    indices = rng.integers(0, len(choices), len(ids))
    return pa.DictionaryArray.from_arrays(indices, pa.array(choices)).cast(pa.string())


def _titles(_: Shape, pool: _Pool, rng: np.random.Generator, ids: Ints) -> pa.Array:
    left, right = (rng.integers(0, len(pool.titles), len(ids)) for _ in range(2))
    titles = pa.array(pool.titles)
    return pc.binary_join_element_wise(titles.take(left), titles.take(right), " ")


def _skus(_: Shape, __: _Pool, rng: np.random.Generator, ids: Ints) -> pa.Array:
    numbers = rng.integers(0, 2_000_000, len(ids))
    return _strings(_digits(numbers, 8).reshape(-1), np.full(len(ids), 8))


def _texts(shape: Shape, pool: _Pool, _: np.random.Generator, ids: Ints) -> pa.Array:
    """Texts of 100 to 500 characters, each cut from the pool and stamped with its number."""
    numbers = text_numbers(shape, ids)
    mixed = (numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)
    lengths = 100 + (mixed % np.uint64(401)).astype(np.int64)
    places = (mixed % np.uint64(len(pool.text) - 501)).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    source = np.repeat(places - starts, lengths) + np.arange(int(lengths.sum()))
    data = pool.text[source]
    data[starts[:, None] + np.arange(_STAMP)] = _digits(numbers, _STAMP)
    return _strings(data, lengths)


def text_numbers(shape: Shape, ids: Ints) -> Ints:
    """Which text each row has: its own, or, for a tenth of the rows, that of an earlier row."""
    draws = [np.random.default_rng([shape.seed, 1, block]) for block in _blocks(ids)]
    found = []
    for block, rng in zip(_blocks(ids), draws, strict=True):
        own = np.arange(block * GROUP_ROWS, (block + 1) * GROUP_ROWS)
        earlier = (rng.random(GROUP_ROWS) * own).astype(np.int64)
        found.append(np.where(rng.random(GROUP_ROWS) < REPEATED, earlier, own))
    return np.concatenate(found)[ids - int(ids[0]) // GROUP_ROWS * GROUP_ROWS]


def _blocks(ids: Ints) -> range:
    return range(int(ids[0]) // GROUP_ROWS, int(ids[-1]) // GROUP_ROWS + 1)


def _repeated_texts(shape: Shape) -> int:
    return shape.rows - len(np.unique(text_numbers(shape, np.arange(shape.rows))))


def _digits(numbers: Ints, width: int) -> npt.NDArray[np.uint8]:
    powers = 10 ** np.arange(width - 1, -1, -1)
    return (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)


def _strings(data: npt.NDArray[np.uint8], lengths: Ints) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    buffers = [pa.py_buffer(offsets.tobytes()), pa.py_buffer(data.tobytes())]
    return pa.StringArray.from_buffers(len(lengths), *buffers)


_SECOND = 1_000_000
_COUNTRIES = [a + b for a in "ABCDEFGH" for b in "KLMNP"]
_STATES = ["new", "paid", "packed", "sent", "returned"]

_COLUMNS: dict[str, Column] = {
    "id": lambda s, p, r, ids: pa.array(ids),
    "customer": lambda s, p, r, ids: pa.array((r.random(len(ids)) ** 3 * 500_000).astype(np.int32)),
    "quantity": lambda s, p, r, ids: pa.array(r.integers(0, 100, len(ids), dtype=np.int16)),
    "price": lambda s, p, r, ids: _with_nulls(r, r.gamma(2, 30, len(ids)).round(2), 0.05),
    "score": lambda s, p, r, ids: _with_nulls(r, r.normal(size=len(ids)).astype(np.float32), 0.2),
    "in_stock": lambda s, p, r, ids: pa.array(r.random(len(ids)) < 0.7),
    "discount": lambda s, p, r, ids: _with_nulls(r, r.integers(0, 50, len(ids)) / 100, 0.5),
    "ordered_at": lambda s, p, r, ids: pa.array(
        1_700_000_000 * _SECOND + ids * 3 * _SECOND + r.integers(0, 3 * _SECOND, len(ids)),
        pa.timestamp("us"),
    ),
    "shipped_at": lambda s, p, r, ids: _with_nulls(
        r, 1_700_000_000 + ids * 3 + r.integers(0, 500_000, len(ids)), 0.1, pa.timestamp("s")
    ),
    "country": lambda s, p, r, ids: _pick(r, ids, _COUNTRIES),
    "status": lambda s, p, r, ids: _pick(r, ids, _STATES),
    "sku": _skus,
    "title": _titles,
    "review": _texts,
}
