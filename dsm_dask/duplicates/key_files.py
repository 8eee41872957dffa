"""Key files: the shuffle of exact deduplication, through the store.

One object a partition, ordered by the first bits of the hashes, with an index of these prefixes, so
that any task reads its share of the hashes from every file by byte range. Rows that repeat within
the partition are set apart: one record a distinct hash takes part in the global grouping, so a
value that a million rows share costs one record a partition.

Layout, little-endian: magic, XXH3-64 of the next four, ``firsts``, ``rest``, ``bits``, ``made_of``
(u64 each); an index of ``2^bits + 1`` entries (number of the first of a prefix's first rows, and of
its other rows; the checksums of both: u64 each); then the first rows (hash high, hash low, row id:
u64 each; count: u32) and the other rows (row id: u64; number of the first row of its hash: u32),
both in the order of the prefixes, and the other rows of one prefix in that of the row ids. Whatever
is read is checked first: :class:`~dsm_dask.duplicates.damage.DamagedFile` is raised when it is not
what was written. Checksums begin with ``made_of``, so a file that another run put in the place of
one is told apart from it.
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
from dsm_dask.errors import NotFound

MAGIC = int.from_bytes(b"dsmkeys5", "little")
HEADER = 6 * 8
ENTRY = np.dtype([("first", "<u8"), ("other", "<u8"), ("firsts", "<u8"), ("rest", "<u8")])
FIRST = np.dtype([("high", "<u8"), ("low", "<u8"), ("row", "<u8"), ("count", "<u4")])
REST = np.dtype([("row", "<u8"), ("first", "<u4")])
SUFFIX = ".keys"

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Records = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Share:
    """What a key file holds of one bucket of hashes."""

    firsts: Records
    """The first rows, of type :data:`FIRST`."""
    index: Records
    """Of the prefixes that were read, of type :data:`ENTRY`, and of the one after."""
    numbers: Ints | None = None
    """Where each first row that was read is in ``firsts``, -1 for those of other buckets; None when
    all are there."""

    def beginning(self, number: int, bits: int, within: int) -> slice | Ints:
        """Where those first rows are of which the hash begins with ``number``, a number of ``bits``
        bits; those of all begin with the same ``within`` bits."""
        pieces = 1 << (bits - within)
        known = len(self.index) - 1
        if self.numbers is not None or known < pieces:
            return np.flatnonzero(self.firsts["high"] >> np.uint64(64 - bits) == number)
        place, step = number % pieces, known // pieces
        starts = self.index["first"][[0, place * step, (place + 1) * step]].astype(np.int64)
        return slice(int(starts[1] - starts[0]), int(starts[2] - starts[0]))


@dataclasses.dataclass(frozen=True)
class KeyFile:
    """Where the keys of a partition are, and how many."""

    uri: str
    firsts: int
    rest: int
    bits: int
    made_of: int
    """A digest of which rows these are."""

    @property
    def rows(self) -> int:
        return self.firsts + self.rest

    @property
    def size(self) -> int:
        return self._rest_at + self.rest * REST.itemsize

    @property
    def _base(self) -> int:
        return HEADER + ENTRY.itemsize * int(2**self.bits + 1)

    @property
    def _rest_at(self) -> int:
        return self._base + self.firsts * FIRST.itemsize

    def share(self, bucket: int, bits: int) -> Share:
        """The first rows of which the hash begins with ``bucket``, a number of ``bits`` bits."""
        shift = self.bits - bits
        low = bucket << shift if shift >= 0 else bucket >> -shift
        index = self._entries(low, low + (1 << max(0, shift)) + 1)
        records = self._records(FIRST, self._base, index["first"], index["firsts"], self.firsts)
        if shift >= 0 or not len(records):
            return Share(records, index)
        kept = records["high"] >> np.uint64(64 - bits) == bucket
        numbers = np.where(kept, np.cumsum(kept) - 1, -1)
        return Share(records[kept], index, numbers)

    def others(self, share: Share) -> tuple[Ints, U64]:
        """The rows that repeat a row of a share of this file: where that is, and their row ids."""
        index = share.index
        records = self._others(index)
        numbers = records["first"].astype(np.int64) - int(index["first"][0])
        if share.numbers is not None:
            numbers = share.numbers[numbers]
            records, numbers = records[numbers >= 0], numbers[numbers >= 0]
        return numbers, records["row"].copy()

    def read(self) -> tuple[Records, Records, Records]:
        """All of it: the index, the first rows, the other rows."""
        index = self._entries(0, 2**self.bits + 1)
        firsts = self._records(FIRST, self._base, index["first"], index["firsts"], self.firsts)
        return index, firsts, self._others(index)

    def without(self, live: U64, made_of: int, uri: str) -> KeyFile | None:
        """The same file for those of its rows that are in ``live`` (ascending), at ``uri``; None
        when it does not hold all of them. The smallest row that is left stands in for a first row
        that is gone."""
        from dsm_dask.duplicates.key_kernels import left

        index, firsts, rest = self.read()
        lives = [_among(records["row"], live) for records in (firsts, rest)]
        if sum(np.count_nonzero(some) for some in lives) != len(live):
            return None
        begins = np.stack([index["first"], index["other"]])
        made, others, begins = left(firsts, rest, lives[0], lives[1], begins)
        return write_keys(uri, made, others, begins, made_of)

    def _entries(self, begin: int, stop: int) -> Records:
        with reading(self.uri):
            size = ENTRY.itemsize
            wanted = (HEADER + begin * size, HEADER + stop * size)
            (raw,) = storage.read_ranges(self.uri, [wanted])
        return np.frombuffer(raw, ENTRY)

    def _others(self, index: Records) -> Records:
        return self._records(REST, self._rest_at, index["other"], index["rest"], self.rest)

    def _records(
        self, kind: np.dtype[Any], base: int, starts: U64, sums: U64, count: int
    ) -> Records:
        """Records of neighbouring prefixes, which begin where ``starts`` says; checked."""
        from dsm_dask.duplicates.key_kernels import sums as sums_of

        check(bool(starts[-1] <= count and not (starts[1:] < starts[:-1]).any()), self.uri)
        begin, stop = (base + int(starts[place]) * kind.itemsize for place in (0, -1))
        data: Any = b""
        if begin < stop:
            with reading(self.uri):
                (data,) = storage.read_ranges(self.uri, [(begin, stop)])
        salt = np.uint64(self.made_of)
        found = sums_of(np.frombuffer(data, np.uint8), starts, kind.itemsize, salt)
        check(bool((found == sums[:-1]).all()), self.uri)
        return np.frombuffer(data, kind)


def _among(rows: U64, live: U64) -> npt.NDArray[np.bool_]:
    """Whether each row is in ``live``, ascending."""
    if not len(live) or not len(rows):
        return np.zeros(len(rows), np.bool_)
    least, span = live[0], int(live[-1] - live[0]) + 1
    if span > 16 * (len(live) + len(rows)):
        return np.isin(rows, live)
    table = np.zeros(span + 1, np.bool_)  # the last one is for rows outside
    table[live - least] = True
    found: npt.NDArray[np.bool_] = table[np.minimum(rows - least, np.uint64(span))]
    return found


def write_keys(uri: str, firsts: Records, rest: Records, begins: U64, made_of: int) -> KeyFile:
    """Store a key file; ``begins[kind, prefix]`` says where the first rows and the other rows of
    each prefix begin, and that of the prefix after the last where they end."""
    from dsm_dask.duplicates.key_kernels import sums

    index = np.zeros(begins.shape[1], ENTRY)
    index["first"], index["other"] = begins
    for name, records, part in (("firsts", firsts, begins[0]), ("rest", rest, begins[1])):
        size, salt = records.dtype.itemsize, np.uint64(made_of)
        index[name][:-1] = sums(records.view(np.uint8), part, size, salt)
    bits = (len(index) - 1).bit_length() - 1
    header = np.array([MAGIC, 0, len(firsts), len(rest), bits, made_of], "<u8")
    header[1] = xxhash.xxh3_64_intdigest(header[2:].tobytes())
    parts = [part.view(np.uint8).data for part in (header, index, firsts, rest)]
    storage.write(uri, b"".join(parts), durable=False)
    return KeyFile(uri, len(firsts), len(rest), bits, made_of)


def read_keys(uri: str) -> KeyFile | None:
    """The key file that is there; None when there is none, or it is cut off or damaged at its
    head."""
    with contextlib.suppress(NotFound, DamagedFile):
        size = storage.info(uri).size
        if size < HEADER:
            return None
        with reading(uri):
            (raw,) = storage.read_ranges(uri, [(0, HEADER)])
        magic, whole, firsts, rest, bits, made_of = np.frombuffer(raw, "<u8").tolist()
        if magic == MAGIC and whole == xxhash.xxh3_64_intdigest(raw[16:]):
            found = KeyFile(uri, firsts, rest, bits, made_of)
            return found if size == found.size else None
    return None


def is_whole(uri: str) -> bool:
    """Whether a key file is what was written: reads all of it."""
    found = read_keys(uri)
    try:
        if found is not None:
            found.read()
    except DamagedFile:
        return False
    return found is not None


def total(files: Sequence[KeyFile]) -> int:
    """Rows behind some key files."""
    return sum(file.rows for file in files)
