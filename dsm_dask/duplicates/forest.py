"""Maximum spanning forests: of many links, the few that matter to clusters.

Rows that are all alike have n² links. A maximum spanning forest keeps at most n - 1 of them: it has
the same connected components, and the strongest link of every row (the cut property; Kruskal, "On
the shortest spanning subtree of a graph", 1956). Ties go by the ends, so the forest of a set of
links is one, in whatever order they came.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from dsm_dask.duplicates.kernels import unite

Ints = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]

_compiled = numba.njit(cache=True, nogil=True)
HELD = 1 << 20
"""Links held before they are cut back to a forest."""


class Forest:
    """Collects links between nodes ``0 .. nodes - 1`` in bounded memory.

    >>> forest = Forest(3)
    >>> forest.add(np.array([0, 1, 0]), np.array([1, 2, 2]), np.array([0.9, 0.8, 0.7]))
    >>> forest.links()[0].tolist(), forest.links()[1].tolist()
    ([0, 1], [1, 2])
    """

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._left = [np.empty(0, np.int64)]
        self._right = [np.empty(0, np.int64)]
        self._weight = [np.empty(0, np.float64)]
        self._held = 0

    def add(self, left: Ints, right: Ints, weight: Weights) -> None:
        """Links with ``left < right``."""
        self._left.append(left)
        self._right.append(right)
        self._weight.append(weight)
        self._held += len(left)
        if self._held > HELD + self._nodes:
            self._cut_back()

    def links(self) -> tuple[Ints, Ints, Weights]:
        """The links of the forest: left, right, weight; strongest first."""
        self._cut_back()
        return self._left[0], self._right[0], self._weight[0]

    def _cut_back(self) -> None:
        left, right = np.concatenate(self._left), np.concatenate(self._right)
        weight = np.concatenate(self._weight)
        order = np.lexsort((right, left, -weight))
        left, right, weight = left[order], right[order], weight[order]
        kept = _kruskal(left, right, self._nodes)
        self._left, self._right, self._weight = [left[kept]], [right[kept]], [weight[kept]]
        self._held = int(kept.sum())


@_compiled
def _kruskal(left: Any, right: Any, nodes: int) -> Any:
    parent = np.arange(nodes)
    kept = np.zeros(len(left), np.bool_)
    for i in range(len(left)):
        kept[i] = unite(parent, left[i], right[i])
    return kept
