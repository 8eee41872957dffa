"""Candidates: rows that share a band key, found a range of keys at a time.

A task reads its range of keys from every band file, sorts those that come more than once, and links
the rows of each run of equal keys with the smallest one: a bucket of n rows gives n - 1 edges,
never n². It does the same with its range of digests: rows of one digest have the same shingles, and
need not be compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.band_files import BandFile
from dsm_dask.duplicates.band_sections import DIGEST, KEY
from dsm_dask.duplicates.damage import read_or_name
from dsm_dask.duplicates.edges import EdgeFile, edges_of, nodes_of, tables_of, write_edges
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.lookups import FIELDS, LookedUp, Numbered, look_up
from dsm_dask.duplicates.row_places import BITS, limit
from dsm_dask.duplicates.shares import read_shares, side_by_side
from dsm_dask.engine import Engine

U64 = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
T = TypeVar("T")

RANGE = 6_000_000
"""Keys that one task holds, about."""

_ROOM = 16
"""Slots a key, at least: so few come more than once by chance."""

LEAST_RANGES = 2


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Edges between rows that share a band key; between rows of the same shingles (of similarity
    1), in different files and within one."""

    edges: tuple[EdgeFile, ...]
    same: tuple[EdgeFile, ...]
    """The rows of these are candidates as well."""
    copies: tuple[EdgeFile, ...]
    damaged: tuple[str, ...] = ()
    """Band files that could not be used: when there are any, the edges are not all."""


