"""Edges: pairs of rows that are alike, as objects in the store.

A *node* is a row of one of several tables: the number of the table in the upper 8 bits (0 is the
data, 1 and up are the tables it is held against), the row id in the lower 56. So the rows of the
data are the smallest nodes.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dsm_dask import storage
from dsm_dask.errors import UsageError

U64 = npt.NDArray[np.uint64]

EDGE = np.dtype([("left", "<u8"), ("right", "<u8"), ("similarity", "<f4")])
"""Two nodes, ``left < right``, and how alike they are, from 0 to 1; NaN when not measured."""

TABLE_BITS = 56
"""A node is ``table << TABLE_BITS | row id``."""

MOST_TABLES = 255


@dataclasses.dataclass(frozen=True)
class EdgeFile:
    """An object of :data:`EDGE` records, in any order; the same edge may come again."""

    uri: str
    edges: int

    def read(self) -> npt.NDArray[np.void]:
        return np.frombuffer(storage.read(self.uri), EDGE)


def write_edges(uri: str, edges: npt.NDArray[np.void]) -> EdgeFile:
    """Store edges as an object of their own."""
    storage.write(uri, edges.tobytes(), durable=False)
    return EdgeFile(uri, len(edges))


def edges_of(
    left: U64, right: U64, similarity: npt.NDArray[np.float32] | float
) -> npt.NDArray[np.void]:
    """Edges between ``left`` and ``right``, whichever is smaller.

    >>> edges_of(np.array([5], np.uint64), np.array([2], np.uint64), 1.0).tolist()
    [(2, 5, 1.0)]
    """
    found = np.empty(len(left), EDGE)
    found["left"], found["right"] = np.minimum(left, right), np.maximum(left, right)
    found["similarity"] = similarity
    return found


def nodes_of(row_ids: U64, table: int) -> U64:
    """The nodes of rows of a table.

    >>> nodes_of(np.array([7], np.uint64), 1).tolist() == [(1 << 56) + 7]
    True
    """
    if len(row_ids) and int(row_ids.max()) >> TABLE_BITS:
        raise UsageError(f"Row ids of 2^{TABLE_BITS} and more cannot be compared across tables.")
    return row_ids.astype(np.uint64) | np.uint64(table << TABLE_BITS)


def tables_of(nodes: U64) -> npt.NDArray[np.int64]:
    """The number of each node's table."""
    found: npt.NDArray[np.int64] = (nodes >> np.uint64(TABLE_BITS)).astype(np.int64)
    return found


def rows_of(nodes: U64) -> U64:
    """The row ids of nodes."""
    found: U64 = nodes & np.uint64((1 << TABLE_BITS) - 1)
    return found
