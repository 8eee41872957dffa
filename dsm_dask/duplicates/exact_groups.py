"""Equal rows of one table, the fast way: each bucket is told apart in a hash table, and writes the
rows that lose."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.dataset.commit import ObjectRecord, checksum_of
from dsm_dask.duplicates.buckets import Bucket, Held
from dsm_dask.duplicates.clusters import LARGEST, size_histogram
from dsm_dask.duplicates.damage import read_or_name
from dsm_dask.duplicates.decisions import DecisionWriter
from dsm_dask.duplicates.keys import piece_bits

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

DECIDED = 1 << 20
"""Decisions written at a time, about."""


@dataclasses.dataclass(frozen=True)
class Most:
    """A large cluster: how many rows, the one that survives, and the number of its partition."""

    size: int
    row: int
    partition: int

    def __lt__(self, other: Most) -> bool:
        return (self.size, -self.row) < (other.size, -other.row)


@dataclasses.dataclass(frozen=True)
class Group:
    """What one bucket held."""

    clusters: int = 0
    duplicates: int = 0
    sizes: Ints | None = None
    """Clusters by size, as :func:`dsm_dask.duplicates.clusters.size_histogram` has them."""
    largest: tuple[Most, ...] = ()
    decided: ObjectRecord | None = None
    """The file of decisions, as it was written."""
    damaged: tuple[str, ...] = ()
    """Key files that could not be used: when there are any, the rest is nothing."""


@dataclasses.dataclass(frozen=True)
class GroupRows:
    """Find the equal rows of a bucket; write which of them lose when there is a folder for it."""

    decisions: str | None
    run_id: str

    def __call__(self, bucket: Bucket) -> Group:
        damaged: list[str] = []
        found = read_or_name(lambda: self._found(bucket, damaged), damaged)
        return Group(damaged=tuple(damaged)) if found is None else found

    def _found(self, bucket: Bucket, damaged: list[str]) -> Group | None:
        from dsm_dask.duplicates.key_kernels import group, losing

        held = bucket.read(damaged)
        if held is None:
            return None
        records = held.records
        keys, least, places, sizes = group(records, bucket.bits, piece_bits(len(records)))
        repeated = sizes > 1
        clusters = int(np.count_nonzero(repeated))
        if not clusters:
            return Group()
        most = largest(sizes[repeated], least[repeated], places[repeated], held.counts)
        held = dataclasses.replace(held, records=records[:0].copy())
        decided = None
        if self.decisions is not None:
            lost = losing(records, keys, least)
            del records, places
            uri = storage.join(self.decisions, f"{self.run_id}-{bucket.number:05d}.parquet")
            decided = _decide(uri, lost, held, keys, least)
        duplicates = int(sizes.sum()) - len(sizes)
        return Group(clusters, duplicates, size_histogram(sizes[repeated]), most, decided)


def _decide(uri: str, found: tuple[U64, U64], held: Held, keys: I32, least: U64) -> ObjectRecord:
    """Write the rows that lose, each with the one that is kept: those ``found`` among the first
    rows, and all others. ``keys`` are the numbers of the keys of the first rows."""
    writer = DecisionWriter("exact")
    pairs, waiting = [found], len(found[0])
    split = np.split(keys, np.cumsum(held.counts)[:-1])
    for file, share, own in zip(held.files, held.shares, split, strict=True):
        if waiting >= DECIDED:
            writer.add(*_joined(pairs))
            pairs, waiting = [], 0
        numbers, rows = file.others(share)
        pairs.append((rows, least[own[numbers]]))
        waiting += len(rows)
    writer.add(*_joined(pairs))
    data = writer.close()
    storage.write(uri, data)  # durable: a commit refers to it
    return checksum_of(data, uri)


def _joined(pairs: Sequence[tuple[U64, U64]]) -> tuple[U64, U64]:
    empty = np.empty(0, np.uint64)
    rows, kept = zip((empty, empty), *pairs, strict=True)
    return np.concatenate(rows), np.concatenate(kept)


def largest(sizes: Ints, rows: U64, places: I32, counts: Sequence[int]) -> tuple[Most, ...]:
    """The largest clusters, of equal ones those of the smallest rows; ``places`` are those of their
    records, of which there are ``counts`` in each file."""
    if len(sizes) > LARGEST:
        least = np.partition(sizes, -LARGEST)[-LARGEST]
        tied = rows[sizes == least]
        last = np.partition(tied, min(LARGEST, len(tied)) - 1)[min(LARGEST, len(tied)) - 1]
        some = (sizes > least) | ((sizes == least) & (rows <= last))
        sizes, rows, places = sizes[some], rows[some], places[some]
    files = np.searchsorted(np.cumsum(counts), places, "right")
    told = zip(sizes.tolist(), rows.tolist(), files.tolist(), strict=True)
    return tuple(heapq.nlargest(LARGEST, (Most(*one) for one in told)))
