"""The incremental index of semantic deduplication: cells, home files and pairs of a dataset.

Centres are made once, from a sample, and kept. The vectors of each partition lie dealt to them
(:mod:`dsm_dask.duplicates.home_files`), and the pairs found among all these are kept as a forest.
After an append only the new rows are dealt, and compared with all; pairs among the others are known
already.

A forest does not say which pairs are left when a row goes: two rows may have been connected through
it only. So a component that lost a row counts when one row of it is left at most (which is then in
no pair): all is well after ``--drop``. Otherwise the index is of no use, nor when it was made of
less than half of the rows there are now, or when more than a :data:`SHARE` of them is new: then
everything is made anew, as if there had been none.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import codec, storage
from dsm_dask.duplicates import home_files
from dsm_dask.duplicates.cells import Cells
from dsm_dask.duplicates.components import Piece, components
from dsm_dask.duplicates.damage import DamagedFile, read_or_name, read_sealed, sealed
from dsm_dask.duplicates.dealing import Dealt, Part, Trim
from dsm_dask.duplicates.directory import Directory, directory
from dsm_dask.duplicates.edges import TABLE_BITS, EdgeFile
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.lasting_name import lasting_name
from dsm_dask.duplicates.settled import ListedCheck
from dsm_dask.duplicates.shares import read_shares, write_shares
from dsm_dask.duplicates.summed_edges import SummedEdges, write_summed
from dsm_dask.engine import Engine
from dsm_dask.errors import AccessDenied, CannotWrite, NotFound, StateVersion
from dsm_dask.table import Partition

U64 = npt.NDArray[np.uint64]

LISTING = "homes.dsm"
SHARE = 0.2
"""Share of the rows that may be new."""
GROWTH = 2
"""How many times the rows that centres were made of there may be."""


@dataclasses.dataclass(frozen=True)
class SemanticIndex:
    """What is kept of a dataset."""

    cells: Cells
    centres_xxh3: str
    made_of: int
    """Rows that the centres were made of."""
    parts: tuple[Part, ...]
    edges: tuple[SummedEdges, ...]

    @property
    def objects(self) -> set[str]:
        """All that it refers to."""
        homes = [file for part in self.parts for file in part.homes]
        gone = {file.gone.uri for file in homes if file.gone is not None}
        edges = {file.uri for file in self.edges}
        return {str(self.cells.uri), *(file.uri for file in homes), *gone, *edges}


def load(folder: str) -> SemanticIndex | None:
    """The index in a folder; None when there is none, or its listing is damaged."""
    with contextlib.suppress(NotFound, StateVersion):
        return _read_listing(storage.join(folder, LISTING))
    return None


def _read_listing(uri: str) -> SemanticIndex:
    """Raises StateVersion when it is not what was written."""
    cells, xxh3, made_of, parts, edges = codec.decode(read_sealed(uri))
    uri, count, dimension, quantiles = cells
    return SemanticIndex(
        Cells(uri, count, dimension, tuple(quantiles)), xxh3, made_of,
        tuple(Part.of(part) for part in parts), tuple(SummedEdges(*file) for file in edges),
    )  # fmt: skip


def save(folder: str, index: SemanticIndex) -> None:
    """Leave this for the next run, instead of what there was."""
    listing = storage.join(folder, LISTING)
    parts = tuple(dataclasses.astuple(part) for part in index.parts)
    edges = tuple(dataclasses.astuple(file) for file in index.edges)
    cells = dataclasses.astuple(index.cells)
    data = codec.encode((cells, index.centres_xxh3, index.made_of, parts, edges))
    storage.write(listing, sealed(data))
    kept = index.objects | {listing, storage.join(folder, "index.json")}
    for item in storage.listing(folder):
        if item.uri not in kept:
            storage.delete(item.uri)


def forget(folder: str) -> None:
    """Have the next run make everything anew."""
    with contextlib.suppress(NotFound, AccessDenied, CannotWrite):
        storage.delete(storage.join(folder, LISTING))


def may_write(folder: str, run: str) -> bool:
    """Whether an index may be kept in a folder: there may be no right to write there."""
    uri = storage.join(folder, f"{run}-try")
    try:
        storage.write(uri, b"", durable=False)
        storage.delete(uri)
    except (AccessDenied, CannotWrite):
        return False
    return True


def keep_centres(cells: Cells, folder: str, run: str, engine: Engine) -> tuple[Cells, str]:
    """Copy the centres to the folder of an index; their checksum, too."""
    kept = storage.join(folder, f"{run}-centres.dsm")
    (xxh3,) = engine.map(_Copy(kept), [cells.uri], label="Keeping centres")
    return dataclasses.replace(cells, uri=kept), xxh3


@dataclasses.dataclass(frozen=True)
class _Copy:
    uri: str

    def __call__(self, source: str) -> str:
        data = storage.read(source)
        storage.write(self.uri, data, durable=False)
        return xxhash.xxh3_128_hexdigest(data)


# ---------------------------------------------------------------------------------------------
# What of it is still of use


@dataclasses.dataclass(frozen=True)
class Known:
    """What a run need not do again: partitions that were dealt, and the pairs among them."""

    index: SemanticIndex
    table: int
    dealt: tuple[Dealt, ...]
    edges: tuple[SummedEdges, ...]

    @property
    def names(self) -> set[str]:
        return {one.part.name for one in self.dealt}


@dataclasses.dataclass(frozen=True)
class Recall:
    """Look up what of an index is of use for a table, which is that of number ``table`` in this
    run. ``kept`` takes what stays of the pairs, ``work`` what passes between tasks."""

    index: SemanticIndex
    table: int
    column: str
    kept: str
    work: str

    def there(self, partitions: Sequence[Partition]) -> list[tuple[Part, Partition]]:
        """The partitions that were dealt before, and still are in the table."""
        parts = {part.name: part for part in self.index.parts}
        named = ((parts.get(lasting_name(one, self.column)), one) for one in partitions)
        return [(part, one) for part, one in named if part is not None]

    def fits(self, partitions: Sequence[Partition], rows: int) -> bool:
        """Whether enough of ``rows``, those of all tables, was dealt before."""
        known = sum(one.rows for _, one in self.there(partitions))
        return rows - known <= SHARE * rows and rows <= GROWTH * self.index.made_of

    def run(self, partitions: Sequence[Partition], engine: Engine) -> Known | None:
        """None when the index is of no use, or damaged."""
        there = self.there(partitions)
        changed = [pair for pair in there if pair[0].seen != pair[1].fingerprint]
        work = [Trim(part, one, self.table, self.kept) for part, one in changed]
        trimmed = engine.map(_trimmed, work, label="Leaving out dropped rows")
        told = {one.part.name: one for one in trimmed if one is not None}
        edges = self._edges(engine) if len(told) == len(changed) else None
        if edges is not None and (changed or len(there) < len(self.index.parts)):
            edges = self._left(edges, [one for _, one in there], engine)
        if edges is None:
            return None
        dealt = (told.get(part.name) or self._whole(part) for part, _ in there)
        return Known(self.index, self.table, tuple(dealt), tuple(edges))

    def _whole(self, part: Part) -> Dealt:
        homes = tuple(dataclasses.replace(file, table=self.table) for file in part.homes)
        return Dealt(self.table, dataclasses.replace(part, homes=homes), fresh=False)

    def _edges(self, engine: Engine) -> list[SummedEdges] | None:
        """The pairs that are known; None when a file of them or the centres are damaged."""
        centres = (str(self.index.cells.uri), self.index.centres_xxh3)
        if not all(engine.map(_is_whole, [centres], label="Recalling")):
            return None
        found = engine.map(
            _Renumber(self.table, self.work), list(enumerate(self.index.edges)), label="Recalling"
        )
        edges = [file for file in found if file is not None]
        return edges if len(edges) == len(found) else None

    def _left(
        self, edges: Sequence[SummedEdges], partitions: Sequence[Partition], engine: Engine
    ) -> list[SummedEdges] | None:
        """The pairs of components that lost no row; None when some lost a few but not all."""
        folder = storage.join(self.work, "recalled")
        plain = [EdgeFile(file.uri, file.edges) for file in edges]
        pieces = components(plain, folder, engine=engine)
        if not pieces:
            return []
        places = directory(pieces, folder, engine=engine)
        live = engine.map_partitions(
            _Live(places, self.table, folder), partitions, label="Recalling"
        )
        uris = tuple(uri for uri in live if uri is not None)
        work = [
            _Left(piece, number, len(pieces), uris, self.kept)
            for number, piece in enumerate(pieces)
        ]
        found = engine.map(_Left.run, work, label="Recalling")
        whole = [file for file in found if file is not None]
        return [file for file in whole if file.edges] if len(whole) == len(found) else None


def _trimmed(work: Trim) -> Dealt | None:
    try:
        return work.run()
    except DamagedFile:
        return None


def _is_whole(told: tuple[str, str]) -> bool:
    uri, xxh3 = told
    try:
        return xxhash.xxh3_128_hexdigest(storage.read(uri)) == xxh3
    except NotFound:
        return False


@dataclasses.dataclass(frozen=True)
class _Renumber:
    """Check a file of edges; with the nodes of table 0 as those of another, in a file of its own.
    None when it is damaged."""

    table: int
    folder: str

    def __call__(self, numbered: tuple[int, SummedEdges]) -> SummedEdges | None:
        number, file = numbered
        edges = file.verified()
        if edges is None or not self.table:
            return None if edges is None else file
        edges = edges.copy()
        for end in ("left", "right"):
            edges[end] |= np.uint64(self.table << TABLE_BITS)
        return write_summed(storage.join(self.folder, f"renumbered-{number:05}"), edges)


@dataclasses.dataclass(frozen=True)
class _Live:
    """The rows of a partition that are in a known pair, by piece."""

    places: Directory
    table: int
    folder: str

    def __call__(self, partition: Partition) -> str | None:
        nodes, pieces = self.places.rows_of(partition, self.table)
        if not len(nodes):
            return None
        uri = storage.join(self.folder, f"live-{int(nodes[0])}-{partition.fingerprint}")
        write_shares(uri, nodes, pieces, self.places.pieces)
        return uri


@dataclasses.dataclass(frozen=True)
class _Left:
    piece: Piece
    number: int
    pieces: int
    live: tuple[str, ...]
    folder: str

    def run(self) -> SummedEdges | None:
        members, edges = self.piece.read()
        live = read_shares(self.live, self.number, self.pieces, np.uint64)
        there = np.isin(members["node"], live)
        starts = np.flatnonzero(first_of_runs(members["root"]))
        left = np.add.reduceat(there.astype(np.int64), starts)
        sizes = np.diff(np.append(starts, len(members)))
        if ((left > 1) & (left < sizes)).any():
            return None
        whole = members["node"][np.repeat(left == sizes, sizes)]
        found = edges[np.isin(edges["left"], whole)]
        # by what it holds: the same when a lost worker's task is run again
        name = f"left-{xxhash.xxh3_128_hexdigest(found.tobytes())}-{self.number:05}.pairs"
        return write_summed(storage.join(self.folder, name), found)


# ---------------------------------------------------------------------------------------------
# Checking


def check_listed(listing: str) -> ListedCheck:
    """Read all that an index refers to, and compare checksums."""
    try:
        index = _read_listing(listing)
    except (NotFound, StateVersion):
        return ListedCheck((listing,), (listing,))
    summed = [(str(index.cells.uri), index.centres_xxh3)]
    summed += [(file.uri, file.xxh3) for file in index.edges]
    damaged = [told[0] for told in summed if not _is_whole(told)]
    for file in (file for part in index.parts for file in part.homes):
        if not home_files.is_whole(file.uri):
            damaged.append(file.uri)
        if file.gone is not None:
            read_or_name(file.gone.read, damaged)
    return ListedCheck((listing, *index.objects), tuple(damaged))
