"""Counts of many cells most of which are empty: sorted places with a number each."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dsm_dask import codec

Int64 = npt.NDArray[np.int64]


@codec.state("scores.sparse_counts", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class SparseCounts:
    """Places in order, and the count of each, none of them 0.

    >>> one = SparseCounts.of(np.array([0, 2, 0, 1]))
    >>> (one + SparseCounts.of(np.array([5, 0, 0, 1]))).dense(4).tolist()
    [5, 2, 0, 2]
    """

    places: Int64
    counts: Int64

    @staticmethod
    def none() -> SparseCounts:
        return SparseCounts(np.zeros(0, np.int64), np.zeros(0, np.int64))

    @staticmethod
    def of(dense: Int64) -> SparseCounts:
        places = np.flatnonzero(dense)
        return SparseCounts(places, dense.reshape(-1)[places])

    def __add__(self, other: SparseCounts) -> SparseCounts:
        if not len(other.places):
            return self
        if not len(self.places):
            return other
        places = np.concatenate([self.places, other.places])
        counts = np.concatenate([self.counts, other.counts])
        order = np.argsort(places, kind="stable")
        places, counts = places[order], counts[order]
        is_first = np.append(True, places[1:] != places[:-1])
        firsts = np.flatnonzero(is_first)
        return SparseCounts(places[firsts], np.add.reduceat(counts, firsts))

    def dense(self, size: int) -> Int64:
        found = np.zeros(size, np.int64)
        found[self.places] = self.counts
        return found
