"""Equal rows of one table, the fast way: each bucket is told apart in a hash table, and writes the
rows that lose."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.dataset.commit import ObjectRecord, checksum_of
from dsm_dask.duplicates.buckets import Bucket, Held, joined
from dsm_dask.duplicates.clusters import LARGEST, size_histogram
from dsm_dask.duplicates.damage import read_or_name
from dsm_dask.duplicates.decisions import DecisionWriter
from dsm_dask.duplicates.key_files import KeyFile, Share
from dsm_dask.duplicates.keys import piece_bits

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

DECIDED = 1 << 20
"""Decisions written at a time, about."""

PIECE = 1 << 18
"""First rows of a bucket that are told together at a time, about: what is at hand for them stays in
the processor's cache."""


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
        held = bucket.read(damaged)
        if held is None:
            return None
        told = _told(held, bucket)
        repeated = told.sizes > 1
        clusters = int(np.count_nonzero(repeated))
        if not clusters:
            return Group()
        decided = None
        if self.decisions is not None:
            uri = storage.join(self.decisions, f"{self.run_id}-{bucket.number:05d}.parquet")
            decided = _decide(uri, held, told)
        duplicates = int(told.sizes.sum()) - len(told.sizes)
        sizes = size_histogram(told.sizes[repeated])
        return Group(clusters, duplicates, sizes, told.largest, decided)


@dataclasses.dataclass(frozen=True, eq=False)
class _Told:
    """The first rows of a bucket, told together."""

    keys: I32
    """The number of the key of each."""
    least: U64
    """Of each key the least row."""
    sizes: Ints
    """Of each key how many rows."""
    lost: tuple[tuple[U64, U64], ...]
    """First rows that are not the least of their key, and those that are."""
    largest: tuple[Most, ...]


def _told(held: Held, bucket: Bucket) -> _Told:
    from dsm_dask.duplicates.key_kernels import group, losing

    counts = held.counts
    keys = np.empty(sum(counts), np.int32)
    leasts, every, lost = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], []
    most: list[Most] = []
    more, known = (sum(counts) // PIECE).bit_length(), 0
    for number in range(bucket.number << more, (bucket.number + 1) << more):
        bits = bucket.bits + more
        places = [share.beginning(number, bits, bucket.bits) for share in held.shares]
        parts = [share.firsts[place] for share, place in zip(held.shares, places, strict=True)]
        records, own = joined(parts), [len(part) for part in parts]
        numbers, least, firsts, sizes = group(records, bits, piece_bits(len(records)))
        lost.append(losing(records, numbers, least))
        repeated = sizes > 1
        most += largest(sizes[repeated], least[repeated], firsts[repeated], own)
        numbers += known
        known += len(least)
        for of_file, place, some in zip(
            _parts(keys, counts), places, _parts(numbers, own), strict=True
        ):
            of_file[place] = some
        leasts.append(least)
        every.append(sizes)
    best = tuple(heapq.nlargest(LARGEST, most))
    return _Told(keys, np.concatenate(leasts), np.concatenate(every), tuple(lost), best)


def _decide(uri: str, held: Held, told: _Told) -> ObjectRecord:
    """Write the rows that lose, each with the one that is kept: first rows, and all others."""
    writer = DecisionWriter("exact")
    pairs: list[tuple[U64, U64]] = []
    others = (
        _others(file, share, told.least, keys)
        for file, share, keys in zip(
            held.files, held.shares, _parts(told.keys, held.counts), strict=True
        )
    )
    waiting = 0
    for pair in itertools.chain(told.lost, others):
        pairs.append(pair)
        waiting += len(pair[0])
        if waiting >= DECIDED:
            writer.add(*_joined(pairs))
            pairs, waiting = [], 0
    writer.add(*_joined(pairs))
    data = writer.close()
    storage.write(uri, data)  # durable: a commit refers to it
    return checksum_of(data, uri)


def _others(file: KeyFile, share: Share, least: U64, keys: I32) -> tuple[U64, U64]:
    """The rows of a file that repeat one of its first rows, each with the one that is kept."""
    numbers, rows = file.others(share)
    return rows, least[keys[numbers]]


def _parts(values: I32, counts: Sequence[int]) -> list[I32]:
    """What belongs to each file, of which there are so many."""
    ends = np.cumsum(counts).tolist()
    return [values[end - count : end] for end, count in zip(ends, counts, strict=True)]


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
