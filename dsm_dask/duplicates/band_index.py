"""The incremental index of MinHash: band files, one object a partition.

The object holds the band keys of a partition's rows, sorted, so that any task reads its range of
keys by byte range (:mod:`dsm_dask.duplicates.band_files`). Rows of the same shingles are told
together first: only the first of them has keys, the others are listed as its copies; so a page that
a million rows share costs one row's keys a partition. A file is named by what it was computed from,
and kept beside a dataset in ``_dsm/index/<method>``: deduplicating again hashes the new partitions
only.

Rows that were dropped since a file was written do not make it useless: it is named without the
deletions, and whoever reads it leaves out what is gone.
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
from dsm_dask.duplicates import row_places
from dsm_dask.duplicates.band_files import (
    KINDS,
    SUFFIX,
    BandFile,
    earlier_name,
    encode,
    read_blocks,
)
from dsm_dask.duplicates.damage import DamagedFile
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.lasting_name import lasting_name
from dsm_dask.duplicates.minhash import MinHash
from dsm_dask.errors import AccessDenied, CannotWrite
from dsm_dask.table import ROW_ID, Partition

U64 = npt.NDArray[np.uint64]

BLOCK = row_places.MOST
"""Rows in a file, at most."""


@dataclasses.dataclass(frozen=True)
class WriteBands:
    """Hash the texts of a partition and store their band keys, unless they are stored already.

    What is stored is looked for in the folders ``known``. ``folders`` are tried in turn: the first
    one that may be written to takes the file. ``work`` takes what is of this run only; ``table`` is
    the number of the table there, since two of them may be versions of one dataset. Files that are
    ``damaged`` are not used but replaced.
    """

    column: str
    minhash: MinHash
    known: tuple[str, ...]
    folders: tuple[str, ...]
    work: str
    table: int = 0
    damaged: frozenset[str] = frozenset()

    def __call__(self, partition: Partition) -> list[BandFile]:
        digest = digest_of(partition.fingerprint)
        name = self.name(partition)
        own = f"{name.removesuffix(SUFFIX)}-{digest:016x}{SUFFIX}"
        taken = False
        for uri in (storage.join(folder, one) for folder in self.known for one in (name, own)):
            known = read_blocks(uri)
            if known is None or any(file.uri in self.damaged for file in known[0]):
                continue
            files, made_of = known
            if made_of == digest:
                return files
            with contextlib.suppress(DamagedFile):
                live = _rows(partition)
                left = self._without(files, live, name)
                taken = True
                if sum(file.rows for file in left) == len(live):
                    return left
        # Nothing whole is ever replaced: another run may be reading it.
        return self._write(partition, own if taken else name)

    def _without(self, files: list[BandFile], live: U64, name: str) -> list[BandFile]:
        gone = storage.join(self.work, f"gone-{self.table:03d}-{name}")
        return [file.without(live, f"{gone}-{number}") for number, file in enumerate(files)]

    def name(self, partition: Partition) -> str:
        """What the file of a partition is called: the same whichever of its rows were dropped."""
        computed = lasting_name(partition, self.column, self.column, self.minhash.name)
        return computed + SUFFIX

    def _write(self, partition: Partition, name: str) -> list[BandFile]:
        digest = digest_of(partition.fingerprint)
        files: list[BandFile] = []
        block = _Block(self.minhash)
        for batch in partition.read([self.column, ROW_ID]):
            start = 0
            while start < batch.num_rows:
                rest = batch.slice(start)
                ids = rest.column(1).to_numpy()
                count = block.room_for(ids)
                if count:
                    block.add(rest.column(0).slice(0, count), ids[:count])
                    start += count
                    continue
                data, file = block.encoded(digest, 0)
                uri = _stored(self.folders, earlier_name(name, len(files)), data)
                files.append(dataclasses.replace(file, uri=uri))
                block = _Block(self.minhash)
        data, file = block.encoded(digest, len(files))
        return [*files, dataclasses.replace(file, uri=_stored(self.folders, name, data))]


class _Block:
    """Collects what one file holds."""

    def __init__(self, minhash: MinHash) -> None:
        self._minhash = minhash
        self._every = [np.empty(0, np.uint64)]
        self._told = [np.empty(0, np.uint64)]
        self._keys = [np.empty((0, minhash.bands), np.uint64)]
        self._digests = [np.empty((0, 2), np.uint64)]
        self._kinds = [np.empty(0, np.uint8)]
        self.rows = 0

    def room_for(self, rows: U64) -> int:
        """How many of some rows to take before the block is full: they need not be listed, unless
        it would be less than half full."""
        most = min(len(rows), BLOCK - self.rows)
        least = self._every[1][0] if self.rows else rows[0]
        far = np.flatnonzero((rows[:most] < least) | (rows[:most] - least >= row_places.MOST))
        if len(far) and 2 * (self.rows + far[0]) >= BLOCK:
            return int(far[0])
        return most

    def add(self, texts: Any, rows: U64) -> None:
        signed = self._minhash.sign(texts)
        told = signed.units > 0
        short = told & (signed.units < self._minhash.shingles.size)
        kinds = (signed.units == 0, signed.units < 0, short, signed.unspaced)
        bits = (kind * np.uint8(bit) for kind, bit in zip(kinds, KINDS.values(), strict=True))
        self._kinds.append(sum(bits, np.zeros(len(rows), np.uint8)))
        if self._minhash.match_empty:
            told[:] = True
        self._every.append(rows)
        self._told.append(rows[told])
        self._keys.append(signed.keys[told])
        self._digests.append(signed.digests[told])
        self.rows += len(rows)

    def encoded(self, digest: int, earlier: int) -> tuple[bytes, BandFile]:
        """The bytes of the file, and its description without a place."""
        from dsm_dask.stats.kernels import sort

        rows = np.concatenate(self._told)
        digests, first, copies = _copies(np.concatenate(self._digests), rows)
        whole = np.concatenate(self._every)
        order = np.argsort(whole, kind="stable")
        whole, kinds = whole[order], np.concatenate(self._kinds)[order]
        places = row_places.RowPlaces.of(whole).places(rows[first])
        told = row_places.packed(np.concatenate(self._keys)[first], places[:, None])
        self._keys = self._digests = []
        return encode(digest, earlier, sort(told.reshape(-1)), digests, copies, whole, kinds)


def with_bands(folders: Sequence[str]) -> list[str]:
    """Those of some folders that hold band files, or may not be listed."""
    found = []
    for folder in folders:
        try:
            if any(item.uri.endswith(SUFFIX) for item in storage.listing(folder)):
                found.append(folder)
        except AccessDenied:
            found.append(folder)
    return found


def digest_of(fingerprint: str) -> int:
    """The XXH3-64 of a partition's fingerprint: of the rows that a file was made of."""
    return xxhash.xxh3_64_intdigest(fingerprint.encode())


