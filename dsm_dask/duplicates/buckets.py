"""Buckets: the keys of all files of which the hash begins with the same bits, one task each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.damage import read_or_name
from dsm_dask.duplicates.edges import nodes_of
from dsm_dask.duplicates.key_files import FIRST, KeyFile, Share
from dsm_dask.duplicates.keys import MOST_BITS
from dsm_dask.duplicates.shares import side_by_side

Records = npt.NDArray[Any]

BUCKET = 1 << 20
"""Rows in a bucket, at most, on average."""


@dataclasses.dataclass(frozen=True, eq=False)
class Held:
    """What the files hold of one bucket."""

    files: tuple[KeyFile, ...]
    tables: tuple[int, ...]
    """The number of the table of each file."""
    shares: tuple[Share, ...]

    @property
    def counts(self) -> list[int]:
        """How many first rows each file has."""
        return [len(share.firsts) for share in self.shares]

    def records(self) -> Records:
        """The first rows of all files, in their order, with nodes (see
        :mod:`dsm_dask.duplicates.edges`) for row ids."""
        found = joined([share.firsts for share in self.shares])
        counts = self.counts
        for table, end, count in zip(self.tables, np.cumsum(counts).tolist(), counts, strict=True):
            if table:
                own = found[end - count : end]
                own["row"] = nodes_of(own["row"], table)
        return found


@dataclasses.dataclass(frozen=True)
class Bucket:
    """All rows of which the hash begins with ``number``, a number of ``bits`` bits."""

    listed: str
    """An object that lists the key files."""
    number: int
    bits: int

    def read(self, damaged: list[str]) -> Held | None:
        """None when a file is damaged; it is then listed."""
        rows = codec.decode(storage.read(self.listed))
        tables = tuple(row[0] for row in rows)
        files = tuple(KeyFile(*row[1:]) for row in rows)
        wrong: list[str] = []
        read = side_by_side(
            lambda file: read_or_name(lambda: file.share(self.number, self.bits), wrong), files,
            waits=not all(storage.is_local(file.uri) for file in files),
        )  # fmt: skip
        damaged += wrong
        if wrong:
            return None
        return Held(files, tables, tuple(share for share in read if share is not None))


def joined(firsts: Sequence[Records]) -> Records:
    """First rows one after the other; as bytes, as NumPy copies records field by field."""
    raw = [np.ascontiguousarray(some).view(np.uint8) for some in firsts]
    return np.concatenate([np.empty(0, np.uint8), *raw]).view(FIRST)


def buckets(files: Sequence[Sequence[KeyFile]], folder: str) -> list[Bucket]:
    """The buckets of the key files of some tables; the list of these goes to ``folder``."""
    listed = storage.join(folder, "keys.dsm")
    rows = tuple(
        (table, *dataclasses.astuple(file)) for table, some in enumerate(files) for file in some
    )
    storage.write(listed, codec.encode(rows), durable=False)
    bits = bucket_bits(sum(file.rows for some in files for file in some))
    return [Bucket(listed, number, bits) for number in range(2**bits)]


def bucket_bits(rows: int) -> int:
    """How many hash prefix bits to split the grouping by, for buckets of a million rows.

    >>> bucket_bits(1_000), bucket_bits(10_000_000), bucket_bits(100_000_000)
    (2, 4, 7)
    """
    return min(MOST_BITS, max(2, (max(1, -(-rows // BUCKET)) - 1).bit_length()))
