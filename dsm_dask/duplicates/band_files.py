"""The layout of band files: what :mod:`dsm_dask.duplicates.band_index` keeps of a partition.

Little-endian, sizes of the head in :mod:`dsm_dask.duplicates.band_sections`: ``HEAD`` u64 (magic,
XXH3-64 of the rest of the head with marks and sums, digest of the rows, rows, keys, digests,
copies, empty, nulls, short, unspaced, XXH3-64 of the copies and of the rows, step of the keys and
of the digests, earlier blocks, smallest row id, whether row ids are listed); for both sections
as many u64 as ``MARKS`` says (every ``step``-th first number) and as many XXH3-64 of the records
from a mark to the next one; the keys (47 bits of a band key and 17 of its row, see
:mod:`dsm_dask.duplicates.row_places`), ascending; the digests (two u64 that rows of the same
shingles share, row id), ascending; the copies, pairs of row ids (first, copy), by copy; all row
ids, ascending (u64 when they are listed, else u32: how far each is from the smallest); what is
special about each row, u8 (the bits of :data:`KINDS`).

47 bits of a key are enough: of a billion rows with 21 keys each, three in a thousand share one by
chance with another row, of ten million three in a hundred thousand. Half the bytes are half of what
a run writes and reads.

Whatever is read is checked against its sum first: :class:`~dsm_dask.duplicates.damage.DamagedFile`
is raised when it is not what was written. A partition of many rows has several files; the last one
says how many came before it.

What travels of a file is a description of some hundred bytes; whoever reads it takes marks and sums
from the head, which a worker reads once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import storage
from dsm_dask.duplicates.band_sections import DIGEST, HEAD, KEY, START, Section
from dsm_dask.duplicates.damage import DamagedFile, check, reading
from dsm_dask.duplicates.gone import Gone, renamed
from dsm_dask.duplicates.row_places import RowPlaces, keys_of
from dsm_dask.errors import NotFound

U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]

MAGIC = int.from_bytes(b"dsmband5", "little")
HEADS = 2048
"""Heads that a worker remembers, of 9 KB each."""

SUFFIX = ".bands"

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
class BandFile:
    """Where the band keys of a partition are, and how many."""

    uri: str
    rows: int
    """Rows of the partition now."""
    stored: int
    """Rows of the partition when the file was written."""
    head: int
    """XXH3-64 of the head."""
    keys: Section
    digests: Section
    copies: int
    counts: Counts
    """Of the rows of the partition now."""
    sums: bytes
    """XXH3-64 of the copies and of the rows."""
    first: int = 0
    """The smallest row id."""
    listed: bool = False
    """Whether places are numbers in the list of rows."""
    made: bool = False
    """Whether this run wrote it."""
    gone: Gone | None = None

    @staticmethod
    def of(row: Sequence[Any]) -> BandFile:
        """The description that :func:`dataclasses.astuple` made ``row`` of."""
        *told, keys, digests, copies, counts, sums, first, listed, made, gone = row
        return BandFile(
            *told, Section(*keys), Section(*digests), copies, Counts(*counts), sums, first, listed,
            made, None if gone is None else Gone(*gone),
        )  # type: ignore[call-arg]  # fmt: skip

    @property
    def size(self) -> int:
        return self._rows_at + self._rows_size

    @property
    def _rows_size(self) -> int:
        return (9 if self.listed else 5) * self.stored

    @property
    def _digests_at(self) -> int:
        return START + self.keys.size

    @property
    def _copies_at(self) -> int:
        return self._digests_at + self.digests.size

    @property
    def _rows_at(self) -> int:
        return self._copies_at + 16 * self.copies

    def keys_between(self, low: int, high: int) -> U64:
        """Packed keys from ``low`` to ``high``, both included, ascending: with rows that are gone,
        too (see :meth:`unpacked`)."""
        found: U64 = self.keys.between(self._head(), self.uri, START, low, high)[:, 0]
        return found

    def unpacked(self, keys: U64) -> U64:
        """(band key, row id) of packed keys, of rows that are not gone."""
        rows = self.row_places().rows(keys)
        return self.left(np.stack([keys_of(keys), rows], axis=1))

    def row_places(self) -> RowPlaces:
        """What tells rows by their places."""
        return RowPlaces(self.first, self._all_rows()[0] if self.listed else None)

    def digests_between(self, low: int, high: int) -> U64:
        """(two numbers of a digest, row id), the first from ``low`` to ``high``, both included."""
        start = self._digests_at
        return self.left(self.digests.between(self._head(), self.uri, start, low, high))

    def _head(self) -> U64:
        return _head_of(self.uri, self.head)

    def left(self, records: U64) -> U64:
        """Records of rows that are not gone; successors instead of firsts that are."""
        if self.gone is None:
            return records
        gone, successors = self.gone.read()
        records = records.copy()
        records[:, -1] = renamed(records[:, -1], successors)
        return records[~np.isin(records[:, -1], gone)]

    def records(self) -> tuple[U64, U64, U64]:
        """All packed keys, of shape (keys, 1), digests and copies as they were written, at once:
        with rows that are gone, too (see :meth:`left`)."""
        bounds = (0, START, self._digests_at, self._copies_at, self._rows_at)
        with reading(self.uri):
            (data,) = storage.read_ranges(self.uri, [(0, self._rows_at)])
        parts = [data[a:b] for a, b in itertools.pairwise(bounds)]
        head = _checked_head(parts[0], self.uri, self.head)
        keys = self.keys.checked(head, self.uri, parts[1])
        digests = self.digests.checked(head, self.uri, parts[2])
        self._check_end(parts[3], 0)
        return keys, digests, np.frombuffer(parts[3], "<u8").reshape(-1, 2)

    def named_before(self, rows: U64) -> U64:
        """Row ids, and those of firsts that are gone and that these are the successors of."""
        if self.gone is None or not len(rows):
            return rows
        successors = self.gone.read()[1]
        return np.union1d(rows, successors[np.isin(successors[:, 1], rows), 0])

    def read_copies(self) -> U64:
        """Pairs of row ids, of shape (copies, 2): the first row of some shingles, and a copy."""
        return self.left_copies(self._all_copies())

    def left_copies(self, pairs: U64) -> U64:
        """Pairs of copies without the rows that are gone."""
        if self.gone is None:
            return pairs
        gone, successors = self.gone.read()
        pairs = np.stack([renamed(pairs[:, 0], successors), pairs[:, 1]], axis=1)
        left: U64 = pairs[~np.isin(pairs[:, 1], gone) & (pairs[:, 0] != pairs[:, 1])]
        return left

    def without(self, live: U64, uri: str) -> BandFile:
        """The same for those of its rows that are in ``live``; what is gone goes to ``uri``."""
        rows, kinds = self._all_rows()
        known = np.isin(rows, live, assume_unique=True)
        gone = rows[~known]
        return dataclasses.replace(
            self,
            rows=int(known.sum()),
            counts=Counts.of(kinds[known]),
            gone=Gone.write(uri, gone, self._all_copies()),
        )

    def check(self) -> None:
        """Read all of it; raises DamagedFile when it is not what was written."""
        self.keys.check(self._head(), self.uri, START)
        self.digests.check(self._head(), self.uri, self._digests_at)
        self._all_copies()
        self._all_rows()

    def _all_copies(self) -> U64:
        data = self._read(self._copies_at, 16 * self.copies, 0)
        return np.frombuffer(data, "<u8").reshape(-1, 2)

    def _all_rows(self) -> tuple[U64, U8]:
        data = self._read(self._rows_at, self._rows_size, 1)
        rows: U64 = np.frombuffer(data, "<u8" if self.listed else "<u4", self.stored)
        if not self.listed:
            rows = rows.astype(np.uint64) + np.uint64(self.first)
        return rows, np.frombuffer(data, np.uint8, offset=self._rows_size - self.stored)

    def _read(self, start: int, size: int, sum_at: int) -> memoryview:
        with reading(self.uri):
            (data,) = storage.read_ranges(self.uri, [(start, start + size)])
        self._check_end(data, sum_at)
        return data

    def _check_end(self, data: memoryview, sum_at: int) -> None:
        wanted = int(np.frombuffer(self.sums, "<u8")[sum_at])
        check(xxhash.xxh3_64_intdigest(data) == wanted, self.uri)


def encode(
    digest: int, earlier: int, keys: U64, digests: U64, copies: U64, rows: U64, kinds: U8
) -> tuple[bytes, BandFile]:
    """The bytes of a file, and its description without a place. ``keys`` (packed),
    ``digests`` (of shape (rows with keys, 3)) and ``rows`` are ascending, ``kinds`` are those of
    ``rows``."""
    places = RowPlaces.of(rows)
    listed = places.listed is not None
    last = (rows.astype("<u8") if listed else places.places(rows).astype("<u4")).tobytes()
    last += kinds.tobytes()
    pairs = copies.astype("<u8", copy=False).tobytes()
    ends = [xxhash.xxh3_64_intdigest(pairs), xxhash.xxh3_64_intdigest(last)]
    keys = keys.reshape(-1, KEY)
    sections = (Section.of(keys), Section.of(digests))
    counts = Counts.of(kinds)
    counted = [section.count for section in sections]
    told = [digest, len(rows), *counted, len(copies), *dataclasses.astuple(counts), *ends]
    steps = [section.step for section in sections]
    head = np.zeros(START // 8, "<u8")
    head[2:HEAD] = np.array([*told, *steps, earlier, places.first, listed], "<u8")
    for section, records in zip(sections, (keys, digests), strict=True):
        section.mark(head, records)
    whole = xxhash.xxh3_64_intdigest(head[2:].tobytes())
    head[:2] = np.array([MAGIC, whole], "<u8")
    size, sums = len(rows), np.array(ends, "<u8").tobytes()
    file = BandFile(
        "", size, size, whole, *sections, len(copies), counts, sums, places.first, listed, True
    )
    bodies = (part.astype("<u8", copy=False).data for part in (keys, digests))
    return b"".join([head.tobytes(), *bodies, pairs, last]), file


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


@functools.lru_cache(maxsize=HEADS)
def _head_of(uri: str, wanted: int) -> U64:
    """The head of a file, of which the sum is known: another one is never taken for it."""
    with reading(uri):
        (raw,) = storage.read_ranges(uri, [(0, START)])
    return _checked_head(bytes(raw), uri, wanted)  # a copy: what was read may be a part of more


def _checked_head(raw: bytes | memoryview, uri: str, wanted: int) -> U64:
    head: U64 = np.frombuffer(raw, "<u8")
    check(int(head[1]) == wanted == xxhash.xxh3_64_intdigest(raw[16:]), uri)
    return head


def _read_head(uri: str) -> tuple[BandFile, int, int] | None:
    with contextlib.suppress(NotFound, DamagedFile):
        size = storage.info(uri).size
        if size < START:
            return None
        with reading(uri):
            (raw,) = storage.read_ranges(uri, [(0, START)])
        return _described(uri, raw, size)
    return None


def _described(uri: str, raw: memoryview, size: int) -> tuple[BandFile, int, int] | None:
    head = np.frombuffer(raw, "<u8")
    magic, whole, digest, rows, keys, digests, copies, *more = head[:HEAD].tolist()
    if magic != MAGIC or whole != xxhash.xxh3_64_intdigest(raw[16:]):
        return None
    sections = (Section(KEY, keys, more[6]), Section(DIGEST, digests, more[7]))
    sums = np.array(more[4:6], "<u8").tobytes()
    earlier, first, listed = more[8:]
    found = BandFile(
        uri, rows, rows, whole, *sections, copies, Counts(*more[:4]), sums, first, bool(listed)
    )  # fmt: skip
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
