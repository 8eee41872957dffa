"""Images that look alike: rows of which the perceptual hashes differ in a few bits.

Workers read the images of each partition, as bytes or from the URIs that a column of strings holds,
and write their hashes (:mod:`dsm_dask.duplicates.perceptual_hash`) by band and by the first bits of
the band; other tasks find the pairs of one such share and its neighbours
(:mod:`dsm_dask.duplicates.hamming`). Images of equal hashes are linked with the first of them and
compared once, so that a million copies cost no more than one. The hashes of what a dataset holds as
bytes are kept beside it (:mod:`dsm_dask.duplicates.hash_files`).
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

from dsm_dask import codec, storage
from dsm_dask.arrays import plain_type
from dsm_dask.dataset.version import Dataset
from dsm_dask.duplicates.alike import Pairs
from dsm_dask.duplicates.bands import BANDS, BITS, MOST, band_of, masks
from dsm_dask.duplicates.cells import file_name
from dsm_dask.duplicates.edges import EDGE, EdgeFile, edges_of, nodes_of, write_edges
from dsm_dask.duplicates.hash_files import SUFFIX, Hashed, load, save
from dsm_dask.duplicates.image_hashes import hash_images, unreachable
from dsm_dask.duplicates.indexes import describe
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.lasting_name import lasting_name
from dsm_dask.duplicates.perceptual_hash import (
    Method,
    load_pillow,
)
from dsm_dask.duplicates.result import IndexUse
from dsm_dask.duplicates.shares import read_shares, write_shares
from dsm_dask.engine import Engine
from dsm_dask.errors import (
    AccessDenied,
    CannotWrite,
    SchemaError,
    UsageError,
)
from dsm_dask.report.text import many
from dsm_dask.stats.values import kind_of
from dsm_dask.table import ROW_ID, Partition, Table, check_columns

U64 = npt.NDArray[np.uint64]
Hashes = npt.NDArray[Any]

DISTANCE = 6
"""Bits of 64 that may differ, unless said otherwise. Krawetz takes up to 5 for variations of an
image, and more than 10 for another one."""
HASH = np.dtype([("hash", "<u8"), ("node", "<u8")])
TASK_ROWS = 1 << 20
NAMED = 5
"""Unreadable images named in a result."""


@dataclasses.dataclass(frozen=True)
class NotSeen:
    """Rows without a hash, by reason; none of them is a duplicate of anything."""

    null: int = 0
    undecodable: int = 0
    """Damaged, of a format that Pillow does not know, too large, or not to be had from the URI."""
    unreached: int = 0
    """... of which this many because the store did not answer or refused."""
    examples: tuple[str, ...] = ()
    """The first few of the undecodable: row id, partition, cause."""

    def __add__(self, other: NotSeen) -> NotSeen:
        return NotSeen(
            self.null + other.null,
            self.undecodable + other.undecodable,
            self.unreached + other.unreached,
            (self.examples + other.examples)[:NAMED],
        )

    @property
    def rows(self) -> int:
        return self.null + self.undecodable

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "examples": list(self.examples)}


@dataclasses.dataclass(frozen=True)
class Images:
    """What images that look alike are: their perceptual hashes differ in ``distance`` of 64 bits at
    most. Column ``on`` holds them as bytes, or holds the URIs where they are."""

    on: str
    name: Method = "phash"
    distance: int = DISTANCE

    def to_dict(self) -> dict[str, Any]:
        """As in JSON, and in the lineage of a commit."""
        return {"distance": self.distance}

    def check(self, tables: Sequence[Table]) -> None:
        """Raise SchemaError unless the column holds bytes or strings, UsageError for a distance
        that is not between 0 and 15, MissingExtra without Pillow."""
        if not isinstance(self.distance, int | np.integer) or not 0 <= self.distance <= MOST:
            raise UsageError(
                f"{self.distance} differing bits are no distance.", valid=f"From 0 to {MOST}."
            )
        for table in tables:
            _check(table, self.on)
        load_pillow()

    def pairs(
        self, tables: Sequence[Table], folder: str, *, engine: Engine, keep: bool = False
    ) -> Pairs:
        """See :func:`image_pairs`."""
        found = image_pairs(tables, self, folder, engine=engine, keep=keep)
        not_seen, notes = found.not_seen, []
        if not_seen.undecodable:
            notes.append(
                f"{many(not_seen.undecodable, 'image')} cannot be read (duplicates of nothing): "
                f"{'; '.join(not_seen.examples)}."
            )
        return Pairs(found.edges, found.rows, not_seen.to_dict(), tuple(notes), found.index)


@dataclasses.dataclass(frozen=True)
class ImagePairs:
    """The pairs of images that look alike, as edges in the store; their similarity is the share of
    bits that agree."""

    edges: tuple[EdgeFile, ...]
    rows: int
    """Of table 0."""
    not_seen: NotSeen
    index: IndexUse | None = None
    """Hashes that were known, or are kept, of the images of datasets."""


def image_pairs(
    tables: Sequence[Table], images: Images, folder: str, *, engine: Engine, keep: bool = False
) -> ImagePairs:
    """Pairs of rows of ``tables`` of which the images look alike: a forest of them, written below
    ``folder``. Table 0 is the data.

    The hashes of images that a dataset holds as bytes are looked for in the index beside it, and
    with ``keep`` put there, where one may write. Those of URIs never are: what is there may change.

    An image that cannot be read or decoded is counted with its cause, and takes part in no pair.
    Raises StoreUnreachable when no store answers for any image, or for any of the first of a
    partition.
    """
    bits = prefix_bits(sum(table.rows for table in tables))
    written: list[_Written] = []
    for number, table in enumerate(tables):
        index = _index_of(table, images, keep)
        writer = _WriteHashes(images.on, images.name, bits, folder, number, index, keep)
        written += engine.map_partitions(writer, table.partitions(), label="Hashing images")
    not_seen = sum((one.not_seen for one in written), NotSeen())
    uris = tuple(one.uri for one in written if one.uri is not None)
    if not uris and 0 < not_seen.unreached == not_seen.undecodable:
        raise unreachable(not_seen.examples[0])
    edges = [one.edges for one in written if one.edges is not None]
    if uris:
        listed = storage.join(folder, "hashes.dsm")
        storage.write(listed, codec.encode(uris))
        work = [
            _Compare(listed, band, prefix, bits, images.distance, folder)
            for band in range(BANDS)
            for prefix in range(2**bits)
        ]
        found = engine.map(_Compare.run, work, label="Comparing hashes")
        edges += [file for file in found if file is not None]
    rows = sum(one.rows for one in written if one.table == 0)
    return ImagePairs(tuple(edges), rows, not_seen, _used(written))


def _index_of(table: Table, images: Images, keep: bool) -> str | None:
    """The folder of the index of a dataset's images; None for those that have none."""
    is_bytes = kind_of(plain_type(table.schema.field(images.on).type)) == "binary"
    if not isinstance(table, Dataset) or not is_bytes:
        return None
    column = hashlib.blake2b(images.on.encode(), digest_size=4).hexdigest()
    folder = storage.join(table.uri, "_dsm", "index", f"{images.name}-{column}")
    if keep:
        describe(folder, {"method": images.name, "on": images.on})
    return folder


