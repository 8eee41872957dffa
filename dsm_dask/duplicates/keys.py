"""Key files: the shuffle of exact deduplication, through the store.

One object a partition, ordered by the first bits of the hashes, with an index of these prefixes, so
that any task reads its share of the hashes from every file by byte range. Rows that repeat within
the partition are set apart: one record a distinct hash takes part in the global grouping, so a
value that a million rows share costs one record a partition. The object is named by what it was
computed from: it is also the cache of the next run.

Layout, little-endian: magic, XXH3-64 of the next three, ``firsts``, ``rest``, ``bits`` (u64 each);
an index of ``2^bits + 1`` entries (number of the first of a prefix's first rows, and of its other
rows; the checksums of both: u64 each); then the first rows (hash high, hash low, row id: u64 each;
count: u32) and the other rows (row id: u64; number of the first row of its hash: u32), both in the
order of the prefixes, and of one prefix in that of the row ids. Whatever is read is checked first:
:class:`~dsm_dask.duplicates.damage.DamagedFile` is raised when it is not what was written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from dsm_dask import storage
from dsm_dask.duplicates.damage import DamagedFile, check, reading
from dsm_dask.errors import NotFound
from dsm_dask.hashing import hash_lanes
from dsm_dask.table import ROW_ID, Partition

MAGIC = int.from_bytes(b"dsmkeys4", "little")
HEADER = 5 * 8
ENTRY = np.dtype([("first", "<u8"), ("other", "<u8"), ("firsts", "<u8"), ("rest", "<u8")])
FIRST = np.dtype([("high", "<u8"), ("low", "<u8"), ("row", "<u8"), ("count", "<u4")])
REST = np.dtype([("row", "<u8"), ("first", "<u4")])
MOST_BITS = 12
PIECE = 512
"""Rows of one prefix, about, as long as there are bits for so many prefixes."""

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
_NONE = np.empty(0, np.uint64)


@dataclasses.dataclass(frozen=True, eq=False)
class Share:
    """What a key file holds of one bucket of hashes."""

    firsts: npt.NDArray[Any]
    """The first rows, of type :data:`FIRST`."""
    index: npt.NDArray[Any]
    """Of the prefixes that were read, of type :data:`ENTRY`, and of the one after."""
    numbers: Ints | None = None
    """Where each first row that was read is in ``firsts``, -1 for those of other buckets; None when
    all are there."""


@dataclasses.dataclass(frozen=True)
class KeyFile:
    """Where the keys of a partition are, and how many."""

    uri: str
    firsts: int
    rest: int
    bits: int

    @property
    def size(self) -> int:
        return self._base + self.firsts * FIRST.itemsize + self.rest * REST.itemsize

    @property
    def _base(self) -> int:
        return HEADER + ENTRY.itemsize * int(2**self.bits + 1)

    def share(self, bucket: int, bits: int) -> Share:
        """The first rows of which the hash begins with ``bucket``, a number of ``bits`` bits."""
        shift = self.bits - bits
        low = bucket << shift if shift >= 0 else bucket >> -shift
        begin = HEADER + low * ENTRY.itemsize
        with reading(self.uri):
            stop = begin + ((1 << max(0, shift)) + 1) * ENTRY.itemsize
            (raw,) = storage.read_ranges(self.uri, [(begin, stop)])
        index = np.frombuffer(raw, ENTRY)
        records = self._records(FIRST, self._base, index["first"], index["firsts"], self.firsts)
        if shift >= 0 or not len(records):
            return Share(records, index)
        kept = records["high"] >> np.uint64(64 - bits) == bucket
        numbers = np.where(kept, np.cumsum(kept) - 1, -1)
        return Share(records[kept], index, numbers)

    def others(self, share: Share) -> tuple[Ints, U64]:
        """The rows that repeat a row of a share of this file: where that is, and their row ids."""
        index, base = share.index, self._base + self.firsts * FIRST.itemsize
        records = self._records(REST, base, index["other"], index["rest"], self.rest)
        numbers = records["first"].astype(np.int64) - int(index["first"][0])
        if share.numbers is not None:
            numbers = share.numbers[numbers]
            records, numbers = records[numbers >= 0], numbers[numbers >= 0]
        return numbers, records["row"].copy()

    def _records(
        self, kind: np.dtype[Any], base: int, starts: U64, sums: U64, count: int
    ) -> npt.NDArray[Any]:
        """Records of neighbouring prefixes, which begin where ``starts`` says; checked."""
        from dsm_dask.duplicates.key_kernels import sums as sums_of

        check(bool(starts[-1] <= count and not (starts[1:] < starts[:-1]).any()), self.uri)
        begin, stop = (base + int(starts[place]) * kind.itemsize for place in (0, -1))
        data: Any = b""
        if begin < stop:
            with reading(self.uri):
                (data,) = storage.read_ranges(self.uri, [(begin, stop)])
        found = sums_of(np.frombuffer(data, np.uint8), starts, kind.itemsize)
        check(bool((found == sums[:-1]).all()), self.uri)
        return np.frombuffer(data, kind)


@dataclasses.dataclass(frozen=True)
class WriteKeys:
    """Hash the rows of a partition and store them by hash, unless they are stored already, in
    ``folder`` or in the folder ``known``. Files that are ``damaged`` are not used but replaced."""

    columns: tuple[str, ...]
    folder: str
    known: str | None = None
    damaged: frozenset[str] = frozenset()

    def __call__(self, partition: Partition) -> KeyFile:
        name = self.name(partition)
        for folder in dict.fromkeys((self.known or self.folder, self.folder)):
            known = self._known(storage.join(folder, name))
            if known is not None and known.uri not in self.damaged:
                return known
        return self._write(storage.join(self.folder, name), partition)

    def name(self, partition: Partition) -> str:
        values = partition.values_fingerprint([*self.columns, ROW_ID])
        text = repr((partition.fingerprint, values, self.columns)).encode()
        return hashlib.blake2b(text, digest_size=16).hexdigest() + ".keys"

    def _known(self, uri: str) -> KeyFile | None:
        with contextlib.suppress(NotFound, DamagedFile):
            size = storage.info(uri).size
            if size < HEADER:
                return None
            with reading(uri):
                (raw,) = storage.read_ranges(uri, [(0, HEADER)])
            magic, whole, firsts, rest, bits = np.frombuffer(raw, "<u8").tolist()
            if magic == MAGIC and whole == xxhash.xxh3_64_intdigest(raw[16:]):
                found = KeyFile(uri, firsts, rest, bits)
                return found if size == found.size else None
        return None

    def _write(self, uri: str, partition: Partition) -> KeyFile:
        high, low, rows = [_NONE], [_NONE], [_NONE]
        for batch in _batches(partition, [*self.columns, ROW_ID]):
            lanes = hash_lanes([batch.column(name) for name in self.columns])
            high.append(lanes[0])
            low.append(lanes[1])
            rows.append(batch.column(ROW_ID).to_numpy())
        index, firsts, rest = _split(*(np.concatenate(part) for part in (high, low, rows)))
        bits = (len(index) - 1).bit_length() - 1
        header = np.array([MAGIC, 0, len(firsts), len(rest), bits], "<u8")
        header[1] = xxhash.xxh3_64_intdigest(header[2:].tobytes())
        parts = [part.view(np.uint8).data for part in (header, index, firsts, rest)]
        storage.write(uri, b"".join(parts), durable=False)
        return KeyFile(uri, len(firsts), len(rest), bits)


def _batches(partition: Partition, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of a partition; texts as dictionaries, if it has them so: each is hashed once."""
    if getattr(partition, "takes_encoded", False):
        return partition.read(columns, encoded=True)  # type: ignore[call-arg]
    return partition.read(columns)