def _rows(partition: Partition) -> U64:
    batches = [batch.column(0).to_numpy() for batch in partition.read([ROW_ID])]
    return np.sort(np.concatenate([np.empty(0, np.uint64), *batches]))


def _stored(folders: tuple[str, ...], name: str, data: bytes) -> str:
    for folder in folders[:-1]:
        uri = storage.join(folder, name)
        try:
            storage.write(uri, data, durable=False)
        except (AccessDenied, CannotWrite):  # one may only read there
            continue
        return uri
    uri = storage.join(folders[-1], name)
    storage.write(uri, data, durable=False)
    return uri


def _copies(digests: U64, rows: U64) -> tuple[U64, npt.NDArray[np.int64], U64]:
    """The first row of each digest: records (digest, row id), ascending, and their places; and
    pairs (its row id, the row id of a copy)."""
    order = np.lexsort((rows, digests[:, 1], digests[:, 0]))
    is_first = first_of_runs(*digests[order].T)
    run = np.cumsum(is_first) - 1
    firsts = order[is_first]
    copies = order[~is_first]
    pairs = np.stack([rows[firsts[run[~is_first]]], rows[copies]], axis=1)
    records = np.column_stack([digests[firsts], rows[firsts]])
    return records, np.sort(firsts), pairs[np.argsort(pairs[:, 1])]