def candidates(
    files: Sequence[Numbered],
    folder: str,
    *,
    engine: Engine,
    keys: int = RANGE,
    measured: bool = True,
    old: Sequence[Numbered] = (),
    opened: Sequence[str] = (),
) -> Candidates:
    """Find the candidates among the rows of several tables, given the numbered band files of each;
    or, with those of ``old`` rows, only the pairs that one of the ``files`` adds to what is known
    of these, and the pairs of old rows that objects of nodes name (``opened``).

    Without ``measured`` the similarity of copies is NaN: no pair has one when candidates are not
    compared, and which copies share a partition is a matter of the cut.
    """
    listed = storage.join(folder, "bands.dsm")
    rows = [(table, dataclasses.astuple(file)) for table, file in files]
    storage.write(listed, codec.encode(rows), durable=False)
    total = sum(file.keys.count for _, file in files)
    ranges = max(1 if old else LEAST_RANGES, -(-total // keys))
    similarity = 1.0 if measured else np.nan
    known = LookedUp()
    if old:
        known = look_up(
            files, old, opened, folder, ranges=ranges, keys=keys, similarity=similarity,
            engine=engine,
        )  # fmt: skip
    work = [_Range(listed, number, ranges, folder, similarity, known) for number in range(ranges)]
    if old and not files and not opened:  # nothing to group
        work = []
    found = engine.map(_Range.run, work, label="Grouping") if work else []
    kinds: list[list[EdgeFile]] = [[], [], list(known.copies)]
    for some, _ in found:
        for kind, file in zip(kinds, some, strict=True):
            kind += [file] if file.edges else []
    damaged = {uri for _, damaged in found for uri in damaged} | set(known.damaged)
    edges, same, copies = (tuple(kind) for kind in kinds)
    return Candidates(edges, same, copies, tuple(sorted(damaged)))


def _listed(uri: str) -> list[tuple[int, BandFile]]:
    return [(table, BandFile.of(row)) for table, row in codec.decode(storage.read(uri))]


@dataclasses.dataclass(frozen=True)
class _Range:
    listed: str
    number: int
    ranges: int
    folder: str
    similarity: float
    """Of rows of the same shingles."""
    known: LookedUp

    def run(self) -> tuple[tuple[EdgeFile, EdgeFile, EdgeFile], tuple[str, ...]]:
        files = _listed(self.listed)
        damaged: list[str] = []
        edges = edges_of(*_linked(*self._shared(files, damaged)), np.nan)
        same = edges_of(*_same(self._digests(files, damaged)), self.similarity)
        copies = self._copies(files[self.number :: self.ranges], damaged)
        kinds = (("candidates", edges), ("same", same), ("copies", copies))
        written = (
            write_edges(storage.join(self.folder, f"{kind}-{self.number:05d}"), found)
            for kind, found in kinds
        )
        return tuple(written), tuple(damaged)  # type: ignore[return-value]

    def _shared(self, files: Sequence[Numbered], damaged: list[str]) -> tuple[U64, U64]:
        """Keys of this range with nodes, of all files and of what is known: all that come more than
        once, and a few others."""
        low, high = self._bounds
        found = _read(lambda file: file.keys_between(low, high), files, damaged)
        told = self._known(self.known.keys, KEY)
        told = told[np.argsort(told[:, 0], kind="stable")]
        runs = [told[:, 0], *(keys for _, keys in found)]
        ends = np.cumsum([0, *map(len, runs)])
        records = np.concatenate(runs)
        del runs
        chosen = np.split(maybe_shared(records, ends, low, high), ends[1:-1])
        told = told[chosen[0]]
        parts = np.split(records, ends[1:-1])[1:]
        some = [
            (one, keys[there])
            for (one, _), keys, there in zip(found, parts, chosen[1:], strict=True)
        ]
        del records, parts, found
        waits = any(file.listed or file.gone is not None for _, file in files)
        unpacked = side_by_side(
            lambda one: read_or_name(lambda: _with_nodes(one[0], one[1]), damaged),
            some,
            waits=waits,
        )
        every = np.concatenate([told, *(part for part in unpacked if part is not None)])
        return every[:, 0].copy(), every[:, 1].copy()

    def _digests(self, files: Sequence[Numbered], damaged: list[str]) -> U64:
        """The digests of this range with nodes, of all files and of what is known."""
        low, high = self._bounds
        found = _read(lambda file: file.digests_between(low, high), files, damaged)
        told = self._known(self.known.digests, DIGEST)
        every = np.empty((sum(len(part) for _, part in found) + len(told), DIGEST), np.uint64, "F")
        every[: len(told)] = told
        at = len(told)
        for (table, _), part in found:
            every[at : at + len(part)] = part
            every[at : at + len(part), -1] = nodes_of(part[:, -1], table)
            at += len(part)
        return every

    @property
    def _bounds(self) -> tuple[int, int]:
        return limit(self.number, self.ranges), limit(self.number + 1, self.ranges) - 1

    def _known(self, uris: Sequence[str], kind: int) -> U64:
        records = read_shares(uris, self.number, self.ranges, FIELDS[kind])
        found: U64 = (
            np.ascontiguousarray(records).view("<u8").reshape(-1, FIELDS[kind].itemsize // 8)
        )
        return found

    def _copies(
        self, files: Sequence[tuple[int, BandFile]], damaged: list[str]
    ) -> npt.NDArray[np.void]:
        with_any = [(table, file) for table, file in files if file.copies]
        read = side_by_side(
            lambda one: read_or_name(lambda: nodes_of(one[1].read_copies(), one[0]), damaged),
            with_any,
        )
        pairs = [some for some in read if some is not None]
        every = np.concatenate([np.empty((0, 2), np.uint64), *pairs])
        return edges_of(every[:, 0], every[:, 1], self.similarity)


def _read(
    between: Callable[[BandFile], T], files: Sequence[Numbered], damaged: list[str]
) -> list[tuple[Numbered, T]]:
    """What ``between`` reads of each file; those that are damaged are listed instead."""
    read = side_by_side(lambda one: read_or_name(lambda: between(one[1]), damaged), files)
    return [(one, part) for one, part in zip(files, read, strict=True) if part is not None]


def _with_nodes(one: Numbered, keys: U64) -> U64:
    """(band key, node) of packed keys."""
    table, file = one
    found = file.unpacked(keys)
    found[:, 1] = nodes_of(found[:, 1], table)
    return found


def maybe_shared(records: U64, ends: npt.NDArray[np.int64], low: int, high: int) -> Mask:
    """Which packed keys from ``low`` to ``high``, in ascending runs up to ``ends``, may come more
    than once."""
    from dsm_dask.duplicates import band_kernels

    bits = (high - low).bit_length()
    slots = max(band_kernels.SLOTS, _ROOM * len(records)).bit_length()
    slot = max(BITS, bits - slots)
    chunk = slot + band_kernels.SLOTS.bit_length() - 1
    chunks = ((high - low) >> chunk) + 1
    found: Mask = band_kernels.shared(
        records, ends, np.uint64(low), chunks, np.uint64(chunk), np.uint64(slot)
    )
    return found


def _linked(keys: U64, nodes: U64) -> tuple[U64, U64]:
    """Pairs (smallest node, other node) of each run of equal keys that has a row of the data."""
    from dsm_dask.stats.kernels import sort_pairs

    keys, nodes = sort_pairs(keys, nodes)
    shared = _repeated(keys)
    return _stars(keys[shared], nodes=nodes[shared])


def _same(digests: U64) -> tuple[U64, U64]:
    """The same for equal digests, of shape (rows, 3) with the node of each."""
    from dsm_dask.stats.kernels import sort_pairs

    keys, order = sort_pairs(digests[:, 0], np.arange(len(digests)))
    some = digests[order[_repeated(keys)]]
    some = some[np.lexsort((some[:, 2], some[:, 1], some[:, 0]))]
    return _stars(some[:, 0], some[:, 1], nodes=some[:, 2])


def _repeated(keys: U64) -> Mask:
    """Whether each of ascending keys comes more than once."""
    again = keys[1:] == keys[:-1]
    found = np.zeros(len(keys), np.bool_)
    found[1:] |= again
    found[:-1] |= again
    return found


def _stars(*keys: U64, nodes: U64) -> tuple[U64, U64]:
    """Pairs (smallest node, other node) of each run of equal keys, if the smallest is a row of the
    data."""
    if not len(nodes):
        return nodes, nodes
    starts = np.flatnonzero(first_of_runs(*keys))
    least = np.repeat(np.minimum.reduceat(nodes, starts), np.diff(np.append(starts, len(nodes))))
    kept = (nodes != least) & (tables_of(least) == 0)
    return least[kept], nodes[kept]
