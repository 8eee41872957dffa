"""Pairs near the threshold, for a person who is to judge it: the weakest that join two rows, and
the strongest that were compared and refused."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dsm_dask.duplicates.clusters import name_of
from dsm_dask.duplicates.edges import EDGE, TABLE_BITS, EdgeFile
from dsm_dask.duplicates.examples import Beside, Member, fetch
from dsm_dask.engine import Engine
from dsm_dask.table import Table

PAIRS = 5
"""Pairs shown on either side."""
FILES = 64
"""Files of edges that a task looks at."""
_ROWS = (1 << TABLE_BITS) - 1

Scored = tuple[float, int, int]
"""The similarity of a pair, and its nodes."""


def weakest(files: Sequence[EdgeFile], engine: Engine, count: int = PAIRS) -> list[Scored]:
    """The edges of least similarity, below 1, of which one end is a row of the data."""
    groups = [tuple(files[i : i + FILES]) for i in range(0, len(files), FILES)]
    found = engine.map(_Weakest(count), groups, label="Looking for weak pairs")
    return heapq.nsmallest(count, (one for some in found for one in some))


@dataclasses.dataclass(frozen=True)
class _Weakest:
    count: int

    def __call__(self, files: Sequence[EdgeFile]) -> list[Scored]:
        held = np.empty(0, EDGE)
        for file in files:
            edges = file.read()
            some = (edges["left"] <= _ROWS) & (edges["similarity"] < 1)  # NaN is not
            held = np.unique(np.concatenate([held, edges[some]]))
            order = np.lexsort((held["right"], held["left"], held["similarity"]))
            held = held[order[: self.count]]
        return scored(held)


def scored(edges: Any) -> list[Scored]:
    """Records of :data:`EDGE <dsm_dask.duplicates.edges.EDGE>` as plain tuples.

    >>> from dsm_dask.duplicates.edges import edges_of
    >>> scored(edges_of(np.array([5], np.uint64), np.array([2], np.uint64), 0.5))
    [(0.5, 2, 5)]
    """
    names = ("similarity", "left", "right")
    return list(zip(*(edges[name].tolist() for name in names), strict=True))


def described_pairs(
    joined: Iterable[Scored],
    refused: Iterable[Scored],
    tables: Sequence[Table],
    columns: Sequence[str],
    engine: Engine,
    cut: int,
) -> tuple[Beside, ...]:
    """Pairs with some values of their rows, of up to ``cut`` characters, fetched by workers: joined
    ones first, those nearest to the threshold first."""
    pairs = [(True, one) for one in sorted(joined)]
    pairs += [(False, one) for one in sorted(refused, key=lambda one: (-one[0], *one[1:]))]
    nodes = {node for _, (_, *ends) in pairs for node in ends}
    values: dict[int, dict[str, str]] = {}
    for number, table in enumerate(tables):
        rows = sorted(node & _ROWS for node in nodes if node >> TABLE_BITS == number)
        shown = fetch(table, rows, columns, engine, cut)
        values |= {number << TABLE_BITS | row: told for row, told in shown.items()}
    names = [None, *(name_of(table) for table in tables[1:])]

    def member(node: int) -> Member:
        return Member(node & _ROWS, None, names[node >> TABLE_BITS], values.get(node, {}))

    return tuple(
        Beside(alike, is_joined, (member(left), member(right)))
        for is_joined, (alike, left, right) in pairs
    )
