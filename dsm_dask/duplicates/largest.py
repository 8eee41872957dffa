"""The largest clusters as a person looks at them: their rows with some values."""

from __future__ import annotations

from collections.abc import Sequence

from dsm_dask.duplicates.clusters import Group, name_of
from dsm_dask.duplicates.edges import TABLE_BITS
from dsm_dask.duplicates.examples import CUT, Cluster, Member, fetch
from dsm_dask.engine import Engine
from dsm_dask.table import Table

ROWS = (1 << TABLE_BITS) - 1
"""The bits of a node that are the row id."""


def described(
    groups: Sequence[Group],
    tables: Sequence[Table],
    columns: Sequence[str],
    engine: Engine,
    cut: int | None = None,
) -> tuple[Cluster, ...]:
    """The largest clusters with some values of their rows, of up to ``cut`` characters, fetched by
    workers; without ``cut``, of the rows that are kept only: each row costs reading its partition.
    """
    nodes = {group.survivor for group in groups}
    if cut is not None:
        nodes |= {node for group in groups for node, _ in group.members}
    values: dict[int, dict[str, str]] = {}
    for number, table in enumerate(tables):
        rows = sorted(node & ROWS for node in nodes if node >> TABLE_BITS == number)
        shown = fetch(table, rows, columns, engine, CUT if cut is None else cut)
        values |= {number << TABLE_BITS | row: text for row, text in shown.items()}
    names = [None, *(name_of(table) for table in tables[1:])]
    return tuple(
        Cluster(
            group.size,
            group.survivor & ROWS,
            values.get(group.survivor, {}),
            names[group.survivor >> TABLE_BITS],
            tuple(
                Member(node & ROWS, alike, names[node >> TABLE_BITS], values.get(node, {}))
                for node, alike in group.members
            ),
        )
        for group in groups
    )
