"""Images that look alike: rows of which the perceptual hashes differ in a few bits.

Workers read the images of each partition, as bytes or from the URIs that a column of strings holds,
and write their hashes (:mod:`dsm_dask.duplicates.perceptual_hash`) by band and by the first bits of
the band; other tasks find the pairs of one such share and its neighbours
(:mod:`dsm_dask.duplicates.hamming`). Images of equal hashes are linked with the first of them and
compared once, so that a million copies cost no more than one.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec, storage
from dsm_dask.arrays import plain, plain_type
from dsm_dask.duplicates.alike import Pairs
from dsm_dask.duplicates.bands import BANDS, BITS, MOST, band_of, masks
from dsm_dask.duplicates.cells import file_name
from dsm_dask.duplicates.edges import EDGE, EdgeFile, edges_of, nodes_of, write_edges
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.perceptual_hash import (
    Method,
    Undecodable,
    cause,
    load_pillow,
    perceptual_hash,
    shortened,
)
from dsm_dask.duplicates.shares import read_shares, side_by_side, write_shares
from dsm_dask.engine import Engine
from dsm_dask.errors import AccessDenied, DsmError, SchemaError, StoreUnreachable, UsageError
from dsm_dask.report.text import many
from dsm_dask.stats.values import kind_of
from dsm_dask.table import ROW_ID, Partition, Table, check_columns

U64 = npt.NDArray[np.uint64]
Hashes = npt.NDArray[Any]

DISTANCE = 6
"""Bits of 64 that may differ, unless said otherwise. Krawetz takes up to 5 for variations of an
image, and more than 10 for another one."""
HASH = np.dtype([("hash", "<u8"), ("node", "<u8")])
AT_ONCE = 64
"""Images read side by side."""
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
        if not 0 <= self.distance <= MOST:
            raise UsageError(
                f"{self.distance} differing bits are no distance.", valid=f"From 0 to {MOST}."
            )
        for table in tables:
            _check(table, self.on)
        load_pillow()

    def pairs(self, tables: Sequence[Table], folder: str, *, engine: Engine) -> Pairs:
        """See :func:`image_pairs`."""
        found = image_pairs(tables, self, folder, engine=engine)
        not_seen, notes = found.not_seen, []
        if not_seen.undecodable:
            notes.append(
                f"{many(not_seen.undecodable, 'image')} cannot be read (duplicates of nothing): "
                f"{'; '.join(not_seen.examples)}."
            )
        return Pairs(found.edges, found.rows, not_seen.to_dict(), tuple(notes))


@dataclasses.dataclass(frozen=True)
class ImagePairs:
    """The pairs of images that look alike, as edges in the store; their similarity is the share of
    bits that agree."""

    edges: tuple[EdgeFile, ...]
    rows: int
    """Of table 0."""
    not_seen: NotSeen


def image_pairs(
    tables: Sequence[Table], images: Images, folder: str, *, engine: Engine
) -> ImagePairs:
    """Pairs of rows of ``tables`` of which the images look alike: a forest of them, written below
    ``folder``. Table 0 is the data.

    An image that cannot be read or decoded is counted with its cause, and takes part in no pair.
    Raises StoreUnreachable when no store answers for any image, or for any of the first
    :data:`AT_ONCE` of a partition.
    """
    bits = prefix_bits(sum(table.rows for table in tables))
    written: list[_Written] = []
    for number, table in enumerate(tables):
        writer = _WriteHashes(images.on, images.name, bits, folder, number)
        written += engine.map_partitions(writer, table.partitions(), label="Hashing images")
    not_seen = sum((one.not_seen for one in written), NotSeen())
    uris = tuple(one.uri for one in written if one.uri is not None)
    if not uris and 0 < not_seen.unreached == not_seen.undecodable:
        raise _unreachable(not_seen.examples[0])
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
    return ImagePairs(tuple(edges), rows, not_seen)


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


@dataclasses.dataclass(frozen=True)
class _WriteHashes:
    """The distinct hashes of a partition, four times over: by each band's first bits."""

    column: str
    method: Method
    bits: int
    folder: str
    table: int

    def __call__(self, partition: Partition) -> _Written:
        found, not_seen = [np.empty(0, HASH)], NotSeen()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of large images and odd metadata
            for batch in partition.read([self.column, ROW_ID]):
                hashes, missing = self._of(batch, partition.label)
                found.append(hashes)
                not_seen += missing
        records = np.concatenate(found)
        if not len(records):
            return _Written(self.table, not_seen.rows, None, None, not_seen)
        name = f"{self.table:03}-{file_name(partition, self.column)}"
        firsts, repeated = _collapsed(records)
        edges = None
        if len(repeated):
            edges = write_edges(storage.join(self.folder, "edges", name), repeated)
        uri = storage.join(self.folder, "hashes", name)
        self._write(uri, firsts)
        return _Written(self.table, len(records) + not_seen.rows, uri, edges, not_seen)

    def _write(self, uri: str, records: Hashes) -> None:
        shares = [
            (band << self.bits) + (band_of(records["hash"], band) >> (BITS - self.bits))
            for band in range(BANDS)
        ]
        repeated = np.concatenate([records] * BANDS)
        write_shares(uri, repeated, np.concatenate(shares), BANDS << self.bits)

    def _of(self, batch: pa.RecordBatch, label: str) -> tuple[Hashes, NotSeen]:
        ids = batch.column(ROW_ID).to_numpy()
        hashes, rows, causes, unreached = [], [], [], 0
        for row, found in _hashes(plain(batch.column(self.column)), self.method):
            if isinstance(found, Undecodable):
                unreached += isinstance(found, _Unreached)
                causes.append(f"row {ids[row]} of {label}: {found}")
            else:
                hashes.append(found)
                rows.append(row)
            if not hashes and unreached == len(causes) == AT_ONCE:
                raise _unreachable(causes[0])
        records = np.empty(len(rows), HASH)
        records["hash"] = np.array(hashes, np.uint64)
        records["node"] = nodes_of(ids[np.array(rows, np.int64)], self.table)
        nulls = batch.column(self.column).null_count
        return records, NotSeen(nulls, len(causes), unreached, tuple(causes[:NAMED]))


class _Unreached(Undecodable):
    """The store did not answer, or refused."""


def _unreachable(example: str) -> StoreUnreachable:
    return StoreUnreachable(
        f"No image can be read. The first: {example}.",
        valid="Check the URIs, AWS_ENDPOINT_URL and the network, then run the same command again.",
    )


def _hashes(column: pa.Array, method: Method) -> Iterator[tuple[int, int | Undecodable]]:
    """The hash of each image that is not null, or why it has none."""

    def hashed(row: int) -> int | Undecodable:
        value = column[row].as_py()
        try:
            return perceptual_hash(_fetched(value) if isinstance(value, str) else value, method)
        except Undecodable as error:
            return error

    rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)).tolist()
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        yield from zip(some, side_by_side(hashed, some), strict=True)


def _fetched(uri: str) -> bytes:
    try:
        return storage.read(uri)
    except (AccessDenied, StoreUnreachable) as error:
        inner = cause(error.__cause__) if isinstance(error.__cause__, Exception) else error.what
        told = f"the store of {uri} did not answer, or refused: {inner}"
        raise _Unreached(shortened(told)) from None
    except DsmError as error:
        raise Undecodable(shortened(error.what)) from None
    except Exception as error:  # a URI that is none leads to whatever its file system raises
        raise Undecodable(shortened(f"{cause(error)}: {uri}")) from error


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
