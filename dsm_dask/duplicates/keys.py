"""Key files: the shuffle of exact deduplication, through the store.

One object a partition, sorted by hash, with an index of hash prefixes, so that any task reads its
share of the hashes from every file by byte range. Rows that repeat within the partition are set
apart: one record a distinct hash takes part in the global grouping, so a value that a million rows
share costs one record a partition. The object is named by what it was computed from: it is also the
cache of the next run.

Layout, little-endian: magic, XXH3-64 of the next three, ``firsts``, ``rest``, ``bits`` (u64 each);
two prefix indexes of ``2^bits + 1`` entries (where the rows of a prefix begin, XXH3-64 of where
they begin and end and of the rows: u64 each); then the first rows (hash high, hash low, row id,
count: 32 bytes each) and the other rows (hash high, hash low, row id: 24 bytes each), both sorted
by hash and row id. Whatever is read is checked against its sum first:
:class:`~dsm_dask.duplicates.damage.DamagedFile` is raised when it is not what was written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import storage
from dsm_dask.duplicates.damage import DamagedFile, check, reading
from dsm_dask.errors import NotFound
from dsm_dask.hashing import hash_rows
from dsm_dask.table import ROW_ID, Partition

MAGIC = int.from_bytes(b"dsmkeys3", "little")
HEADER = 5 * 8
ENTRY = np.dtype([("start", "<u8"), ("sum", "<u8")])
FIRST = np.dtype([("high", "<u8"), ("low", "<u8"), ("row", "<u8"), ("count", "<u8")])
REST = np.dtype([("high", "<u8"), ("low", "<u8"), ("row", "<u8")])
MOST_BITS = 12


U64 = npt.NDArray[np.uint64]


@dataclasses.dataclass(frozen=True)
class KeyFile:
    """Where the keys of a partition are, and how many."""

    uri: str
    firsts: int
    rest: int
    bits: int

    @property
    def size(self) -> int:
        index = 2 * ENTRY.itemsize * (2**self.bits + 1)
        return int(HEADER + index + self.firsts * FIRST.itemsize + self.rest * REST.itemsize)

    def read(self, bucket: int, bucket_bits: int, *, rest: bool) -> npt.NDArray[Any]:
        """First records (or the rest) of which the hash begins with ``bucket``."""
        kind, count = (REST, self.rest) if rest else (FIRST, self.firsts)
        if not count:
            return np.empty(0, kind)
        entries = 2**self.bits + 1
        index_at = HEADER + (entries * ENTRY.itemsize if rest else 0)
        low, high = self._prefixes(bucket, bucket_bits)
        begin, end = (index_at + place * ENTRY.itemsize for place in (low, high + 1))
        base = HEADER + 2 * entries * ENTRY.itemsize + (self.firsts * FIRST.itemsize if rest else 0)
        with reading(self.uri):
            (raw,) = storage.read_ranges(self.uri, [(begin, end)])
            index = np.frombuffer(raw, ENTRY)
            starts = index["start"]
            check(starts[-1] <= count and not (starts[1:] < starts[:-1]).any(), self.uri)
            begin, end = (base + int(starts[place]) * kind.itemsize for place in (0, -1))
            data: Any = b""
            if begin < end:
                (data,) = storage.read_ranges(self.uri, [(begin, end)])
        check(_sums(starts, data, kind.itemsize) == index["sum"][:-1].tolist(), self.uri)
        records = np.frombuffer(data, kind)
        if bucket_bits > self.bits:
            records = records[_prefix(records["high"], bucket_bits) == bucket]
        return records

    def _prefixes(self, bucket: int, bucket_bits: int) -> tuple[int, int]:
        shift = bucket_bits - self.bits
        if shift >= 0:
            return bucket >> shift, (bucket >> shift) + 1
        return bucket << -shift, (bucket + 1) << -shift


def _prefix(high: npt.NDArray[np.uint64], bits: int) -> npt.NDArray[np.uint64]:
    if bits == 0:
        return np.zeros(len(high), np.uint64)
    return high >> np.uint64(64 - bits)


def _sums(starts: U64, data: Any, size: int) -> list[int]:
    """A sum for each prefix: of where its records (of ``size`` bytes) begin and end, and of the
    records, which are in ``data`` from the first one on."""
    ends, first = starts.tolist(), int(starts[0])
    view, found = memoryview(data), []
    for start, stop in itertools.pairwise(ends):
        part = xxhash.xxh3_64(start.to_bytes(8, "little") + stop.to_bytes(8, "little"))
        part.update(view[(start - first) * size : (stop - first) * size])
        found.append(part.intdigest())
    return found


@dataclasses.dataclass(frozen=True)
class WriteKeys:
    """Hash the rows of a partition and store them sorted, unless they are stored already, in
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
        hashes, rows = [np.empty((0, 2), np.uint64)], [np.empty(0, np.uint64)]
        for batch in partition.read([*self.columns, ROW_ID]):
            hashes.append(hash_rows([batch.column(name) for name in self.columns]))
            rows.append(batch.column(ROW_ID).to_numpy())
        firsts, rest = _split(np.concatenate(hashes), np.concatenate(rows))
        bits = min(MOST_BITS, max(0, len(firsts) // 256).bit_length())
        header = np.array([MAGIC, 0, len(firsts), len(rest), bits], "<u8")
        header[1] = xxhash.xxh3_64_intdigest(header[2:].tobytes())
        parts = [header, _index(firsts, bits), _index(rest, bits), firsts, rest]
        storage.write(uri, b"".join(part.tobytes() for part in parts), durable=False)
        return KeyFile(uri, len(firsts), len(rest), bits)


def _index(records: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """For each prefix, where its records begin, and their sum; one more says where they end."""
    found = np.zeros(2**bits + 1, ENTRY)
    prefixes = np.arange(2**bits + 1, dtype=np.uint64)
    found["start"] = np.searchsorted(_prefix(records["high"], bits), prefixes)
    data = records.view(np.uint8)
    found["sum"][:-1] = _sums(found["start"], data, records.dtype.itemsize)
    return found


def _split(
    hashes: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Sorted by hash, then row id: the first row of each hash with its count, and the others."""
    high, low = np.ascontiguousarray(hashes[:, 0]), np.ascontiguousarray(hashes[:, 1])
    if (rows[1:] < rows[:-1]).any():
        by_row = np.argsort(rows)
        high, low, rows = high[by_row], low[by_row], rows[by_row]
    order = order_of(high, low)
    high, low, row = high[order], low[order], rows[order]
    is_first = first_of_runs(high, low)
    starts = np.flatnonzero(is_first)
    firsts = np.empty(len(starts), FIRST)
    firsts["high"], firsts["low"], firsts["row"] = high[starts], low[starts], row[starts]
    firsts["count"] = np.diff(np.append(starts, len(row)))
    rest = np.empty(len(row) - len(starts), REST)
    rest["high"], rest["low"], rest["row"] = high[~is_first], low[~is_first], row[~is_first]
    return firsts, rest


def order_of(high: U64, low: U64) -> npt.NDArray[np.int64]:
    """The order that sorts rows by hash, and leaves equal ones as they are."""
    from dsm_dask.stats.kernels import argsort

    order = argsort(high)
    one, other = high[order], low[order]
    if ((one[1:] == one[:-1]) & (other[1:] != other[:-1])).any():  # next to unheard of
        return np.lexsort((low, high))
    return order


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


def bucket_bits(rows: int, *, rows_per_bucket: int = 1 << 20, least: int = 2) -> int:
    """How many hash prefix bits to split the grouping by.

    >>> bucket_bits(1_000), bucket_bits(100_000_000)
    (2, 7)
    """
    wanted = max(1, -(-rows // rows_per_bucket) - 1).bit_length()
    return min(MOST_BITS, max(least, wanted))


def total(files: Sequence[KeyFile]) -> int:
    """Rows behind some key files."""
    return sum(file.firsts + file.rest for file in files)
