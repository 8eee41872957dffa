"""One commit for columns that workers have written, on top of whatever was committed meanwhile.

Rows that others append while columns are computed are kept, and are null in these columns; rows
that they drop stay dropped. Only who writes the same columns, or goes back to another version, is a
conflict.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from dsm_dask.dataset.column_files import ColumnFile, attached, struck_out
from dsm_dask.dataset.commit import Change, commit, find_key, lost_race, refuse_unknown
from dsm_dask.dataset.lance_fields import (
    greatest_id,
    leaves,
    with_columns,
    with_metadata,
    without_columns,
)
from dsm_dask.dataset.links import column_of
from dsm_dask.dataset.version import Dataset, newest
from dsm_dask.errors import CommitConflict

_TRIES = 20
"""Commits by others that one commit gives way to."""


@dataclasses.dataclass(frozen=True)
class NewColumns:
    """What becomes of the columns. Names are those of the Lance schema."""

    files: Sequence[ColumnFile]
    added: pa.Schema = dataclasses.field(default_factory=lambda: pa.schema([]))
    """Columns that are new."""
    removed: tuple[str, ...] = ()
    """Columns that go; a new one may have the name of one."""
    metadata: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    """Entries in the metadata of columns, new ones included."""
    cleared: Mapping[int, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Columns of which a fragment loses the values that it had, by the fragment's id."""
    read: tuple[str, ...] = ()
    """Columns that nobody may have written since, besides those that are written."""


def commit_columns(base: Dataset, columns: NewColumns, change: Change) -> Dataset:
    """Commit columns that were computed from ``base``.

    Raises CommitConflict when another writer changed the same columns of the same rows, or did
    anything but append, drop, or write other columns.
    """
    for _ in range(_TRIES):
        head = newest(base.uri, base.branch)
        if head.version != base.version:
            done = find_key(base, change.key, since=base.version)
            if done is not None:
                return done
            _check_independent(base, head, columns)
        try:
            return commit(
                head, _operation(head, columns), dataclasses.replace(change, rows=head.rows)
            )
        except CommitConflict:
            if newest(base.uri, base.branch).version == head.version:
                raise
    raise lost_race(base)


def _operation(head: Dataset, columns: NewColumns) -> Any:
    import lance
    from lance.fragment import FragmentMetadata

    before = head.lance.lance_schema
    raw = head.lance.get_fragments()
    gone = set(leaves(before, columns.removed))
    schema = without_columns(before, columns.removed)
    schema = with_columns(schema, columns.added, greatest_id(before, raw))
    schema = with_metadata(schema, columns.metadata)
    files = {file.fragment: file for file in columns.files}
    _check_whole(head, columns, files)
    fragments = []
    for fragment in raw:
        cleared = columns.cleared.get(fragment.fragment_id, ())
        metadata = struck_out(fragment.metadata.to_json(), gone | set(leaves(schema, cleared)))
        file = files.get(fragment.fragment_id)
        if file is not None:
            metadata = attached(metadata, file, leaves(schema, file.columns))
        fragments.append(FragmentMetadata.from_json(json.dumps(metadata)))
    # The new columns may be null, so appends that began before this commit need not fail.
    return lance.LanceOperation.Merge(fragments, schema, preserves_nullability=True)


def _check_whole(head: Dataset, columns: NewColumns, files: Mapping[int, ColumnFile]) -> None:
    """Raise CommitConflict when a column gets another type but some fragment no values of it, which
    Lance does not take."""
    changed = set(columns.removed) & set(columns.added.names)
    if changed and not {fragment.id for fragment in head.fragments} <= files.keys():
        raise CommitConflict(
            f"Column {min(changed)!r} is to have another type, but not all rows have new values.",
            where=head.name,
            valid="Rows were appended meanwhile, or left out: run again without --on-error skip.",
        )


def _check_independent(base: Dataset, head: Dataset, columns: NewColumns) -> None:
    """Raise CommitConflict when what was committed since ``base`` bears on what was computed."""
    import lance

    refuse_unknown(base, head)
    kinds = lance.LanceOperation
    for version in range(base.version + 1, head.version + 1):
        made = head.lance.read_transaction(version)
        if made is None or not isinstance(
            made.operation, (kinds.Append, kinds.Delete, kinds.Merge)
        ):
            raise lost_race(base)
    had, has = set(base.lance.schema.names), set(head.lance.schema.names)
    if (has - had) & set(columns.added.names) or not set(columns.removed) <= has:
        raise lost_race(base)
    before = {fragment.id: fragment for fragment in base.fragments}
    after = {fragment.id: fragment for fragment in head.fragments}
    for file in columns.files:
        names = {column_of(name) for name in file.columns} | set(columns.read)
        if file.fragment in after and (
            before[file.fragment].files_of(names) != after[file.fragment].files_of(names)
        ):
            raise lost_race(base)
