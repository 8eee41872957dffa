"""Corrections become a new version: cells are changed by key, and the lineage says by whom.

Workers look for the keys partition by partition. Of a fragment with corrected rows the changed
columns are written anew, whole, as a file of their own; other columns and other fragments stay as
they are. That goes for linked columns too: the source file is never touched, the fragment just
takes this column from its own file from then on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays, storage
from dsm_dask.dataset.annotation_tools.answers import Several
from dsm_dask.dataset.cells import differing
from dsm_dask.dataset.column_commit import NewColumns, commit_columns
from dsm_dask.dataset.column_files import ColumnFile, write_column_file
from dsm_dask.dataset.commit import Change, change_key, found_before
from dsm_dask.dataset.corrections import (
    AUTHOR,
    Corrections,
    check_matches,
    one_array,
    read_corrections,
)
from dsm_dask.dataset.fitting import encoded
from dsm_dask.dataset.fragments import Target, storable
from dsm_dask.dataset.links import changed_name
from dsm_dask.dataset.partition import DatasetPartition, Fragment
from dsm_dask.dataset.version import Dataset, changes_of, open_for_writing, properties, spec_of
from dsm_dask.engine import Engine, Mark
from dsm_dask.errors import PartitionFailed
from dsm_dask.sources.schema import spelled

Counts = dict[str, dict[str, int]]
"""Cells that changed, by column and then by who changed them."""


@dataclasses.dataclass(frozen=True)
class Updated:
    """What corrections changed, or, in a dry run, would change. Cells that had the corrected value
    already are not counted."""

    dataset: str
    version: int
    rows: int
    updated: int
    """Rows with a changed cell."""
    changes: Counts
    committed: bool = False
    dry_run: bool = False
    left: int = 0
    """Tasks of an annotation tool without an answer, or none that is settled: left as they are."""
    branch: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def update(
    data: str | Dataset,
    corrections: str,
    on: str | None = None,
    *,
    engine: Engine,
    who: str | None = None,
    tool: str | None = None,
    several: Several = "error",
    message: str = "",
    dry_run: bool = False,
) -> Updated:
    """Change cells as a file of corrections says, as a new version.

    ``corrections`` is a CSV, JSON lines or Parquet file of at most a million rows: the column
    ``on`` (or ``_rowid``), which names the row, and the columns to change. ``who`` made them,
    unless a column ``annotator`` or ``who`` of the file says so for each row; by default the user
    who runs this. Or it is what Label Studio (JSON, JSON_MIN, CSV), Argilla (records as JSON or
    Parquet) or doccano (JSONL) export of tasks that ``dsm issues --out`` wrote, which are
    recognised, unless a ``tool`` is named: only the column that was asked for is changed, by the
    annotators, and the tasks know their key. Of rows that they answered differently ``several``
    takes the ``last`` answer, or none (``skip``); by default these are an error. When every
    cell has its value already, nothing is committed.

    Raises, before anything is written, BadRows for keys that are null, come twice, or are not those
    of exactly one row; SchemaError for values of another type; UnknownColumn; UsageError for
    computed columns and for files too large. CommitConflict when others change the same columns.
    """
    base = open_for_writing(data)
    given = read_corrections(corrections, base, on, who, tool, several)
    on = given.on
    spec = {"corrections": given.uri, "on": on, "columns": list(given.columns)}
    key = change_key("update", {**spec, "digest": given.digest}, base.ref)
    done = found_before(base, key, engine)
    if done is not None:
        props = properties(done.lance, done.version)
        counts, rows = spec_of(props)["changes"], changes_of(props)["updated"]
        return Updated(
            done.uri, done.version, done.rows, rows, counts, left=given.left, branch=done.branch
        )
    _stored(base, given.columns)  # can they be?
    mark = engine.mark()
    with _handed_out(base, given) as uri:
        touched = _matched(base, given, uri, engine, mark)
        made = _rewritten(base, given, uri, touched, engine, mark, dry_run)
    changes = _counts(made)
    updated = sum(one.rows for one in made)
    files = [one.file for one in made if one.file is not None]
    found = Updated(
        base.uri, base.version, base.rows, updated, changes, False, dry_run, given.left, base.branch
    )
    if dry_run or not files:
        return found
    change = Change(
        "update", {**spec, "changes": changes}, key, message, base.rows,
        {"updated": updated, "cells": sum(n for by in changes.values() for n in by.values())},
        mark.io, tuple(file.record for file in files),
    )  # fmt: skip
    head = commit_columns(base, _new_columns(base, given, files), change)
    return dataclasses.replace(found, version=head.version, rows=head.rows, committed=True)


@contextlib.contextmanager
def _handed_out(base: Dataset, given: Corrections) -> Iterator[str]:
    """A file for the workers, where all of them can read; gone afterwards."""
    folder = storage.join(base.uri, "_dsm", "runs", uuid.uuid4().hex)
    uri = storage.join(folder, "work", "corrections.arrow")
    storage.write(uri, given.encode(), durable=False)
    try:
        yield uri
    finally:
        storage.delete_folder(folder)


# ---------------------------------------------------------------------------------------------
# Which rows


@functools.lru_cache(maxsize=2)
def _corrections(uri: str, on: str) -> Corrections:
    with pa.ipc.open_file(pa.BufferReader(storage.read(uri))) as reader:
        return Corrections(uri, on, reader.read_all().combine_chunks())


def _places(given: Corrections, batch: pa.RecordBatch) -> pa.Array:
    """For each row of a batch its row of the corrections, or null."""
    keys = arrays.plain(batch.column(given.on))
    return pc.index_in(keys.cast(given.keys.type), given.keys)


@dataclasses.dataclass(frozen=True)
class _Match:
    uri: str
    on: str

    def __call__(self, partition: DatasetPartition) -> list[tuple[int, npt.NDArray[np.int32]]]:
        """The corrections that are about rows of each fragment."""
        given = _corrections(self.uri, self.on)
        found = []
        for fragment in partition.fragments:
            batches = partition.read_fragment(fragment, [self.on])
            places = [_places(given, batch).drop_null().to_numpy() for batch in batches]
            rows = np.concatenate(places) if places else np.empty(0, np.int32)
            if len(rows):
                found.append((fragment.id, rows))
        return found


def _matched(
    base: Dataset, given: Corrections, uri: str, engine: Engine, mark: Mark
) -> list[DatasetPartition]:
    """Partitions of just the fragments to be written; raises when keys do not name one row each."""
    worker = _Match(uri, given.on)
    found = engine.map_partitions(worker, base.partitions(), label="Finding rows")
    _refuse_skipped(mark)
    pairs = [pair for group in found for pair in group]
    matches = np.zeros(given.table.num_rows, np.int64)
    for _, rows in pairs:
        np.add.at(matches, rows, 1)
    check_matches(given, matches, base.name)
    wanted = {fragment for fragment, _ in pairs}
    if wanted:
        widened = _widened(base, given.columns)
        wanted |= {f.id for f in base.fragments if f.held & set(widened)}
    touched = []
    for partition in base.partitions():
        some = tuple(one for one in partition.fragments if one.id in wanted)
        if some:
            touched.append(dataclasses.replace(partition, fragments=some))
    return touched


def _refuse_skipped(mark: Mark) -> None:
    """A row that was not looked at may be the one to correct."""
    for skipped in mark.skipped:
        raise PartitionFailed(
            f"{skipped.partition} cannot be corrected: {skipped.cause}.", where=skipped.partition
        )


def _stored(base: Dataset, columns: Sequence[str]) -> pa.Schema:
    """Some columns as the Lance schema has them, or will have them.

    Raises SchemaError for a column that Lance has no type for."""
    from lance.schema import LanceSchema

    schema = pa.schema(
        [base.schema.field(n).remove_metadata().with_name(_lance_name(base, n)) for n in columns]
    )
    kinds = LanceSchema.from_pyarrow(storable(schema, base.uri)).to_pyarrow()
    known = {field.name: field.type for field in base.lance.schema}
    fields = []
    for column, field in zip(columns, kinds, strict=True):
        name = field.name
        if name != column and name in known and spelled(known[name]) != spelled(field.type):
            name = changed_name(column, int(name.split("_")[3]) + 1)
        fields.append(field.with_name(name))
    return pa.schema(fields)


def _lance_name(base: Dataset, column: str) -> str:
    if column not in base.linked_schema.names:
        return column
    return base.changed_names.get(column, changed_name(column))


def _widened(base: Dataset, columns: Sequence[str]) -> dict[str, str]:
    """Columns that were changed before, and have had values of a wider type appended since; what
    they were called in the Lance schema."""
    stored = dict(zip(columns, _stored(base, columns).names, strict=True))
    return {c: n for c, n in base.changed_names.items() if stored.get(c, n) != n}


def _new_columns(base: Dataset, given: Corrections, files: Sequence[ColumnFile]) -> NewColumns:
    written = {name for file in files for name in file.columns}
    new = [
        field
        for field in _stored(base, given.columns)
        if field.name in written and field.name not in base.lance.schema.names
    ]
    removed = tuple(_widened(base, given.columns).values())
    return NewColumns(files, added=pa.schema(new), removed=removed, read=(given.on, *given.columns))


# ---------------------------------------------------------------------------------------------
# Which cells


@dataclasses.dataclass(frozen=True)
class _Rewritten:
    """What became of one fragment, as a worker reports it."""

    rows: int
    changes: Counts
    file: ColumnFile | None


def _rewritten(
    base: Dataset,
    given: Corrections,
    uri: str,
    touched: Sequence[DatasetPartition],
    engine: Engine,
    mark: Mark,
    dry_run: bool,
) -> list[_Rewritten]:
    stored = _stored(base, given.columns)
    forced = frozenset(_widened(base, given.columns))
    folder = f"{Target.of(base).prefix}data/"
    worker = _Rewrite(uri, given.on, given.columns, stored, forced, folder, dry_run)
    found = engine.map_partitions(worker, touched, label="Updating")
    _refuse_skipped(mark)
    return [one for group in found for one in group]


def _counts(made: Sequence[_Rewritten]) -> Counts:
    total: Counts = {}
    for one in made:
        for column, by in one.changes.items():
            known = total.setdefault(column, {})
            for who, count in by.items():
                known[who] = known.get(who, 0) + count
    return {column: dict(sorted(by.items())) for column, by in total.items()}


@dataclasses.dataclass(frozen=True)
class _Rewrite:
    uri: str
    on: str
    columns: tuple[str, ...]
    stored: pa.Schema
    forced: frozenset[str]
    """Columns that are written even when no cell of them changes."""
    folder: str
    dry_run: bool

    def __call__(self, partition: DatasetPartition) -> list[_Rewritten]:
        return [self._rewrite(partition, fragment) for fragment in partition.fragments]

    def _rewrite(self, partition: DatasetPartition, fragment: Fragment) -> _Rewritten:
        given = _corrections(self.uri, self.on)
        names = list(dict.fromkeys([self.on, *self.columns]))
        batches, rows, changes = [], 0, {name: dict[str, int]() for name in self.columns}
        for batch in partition.read_fragment(fragment, names):
            made, differ = _corrected(given, batch, changes)
            batches.append(made)
            rows += differ
        held = fragment.held & self.forced
        wanted = [n for n in self.columns if changes[n] or n in held]
        told = {name: by for name, by in changes.items() if by}
        if self.dry_run or not wanted:
            return _Rewritten(rows, told, None)
        kept = [field for n, field in zip(self.columns, self.stored, strict=True) if n in wanted]
        schema = pa.schema(kept)
        as_stored = (
            pa.RecordBatch.from_arrays(
                [encoded(batch.column(n), f.type) for n, f in zip(wanted, schema, strict=True)],
                schema=schema,
            )
            for batch in batches
        )
        name = f"update-{uuid.uuid4().hex}.lance"
        file = write_column_file(partition, fragment, as_stored, schema, self.folder, name)
        return _Rewritten(rows, told, file)


def _corrected(
    given: Corrections, batch: pa.RecordBatch, changes: Mapping[str, dict[str, int]]
) -> tuple[pa.RecordBatch, int]:
    """A batch of the columns to change with the corrected values, and how many rows of it differ;
    counts the changed cells."""
    places = _places(given, batch)
    rows = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False))
    matched = places.drop_null()
    columns, any_differs = [], np.zeros(len(rows), np.bool_)
    for name in given.columns:
        old = arrays.plain(batch.column(name))
        new = arrays.plain(one_array(given.table.column(name))).take(matched)
        differ = differing(old.take(pa.array(rows)), new)
        any_differs |= differ
        _count(given, matched.filter(pa.array(differ)), changes[name])
        order = np.arange(len(old))
        order[rows] = len(old) + np.arange(len(rows))
        columns.append(pa.concat_arrays([old, new.cast(old.type)]).take(pa.array(order)))
    made = pa.RecordBatch.from_arrays(columns, names=list(given.columns))
    return made, int(any_differs.sum())


def _count(given: Corrections, matched: pa.Array, counts: dict[str, int]) -> None:
    authors = one_array(given.table.column(AUTHOR)).take(matched)
    for pair in authors.value_counts().to_pylist():
        who = str(pair["values"])
        counts[who] = counts.get(who, 0) + int(pair["counts"])
