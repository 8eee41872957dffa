"""Band files: the incremental index of MinHash, one object a partition.

The object holds the band keys of a partition's rows, sorted, so that any task reads its range of
keys by byte range. Rows of the same shingles are told together first: only the first of them has
keys, the others are listed as its copies; so a page that a million rows share costs one row's keys
a partition. A file is named by what it was computed from, and kept beside a dataset in
``_dsm/index/<method>``: deduplicating again hashes the new partitions only.

Rows that were dropped since a file was written do not make it useless: it is named without the
deletions, and whoever reads it leaves out what is gone (:class:`Gone`).

Layout, little-endian: :data:`HEAD` u64 (magic, XXH3-64 of all that follows, digest of the rows,
rows, keys, copies, empty, nulls, short, unspaced, step of the marks, earlier blocks, number of
marks), :data:`MARKS` u64 (every ``step``-th key); the keys, u64 ascending; the row id of each, u64;
the copies, pairs of row ids (first, copy), by copy; all row ids, ascending. A partition of more
than :data:`BLOCK` rows has several files; the last one says how many came before it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import storage
from dsm_dask.dataset.partition import DatasetPartition
from dsm_dask.duplicates.minhash import MinHash
from dsm_dask.errors import AccessDenied, CannotWrite
from dsm_dask.table import ROW_ID, Partition

U64 = npt.NDArray[np.uint64]

MAGIC = int.from_bytes(b"dsmband2", "little")
HEAD, MARKS = 13, 512
_START = (HEAD + MARKS) * 8
SUFFIX = ".bands"
STEP = 1024
BLOCK = 1 << 18
"""Rows in a file, about."""


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
    step: int
    marks: tuple[int, ...]
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
        return _START + 16 * (self.keys + self.copies) + 8 * self.stored

    def between(self, low: int, high: int) -> tuple[U64, U64]:
        """Keys from ``low`` to ``high``, both included, ascending, and the row id of each."""
        marks = np.array(self.marks, np.uint64)
        begin = max(0, int(np.searchsorted(marks, np.uint64(low))) - 1) * self.step
        end = min(self.keys, int(np.searchsorted(marks, np.uint64(high), "right")) * self.step)
        if begin >= end:
            return np.empty(0, np.uint64), np.empty(0, np.uint64)
        rows_at = _START + self.keys * 8
        data, owners = storage.read_ranges(
            self.uri,
            [(_START + begin * 8, _START + end * 8), (rows_at + begin * 8, rows_at + end * 8)],
        )
        keys, rows = np.frombuffer(data, "<u8"), np.frombuffer(owners, "<u8")
        first = np.searchsorted(keys, np.uint64(low))
        last = np.searchsorted(keys, np.uint64(high), "right")
        keys, rows = keys[first:last], rows[first:last]
        if self.gone is None:
            return keys, rows
        gone, renamed = self.gone.read()
        rows = _renamed(rows, renamed)
        left = ~np.isin(rows, gone)
        return keys[left], rows[left]

    def read_copies(self) -> npt.NDArray[np.uint64]:
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
        start = _START + 16 * (self.keys + self.copies)
        (data,) = storage.read_ranges(self.uri, [(start, start + 8 * self.stored)])
        rows = np.frombuffer(data, "<u8")
        known = np.isin(rows, live, assume_unique=True)
        gone = rows[~known]
        pairs = self._all_copies()
        orphans = pairs[np.isin(pairs[:, 0], gone) & ~np.isin(pairs[:, 1], gone)]
        orphans = orphans[np.lexsort((orphans[:, 1], orphans[:, 0]))]
        renamed = orphans[_first_of_runs(orphans[:, 0])]
        storage.write(uri, gone.tobytes() + renamed.astype("<u8").tobytes(), durable=False)
        return dataclasses.replace(
            self, rows=int(known.sum()), gone=Gone(uri, len(gone), len(renamed))
        )

    def _all_copies(self) -> U64:
        start = _START + self.keys * 16
        (data,) = storage.read_ranges(self.uri, [(start, start + 16 * self.copies)])
        pairs: U64 = np.frombuffer(data, "<u8").reshape(-1, 2)
        return pairs


def _renamed(rows: U64, pairs: U64) -> U64:
    if not len(pairs):
        return rows
    place = np.minimum(np.searchsorted(pairs[:, 0], rows), len(pairs) - 1)
    found: U64 = np.where(pairs[place, 0] == rows, pairs[place, 1], rows)
    return found


def _first_of_runs(ordered: U64) -> npt.NDArray[np.bool_]:
    found = np.ones(len(ordered), np.bool_)
    found[1:] = ordered[1:] != ordered[:-1]
    return found


@dataclasses.dataclass(frozen=True)
class WriteBands:
    """Hash the texts of a partition and store their band keys, unless they are stored already.

    ``folders`` are tried in turn: the first one that may be written to takes the file. ``work``
    takes what is of this run only.
    """

    column: str
    minhash: MinHash
    folders: tuple[str, ...]
    work: str

    def __call__(self, partition: Partition) -> list[BandFile]:
        digest = _digest(partition.fingerprint)
        name = self.name(partition)
        own = f"{name.removesuffix(SUFFIX)}-{digest:016x}{SUFFIX}"
        taken = False
        for uri in (storage.join(folder, one) for folder in self.folders for one in (name, own)):
            known = read_blocks(uri)
            if known is None:
                continue
            taken = True
            files, made_of = known
            if made_of == digest:
                return files
            live = _rows(partition)
            left = [
                file.without(live, storage.join(self.work, f"gone-{number}-{name}"))
                for number, file in enumerate(files)
            ]
            if sum(file.rows for file in left) == len(live):
                return left
        # Nothing whole is ever replaced: another run may be reading it.
        return self._write(partition, own if taken else name)

    def name(self, partition: Partition) -> str:
        """What the file of a partition is called: the same whichever of its rows were dropped."""
        values = partition.values_fingerprint([self.column, ROW_ID])
        base: Any = partition.fingerprint
        if isinstance(partition, DatasetPartition):
            parts = (fragment.part for fragment in partition.fragments)
            base = [
                fragment.files[0][0] if part is None else part.fingerprint
                for fragment, part in zip(partition.fragments, parts, strict=True)
            ]
        text = repr((base, values, self.column, self.minhash.name)).encode()
        return hashlib.blake2b(text, digest_size=16).hexdigest() + SUFFIX

    def _write(self, partition: Partition, name: str) -> list[BandFile]:
        digest = _digest(partition.fingerprint)
        files: list[BandFile] = []
        block = _Block(self.minhash)
        for batch in partition.read([self.column, ROW_ID]):
            for start in range(0, batch.num_rows, 1 << 16):
                if block.rows >= BLOCK:
                    data, file = block.encoded(digest, 0)
                    uri = _stored(self.folders, _earlier(name, len(files)), data)
                    files.append(dataclasses.replace(file, uri=uri))
                    block = _Block(self.minhash)
                part = batch.slice(start, 1 << 16)
                block.add(part.column(0), part.column(1).to_numpy())
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
        self._counts = Counts()
        self.rows = 0

    def add(self, texts: Any, rows: U64) -> None:
        signed = self._minhash.sign(texts)
        told = signed.units > 0
        self._counts += Counts(
            int((signed.units == 0).sum()),
            int((signed.units < 0).sum()),
            int((told & (signed.units < self._minhash.shingles.size)).sum()),
            signed.unspaced,
        )
        if self._minhash.match_empty:
            told[:] = True
        self._every.append(rows)
        self._told.append(rows[told])
        self._keys.append(signed.keys[told])
        self._digests.append(signed.digests[told])
        self.rows += len(rows)

    def encoded(self, digest: int, earlier: int) -> tuple[bytes, BandFile]:
        """The bytes of the file, and its description without a place."""
        from dsm_dask.duplicates import kernels

        rows = np.concatenate(self._told)
        first, copies = _copies(np.concatenate(self._digests), rows)
        keys = np.concatenate(self._keys)[first].reshape(-1)
        self._keys = self._digests = []
        keys, owners = kernels.sort_pairs(keys, np.repeat(rows[first], self._minhash.bands))
        whole = np.sort(np.concatenate(self._every))
        step = max(STEP, -(-len(keys) // MARKS))
        marks = keys[::step]
        padded = np.zeros(MARKS, "<u8")
        padded[: len(marks)] = marks
        told = [digest, len(whole), len(keys), len(copies), *dataclasses.astuple(self._counts)]
        head = np.array([*told, step, earlier, len(marks)], "<u8")
        parts = [head, padded, keys, owners, copies, whole]
        body = b"".join(part.astype("<u8", copy=False).tobytes() for part in parts)
        magic = np.array([MAGIC, xxhash.xxh3_64_intdigest(body)], "<u8").tobytes()
        size = len(whole)
        file = BandFile(
            "", size, size, len(keys), len(copies), self._counts, step, tuple(marks.tolist()), True
        )
        return magic + body, file


def _earlier(name: str, number: int) -> str:
    return f"{name.removesuffix(SUFFIX)}+{number}{SUFFIX}"


def _digest(fingerprint: str) -> int:
    return xxhash.xxh3_64_intdigest(fingerprint.encode())


def _rows(partition: Partition) -> U64:
    batches = [batch.column(0).to_numpy() for batch in partition.read([ROW_ID])]
    return np.sort(np.concatenate([np.empty(0, np.uint64), *batches]))


def _stored(folders: tuple[str, ...], name: str, data: bytes) -> str:
    for folder in folders[:-1]:
        uri = storage.join(folder, name)
        try:
            storage.write(uri, data)
        except (AccessDenied, CannotWrite):  # one may only read there
            continue
        return uri
    uri = storage.join(folders[-1], name)
    storage.write(uri, data)
    return uri


def _copies(digests: U64, rows: U64) -> tuple[npt.NDArray[np.int64], U64]:
    """Places of the first row of each digest, and pairs (its row id, the row id of a copy)."""
    order = np.lexsort((rows, digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    run = np.cumsum(is_first) - 1
    firsts = order[is_first]
    copies = order[~is_first]
    pairs = np.stack([rows[firsts[run[~is_first]]], rows[copies]], axis=1)
    return np.sort(firsts), pairs[np.argsort(pairs[:, 1])]


def read_blocks(uri: str) -> tuple[list[BandFile], int] | None:
    """The band files of a partition, of which the last is at ``uri``, and the digest of the rows
    that they were made of; None when there are none, or one is cut off."""
    last = _read_head(uri)
    if last is None:
        return None
    file, digest, earlier = last
    found = []
    for number in range(earlier):
        known = _read_head(_earlier(uri, number))
        if known is None or known[1] != digest:
            return None
        found.append(known[0])
    return [*found, file], digest


def _read_head(uri: str) -> tuple[BandFile, int, int] | None:
    if not storage.exists(uri):
        return None
    size = storage.info(uri).size
    if size < _START:
        return None
    (raw,) = storage.read_ranges(uri, [(0, _START)])
    head = np.frombuffer(raw, "<u8")
    magic, _, digest, rows, keys, copies, *counts, step, earlier, marks = head[:HEAD].tolist()
    if magic != MAGIC or marks > MARKS:
        return None
    told = tuple(head[HEAD : HEAD + marks].tolist())
    found = BandFile(uri, rows, rows, keys, copies, Counts(*counts), step, told)
    return (found, digest, earlier) if size == found.size else None


def is_whole(uri: str) -> bool:
    """Whether a band file is what was written: reads all of it."""
    data = storage.read(uri)
    if len(data) < _START or _read_head(uri) is None:
        return False
    return bool(np.frombuffer(data, "<u8", 1, 8)[0] == xxhash.xxh3_64_intdigest(data[16:]))
