"""The layout of band files: what :mod:`dsm_dask.duplicates.band_index` keeps of a partition.

Little-endian: :data:`HEAD` u64 (magic, XXH3-64 of the rest of the head with marks and sums, digest
of the rows, rows, keys, copies, empty, nulls, short, unspaced, XXH3-64 of the copies and of the
rows, step of the marks, earlier blocks, number of marks); :data:`MARKS` u64 (every ``step``-th key)
and as many XXH3-64 of the keys from a mark to the next one with their row ids; the keys, u64
ascending; the row id of each, u64; the copies, pairs of row ids (first, copy), by copy; all row
ids, ascending; what is special about each row, u8 (the bits of :data:`KINDS`).

Whatever is read is checked against its sum first: :class:`~dsm_dask.duplicates.damage.DamagedFile`
is raised when it is not what was written. A partition of many rows has several files; the last one
says how many came before it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import storage
from dsm_dask.duplicates.damage import DamagedFile, check, reading
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.errors import NotFound

U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]

MAGIC = int.from_bytes(b"dsmband3", "little")
HEAD, MARKS = 15, 512
_START = (HEAD + 2 * MARKS) * 8
SUFFIX = ".bands"
STEP = 1024

KINDS = {"empty": 1, "nulls": 2, "short": 4, "unspaced": 8}
"""Bits of what a row may be."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """Rows of a partition that are worth a remark."""

    empty: int = 0
    nulls: int = 0
    short: int = 0
    """Texts shorter than a shingle."""
    unspaced: int = 0

    def __add__(self, other: Counts) -> Counts:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Counts(*(a + b for a, b in pairs))

    @staticmethod
    def of(kinds: U8) -> Counts:
        """How many rows have each bit of :data:`KINDS`."""
        return Counts(**{name: int((kinds & bit > 0).sum()) for name, bit in KINDS.items()})


@dataclasses.dataclass(frozen=True)
class Gone:
    """Rows of a band file that were dropped since, in an object of this run: how many; and firsts
    of copies that are gone, each with the smallest copy that is left, which takes its place."""

    uri: str
    rows: int
    renamed: int

    def read(self) -> tuple[U64, U64]:
        """Row ids that are gone, ascending, and pairs (first, its successor), by first."""
        found = np.frombuffer(storage.read(self.uri), "<u8")
        return found[: self.rows], found[self.rows :].reshape(-1, 2)


@dataclasses.dataclass(frozen=True)
class BandFile:
    """Where the band keys of a partition are, and how many."""

    uri: str
    rows: int
    """Rows of the partition now."""
    stored: int
    """Rows of the partition when the file was written."""
    keys: int
    copies: int
    counts: Counts
    """Of the rows of the partition now."""
    step: int
    marks: tuple[int, ...]
    sums: bytes
    """XXH3-64 of the keys and row ids from each mark to the next; of the copies; of the rows."""
    made: bool = False
    """Whether this run wrote it."""
    gone: Gone | None = None

    @staticmethod
    def of(row: Sequence[Any]) -> BandFile:
        """The description that :func:`dataclasses.astuple` made ``row`` of."""
        gone = None if row[-1] is None else Gone(*row[-1])
        return BandFile(*row[:5], Counts(*row[5]), *row[6:-1], gone)  # type: ignore[call-arg]

    @property
    def size(self) -> int:
        return _START + 16 * (self.keys + self.copies) + 9 * self.stored

    def between(self, low: int, high: int) -> tuple[U64, U64]:
        """Keys from ``low`` to ``high``, both included, ascending, and the row id of each."""
        marks = np.array(self.marks, np.uint64)
        first = max(0, int(np.searchsorted(marks, np.uint64(low))) - 1)
        last = int(np.searchsorted(marks, np.uint64(high), "right"))
        if first >= last:
            return np.empty(0, np.uint64), np.empty(0, np.uint64)
        keys, rows = self._from_mark_to_mark(first, last)
        begin = np.searchsorted(keys, np.uint64(low))
        end = np.searchsorted(keys, np.uint64(high), "right")
        keys, rows = keys[begin:end], rows[begin:end]
        if self.gone is None:
            return keys, rows
        gone, renamed = self.gone.read()
        rows = _renamed(rows, renamed)
        left = ~np.isin(rows, gone)
        return keys[left], rows[left]

    def read_copies(self) -> U64:
        """Pairs of row ids, of shape (copies, 2): the first row of some shingles, and a copy."""
        pairs = self._all_copies()
        if self.gone is None:
            return pairs
        gone, renamed = self.gone.read()
        pairs = np.stack([_renamed(pairs[:, 0], renamed), pairs[:, 1]], axis=1)
        left: U64 = pairs[~np.isin(pairs[:, 1], gone) & (pairs[:, 0] != pairs[:, 1])]
        return left

    def without(self, live: U64, uri: str) -> BandFile:
        """The same for those of its rows that are in ``live``; what is gone goes to ``uri``."""
        rows, kinds = self._all_rows()
        known = np.isin(rows, live, assume_unique=True)
        gone = rows[~known]
        pairs = self._all_copies()
        orphans = pairs[np.isin(pairs[:, 0], gone) & ~np.isin(pairs[:, 1], gone)]
        orphans = orphans[np.lexsort((orphans[:, 1], orphans[:, 0]))]
        renamed = orphans[first_of_runs(orphans[:, 0])]
        storage.write(uri, gone.tobytes() + renamed.astype("<u8").tobytes(), durable=False)
        return dataclasses.replace(
            self,
            rows=int(known.sum()),
            counts=Counts.of(kinds[known]),
            gone=Gone(uri, len(gone), len(renamed)),
        )

    def check(self) -> None:
        """Read all of it; raises DamagedFile when it is not what was written."""
        if self.marks:
            self._from_mark_to_mark(0, len(self.marks))
        self._all_copies()
        self._all_rows()

    def _from_mark_to_mark(self, first: int, last: int) -> tuple[U64, U64]:
        begin, end = first * self.step, min(self.keys, last * self.step)
        rows_at = _START + self.keys * 8
        with reading(self.uri):
            keys, rows = storage.read_ranges(
                self.uri,
                [(_START + begin * 8, _START + end * 8), (rows_at + begin * 8, rows_at + end * 8)],
            )
        wanted = np.frombuffer(self.sums, "<u8")[first:last].tolist()
        check(_sums(keys, rows, self.step) == wanted, self.uri)
        return np.frombuffer(keys, "<u8"), np.frombuffer(rows, "<u8")

    def _all_copies(self) -> U64:
        data = self._section(_START + self.keys * 16, 16 * self.copies, -2)
        return np.frombuffer(data, "<u8").reshape(-1, 2)

    def _all_rows(self) -> tuple[U64, U8]:
        data = self._section(_START + 16 * (self.keys + self.copies), 9 * self.stored, -1)
        return np.frombuffer(data, "<u8", self.stored), np.frombuffer(
            data, np.uint8, self.stored, 8 * self.stored
        )

    def _section(self, start: int, size: int, sum_at: int) -> memoryview:
        with reading(self.uri):
            (data,) = storage.read_ranges(self.uri, [(start, start + size)])
        wanted = int(np.frombuffer(self.sums, "<u8")[sum_at])
        check(xxhash.xxh3_64_intdigest(data) == wanted, self.uri)
        return data


def _sums(keys: Any, rows: Any, step: int) -> list[int]:
    """A sum for every ``step`` keys (8 bytes each) with their row ids."""
    found = []
    for start in range(0, len(keys), 8 * step):
        part = xxhash.xxh3_64(keys[start : start + 8 * step])
        part.update(rows[start : start + 8 * step])
        found.append(part.intdigest())
    return found


def _renamed(rows: U64, pairs: U64) -> U64:
    if not len(pairs):
        return rows
    place = np.minimum(np.searchsorted(pairs[:, 0], rows), len(pairs) - 1)
    found: U64 = np.where(pairs[place, 0] == rows, pairs[place, 1], rows)
    return found


def encode(
    digest: int, earlier: int, keys: U64, owners: U64, copies: U64, rows: U64, kinds: U8
) -> tuple[bytes, BandFile]:
    """The bytes of a file, and its description without a place. ``keys`` are ascending, and
    ``rows`` with the kind of each."""
    step = max(STEP, -(-len(keys) // MARKS))
    marks = keys[::step]
    parts = [part.astype("<u8", copy=False).tobytes() for part in (keys, owners, copies, rows)]
    last = parts.pop() + kinds.tobytes()
    ends = [xxhash.xxh3_64_intdigest(parts[2]), xxhash.xxh3_64_intdigest(last)]
    sums = _sums(parts[0], parts[1], step)
    counts = Counts.of(kinds)
    told = [digest, len(rows), len(keys), len(copies), *dataclasses.astuple(counts), *ends]
    head = np.zeros(HEAD + 2 * MARKS, "<u8")
    head[2:HEAD] = np.array([*told, step, earlier, len(marks)], "<u8")
    head[HEAD : HEAD + len(marks)] = marks
    head[HEAD + MARKS : HEAD + MARKS + len(marks)] = np.array(sums, "<u8")
    head[:2] = np.array([MAGIC, xxhash.xxh3_64_intdigest(head[2:].tobytes())], "<u8")
    size, every = len(rows), np.array([*sums, *ends], "<u8").tobytes()
    file = BandFile(
        "", size, size, len(keys), len(copies), counts, step, tuple(marks.tolist()), every, True
    )
    return b"".join([head.tobytes(), *parts, last]), file


def earlier_name(name: str, number: int) -> str:
    """What an earlier block of the file ``name`` is called."""
    return f"{name.removesuffix(SUFFIX)}+{number}{SUFFIX}"


def read_blocks(uri: str) -> tuple[list[BandFile], int] | None:
    """The band files of a partition, of which the last is at ``uri``, and the digest of the rows
    that they were made of; None when there are none, or one is cut off or damaged at its head."""
    last = _read_head(uri)
    if last is None:
        return None
    file, digest, earlier = last
    found = []
    for number in range(earlier):
        known = _read_head(earlier_name(uri, number))
        if known is None or known[1] != digest:
            return None
        found.append(known[0])
    return [*found, file], digest


def _read_head(uri: str) -> tuple[BandFile, int, int] | None:
    with contextlib.suppress(NotFound, DamagedFile):
        if not storage.exists(uri):
            return None
        size = storage.info(uri).size
        if size < _START:
            return None
        with reading(uri):
            (raw,) = storage.read_ranges(uri, [(0, _START)])
        return _described(uri, raw, size)
    return None


def _described(uri: str, raw: memoryview, size: int) -> tuple[BandFile, int, int] | None:
    head = np.frombuffer(raw, "<u8")
    magic, whole, digest, rows, keys, copies, *more, step, earlier, marks = head[:HEAD].tolist()
    if magic != MAGIC or whole != xxhash.xxh3_64_intdigest(raw[16:]):
        return None
    told = tuple(head[HEAD : HEAD + marks].tolist())
    sums = head[HEAD + MARKS : HEAD + MARKS + marks].tobytes() + np.array(more[4:], "<u8").tobytes()
    found = BandFile(uri, rows, rows, keys, copies, Counts(*more[:4]), step, told, sums)
    return (found, digest, earlier) if size == found.size else None


def is_whole(uri: str) -> bool:
    """Whether a band file is what was written: reads all of it."""
    found = _read_head(uri)
    try:
        if found is not None:
            found[0].check()
    except DamagedFile:
        return False
    return found is not None
