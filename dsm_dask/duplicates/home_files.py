"""Home files: the vectors of a partition by the cell they are at home in, kept beside a dataset.

What :mod:`dsm_dask.duplicates.cell_files` passes between the tasks of a run holds vectors several
times, as guests, too. Here each is held once, so that later runs need not read, normalise and deal
the column again. A reader takes a few cells by byte range, and checks whatever it reads:
:class:`~dsm_dask.duplicates.damage.DamagedFile` is raised when it is not what was written.

Layout, little-endian: :data:`HEAD` u64 (magic, XXH3-64 of the rest of the head, rows, dimension,
cells, copies, rows left out, XXH3-64 of these two lists); where each cell begins, cells + 1 pairs
of u64 (row, hash of it and its place); a :data:`RECORD` a row; its vector (float32 each); copies,
pairs of row ids (first, copy); the rows left out, pairs (row id, reason).

A row's check is multilinear hashing (Lemire and Kaser, "Strongly universal string hashing is fast",
The Computer Journal 57, 2014) of the words of its record and vector: no flipped bit escapes it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import storage
from dsm_dask.duplicates import cell_files
from dsm_dask.duplicates.damage import DamagedFile, check, reading
from dsm_dask.duplicates.edges import nodes_of
from dsm_dask.duplicates.gone import Gone, renamed
from dsm_dask.duplicates.unit_vectors import Vectors
from dsm_dask.errors import NotFound

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

MAGIC = int.from_bytes(b"dsmhome1", "little")
HEAD = 8
SUFFIX = ".homes"
RECORD = np.dtype([("row", "<u8"), ("high", "<u8"), ("low", "<u8"), ("check", "<u8")])
GONE = np.uint64(2**64 - 1)
"""The node of a row that was dropped since."""
_SEED = np.uint64(0x9E3779B97F4A7C15)


@dataclasses.dataclass(frozen=True)
class HomeFile:
    """Where the vectors of some rows of a partition are, and how many."""

    uri: str
    rows: int
    """Vectors: equal ones are held once."""
    dimension: int
    cells: int
    copies: int
    left: int
    """Rows without a direction."""
    sum: int
    table: int = 0
    gone: Gone | None = None

    @staticmethod
    def of(row: Sequence[Any]) -> HomeFile:
        """The description that :func:`dataclasses.astuple` made ``row`` of."""
        *told, gone = row
        return dataclasses.replace(HomeFile(*told), gone=None if gone is None else Gone(*gone))

    @property
    def size(self) -> int:
        return self._lists_at + 16 * (self.copies + self.left)

    @property
    def _records_at(self) -> int:
        return 8 * HEAD + 16 * (self.cells + 1)

    @property
    def _vectors_at(self) -> int:
        return self._records_at + self.rows * RECORD.itemsize

    @property
    def _lists_at(self) -> int:
        return self._vectors_at + 4 * self.rows * self.dimension

    def index(self, first: int, stop: int) -> Ints:
        """Where cells ``first`` to ``stop`` begin: ``stop - first + 1`` numbers."""
        raw = self._range(8 * HEAD + 16 * first, 16 * (stop - first + 1))
        found = np.frombuffer(raw, "<u8").reshape(-1, 2)
        check(bool((found[:, 1] == _told(found[:, 0], first)).all()), self.uri)
        return found[:, 0].astype(np.int64)

    def read(self, start: int, stop: int) -> tuple[npt.NDArray[Any], Vectors]:
        """Records of :data:`dsm_dask.duplicates.cell_files.RECORD` and vectors, of rows in the
        file's order; the node of a row that was dropped is :data:`GONE`."""
        spans = ((self._records_at, RECORD.itemsize), (self._vectors_at, 4 * self.dimension))
        ranges = [(at + start * size, at + stop * size) for at, size in spans]
        with reading(self.uri):
            told, raw = storage.read_ranges(self.uri, ranges)
        kept = np.frombuffer(told, RECORD)
        vectors = np.frombuffer(raw, "<f4").reshape(-1, self.dimension)
        check(bool((kept["check"] == _checks(kept, vectors)).all()), self.uri)
        records = np.zeros(len(kept), cell_files.RECORD)
        records["node"] = self._nodes(kept["row"])
        records["high"], records["low"], records["home"] = kept["high"], kept["low"], True
        return records, vectors

    def _nodes(self, rows: U64) -> U64:
        if self.gone is None:
            return nodes_of(rows, self.table)
        gone, successors = self.gone.read()
        rows = renamed(rows, successors)
        nodes = nodes_of(rows, self.table)
        nodes[np.isin(rows, gone)] = GONE
        return nodes

    def lists(self) -> tuple[U64, U64]:
        """Pairs of row ids (first, copy), and of the rows left out (row id, reason)."""
        raw = self._range(self._lists_at, 16 * (self.copies + self.left))
        check(xxhash.xxh3_64_intdigest(raw) == self.sum, self.uri)
        found = np.frombuffer(raw, "<u8").reshape(-1, 2)
        return found[: self.copies], found[self.copies :]

    def without(self, live: U64, uri: str) -> tuple[HomeFile, U64, int]:
        """The same for those of its rows that are in ``live``, the pairs of what is left out of
        those, and how many there are of both; what is gone goes to ``uri``."""
        rows = np.frombuffer(
            self._range(self._records_at, self.rows * RECORD.itemsize), RECORD
        )["row"]  # fmt: skip
        copies, left = self.lists()
        every = np.concatenate([rows, copies[:, 1]])
        gone = np.sort(every[~np.isin(every, live)])
        told = dataclasses.replace(self, gone=Gone.write(uri, gone, copies))
        left = left[np.isin(left[:, 0], live)]
        return told, left, len(every) - len(gone) + len(left)

    def check(self) -> None:
        """Read all of it; raises DamagedFile when it is not what was written."""
        index = self.index(0, self.cells)
        check(bool(index[0] == 0 and index[-1] == self.rows), self.uri)
        self.read(0, self.rows)
        self.lists()

    def _range(self, start: int, size: int) -> memoryview:
        with reading(self.uri):
            (data,) = storage.read_ranges(self.uri, [(start, start + size)])
        return data


