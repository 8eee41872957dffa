"""Rows that a method finds alike, pair by pair: clusters of them, and what becomes of them.

A method says which pairs there are; what follows is the same for all: connected components, the row
of each that stays (:mod:`dsm_dask.duplicates.clusters`), decisions, a commit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from dsm_dask import storage
from dsm_dask.duplicates.borderline import described_pairs, weakest
from dsm_dask.duplicates.clusters import LARGEST, Clusters, decide, name_of
from dsm_dask.duplicates.conclude import Ends, carry_out, check_ends
from dsm_dask.duplicates.edges import EdgeFile
from dsm_dask.duplicates.examples import CUT
from dsm_dask.duplicates.largest import described
from dsm_dask.duplicates.places import Places
from dsm_dask.duplicates.result import Deduplicated, IndexUse
from dsm_dask.duplicates.rule import Rule
from dsm_dask.engine import Engine
from dsm_dask.stats.values import kind_of
from dsm_dask.table import Table

SHOWN_COLUMNS = 3
"""Columns of text that describe a row whose own column is not for reading."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Rows that are alike, as edges in the store."""

    edges: tuple[EdgeFile, ...]
    rows: int
    """Of the data, seen."""
    left_out: dict[str, Any]
    """Rows that could not be compared, by reason."""
    notes: tuple[str, ...] = ()
    index: IndexUse | None = None
    """What an index beside the data was of use, for a method that has one."""


class Method(Protocol):
    """A way to find pairs of rows that are alike. A frozen dataclass."""

    @property
    def name(self) -> str:
        """As ``--method`` takes it."""
        ...

    @property
    def on(self) -> str:
        """The column that is compared."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Its parameters: they tell two runs apart."""
        ...

    def check(self, tables: Sequence[Table]) -> None:
        """Raise for tables that it cannot compare."""
        ...

    def pairs(
        self, tables: Sequence[Table], folder: str, *, engine: Engine, keep: bool = False
    ) -> Pairs:
        """Pairs among the rows of all tables, written below a folder; table 0 is the data. With
        ``keep`` an index may be kept beside it."""
        ...


def dedup_alike(
    table: Table,
    method: Method,
    *,
    engine: Engine,
    rule: Rule | None = None,
    against: Sequence[Table] = (),
    drop: bool = False,
    columns: bool = False,
    out: str | None = None,
    scratch: str | None = None,
    message: str = "",
    dry_run: bool = False,
    largest: int = LARGEST,
    cut: int | None = None,
) -> Deduplicated:
    """Find rows of ``table`` that ``method`` finds alike.

    Everything else is as in :func:`dsm_dask.duplicates.near.dedup_near`.
    """
    rule = dataclasses.replace(rule or Rule(), column=method.on)
    tables = (table, *against)
    ends = Ends(drop, columns, out, scratch, message, dry_run)
    method.check(tables)
    check_ends(tables, rule, ends)

    def search(place: Places, run: str, decisions: str | None) -> tuple[Deduplicated, Clusters]:
        job = _Run(tables, method, rule, place.work, run, engine, not dry_run)
        return job.found(decisions, largest, cut)

    return carry_out(tables, _spec(method, rule, against), search, ends, engine)


def _spec(method: Method, rule: Rule, against: Sequence[Table]) -> dict[str, Any]:
    return {
        "on": [method.on], "method": method.name, **method.to_dict(), "keep": rule.keep,
        "prefer": rule.prefer, "against": [name_of(other) for other in against],
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Run:
    """One run: tables (the data first), what is looked for, and where things go."""

    tables: tuple[Table, ...]
    method: Method
    rule: Rule
    folder: str
    run: str
    engine: Engine
    keep: bool

    def found(
        self, decisions: str | None, largest: int, cut: int | None
    ) -> tuple[Deduplicated, Clusters]:
        method = self.method
        pairs = method.pairs(
            self.tables, storage.join(self.folder, "pairs"), engine=self.engine, keep=self.keep
        )
        clusters = decide(
            pairs.edges, self.tables, rule=self.rule, reason=method.name, engine=self.engine,
            folder=storage.join(self.folder, "clusters"), run=self.run, decisions=decisions,
            largest=largest,
        )  # fmt: skip
        shown = self._shown()
        found = Deduplicated(
            rows=pairs.rows,
            clusters=clusters.clusters,
            duplicates=clusters.duplicates,
            on=(method.on,),
            method=method.name,
            largest=described(clusters.largest, self.tables, shown, self.engine, cut or CUT),
            parameters={**method.to_dict(), "keep": self.rule.keep, "prefer": self.rule.prefer},
            sizes=clusters.sizes,
            similarities=clusters.similarities,
            against=clusters.against,
            left_out=pairs.left_out,
            notes=pairs.notes,
            index=pairs.index,
        )
        if cut is not None:
            weak = weakest(pairs.edges, self.engine)
            near = described_pairs(weak, (), self.tables, shown, self.engine, cut)
            found = dataclasses.replace(found, borderline=near)
        return found, clusters

    def _shown(self) -> list[str]:
        """The column itself when it is a text, else the first few texts that all tables have."""
        texts = [
            name
            for name in self.tables[0].schema.names
            if all(_kind(table, name) == "string" for table in self.tables)
        ]
        return [self.method.on] if self.method.on in texts else texts[:SHOWN_COLUMNS]


def _kind(table: Table, name: str) -> str | None:
    schema = table.schema
    return kind_of(schema.field(name).type) if name in schema.names else None
