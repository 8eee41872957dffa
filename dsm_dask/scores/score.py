"""Score rows: what scorers make becomes columns of a new version, beside what is there.

First what scores depend on besides their row is taken from the whole table, by Folds whose states
are kept; then every fragment without right scores is read once, for all scorers together, and its
new columns are written as one file; then there is one commit.

A file of scores is called ``score-<digest>-...-<random>.lance`` with a digest for each scorer: of
its parameters, of what the whole table gave it, and of the files that hold the columns that it
reads. So a version tells by names alone which of its fragments have right scores, whatever was
appended, corrected, restored or branched in between.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.dataset.class_names import keep
from dsm_dask.dataset.column_commit import NewColumns, commit_columns
from dsm_dask.dataset.column_files import ColumnFile, write_column_file
from dsm_dask.dataset.columns import mapped
from dsm_dask.dataset.commit import Change, change_key, found_before
from dsm_dask.dataset.fragments import Target
from dsm_dask.dataset.partition import DatasetPartition, Fragment
from dsm_dask.dataset.version import Dataset, open_for_writing
from dsm_dask.duplicates.places import places
from dsm_dask.engine import Engine, Mark
from dsm_dask.errors import BadRows, SchemaError
from dsm_dask.scores import column_metadata
from dsm_dask.scores.column_checks import check
from dsm_dask.scores.column_metadata import ColumnMetadata
from dsm_dask.scores.prepared import Prepared, digest_of
from dsm_dask.scores.scored import Scored, ScoredColumn, spread
from dsm_dask.scores.scorer import Scorer
from dsm_dask.sources.schema import spelled
from dsm_dask.table import ROW_ID

_FILE = "score-"
"""How names of files of scores begin; rows that were appended have nulls in other files."""


def score(
    data: str | Dataset,
    scorers: Sequence[Scorer],
    *,
    engine: Engine,
    replace: bool = False,
    message: str = "",
    dry_run: bool = False,
    prefix: str = "",
) -> Scored:
    """Compute the columns of some scorers and commit them, their names after ``prefix``.

    Columns that are there already keep the scores that are right: only fragments that were
    appended or corrected since are read and written. When a scorer's quantities have changed, all
    of its columns are computed again and named in :attr:`~dsm_dask.scores.scored.Scored.stale`.
    Without anything to compute, nothing is committed.

    Raises UsageError when columns were made with other parameters, unless ``replace``; SchemaError
    when a column of that name holds no scores; UnknownColumn; and what scorers raise about rows.
    """
    base = open_for_writing(data)
    if dry_run:
        base = Unkept.of(base)
    steps = [Prepared(scorer, prefix) for scorer in scorers]
    if not base.rows:
        raise SchemaError(f"{base.name} has no rows to score.", where=base.name)
    known = column_metadata.read(base)
    check(base, steps, known, replace)
    spec = {"scorers": [step.told for step in steps], "prefix": prefix}
    key = change_key("score", spec, base.ref)
    done = found_before(base, key, engine)
    if done is not None:
        columns = spread(done, _columns(done, steps), engine)
        rows = {step.scorer.name: 0 for step in steps}
        return Scored(done.uri, done.version, done.rows, columns, rows, branch=done.branch)
    mark = engine.mark()
    with places(base, None, None, engine, uuid.uuid4().hex, dry_run) as place:
        steps = _prepared(base, steps, known, engine, place.work)
        work = _wanting(base, steps)
        stale = tuple(
            name
            for step in steps
            for name in step.schema.names
            if name in known
            and not (
                known[name].quantities == step.quantities_digest
                and not known[name].names_differ(step.metadata)
            )
        )
        found = Scored(
            base.uri, base.version, base.rows, _columns(base, steps),
            _computed(steps, work, {one.id for one in base.fragments}), stale,
            dry_run=dry_run, summaries=_summaries(steps),
            quantities={one.scorer.name: one.quantities for one in steps if not one.settled},
            branch=base.branch,
        )  # fmt: skip
        if dry_run:
            return found
        files = _written(base, steps, work, engine)
        computed = _computed(steps, work, {file.fragment for file in files})
        change = Change("score", spec, key, message)
        made = _commit(base, steps, work, files, change, mark)
    columns = spread(made or base, _columns(made or base, steps), engine)
    found = dataclasses.replace(found, columns=columns, computed=computed)
    if made is None:
        return found
    return dataclasses.replace(found, version=made.version, rows=made.rows, committed=True)


class Unkept(Dataset):
    """A version beside which no states are kept: a dry run writes nothing."""

    states = None  # type: ignore[assignment]

    @classmethod
    def of(cls, base: Dataset) -> Unkept:
        return cls(base.uri, base.branch, base.lance)


def _summaries(steps: Sequence[Prepared]) -> dict[str, Any]:
    """What scorers have to tell of their quantities."""
    told = {
        step.scorer.name: (getattr(step.scorer, "summary", None), step)
        for step in steps
        if not step.settled
    }
    return {name: tell(step.quantities) for name, (tell, step) in told.items() if tell is not None}


def _prepared(
    base: Dataset,
    steps: Sequence[Prepared],
    known: Mapping[str, ColumnMetadata],
    engine: Engine,
    work: str,
) -> list[Prepared]:
    found = []
    for number, step in enumerate(steps):
        digest = getattr(step.scorer, "data_digest", None)
        if digest is not None:
            step = dataclasses.replace(step, data=digest(base))
            settled = _settled(base, step, known)
            if settled is not None:
                found.append(settled)
                continue
        own = storage.join(work, f"{number}-{step.scorer.name}")
        quantities = step.scorer.prepare(base, engine, own)
        found.append(dataclasses.replace(step, version=base.ref, quantities=quantities))
    return found


def _settled(base: Dataset, step: Prepared, known: Mapping[str, ColumnMetadata]) -> Prepared | None:
    """The step as it was, when all of its scores are right: made alike, of the very same rows."""
    told = [known.get(name) for name in step.schema.names]
    first = told[0]
    if first is None or first.data != step.data or any(one != first for one in told):
        return None
    made = dataclasses.replace(step, version=first.version, settled=first.quantities)
    alike = first.made_alike(made.metadata)
    return made if alike and not _wanting(base, [made]) else None


def _columns(dataset: Dataset, steps: Sequence[Prepared]) -> tuple[ScoredColumn, ...]:
    """The columns with the metadata that they have, or, where they are not there yet, will have."""
    known = column_metadata.read(dataset)
    return tuple(
        ScoredColumn(field.name, str(field.type), known.get(field.name, step.metadata))
        for step in steps
        for field in step.schema
    )


# ---------------------------------------------------------------------------------------------
# Fragments


_Work = dict[tuple[int, ...], list[DatasetPartition]]
"""Partitions of just the fragments that lack right scores of some scorers, by their numbers."""


def _wanting(base: Dataset, steps: Sequence[Prepared]) -> _Work:
    asked = [(step.fingerprint, step.sources, tuple(step.schema.names)) for step in steps]
    work: _Work = {}
    for partition in base.partitions():
        wanting: dict[tuple[int, ...], list[Fragment]] = {}
        for fragment in partition.fragments:
            lacking = tuple(
                number for number, one in enumerate(asked) if not _is_right(fragment, *one)
            )
            if lacking:
                wanting.setdefault(lacking, []).append(fragment)
        for lacking, fragments in wanting.items():
            some = dataclasses.replace(partition, fragments=tuple(fragments))
            work.setdefault(lacking, []).append(some)
    return work


def _is_right(
    fragment: Fragment, fingerprint: str, sources: Sequence[str], names: Sequence[str]
) -> bool:
    digest = digest_of(fingerprint, sources, fragment)
    return all(any(digest in file for file in fragment.files_of([name])) for name in names)


def _computed(steps: Sequence[Prepared], work: _Work, fragments: Collection[int]) -> dict[str, int]:
    """Rows of some of the fragments that are in need of scores, by scorer."""
    return {
        step.scorer.name: sum(
            fragment.rows
            for lacking, partitions in work.items()
            for partition in partitions
            for fragment in partition.fragments
            if number in lacking and fragment.id in fragments
        )
        for number, step in enumerate(steps)
    }


@dataclasses.dataclass(frozen=True)
class _WriteScores:
    steps: tuple[Prepared, ...]
    folder: str

    def __call__(self, partition: DatasetPartition) -> list[ColumnFile]:
        return [self._write(partition, fragment) for fragment in partition.fragments]

    def _write(self, partition: DatasetPartition, fragment: Fragment) -> ColumnFile:
        digests = [digest_of(step.fingerprint, step.sources, fragment) for step in self.steps]
        name = f"{_FILE}{'-'.join(digests)}-{uuid.uuid4().hex}.lance"
        schema = pa.schema([field for step in self.steps for field in step.schema])
        try:
            batches = self._batches(partition, fragment, schema)
            return write_column_file(partition, fragment, batches, schema, self.folder, name)
        except BadRows:
            self._name_bad_rows(partition, fragment)
            raise

    def _batches(
        self, partition: DatasetPartition, fragment: Fragment, schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        columns = dict.fromkeys(name for step in self.steps for name in step.columns)
        for batch in partition.read_fragment(fragment, list(columns)):
            made = [mapped(step, batch, fragment) for step in self.steps]
            arrays = [column for one in made for column in one.columns]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _name_bad_rows(self, partition: DatasetPartition, fragment: Fragment) -> None:
        """Raise the error again, about rows with their ids: these are not read otherwise."""
        for step in self.steps:
            columns = [*dict.fromkeys([*step.columns, ROW_ID])]
            for batch in partition.read_fragment(fragment, columns):
                step.apply(batch)


def _written(
    base: Dataset, steps: Sequence[Prepared], work: _Work, engine: Engine
) -> list[ColumnFile]:
    files: list[ColumnFile] = []
    for lacking, partitions in work.items():
        worker = _WriteScores(
            tuple(steps[number] for number in lacking), f"{Target.of(base).prefix}data/"
        )
        found = engine.map_partitions(worker, partitions, label="Scoring")
        files += [file for group in found for file in group]
    return files


def _commit(
    base: Dataset,
    steps: Sequence[Prepared],
    work: _Work,
    files: Sequence[ColumnFile],
    change: Change,
    mark: Mark,
) -> Dataset | None:
    """The version with the new columns; None when nothing was written, and nothing has to go."""
    columns = _new_columns(base, steps, work, files)
    if not files and not columns.cleared:
        return None
    added = set(columns.added.names) - set(columns.removed)
    computed = _computed(steps, work, {file.fragment for file in files})
    for step in steps:
        keep(base.uri, step.class_names)
    change = dataclasses.replace(
        change,
        changed={"columns_added": len(added), "scored": max(computed.values())},
        io=mark.io,
        objects=tuple(file.record for file in files),
        skipped=mark.skipped,
    )
    return commit_columns(base, columns, change)


def _new_columns(
    base: Dataset, steps: Sequence[Prepared], work: _Work, files: Sequence[ColumnFile]
) -> NewColumns:
    fields = [field for step in steps for field in step.schema]
    had = {field.name: spelled(field.type) for field in base.lance.schema}
    new = [f for f in fields if had.get(f.name) != spelled(f.type)]
    touched = {number for lacking in work for number in lacking}
    written = {file.fragment for file in files}
    wrong = {
        fragment.id: tuple(
            name
            for number in lacking
            for name in steps[number].schema.names
            if any(file.startswith(_FILE) for file in fragment.files_of([name]))
        )
        for lacking, partitions in work.items()
        for partition in partitions
        for fragment in partition.fragments
        if fragment.id not in written  # left out: what it has is of other values
    }
    return NewColumns(
        files,
        added=pa.schema([field.with_nullable(True) for field in new]),
        removed=tuple(field.name for field in new if field.name in had),
        metadata={
            name: steps[number].metadata.to_entry()
            for number in sorted(touched)
            for name in steps[number].schema.names
        },
        cleared={fragment: names for fragment, names in wrong.items() if names},
    )
