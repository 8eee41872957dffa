"""Pairs of unit vectors with a cosine of at least a threshold, among the rows of one cell.

Blocked matrix products in float32 find candidates; a dot product in float64
decides. What is kept of the pairs is a maximum spanning forest.

A crowd of vectors that are all alike would cost a product of all with all. So in a large cell
leaders are chosen first: everything as near to a leader as the threshold asks is linked with it. In
a crowd, two vectors that are known to be of one cluster are not compared any more.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from dsm_dask.duplicates.forest import Forest
from dsm_dask.duplicates.kernels import join
from dsm_dask.duplicates.unit_vectors import Vectors

BLOCK = 1024
"""Rows of each side of a product: 4 MB of cosines."""
CROWDED = 256
"""Rows from which leaders are tried."""
LEADERS = 64
LEAST_SHARE = 32
"""A leader without a 32nd of the rows around it is the last one: there is no crowd."""

Ints = npt.NDArray[np.int64]
Links = tuple[Ints, Ints, npt.NDArray[np.float64]]
_compiled = numba.njit(cache=True, nogil=True)


def near_pairs(
    vectors: Vectors,
    home: npt.NDArray[np.bool_],
    threshold: float,
    fresh: npt.NDArray[np.bool_] | None = None,
) -> Links:
    """A forest of the pairs with a cosine of at least ``threshold``, of which one is at home:
    left, right (places of rows, left < right), cosine. With ``fresh``, of which one is fresh, too;
    there may be others among them.

    >>> vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    >>> left, right, cosine = near_pairs(vectors, np.ones(3, bool), 0.7)
    >>> left.tolist(), right.tolist(), cosine.round(3).tolist()
    ([0], [1], [0.8])
    """
    pairs = _Pairs(vectors, home, threshold)
    if len(vectors) > CROWDED:
        pairs.crowds()
    fresh = np.ones(len(home), np.bool_) if fresh is None else fresh
    homes, guests = pairs.order(home & fresh), pairs.order(~home)
    old = pairs.order(home & ~fresh)
    for start in range(0, len(homes), BLOCK):
        pairs.blocks(homes[start : start + BLOCK], homes[start:], guests, old)
    for start in range(0, len(guests) if len(old) else 0, BLOCK):
        pairs.blocks(guests[start : start + BLOCK], old)
    return pairs.forest.links()


class _Pairs:
    def __init__(self, vectors: Vectors, home: npt.NDArray[np.bool_], threshold: float) -> None:
        self._vectors, self._home, self._threshold = vectors, home, threshold
        # what a float32 sum of this many products of unit vectors may be off by (Higham,
        # "Accuracy and Stability of Numerical Algorithms", 3.1), and some
        self._least = np.float32(threshold - 6e-8 * vectors.shape[1] - 1e-6)
        self.forest = Forest(len(vectors))
        self._crowded = False
        self._cluster = np.arange(len(vectors))
        """Rows of the same number are known to be of one cluster, in a crowded cell."""

    def crowds(self) -> None:
        """Choose leaders, and link the rows around them."""
        free = self._home.copy()
        for _ in range(LEADERS):
            if not free.any():
                return
            leader = int(np.argmax(free))
            near = self._near(leader)
            free[leader] = free[near] = False
            if len(near) * LEAST_SHARE < len(free):
                return
            self._crowded = True
            join(self._cluster, np.full(len(near), leader), near)

    def order(self, some: npt.NDArray[np.bool_]) -> Ints:
        """Some of the rows, those of a cluster next to each other."""
        rows = np.flatnonzero(some)
        found: Ints = rows[np.argsort(self._cluster[rows], kind="stable")]
        return found

    def _near(self, row: int) -> Ints:
        """Rows near to one, linked with it."""
        found = [np.empty(0, np.int64)]
        for start in range(0, len(self._vectors), BLOCK):
            scores = self._vectors[start : start + BLOCK] @ self._vectors[row]
            found.append(np.flatnonzero(scores >= self._least) + start)
        near = np.concatenate(found)
        near = near[near != row]
        return self._link(np.full(len(near), row), near)

    def blocks(self, rows: Ints, *others: Ints) -> None:
        """Compare some rows with all of others."""
        for some in others:
            for start in range(0, len(some), BLOCK):
                self.block(rows, some[start : start + BLOCK])

    def block(self, rows: Ints, others: Ints) -> None:
        """Compare some rows with others that come after them."""
        one, two = self._cluster[rows], self._cluster[others]
        if (one == one[0]).all() and (two == one[0]).all():
            return
        scores = self._vectors[rows] @ self._vectors[others].T
        left, right = _at_least(scores, self._least, rows[0] == others[0], one, two)
        self._link(rows[left], others[right])

    def _link(self, left: Ints, right: Ints) -> Ints:
        """Keep the pairs that are near; the rights of those."""
        lefts, rights = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for start in range(0, len(left), BLOCK):
            a, b = left[start : start + BLOCK], right[start : start + BLOCK]
            products = self._vectors[a].astype(np.float64) * self._vectors[b]
            cosine = np.minimum(products.sum(axis=1), 1.0)
            near = cosine >= self._threshold
            a, b = a[near], b[near]
            self.forest.add(np.minimum(a, b), np.maximum(a, b), cosine[near])
            lefts.append(a)
            rights.append(b)
        found = np.concatenate(rights)
        if self._crowded:
            join(self._cluster, np.concatenate(lefts), found)
        return found


@_compiled
def _at_least(scores: Any, least: Any, same: bool, one: Any, two: Any) -> Any:
    """Places of the scores that reach ``least``; of a block with itself, above the diagonal. Pairs
    of one cluster do not count."""
    rows, width = scores.shape
    count = 0
    for fill in range(2):
        if fill == 0:
            left, right = np.empty(0, np.int64), np.empty(0, np.int64)
        else:
            left, right = np.empty(count, np.int64), np.empty(count, np.int64)
        count = 0
        for i in range(rows):
            for j in range(i + 1 if same else 0, width):
                if scores[i, j] < least:
                    continue
                if one[i] == two[j]:
                    continue
                if fill == 1:
                    left[count], right[count] = i, j
                count += 1
    return left, right