def _split(
    high: U64, low: U64, rows: U64
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """The index, the first row of each hash with its count, and the other rows."""
    from dsm_dask.duplicates.key_kernels import split, sums

    if (rows[1:] < rows[:-1]).any():
        by_row = np.argsort(rows)
        high, low, rows = high[by_row], low[by_row], rows[by_row]
    bits = piece_bits(len(rows))
    firsts, rest = np.empty(len(rows), FIRST), np.empty(len(rows), REST)
    begins = np.empty((2, 2**bits + 1), np.uint64)
    counts = split(high, low, rows, bits, firsts, rest, begins)
    firsts, rest = firsts[: counts[0]], rest[: counts[1]]
    index = np.zeros(2**bits + 1, ENTRY)
    index["first"], index["other"] = begins
    for name, records, part in (("firsts", firsts, begins[0]), ("rest", rest, begins[1])):
        index[name][:-1] = sums(records.view(np.uint8), part, records.dtype.itemsize)
    return index, firsts, rest


def first_of_runs(*sorted_keys: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where a run of equal keys begins.

    >>> first_of_runs(np.array([1, 1, 2, 2]), np.array([5, 5, 5, 6])).tolist()
    [True, False, True, True]
    """
    found = np.zeros(len(sorted_keys[0]), np.bool_)
    found[:1] = True
    for key in sorted_keys:
        found[1:] |= key[1:] != key[:-1]
    return found


def piece_bits(rows: int) -> int:
    """How many bits cut some rows into pieces of about :data:`PIECE`.

    >>> piece_bits(100), piece_bits(100_000)
    (0, 8)
    """
    return min(MOST_BITS, (rows // PIECE).bit_length())


def bucket_bits(rows: int) -> int:
    """How many hash prefix bits to split the grouping by, for buckets of half a million rows; of a
    large table, for fewer requests, of a million.

    >>> bucket_bits(1_000), bucket_bits(10_000_000), bucket_bits(100_000_000)
    (2, 5, 7)
    """
    size = min(1 << 20, max(1 << 19, rows >> 6))
    return min(MOST_BITS, max(2, (max(1, -(-rows // size)) - 1).bit_length()))


def total(files: Sequence[KeyFile]) -> int:
    """Rows behind some key files."""
    return sum(file.firsts + file.rest for file in files)
