"""Exact duplicates: rows that agree on every value of some columns.

Rows are compared by a 128-bit hash of their typed values (:mod:`dsm_dask.hashing`): null equals
null, and 1 differs from 1.0 and from "1". Workers write the hashes of each partition, by their
first bits, to the store (:mod:`dsm_dask.duplicates.keys`); other tasks group them, a range of
hashes each. Of equal rows the one with the smallest row id survives, unless a rule says otherwise,
so the survivors are the same however the table is cut, and whatever is retried.

There are two ways from hashes to decisions. The fast one
(:mod:`dsm_dask.duplicates.exact_groups`) tells which rows of one table lose to the first of them.
Whatever asks for more (other tables, another survivor, columns, the rows of clusters) takes the way
that all methods end with (:mod:`dsm_dask.duplicates.exact_pieces`). Both find the same.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from dsm_dask import storage
from dsm_dask.dataset.version import Dataset
from dsm_dask.duplicates.buckets import Bucket, buckets
from dsm_dask.duplicates.clusters import (
    LARGEST,
    Clusters,
    decide_pieces,
    name_of,
    no_sizes,
    size_bins,
)
from dsm_dask.duplicates.comparable import check_comparable
from dsm_dask.duplicates.conclude import Ends, carry_out, check_ends
from dsm_dask.duplicates.damage import TRIES, gave_up
from dsm_dask.duplicates.exact_groups import Group, GroupRows
from dsm_dask.duplicates.exact_pieces import WritePieces
from dsm_dask.duplicates.examples import Cluster, with_examples
from dsm_dask.duplicates.key_files import KeyFile, total
from dsm_dask.duplicates.keys import WriteKeys, is_text
from dsm_dask.duplicates.largest import described
from dsm_dask.duplicates.normalise import Normalise
from dsm_dask.duplicates.places import Places
from dsm_dask.duplicates.result import Deduplicated
from dsm_dask.duplicates.rule import Rule
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.table import Table, check_columns


class _Grouped(Protocol):
    @property
    def damaged(self) -> tuple[str, ...]: ...


G = TypeVar("G", bound=_Grouped)


def dedup_exact(
    table: Table,
    on: str | Sequence[str],
    *,
    engine: Engine,
    rule: Rule | None = None,
    normalise: Normalise | None = None,
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
    """Find rows of ``table`` that are equal on the columns ``on``; keep one by a ``rule``.

    With ``normalise`` texts are compared by what is left of them after its steps. ``against`` are
    other tables with these columns: rows of ``table`` that equal one of theirs are duplicates,
    theirs are never dropped. ``drop`` commits a version without the duplicates, ``columns`` one
    with :data:`dsm_dask.duplicates.conclude.COLUMNS` next to the data (datasets only). ``out``
    keeps a table of decisions (:data:`dsm_dask.duplicates.decisions.SCHEMA`) as Parquet files in
    that folder. ``largest`` clusters are described, with ``cut`` characters of the values of some
    of their rows when that is given. Plain files need a place for the shuffle: ``scratch``, else
    beside ``out``, else a temporary folder when all workers are on this machine.

    Raises UnknownColumn, SchemaError or UsageError for what cannot be, before any work.
    """
    names = (on,) if isinstance(on, str) else tuple(dict.fromkeys(on))
    tables, steps = (table, *against), normalise or Normalise()
    ends = Ends(drop, columns, out, scratch, message, dry_run)
    rule = rule or Rule()
    if rule.keep == "longest":
        rule = dataclasses.replace(rule, column=names[0] if len(names) == 1 else None)
    _check(tables, names, rule, steps)
    check_ends(tables, rule, ends)
    run_of = _Run(tables, names, rule, steps, engine, dry_run)

    def search(place: Places, run: str, decisions: str | None) -> tuple[Deduplicated, Clusters]:
        if rule.reads or against or columns or cut is not None or largest > LARGEST:
            return run_of.decided(place, run, decisions, largest, cut)
        return run_of.grouped(place, run, decisions)

    return carry_out(tables, _spec(names, rule, steps, against), search, ends, engine)


def _check(tables: Sequence[Table], columns: tuple[str, ...], rule: Rule, steps: Normalise) -> None:
    if not columns:
        raise UsageError("Give at least one column.", valid="--on COLUMN")
    if rule.keep == "longest" and rule.column is None:
        raise UsageError(
            "The longest of several columns is not defined.",
            valid="Give one column --on, or --prefer a column of numbers.",
        )
    for table in tables:
        check_columns(table, columns)
        types = {name: table.schema.field(name).type for name in columns}
        if steps.steps and not any(map(is_text, types.values())):
            raise SchemaError(
                f"There is no text to normalise: {next(iter(types))!r} is of type "
                f"{next(iter(types.values()))}.",
                where=table.uri,
                valid="Normalisation is of columns of strings.",
            )
    for other in tables[1:]:
        check_comparable(tables[0], other, columns)


def _spec(
    columns: Sequence[str], rule: Rule, steps: Normalise, against: Sequence[Table]
) -> dict[str, Any]:
    """What tells two runs apart; what is as it is by default is left out."""
    told = {**_options(rule, steps), "against": [name_of(other) for other in against]}
    given = {name: value for name, value in told.items() if value}
    return {"on": list(columns), "method": "exact", **given}


def _options(rule: Rule, steps: Normalise) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if steps.steps:
        found["normalise"] = list(steps.steps)
    if rule.prefer:
        found["prefer"] = rule.prefer
    elif rule.keep != "first":
        found["keep"] = rule.keep
    return found


@dataclasses.dataclass(frozen=True)
class _Run:
    """One run: tables (the data first), the columns that are compared, and how."""

    tables: tuple[Table, ...]
    columns: tuple[str, ...]
    rule: Rule
    steps: Normalise
    engine: Engine
    dry_run: bool

    def grouped(
        self, place: Places, run: str, decisions: str | None
    ) -> tuple[Deduplicated, Clusters]:
        """The fast way."""
        files, groups = self._each_bucket(GroupRows(decisions, run), place)
        sizes = sum((one.sizes for one in groups if one.sizes is not None), no_sizes())
        found = self._told(
            files,
            clusters=sum(group.clusters for group in groups),
            duplicates=sum(group.duplicates for group in groups),
            largest=self._largest(files[0], groups),
            sizes=size_bins(sizes),
        )
        records = [group.decided for group in groups if group.decided is not None]
        return found, Clusters(records=tuple(records))

    def decided(
        self, place: Places, run: str, decisions: str | None, largest: int, cut: int | None
    ) -> tuple[Deduplicated, Clusters]:
        """The way that all methods end with."""
        folder = storage.join(place.work, "clusters")
        files, groups = self._each_bucket(WritePieces(folder), place)
        clusters = decide_pieces(
            [piece for group in groups for piece in group.pieces], self.tables, rule=self.rule,
            reason="exact", engine=self.engine, folder=folder, run=run, decisions=decisions,
            largest=largest,
        )  # fmt: skip
        found = self._told(
            files,
            clusters=clusters.clusters,
            duplicates=clusters.duplicates,
            largest=described(clusters.largest, self.tables, self.columns, self.engine, cut),
            sizes=clusters.sizes,
            against=clusters.against or None,
        )
        return found, clusters

    def _told(self, files: Sequence[Sequence[KeyFile]], **found: Any) -> Deduplicated:
        return Deduplicated(
            rows=total(files[0]),
            on=self.columns,
            key_bytes=sum(file.size for file in files[0]),
            parameters=_options(self.rule, self.steps) or None,
            **found,
        )

    def _each_bucket(
        self, function: Callable[[Bucket], G], place: Places
    ) -> tuple[list[list[KeyFile]], list[G]]:
        """The key files of each table, and what a function makes of each bucket of them. A file
        that is damaged, or that someone removed meanwhile, is made again; what had been made of it
        is made alike."""
        damaged: frozenset[str] = frozenset()
        for _ in range(TRIES):
            files = [self._hashed(table, place, damaged) for table in self.tables]
            found = self.engine.map(function, buckets(files, place.work), label="Grouping")
            wrong = sorted({uri for one in found for uri in one.damaged})
            if not wrong:
                return files, found
            damaged |= frozenset(wrong)
        raise gave_up(wrong)

    def _hashed(self, table: Table, place: Places, damaged: frozenset[str]) -> list[KeyFile]:
        """The key files of a table: its own, kept beside it, where it is a dataset."""
        kept = storage.join(place.kept, "keys")
        known, folders = [], [kept]
        if isinstance(table, Dataset):
            known = [storage.join(table.uri, "_dsm", "keys")]
            folders = [kept] if self.dry_run else list(dict.fromkeys([*known, kept]))
        worker = WriteKeys(
            self.columns, tuple(folders), tuple(known), place.work, self.steps, damaged
        )
        return self.engine.map_partitions(worker, table.partitions(), label="Hashing")

    def _largest(self, files: Sequence[KeyFile], groups: Sequence[Group]) -> tuple[Cluster, ...]:
        """Described by their survivors. Which partition one is in is known unless some were
        skipped."""
        every = (one for group in groups for one in group.largest)
        best = heapq.nlargest(LARGEST, every)
        partitions = self.tables[0].partitions()
        if len(files) == len(partitions):
            partitions = [partitions[i] for i in sorted({one.partition for one in best})]
        clusters = [Cluster(one.size, one.row) for one in best]
        return with_examples(self.tables[0], clusters, self.columns, self.engine, partitions)
