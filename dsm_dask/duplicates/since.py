"""What changed since an earlier run settled groups of candidates: band files that are new, and rows
that are gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.duplicates.band_files import BandFile
from dsm_dask.duplicates.damage import DamagedFile
from dsm_dask.duplicates.edges import nodes_of
from dsm_dask.duplicates.gone import Gone, renamed
from dsm_dask.duplicates.lookups import Numbered
from dsm_dask.duplicates.settled import Settled, file_name, grouped
from dsm_dask.duplicates.verified_groups import GroupFile, Groups, ascending
from dsm_dask.engine import Engine

U64 = npt.NDArray[np.uint64]

LEAST_TASKS = 2

MOST_NEW = 0.4
"""Share of the keys that may be new; with more, everything is grouped again."""

MOST_GONE = 4_000_000
"""Rows that may be gone since: every task that opens groups knows them all."""


@dataclasses.dataclass(frozen=True)
class NewlyGone:
    """An object of nodes: those that went, then pairs (first of some copies, its successor)."""

    uri: str
    nodes: int

    def read(self) -> tuple[U64, U64]:
        found = np.frombuffer(storage.read(self.uri), "<u8")
        return found[: self.nodes], found[self.nodes :].reshape(-1, 2)


@dataclasses.dataclass(frozen=True)
class Since:
    """What is to be done after an earlier run. ``seen`` is what the next one is told of the band
    files; ``groups`` are None when everything has to be done from nothing."""

    seen: dict[str, Gone | None]
    groups: tuple[GroupFile, ...] | None = None
    new: tuple[Numbered, ...] = ()
    old: tuple[Numbered, ...] = ()
    gone: tuple[NewlyGone, ...] = ()
    opened: tuple[str, ...] = ()
    """Objects with the nodes of rows that are left of groups that lost some."""


def since(
    settled: Settled, files: Sequence[Sequence[BandFile]], *, pairs: int, engine: Engine,
    fresh: bool = False,
) -> Since:  # fmt: skip
    """Compare the band files of all tables with those that an earlier run knew; ``fresh`` forgets
    that one. A task holds about ``pairs`` of rows."""
    every = [(table, file) for table, some in enumerate(files) for file in some]
    names = [file_name(*one) for one in every]
    listing = None if fresh else settled.load()
    if listing is not None and not set(listing.seen) <= set(names):
        listing = None
    known = {} if listing is None else listing.seen
    todo = [
        _Compare(one[0], one[1].gone, known.get(name), settled, number)
        for number, (one, name) in enumerate(zip(every, names, strict=True))
        if one[1].gone is not None and not _same(one[1].gone, known.get(name))
    ]
    lost = any(
        one[1].gone is None and known.get(name) is not None
        for one, name in zip(every, names, strict=True)
    )
    compared = engine.map(_Compare.run, todo, label="Looking for what is gone") if todo else []
    kept = {names[one.number]: told[0] for one, told in zip(todo, compared, strict=True)}
    seen = {
        name: kept.get(name, known.get(name)) if one[1].gone is not None else None
        for one, name in zip(every, names, strict=True)
    }
    new = tuple(one for one, name in zip(every, names, strict=True) if name not in known)
    gone = tuple(told[1] for told in compared if told[1] is not None and told[1].nodes)
    total, added = (sum(file.keys.count for _, file in some) for some in (every, new))
    if (
        listing is None
        or lost
        or any(told[1] is None for told in compared)
        or added > MOST_NEW * total
        or sum(one.nodes for one in gone) > MOST_GONE
    ):
        return Since(seen)
    old = tuple(one for one, name in zip(every, names, strict=True) if name in known)
    found = Since(seen, listing.files, new, old, gone)
    return _with_opened(found, settled, pairs, engine) if gone else found


def _same(now: Gone, known: Gone | None) -> bool:
    return known is not None and (now.sum, now.rows) == (known.sum, known.rows)


@dataclasses.dataclass(frozen=True)
class _Compare:
    """Keep what is gone of a band file, and tell what was not gone before."""

    table: int
    now: Gone
    known: Gone | None
    settled: Settled
    number: int

    def run(self) -> tuple[Gone, NewlyGone | None]:
        """None when a row is back, or what was gone cannot be read."""
        name = f"gone-{self.number:05d}"
        kept = self.settled.keep(name, self.now)
        gone, successors = self.now.read()
        if self.known is not None:
            try:
                before, firsts = self.known.read()
            except DamagedFile:
                return kept, None
            gone = np.setdiff1d(gone, before, assume_unique=True)
            successors = successors.copy()
            successors[:, 0] = renamed(successors[:, 0], firsts)  # as it was called then
            if len(gone) + len(before) != self.now.rows:
                return kept, None
        uri = storage.join(self.settled.work, f"newly-{name}")
        parts = (nodes_of(part, self.table) for part in (gone, successors))
        data = b"".join(part.astype("<u8").tobytes() for part in parts)
        storage.write(uri, data, durable=False)
        return kept, NewlyGone(uri, len(gone))


# ---------------------------------------------------------------------------------------------
# Groups that lost rows


def _with_opened(found: Since, settled: Settled, pairs: int, engine: Engine) -> Since:
    work = [
        _Reopen(files, found.gone, storage.join(settled.work, f"opened-{number:05d}"))
        for number, files in enumerate(grouped(found.groups or (), LEAST_TASKS, pairs))
    ]
    told = engine.map(_Reopen.run, work, label="Opening groups")
    if any(one is None for one in told):
        return Since(found.seen)
    opened = tuple(one.uri for one, rows in zip(work, told, strict=True) if rows)
    return dataclasses.replace(found, opened=opened)


@dataclasses.dataclass(frozen=True)
class _Reopen:
    """The rows that are left of groups that lost some, if they are more than one: a single one
    shared its keys with those that went."""

    files: tuple[GroupFile, ...]
    gone: tuple[NewlyGone, ...]
    uri: str

    def run(self) -> int | None:
        """How many rows; None when groups cannot be read."""
        gone, successors = gone_of(self.gone)
        opened = [np.empty(0, np.uint64)]
        for file in self.files:
            groups = file.read()
            if groups is None:
                return None
            opened.append(_left(groups, gone, successors))
        rows = ascending(opened)
        storage.write(self.uri, rows.astype("<u8").tobytes(), durable=False)
        return len(rows)


def gone_of(files: Sequence[NewlyGone]) -> tuple[U64, U64]:
    """All nodes that went, ascending, and pairs (first of some copies, its successor), by
    first."""
    read = [file.read() for file in files]
    gone = np.concatenate([np.empty(0, np.uint64), *(one for one, _ in read)])
    pairs = np.concatenate([np.empty((0, 2), np.uint64), *(pairs for _, pairs in read)])
    return np.sort(gone), pairs[np.argsort(pairs[:, 0])]


def _left(groups: Groups, gone: U64, successors: U64) -> U64:
    lost = groups.touching(gone)[groups.owners()]
    pairs, owner = groups.pairs[lost], groups.owners()[lost]
    nodes = np.concatenate([pairs["left"], pairs["right"]])
    group = np.concatenate([owner, owner])
    nodes = renamed(nodes, successors)
    live = ~np.isin(nodes, gone)
    nodes, group = nodes[live], group[live]
    order = np.lexsort((nodes, group))
    nodes, group = nodes[order], group[order]
    first = np.ones(len(nodes), np.bool_)
    first[1:] = (nodes[1:] != nodes[:-1]) | (group[1:] != group[:-1])
    nodes, group = nodes[first], group[first]
    several = np.bincount(group, minlength=len(groups.groups)) > 1
    found: U64 = nodes[several[group]]
    return found
