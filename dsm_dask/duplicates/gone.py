"""Rows of a kept file that were dropped since it was written: an object beside it says which.

Kept files hold equal rows once: the first of them stands for its copies. When it goes, the smallest
copy that is left takes its place.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import storage
from dsm_dask.duplicates.damage import DamagedFile, check, reading
from dsm_dask.duplicates.keys import first_of_runs

U64 = npt.NDArray[np.uint64]


@dataclasses.dataclass(frozen=True)
class Gone:
    """How many rows are gone; firsts of copies among them that have a successor; and the XXH3-64
    of the object."""

    uri: str
    rows: int
    renamed: int
    sum: int

    @staticmethod
    def write(uri: str, gone: U64, copies: U64) -> Gone:
        """Store the row ids that are gone, ascending, with the successors of those that have
        copies: pairs (first, copy), of shape (copies, 2)."""
        orphans = copies[np.isin(copies[:, 0], gone) & ~np.isin(copies[:, 1], gone)]
        orphans = orphans[np.lexsort((orphans[:, 1], orphans[:, 0]))]
        renamed = orphans[first_of_runs(orphans[:, 0])]
        data = gone.astype("<u8").tobytes() + renamed.astype("<u8").tobytes()
        storage.write(uri, data, durable=False)
        return Gone(uri, len(gone), len(renamed), xxhash.xxh3_64_intdigest(data))

    def read(self) -> tuple[U64, U64]:
        """Row ids that are gone, ascending, and pairs (first, its successor), by first; raises
        DamagedFile when it is not what was written."""
        with reading(self.uri):
            raw = storage.read(self.uri)
        check(xxhash.xxh3_64_intdigest(raw) == self.sum, self.uri)
        found = np.frombuffer(raw, "<u8")
        return found[: self.rows], found[self.rows :].reshape(-1, 2)

    def is_whole(self) -> bool:
        """Whether it is what was written: reads all of it."""
        try:
            self.read()
        except DamagedFile:
            return False
        return True

    def kept(self, uri: str) -> Gone:
        """The same at another place."""
        with reading(self.uri):
            storage.write(uri, storage.read(self.uri), durable=False)
        return dataclasses.replace(self, uri=uri)


def renamed(rows: U64, successors: U64) -> U64:
    """Row ids with successors in the place of firsts.

    >>> renamed(np.array([5, 7], np.uint64), np.array([[7, 9]], np.uint64)).tolist()
    [5, 9]
    """
    if not len(successors):
        return rows
    place = np.minimum(np.searchsorted(successors[:, 0], rows), len(successors) - 1)
    found: U64 = np.where(successors[place, 0] == rows, successors[place, 1], rows)
    return found
