"""Spherical k-means: cells of vectors that point about the same way, in exact arithmetic.

Unit vectors and centroids are rounded to multiples of 2^-11. Every product and every sum of a dot
product is then a whole number below 2^24, which float32 holds exactly, so that a matrix product
gives the same bits in whatever order, blocks or threads it is computed, and a vector falls in the
same cells wherever it is met.

Lloyd's algorithm on the sphere (Dhillon and Modha, "Concept decompositions for large sparse text
data using clustering", Machine Learning 42, 2001), on a bounded sample. Cells in order to find
near pairs are SemDeDup's idea (Abbas et al., "SemDeDup: Data-efficient learning at web-scale
through semantic deduplication", 2023), which misses the pairs that a border cuts apart. Here a
vector is a *guest* of cells whose border is near. If x lies in cell A and y in cell B, then
(A - B)·x >= 0 >= (A - B)·y, so the distances of x and y from the hyperplane between A and B add up
to |x - y| at most, and the lesser of them is at most |x - y| / 2: with guests up to that distance,
one of the two is a guest where the other is at home.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from dsm_dask import codec
from dsm_dask.duplicates.unit_vectors import Vectors

SCALE = 2048
ROUNDS = 6
CELLS = 6
"""A vector is in so many cells at most: at home in one, a guest of others."""
WIDE = 24
"""... where the vectors around it are at home only, not guests: then it has to be the guest of all
cells whose border is within the whole distance. Of random directions, and of such in clusters, more
pairs are found so at any threshold than with :data:`CELLS` on both sides."""
SMALLEST = 4096
"""Fewer rows than this are one cell."""
MOST_CELLS = 1 << 14
BY_CELL = 32
"""Sampled vectors a cell."""
_BLOCK_BYTES = 32 << 20
_compiled = numba.njit(cache=True, nogil=True)


@codec.state("duplicates.centroids", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Centroids:
    """Of cells: whole numbers as float32 of shape (cells, dimension); and the share of the sample
    at home in each."""

    points: Vectors
    shares: npt.NDArray[np.float64]

    @property
    def dimension(self) -> int:
        return int(self.points.shape[1])


def cells_for(rows: int) -> int:
    """How many cells: about the root of twice the rows, where finding a row's cells costs as much
    as comparing it with the rows of its cells.

    >>> cells_for(4_000), cells_for(200_000)
    (1, 632)
    """
    return 1 if rows < SMALLEST else min(MOST_CELLS, math.isqrt(2 * rows))


def train(sample: Vectors, cells: int) -> Centroids:
    """Centroids from a sample of unit vectors, whose order chooses where they start."""
    points = rounded(sample)
    cells = max(1, min(cells, len(points) // 4))
    found = _lloyd(points, cells)
    found = _split(points, found, 4 * max(1, len(points) // cells))
    found = np.unique(found, axis=0)  # equal ones would take the places of a vector's other cells
    home = nearest(points, found, 1)[:, 0] if len(points) else np.empty(0, np.int32)
    shares = np.bincount(home, minlength=len(found)) / max(1, len(points))
    return Centroids(found, shares)


def rounded(vectors: Vectors) -> Vectors:
    """Whole numbers, as float32: ``SCALE`` times as large."""
    found: Vectors = np.rint(vectors * np.float32(SCALE))
    return found


def _lloyd(points: Vectors, cells: int) -> Vectors:
    found = points[:cells].copy()
    for _ in range(ROUNDS if cells > 1 else 1):
        home = nearest(points, found, 1)[:, 0]
        order = np.argsort(home, kind="stable")
        counts = np.bincount(home, minlength=cells)
        there = np.flatnonzero(counts)
        starts = (np.cumsum(counts) - counts)[there]
        sums = np.add.reduceat(points[order].astype(np.float64), starts, axis=0)
        norms = np.sqrt((sums * sums).sum(axis=1))
        some = norms > 0  # opposite vectors have no mean direction: the centroid stays
        found[there[some]] = np.rint(sums[some] / norms[some][:, None] * SCALE)
    return found


def _split(points: Vectors, centroids: Vectors, most: int) -> Vectors:
    """A centroid with more sampled vectors than ``most`` gives way to several."""
    home = nearest(points, centroids, 1)[:, 0]
    counts = np.bincount(home, minlength=len(centroids))
    parts = [centroids[counts <= most]]
    for crowded in np.flatnonzero(counts > most):
        inside = points[home == crowded]
        parts.append(_lloyd(inside, -(-4 * len(inside) // most)))
    return np.concatenate(parts)


def nearest(points: Vectors, centroids: Vectors, count: int) -> npt.NDArray[np.int32]:
    """The nearest centroids of each rounded vector, nearest first, ties by number: shape (rows,
    count); -1 where there are fewer centroids."""
    step = max(1, _BLOCK_BYTES // (4 * max(1, len(centroids))))
    found = [
        _largest(points[i : i + step] @ centroids.T, count) for i in range(0, len(points), step)
    ]
    return np.concatenate([np.empty((0, count), np.int32), *found])


@_compiled
def _largest(scores: Any, count: int) -> Any:
    """Places of the largest of each row, largest first, the first of equals first."""
    rows, width = scores.shape
    found = np.full((rows, count), -1, np.int32)
    held = np.empty(count, np.float32)
    for row in range(rows):
        held[:] = -np.inf
        for place in range(width):
            score = scores[row, place]
            if score > held[count - 1]:
                at = count - 1
                while at > 0 and score > held[at - 1]:
                    held[at] = held[at - 1]
                    found[row, at] = found[row, at - 1]
                    at -= 1
                held[at] = score
                found[row, at] = place
    return found


def cells_of(
    vectors: Vectors, centroids: Centroids, distance: float, most: int = CELLS
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """The cells of each unit vector, int32 of shape (rows, ``most``), home first; and which of
    them count: those whose border is within half of ``distance``, and what rounding may add."""
    points, centres = rounded(vectors), centroids.points
    found = nearest(points, centres, most)
    counted = np.zeros(found.shape, np.bool_)
    counted[:, 0] = True
    limit = (distance / 2 * SCALE + math.sqrt(centroids.dimension)) ** 2
    home = centres[found[:, 0]]
    for place in range(1, min(most, len(centres))):
        normal = home - centres[found[:, place]]  # whole numbers up to 2^12: exact
        height = np.einsum("ij,ij->i", points, normal, dtype=np.float64)
        length = np.einsum("ij,ij->i", normal, normal, dtype=np.float64)
        counted[:, place] = height * height <= limit * length
    return found, counted
