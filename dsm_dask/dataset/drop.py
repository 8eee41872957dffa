"""Drop rows: deletion vectors written by workers, one commit by the driver.

No data is rewritten: a dropped row is a bit. Older versions keep every row.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from dsm_dask import storage
from dsm_dask.dataset import deletion_vectors
from dsm_dask.dataset.commit import (
    Change,
    ObjectRecord,
    change_key,
    checksum_of,
    commit,
    found_before,
)
from dsm_dask.dataset.fragments import Target
from dsm_dask.dataset.lance_calls import lance_call
from dsm_dask.dataset.partition import DatasetPartition, Fragment, live_rows
from dsm_dask.dataset.version import Dataset, changes_of, open_for_writing, properties
from dsm_dask.dataset.write import Written
from dsm_dask.engine import Engine
from dsm_dask.where import Where


class Chooser(Protocol):
    """Which rows to drop. Frozen and picklable: it travels to the workers."""

    def offsets(self, partition: DatasetPartition, fragment: Fragment) -> np.ndarray[Any, Any]:
        """Physical offsets in the fragment of the live rows to drop, ascending."""
        ...


@dataclasses.dataclass(frozen=True)
class ChooseWhere:
    """The rows for which a condition holds."""

    where: Where

    def offsets(self, partition: DatasetPartition, fragment: Fragment) -> np.ndarray[Any, Any]:
        masks = [
            self.where.mask(batch)
            for batch in partition.read_fragment(fragment, self.where.columns)
        ]
        chosen = np.flatnonzero(np.concatenate(masks)) if masks else np.empty(0, np.int64)
        if not fragment.deletions or not len(chosen):
            return chosen
        live, _ = live_rows(partition, fragment)
        return live[chosen]


@dataclasses.dataclass(frozen=True)
class Dropped:
    """What became of one fragment, as a worker reports it."""

    fragment: int
    rows: int
    metadata: str | None
    """JSON of the new fragment; None when no row of it is left, or in a dry run."""
    record: ObjectRecord | None = None


def drop(
    data: str | Dataset,
    where: str,
    *,
    engine: Engine,
    message: str = "",
    dry_run: bool = False,
) -> Written:
    """Drop the rows for which an SQL condition holds, as a new version of a few kilobytes.

    Raises UnknownColumn and InvalidExpression before anything is read, CommitConflict when
    another drop of rows of the same files was committed meanwhile.
    """
    base = open_for_writing(data)
    condition = Where(where)
    condition.check(base.schema, base.name)
    change = Change("drop", {"where": where}, "", message)
    return drop_rows(base, ChooseWhere(condition), change, engine=engine, dry_run=dry_run)


def drop_rows(
    base: Dataset, chooser: Chooser, change: Change, *, engine: Engine, dry_run: bool = False
) -> Written:
    """Drop what ``chooser`` picks; ``change`` says what for. No rows, no commit."""
    key = change_key(change.job, change.spec, base.ref)
    done = found_before(base, key, engine)
    if done is not None:
        counts = changes_of(properties(done.lance, done.version))
        return Written(base.uri, done.version, done.rows, counts, False, branch=base.branch)
    mark = engine.mark()
    worker = _DropFrom(chooser, Target.of(base).prefix, dry_run)
    found = engine.map_partitions(worker, base.partitions(), label="Dropping")
    pieces = [piece for group in found for piece in group]
    dropped = sum(piece.rows for piece in pieces)
    counts = {"dropped": dropped}
    if dry_run or not dropped:
        return Written(
            base.uri, base.version, base.rows - dropped, counts, False, branch=base.branch
        )
    full = dataclasses.replace(
        change,
        key=key,
        rows=base.rows - dropped,
        changed={**change.changed, **counts},
        io=change.io + mark.io,
        objects=(*change.objects, *(p.record for p in pieces if p.record is not None)),
        skipped=(*change.skipped, *mark.skipped),
    )
    made = commit(base, _operation(pieces, full), full)
    return Written(base.uri, made.version, made.rows, counts, True, branch=base.branch)


def _operation(pieces: Sequence[Dropped], change: Change) -> Any:
    import lance
    from lance.fragment import FragmentMetadata

    kept = [FragmentMetadata.from_json(piece.metadata) for piece in pieces if piece.metadata]
    gone = [piece.fragment for piece in pieces if piece.metadata is None]
    return lance.LanceOperation.Delete(kept, gone, f"{change.job} {json.dumps(change.spec)}")


@dataclasses.dataclass(frozen=True)
class _DropFrom:
    chooser: Chooser
    prefix: str
    dry_run: bool

    def __call__(self, partition: DatasetPartition) -> list[Dropped]:
        found = [self._drop(partition, fragment) for fragment in partition.fragments]
        return [piece for piece in found if piece.rows]

    def _drop(self, partition: DatasetPartition, fragment: Fragment) -> Dropped:
        offsets = self.chooser.offsets(partition, fragment)
        if self.dry_run or not len(offsets):
            return Dropped(fragment.id, len(offsets), None)
        gone = np.zeros(fragment.physical_rows, np.bool_)
        if fragment.deletions:
            gone[:] = True
            gone[live_rows(partition, fragment)[0]] = False
        gone[offsets] = True
        count = int(np.count_nonzero(gone))
        if count == len(gone):
            return Dropped(fragment.id, len(offsets), None)
        dataset = partition.snapshot.open()
        file = deletion_vectors.deletion_file(dataset.version, count)
        path = self.prefix + deletion_vectors.deletion_path(fragment.id, file)
        uri, data = storage.join(partition.snapshot.uri, path), deletion_vectors.encode(gone)
        storage.write(uri, data, durable=False)  # as Lance writes all that is of a commit
        with lance_call(partition.snapshot.uri):
            metadata = dataset.get_fragment(fragment.id).metadata
        metadata.deletion_file = file
        record = checksum_of(data, path)
        return Dropped(fragment.id, len(offsets), json.dumps(metadata.to_json()), record)
