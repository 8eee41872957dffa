"""After an append: rows that an earlier run has seen, and that share a key with new ones.

The band files of old rows are not sorted together again: each is read once, from end to end, and
the keys of new rows are looked up in it. What is found goes, with the new rows, to the grouping
(:mod:`dsm_dask.duplicates.candidates`): all rows of a bucket that a new row is in. Old rows of
groups that lost a row are *opened*: all their keys go there, too.

Many new rows are looked up in lots, so that a task holds a bounded number of their keys.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.duplicates.band_files import BandFile
from dsm_dask.duplicates.band_sections import DIGEST, KEY
from dsm_dask.duplicates.damage import read_or_name
from dsm_dask.duplicates.edges import EdgeFile, edges_of, nodes_of, rows_of, tables_of, write_edges
from dsm_dask.duplicates.row_places import BITS, keys_of, limit
from dsm_dask.duplicates.shares import write_shares
from dsm_dask.duplicates.verified_groups import ascending, within
from dsm_dask.engine import Engine

U64 = npt.NDArray[np.uint64]
Int64 = npt.NDArray[np.int64]
Numbered = tuple[int, BandFile]
"""The number of a table, and one of its band files."""

LEAST_TASKS = 2
FIELDS = {
    kind: np.dtype([(str(place), "<u8") for place in range(numbers)])
    for kind, numbers in ((KEY, 2), (DIGEST, 3))
}
"""Records of what is found: (band key, node), and (two of a digest, node)."""


@dataclasses.dataclass(frozen=True)
class LookedUp:
    """Keys and digests of old rows (shares by range, of records like those of band files, with
    nodes), and the copies among all old rows."""

    keys: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    copies: tuple[EdgeFile, ...] = ()
    damaged: tuple[str, ...] = ()


def look_up(
    new: Sequence[Numbered],
    old: Sequence[Numbered],
    opened: Sequence[str],
    folder: str,
    *,
    ranges: int,
    keys: int,
    similarity: float,
    engine: Engine,
) -> LookedUp:
    """Find the rows of ``old`` band files that share a key with one of ``new`` ones, or that
    objects of nodes name (``opened``). A task holds about ``keys`` keys of either; ``similarity``
    is that of copies."""
    lots = _lots(new, keys) or [()]
    total = sum(file.keys.count for _, file in old)
    some = _lots(old, max(1, min(keys, total // LEAST_TASKS)))
    work = [
        _LookUp(
            files, lot, tuple(opened) if first else (), first, ranges, similarity,
            storage.join(folder, f"found-{number:03d}-{place:05d}"),
        )
        for number, (first, lot) in enumerate((place == 0, lot) for place, lot in enumerate(lots))
        for place, files in enumerate(some)
    ]  # fmt: skip
    found = engine.map(_LookUp.run, work, label="Looking up")
    damaged = {uri for *_, damaged in found for uri in damaged}
    return LookedUp(
        tuple(keys for keys, *_ in found if keys is not None),
        tuple(digests for _, digests, *_ in found if digests is not None),
        tuple(copies for _, _, copies, _ in found if copies is not None and copies.edges),
        tuple(sorted(damaged)),
    )


def _lots(files: Sequence[Numbered], most: int) -> list[tuple[Numbered, ...]]:
    """Neighbouring files of up to ``most`` keys together."""
    found: list[list[Numbered]] = []
    held = most
    for table, file in files:
        if held + file.keys.count > most:
            found.append([])
            held = 0
        found[-1].append((table, file))
        held += file.keys.count
    return [tuple(some) for some in found]


@dataclasses.dataclass(frozen=True)
class _LookUp:
    files: tuple[Numbered, ...]
    lot: tuple[Numbered, ...]
    opened: tuple[str, ...]
    first: bool
    """Whether copies and opened rows are this task's."""
    ranges: int
    similarity: float
    place: str

    def run(self) -> tuple[str | None, str | None, EdgeFile | None, tuple[str, ...]]:
        damaged: list[str] = []
        wanted = self._wanted(damaged)
        opened = self._opened()
        parts: dict[int, list[U64]] = {kind: [] for kind in FIELDS}
        copies = [np.empty((0, 2), np.uint64)]
        for table, file in self.files:
            rows = rows_of(opened[tables_of(opened) == table])
            if not len(wanted[KEY]) and not len(rows):
                read = read_or_name(file.read_copies, damaged) if self.first else None
                copies += [] if read is None else [nodes_of(read, table)]
                continue
            records = read_or_name(file.records, damaged)
            if records is None:
                continue
            rows = file.named_before(rows)
            found = read_or_name(partial(_found, file, records, wanted, rows), damaged)
            for kind, some in (found or {}).items():
                some[:, -1] = nodes_of(some[:, -1], table)
                parts[kind].append(some)
            if self.first:
                copies.append(nodes_of(file.left_copies(records[2]), table))
        told = [self._stored(kind, some) for kind, some in parts.items()]
        pairs = np.concatenate(copies)
        edges = None
        if len(pairs):
            pairs_of = edges_of(pairs[:, 0], pairs[:, 1], self.similarity)
            edges = write_edges(f"{self.place}-copies", pairs_of)
        return told[0], told[1], edges, tuple(damaged)

    def _wanted(self, damaged: list[str]) -> dict[int, U64]:
        """The first numbers of the lot's keys and digests, ascending."""
        read = (read_or_name(file.records, damaged) for _, file in self.lot)
        every = [records for records in read if records is not None]
        return {
            KEY: ascending([_NONE, *(keys_of(records[0][:, 0]) for records in every)]),
            DIGEST: ascending([_NONE, *(records[1][:, 0] for records in every)]),
        }

    def _opened(self) -> U64:
        read = (np.frombuffer(storage.read(uri), "<u8") for uri in self.opened)
        return np.concatenate([_NONE, *read])

    def _stored(self, kind: int, parts: Sequence[U64]) -> str | None:
        records = np.concatenate([np.empty((0, FIELDS[kind].itemsize // 8), np.uint64), *parts])
        if not len(records):
            return None
        limits = [limit(number, self.ranges) for number in range(1, self.ranges)]
        share = np.searchsorted(np.array(limits, np.uint64), records[:, 0], "right")
        uri = f"{self.place}-{kind}"
        raw = np.ascontiguousarray(records, "<u8").view(FIELDS[kind])[:, 0]
        write_shares(uri, raw, share, self.ranges)
        return uri


_NONE = np.empty(0, np.uint64)


def _found(
    file: BandFile, records: tuple[U64, U64, U64], wanted: dict[int, U64], rows: U64
) -> dict[int, U64]:
    """The keys and digests of a file that are wanted, or are of some rows; with row ids, of rows
    that are not gone."""
    keys, digests = records[0][:, 0], records[1]
    of_rows = [np.empty(0, np.int64)] * 2
    if len(rows):
        there = within(np.ascontiguousarray(digests[:, -1]), np.sort(rows))
        of_rows = [np.flatnonzero(one) for one in (file.row_places().among(keys, rows), there)]
    hit = _hit(keys, wanted[KEY], (1 << BITS) - 1)
    same = _hit(np.ascontiguousarray(digests[:, 0]), wanted[DIGEST], 0)
    return {
        KEY: file.unpacked(keys[np.union1d(hit, of_rows[0])]),
        DIGEST: file.left(digests[np.union1d(same, of_rows[1])]),
    }


def _hit(numbers: U64, wanted: U64, above: int) -> Int64:
    """The places of the numbers that are at most so far ``above`` one that is wanted. Both are
    ascending; the numbers are many more."""
    if not len(numbers):
        return np.empty(0, np.int64)
    starts = np.searchsorted(numbers, wanted)
    near = numbers[np.minimum(starts, len(numbers) - 1)] - wanted <= np.uint64(above)
    there = near & (starts < len(numbers))
    starts, wanted = starts[there], wanted[there]
    counts = np.searchsorted(numbers, wanted + np.uint64(above), "right") - starts
    found: Int64 = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return found
