"""Rows of a band file in 17 bits each: what a record holds of its row beside 47 bits of a key.

A *place* is how far a row id is from the smallest one of the file, where all are that near; else
its number in the ascending list of the file's rows.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]

BITS = 17
MOST = 1 << BITS
"""Rows in a file, at most."""
_PLACE = np.uint64(MOST - 1)


def near(rows: U64) -> bool:
    """Whether the smallest and the largest of some row ids are close enough to be told by it.

    >>> near(np.array([900_000, 900_100], np.uint64)), near(np.array([0, 131_072], np.uint64))
    (True, False)
    """
    return not len(rows) or int(rows.max()) - int(rows.min()) < MOST


def packed(keys: U64, places: U64) -> U64:
    """Keys without their last 17 bits, with a place instead of these."""
    found: U64 = (keys & ~_PLACE) | places
    return found


def keys_of(records: U64) -> U64:
    """The keys of packed records, with zeros for the last 17 bits."""
    found: U64 = records & ~_PLACE
    return found


def limit(number: int, ranges: int) -> int:
    """Where range ``number`` of all keys begins: no packed key is in two of them.

    >>> limit(0, 3), hex(limit(1, 3)), limit(3, 3) == 1 << 64
    (0, '0x5555555555540000', True)
    """
    return ((number << 64) // ranges) >> BITS << BITS


@dataclasses.dataclass(frozen=True)
class RowPlaces:
    """The rows of a file: by the smallest one, or as an ascending list.

    >>> RowPlaces(700).rows(np.array([1], np.uint64)).tolist()
    [701]
    """

    first: int = 0
    listed: U64 | None = None

    @staticmethod
    def of(rows: U64) -> RowPlaces:
        """Those of ascending row ids."""
        if near(rows):
            return RowPlaces(int(rows[0]) if len(rows) else 0)
        return RowPlaces(int(rows[0]), rows)

    def places(self, rows: U64) -> U64:
        """The places of rows of the file."""
        if self.listed is None:
            return rows - np.uint64(self.first)
        return np.searchsorted(self.listed, rows).astype(np.uint64)

    def rows(self, records: U64) -> U64:
        """The row ids of packed records."""
        places = records & _PLACE
        if self.listed is None:
            return places + np.uint64(self.first)
        return self.listed[places.astype(np.int64)]

    def among(self, records: U64, rows: U64) -> npt.NDArray[np.bool_]:
        """Whether the row of each packed record is one of some row ids."""
        wanted = np.zeros(MOST, np.bool_)
        if self.listed is None:
            there = (rows >= np.uint64(self.first)) & (rows < np.uint64(self.first + MOST))
            wanted[(rows[there] - np.uint64(self.first)).astype(np.int64)] = True
        else:
            wanted[: len(self.listed)] = np.isin(self.listed, rows)
        found: npt.NDArray[np.bool_] = wanted[(records & _PLACE).astype(np.int64)]
        return found