def _used(written: Sequence[_Written]) -> IndexUse | None:
    kept = [one for one in written if one.index_bytes]
    if not kept:
        return None
    fresh = sum(one.fresh for one in kept)
    return IndexUse(len(kept), fresh, sum(one.index_bytes for one in kept))


def _check(table: Table, column: str) -> None:
    check_columns(table, (column,))
    dtype = plain_type(table.schema.field(column).type)
    if kind_of(dtype) in {"string", "binary"}:
        return
    raise SchemaError(
        f"The column {column!r} is of type {dtype}, which holds no images.",
        where=table.uri,
        valid="Images are bytes (binary), or strings: the URIs where they are.",
    )


def prefix_bits(rows: int) -> int:
    """How many bits of a band choose the task: each has about a million rows.

    >>> prefix_bits(1000), prefix_bits(10_000_000)
    (0, 4)
    """
    return min(8, max(0, -(-rows // TASK_ROWS) - 1).bit_length())


# ---------------------------------------------------------------------------------------------
# Hashes


@dataclasses.dataclass(frozen=True)
class _Written:
    table: int
    rows: int
    uri: str | None
    edges: EdgeFile | None
    not_seen: NotSeen
    fresh: bool = True
    """Whether the images were decoded."""
    index_bytes: int = 0
    """Of the hashes beside the dataset; 0 when they are not there."""


@dataclasses.dataclass(frozen=True)
class _WriteHashes:
    """The distinct hashes of a partition, four times over: by each band's first bits. What is in
    the folder ``index`` is not computed again, and what is not is put there, to ``keep`` it."""

    column: str
    method: Method
    bits: int
    folder: str
    table: int
    index: str | None = None
    keep: bool = False

    def __call__(self, partition: Partition) -> _Written:
        hashed, fresh, size = self._hashed(partition)
        told = zip(hashed.undecodable.tolist(), hashed.causes, strict=False)
        causes = (f"row {row} of {partition.label}: {why}" for row, why in told)
        not_seen = NotSeen(
            len(hashed.nulls), len(hashed.undecodable), hashed.unreached,
            tuple(itertools.islice(causes, NAMED)),
        )  # fmt: skip
        written = _Written(
            self.table, len(hashed.rows) + not_seen.rows, None, None, not_seen, fresh, size
        )
        if not len(hashed.rows):
            return written
        records = np.empty(len(hashed.rows), HASH)
        records["hash"], records["node"] = hashed.hashes, nodes_of(hashed.rows, self.table)
        name = f"{self.table:03}-{file_name(partition, self.column)}"
        firsts, repeated = _collapsed(records)
        edges = None
        if len(repeated):
            edges = write_edges(storage.join(self.folder, "edges", name), repeated)
        uri = storage.join(self.folder, "hashes", name)
        self._write(uri, firsts)
        return dataclasses.replace(written, uri=uri, edges=edges)

    def _hashed(self, partition: Partition) -> tuple[Hashed, bool, int]:
        """The hashes, whether they are new, and how many bytes of the index they are."""
        if self.index is None:
            return hash_images(partition, self.column, self.method), True, 0
        uri = storage.join(self.index, lasting_name(partition, self.column) + SUFFIX)
        known = load(uri)
        if known is not None:
            hashed, size = known
            if hashed.made_of == partition.fingerprint:
                return hashed, False, size
            batches = [batch.column(0).to_numpy() for batch in partition.read([ROW_ID])]
            left = hashed.among(np.concatenate([np.empty(0, np.uint64), *batches]))
            if left is not None:
                return left, False, size
        hashed, size = hash_images(partition, self.column, self.method), 0
        if self.keep:
            with contextlib.suppress(AccessDenied, CannotWrite):
                size = save(uri, hashed)
        return hashed, True, size

    def _write(self, uri: str, records: Hashes) -> None:
        shares = [
            (band << self.bits) + (band_of(records["hash"], band) >> (BITS - self.bits))
            for band in range(BANDS)
        ]
        repeated = np.concatenate([records] * BANDS)
        write_shares(uri, repeated, np.concatenate(shares), BANDS << self.bits)


def _collapsed(records: Hashes) -> tuple[Hashes, npt.NDArray[np.void]]:
    """The first node of each hash, and edges from it to the others."""
    records = records[np.lexsort((records["node"], records["hash"]))]
    is_first = first_of_runs(records["hash"])
    firsts = records[is_first]
    leaders = firsts["node"][np.cumsum(is_first) - 1][~is_first]
    return firsts, edges_of(leaders, records["node"][~is_first], 1.0)


# ---------------------------------------------------------------------------------------------
# Pairs


@dataclasses.dataclass(frozen=True)
class _Compare:
    """Pairs of hashes of which a band begins alike, as an object of edges; None for none."""

    listed: str
    band: int
    prefix: int
    bits: int
    distance: int
    folder: str

    def run(self) -> EdgeFile | None:
        from dsm_dask.duplicates.hamming import pairs_within

        own, repeated = _collapsed(self._read(self.prefix))
        if not len(own):
            return None
        around = [int(mask) ^ self.prefix for mask in masks(self.distance, self.bits)]
        # of two neighbours, the one with the lower prefix compares
        others = [_collapsed(self._read(one))[0] for one in around if one > self.prefix]
        records = np.concatenate([own, *others])
        is_own = np.arange(len(records)) < len(own)
        left, right, bits = pairs_within(records["hash"], is_own, self.band, self.distance)
        nodes = records["node"]
        found = [edges_of(nodes[left], nodes[right], (1 - bits / 64).astype(np.float32))]
        if self.band == 0:
            found.append(repeated)
        edges = np.concatenate([np.empty(0, EDGE), *found])
        if not len(edges):
            return None
        name = f"{self.band}-{self.prefix:03}"
        return write_edges(storage.join(self.folder, "edges", name), edges)

    def _read(self, prefix: int) -> Hashes:
        share = (self.band << self.bits) + prefix
        return read_shares(codec.decode(storage.read(self.listed)), share, BANDS << self.bits, HASH)
