"""Key files: the shuffle of exact deduplication, through the store.

One object a partition, sorted by hash, with an index of hash prefixes, so that any task reads its
share of the hashes from every file by byte range. Rows that repeat within the partition are set
apart: one record a distinct hash takes part in the global grouping, so a value that a million rows
share costs one record a partition. The object is named by what it was computed from: it is also the
cache of the next run.

Layout, little-endian: magic, ``firsts``, ``rest``, ``bits`` (u64 each); two prefix indexes of
``2^bits + 1`` u64; then the first rows (hash high, hash low, row id, count: 32 bytes each) and the
other rows (hash high, hash low, row id: 24 bytes each), both sorted by hash and row id.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.hashing import hash_rows
from dsm_dask.table import ROW_ID, Partition

MAGIC = int.from_bytes(b"dsmkeys2", "little")
HEADER = 4 * 8
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
        index = 2 * 8 * (2**self.bits + 1)
        return int(HEADER + index + self.firsts * FIRST.itemsize + self.rest * REST.itemsize)

    def read(self, bucket: int, bucket_bits: int, *, rest: bool) -> npt.NDArray[Any]:
        """First records (or the rest) of which the hash begins with ``bucket``."""
        kind, count = (REST, self.rest) if rest else (FIRST, self.firsts)
        if not count:
            return np.empty(0, kind)
        entries = 2**self.bits + 1
        index_at = HEADER + (entries * 8 if rest else 0)
        low, high = self._prefixes(bucket, bucket_bits)
        (raw,) = storage.read_ranges(self.uri, [(index_at + low * 8, index_at + (high + 1) * 8)])
        index = np.frombuffer(raw, "<u8")
        start, stop = int(index[0]), int(index[-1])
        if start == stop:
            return np.empty(0, kind)
        base = HEADER + 2 * entries * 8 + (self.firsts * FIRST.itemsize if rest else 0)
        begin, end = base + start * kind.itemsize, base + stop * kind.itemsize
        (data,) = storage.read_ranges(self.uri, [(begin, end)])
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


@dataclasses.dataclass(frozen=True)
class WriteKeys:
    """Hash the rows of a partition and store them sorted, unless they are stored already."""

    columns: tuple[str, ...]
    folder: str

    def __call__(self, partition: Partition) -> KeyFile:
        uri = storage.join(self.folder, self.name(partition))
        known = self._known(uri)
        return known if known is not None else self._write(uri, partition)

    def name(self, partition: Partition) -> str:
        values = partition.values_fingerprint([*self.columns, ROW_ID])
        text = repr((partition.fingerprint, values, self.columns)).encode()
        return hashlib.blake2b(text, digest_size=16).hexdigest() + ".keys"

    def _known(self, uri: str) -> KeyFile | None:
        if not storage.exists(uri) or storage.info(uri).size < HEADER:
            return None
        (raw,) = storage.read_ranges(uri, [(0, HEADER)])
        magic, firsts, rest, bits = (int(value) for value in np.frombuffer(raw, "<u8"))
        found = KeyFile(uri, firsts, rest, bits)
        return found if magic == MAGIC and storage.info(uri).size == found.size else None

    def _write(self, uri: str, partition: Partition) -> KeyFile:
        hashes, rows = [np.empty((0, 2), np.uint64)], [np.empty(0, np.uint64)]
        for batch in partition.read([*self.columns, ROW_ID]):
            hashes.append(hash_rows([batch.column(name) for name in self.columns]))
            rows.append(batch.column(ROW_ID).to_numpy())
        firsts, rest = _split(np.concatenate(hashes), np.concatenate(rows))
        bits = min(MOST_BITS, max(0, len(firsts) // 256).bit_length())
        index = [np.searchsorted(_prefix(r["high"], bits), np.arange(2**bits + 1, dtype=np.uint64))
                 for r in (firsts, rest)]  # fmt: skip
        header = np.array([MAGIC, len(firsts), len(rest), bits], "<u8")
        parts = [header, *(i.astype("<u8") for i in index), firsts, rest]
        storage.write(uri, b"".join(part.tobytes() for part in parts))
        return KeyFile(uri, len(firsts), len(rest), bits)


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