def encode(
    rows: U64, hashes: U64, vectors: Vectors, homes: npt.NDArray[np.int32], cells: int,
    copies: U64, left: U64,
) -> tuple[bytes, HomeFile]:  # fmt: skip
    """The bytes of a file, and its description without a place: vectors with their rows, hashes
    (uint64 of shape (rows, 2)) and homes among ``cells``; ``copies`` and ``left`` are pairs."""
    order = np.argsort(homes, kind="stable")
    starts = np.searchsorted(homes[order], np.arange(cells + 1)).astype("<u8")
    index = np.stack([starts, _told(starts, 0)], axis=1)
    records, vectors = np.empty(len(rows), RECORD), np.ascontiguousarray(vectors[order], "<f4")
    records["row"], (records["high"], records["low"]) = rows[order], hashes[order].T
    records["check"] = _checks(records, vectors)
    lists = copies.astype("<u8").tobytes() + left.astype("<u8").tobytes()
    told = [len(rows), vectors.shape[1], cells, len(copies), len(left)]
    told.append(xxhash.xxh3_64_intdigest(lists))
    head = np.array([MAGIC, 0, *told], "<u8")
    head[1] = xxhash.xxh3_64_intdigest(head[2:].tobytes())
    parts = (head, index, records, vectors)
    return b"".join([*(part.tobytes() for part in parts), lists]), HomeFile("", *told)


def is_whole(uri: str) -> bool:
    """Whether a home file is what was written: reads all of it."""
    try:
        with reading(uri):
            (raw,) = storage.read_ranges(uri, [(0, 8 * HEAD)])
        head = np.frombuffer(raw, "<u8")
        check(head[0] == MAGIC and head[1] == xxhash.xxh3_64_intdigest(raw[16:]), uri)
        found = HomeFile(uri, *head[2:].tolist())
        check(storage.info(uri).size == found.size, uri)
        found.check()
    except (DamagedFile, NotFound):
        return False
    return True


def _told(starts: npt.NDArray[Any], first: int) -> U64:
    """A hash of where each cell begins, and of its number from ``first``."""
    from dsm_dask.stats.kernels import mix

    words = (
        starts.astype(np.uint64) + np.arange(first, first + len(starts), dtype=np.uint64) * _SEED
    )
    found: U64 = mix(words, _SEED)
    return found


def _checks(records: npt.NDArray[Any], vectors: Vectors) -> U64:
    from dsm_dask.duplicates.kernels import sums_of_rows

    factors = _factors(vectors.shape[1])
    found: U64 = sums_of_rows(np.ascontiguousarray(vectors).view("<u4"), factors[3:])
    for name, factor in zip(("row", "high", "low"), factors[:3], strict=True):
        found += records[name] * factor
    return found


@functools.lru_cache(maxsize=2)
def _factors(dimension: int) -> U64:
    """Odd numbers, for the three words of a record and the components of a vector."""
    from dsm_dask.stats.kernels import mix

    found: U64 = mix(np.arange(1, dimension + 4, dtype=np.uint64), _SEED) | np.uint64(1)
    return found
