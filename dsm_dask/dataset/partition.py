"""Fragments of a dataset as partitions: linked beside managed columns, less what was dropped."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import storage
from dsm_dask.dataset.lance_calls import lance_call
from dsm_dask.errors import DatasetDamaged, NewerDataset
from dsm_dask.sources.file_part import FilePart, no_columns
from dsm_dask.sources.schema import conform, spelled
from dsm_dask.table import ROW_ID

BATCH_ROWS = 1 << 16
ID_ROWS = 1 << 18
"""Rows of a batch of row ids alone: Lance's own batches of 8192 take more time than their rows."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Which version to open, for a worker. ``token`` keeps caches of one opening apart."""

    uri: str
    branch: str | None
    version: int
    token: str

    def open(self) -> Any:
        return _open(self, storage.current_options())


@functools.lru_cache(maxsize=16)
def _open(snapshot: Snapshot, options: storage.Options) -> Any:
    return open_lance(snapshot.uri, snapshot.branch, snapshot.version)


FORMAT = 1
"""The newest format that is read here: what ``dsm.format`` says in a schema's metadata. A dataset
without it has the first one."""


def open_lance(uri: str, branch: str | None, version: int | None) -> Any:
    """A Lance dataset at a version of a branch (the latest one when None).

    Raises NewerDataset for one in a format that later releases write.
    """
    import lance

    with lance_call(uri):
        found = lance.dataset(uri, storage_options=storage.lance_options(uri))
        if branch is not None:
            found = found.checkout_version((branch, version))
        elif version is not None:
            found = found.checkout_version(version)
        stored = int((found.schema.metadata or {}).get(b"dsm.format", FORMAT))
    if stored > FORMAT:
        raise NewerDataset(
            f"{uri} was written by a newer dsm-dask, in format {stored}; this one reads up to "
            f"format {FORMAT}.",
            where=uri,
            valid="`pip install --upgrade dsm-dask`.",
        )
    return found


@dataclasses.dataclass(frozen=True)
class Fragment:
    """One Lance fragment: where its rows are and which of them live."""

    id: int
    part: FilePart | None
    """The source part of a linked fragment."""
    link: str
    """Name of the link file; empty for a managed fragment."""
    files: tuple[tuple[str, tuple[str, ...]], ...]
    """Data files and the columns in each: managed ones, and linked ones of which cells of this
    fragment were changed."""
    deletions: str
    """Identity of the deletion vector; empty when no row was dropped."""
    physical_rows: int
    rows: int
    size: int

    @property
    def rows_fingerprint(self) -> str:
        base = self.part.fingerprint if self.part is not None else self.files[0][0]
        return f"{base}:{self.deletions}"

    @property
    def held(self) -> frozenset[str]:
        """The columns that are in data files."""
        return frozenset(name for _, names in self.files for name in names)

    def files_of(self, columns: Collection[str]) -> tuple[str, ...]:
        """The data files that hold some columns."""
        wanted = set(columns)
        return tuple(sorted(path for path, names in self.files if wanted & set(names)))

    @property
    def label(self) -> str:
        return self.part.label if self.part is not None else f"fragment {self.id}"


@dataclasses.dataclass(frozen=True)
class DatasetPartition:
    """Neighbouring fragments of one version."""

    snapshot: Snapshot
    fragments: tuple[Fragment, ...]
    schema: pa.Schema
    linked: tuple[str, ...]
    """Columns that are read from the source files."""
    changed: tuple[tuple[str, str], ...] = ()
    """Those of them of which cells were changed, and what they are called in the Lance schema."""

    @property
    def rows(self) -> int:
        return sum(fragment.rows for fragment in self.fragments)

    @property
    def size(self) -> int:
        return sum(fragment.size for fragment in self.fragments)

    @functools.cached_property
    def fingerprint(self) -> str:
        text = "|".join(fragment.rows_fingerprint for fragment in self.fragments)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @functools.cached_property
    def lasting_fingerprint(self) -> str:
        """Which rows these were before any was dropped: names begin with it of what is kept of a
        partition and serves for any of its rows."""
        parts = (f.files[0][0] if f.part is None else f.part.fingerprint for f in self.fragments)
        return hashlib.blake2b("|".join(parts).encode(), digest_size=8).hexdigest()

    def values_fingerprint(self, columns: Sequence[str]) -> str:
        """Types and managed files behind some columns: what the rows' values depend on."""
        types = [spelled(self.schema.field(name).type) for name in columns if name != ROW_ID]
        files = [
            path
            for fragment in self.fragments
            for path, held in fragment.files
            if set(held) & set(columns)
        ]
        if ROW_ID in columns:
            files += [f.link or f.files[0][0] for f in self.fragments]
        return hashlib.blake2b(repr((types, files)).encode(), digest_size=8).hexdigest()

    @property
    def label(self) -> str:
        more = f" and {len(self.fragments) - 1} more" if len(self.fragments) > 1 else ""
        return f"{self.fragments[0].label}{more}"

    @property
    def pieces(self) -> tuple[DatasetPartition, ...]:
        """A partition for each fragment."""
        return tuple(dataclasses.replace(self, fragments=(f,)) for f in self.fragments)

    takes_encoded = True

    def read(self, columns: Sequence[str], *, encoded: bool = False) -> Iterator[pa.RecordBatch]:
        for fragment in self.fragments:
            yield from self.read_fragment(fragment, columns, encoded=encoded)

    def read_fragment(
        self, fragment: Fragment, columns: Sequence[str], *, encoded: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Live rows of one fragment, in row order."""
        linked = set(self.linked) - fragment.held if fragment.part is not None else set()
        managed = [name for name in columns if name != ROW_ID and name not in linked]
        if fragment.part is None:
            yield from self._read_managed(fragment, managed, columns)
            return
        wanted = pa.schema([self.schema.field(name) for name in columns if name in linked])
        batches = fragment.part.read(wanted, encoded=encoded)
        if not fragment.deletions and not managed and ROW_ID not in columns:
            yield from batches
            return
        yield from self._read_side_by_side(fragment, batches, managed, columns)

    def _read_managed(
        self, fragment: Fragment, managed: list[str], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        if not columns:
            for start in range(0, fragment.rows, BATCH_ROWS):
                yield no_columns(min(BATCH_ROWS, fragment.rows - start))
            return
        for batch in self.scan(fragment, managed, row_ids=ROW_ID in columns):
            yield batch.select(list(columns))

    def _read_side_by_side(
        self,
        fragment: Fragment,
        batches: Iterator[pa.RecordBatch],
        managed: list[str],
        columns: Sequence[str],
    ) -> Iterator[pa.RecordBatch]:
        """Source rows filtered to the live ones, joined with what Lance holds of them."""
        kept = pa.Table.from_batches(self.scan(fragment, managed, row_ids=True, offsets=True))
        offsets = kept.column(OFFSET).to_numpy()
        position = 0
        for batch in batches:
            first, last = np.searchsorted(offsets, [position, position + batch.num_rows])
            if first < last:
                rows = batch
                if last - first < batch.num_rows:
                    rows = _taken(batch, pa.array(offsets[first:last] - position))
                yield _joined(rows, kept.slice(first, last - first), columns)
            position += batch.num_rows

    def take(
        self, fragment: Fragment, chosen: npt.NDArray[np.uint64], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """The live rows of one fragment that have any of some row ids, in row order. Of linked
        columns the row groups with any of them are read; of others the rows alone, or, when they
        are many, all."""
        offsets, ids = live_rows(self, fragment)
        places = np.flatnonzero(np.isin(ids, chosen))
        if not len(places):
            return
        linked = set(self.linked) - fragment.held if fragment.part is not None else set()
        managed = [name for name in columns if name != ROW_ID and name not in linked]
        kept = pa.table({ROW_ID: pa.array(ids[places], pa.uint64())})
        if managed:
            found = self._taken_from_lance(fragment, places, managed)
            for name in managed:
                kept = kept.append_column(found.schema.field(name), found.column(name))
        wanted = pa.schema([self.schema.field(name) for name in columns if name in linked])
        if fragment.part is None or not len(wanted):
            yield from kept.select(list(columns)).to_batches()
            return
        rows = offsets[places]
        for position, part in fragment.part.groups_of(rows):
            for batch in part.read(wanted):
                first, last = np.searchsorted(rows, [position, position + batch.num_rows])
                if first < last:
                    some = _taken(batch, pa.array(rows[first:last] - position))
                    yield _joined(some, kept.slice(first, last - first), columns)
                position += batch.num_rows

    def _taken_from_lance(
        self, fragment: Fragment, places: npt.NDArray[np.int64], columns: Sequence[str]
    ) -> pa.Table:
        if len(places) * RANDOM_READ > fragment.rows * VALUE:
            return pa.Table.from_batches(self.scan(fragment, columns)).take(pa.array(places))
        dataset = self.snapshot.open()
        changed = dict(self.changed)
        names = [changed.get(name, name) for name in columns]
        with lance_call(self.snapshot.uri), lance_io(dataset):
            found = dataset.get_fragment(fragment.id).take(places.tolist(), columns=names)
        if names == list(columns):
            return found
        batches = [self._as_linked(batch) for batch in found.to_batches()]
        return pa.Table.from_batches(batches)

    def scan(
        self,
        fragment: Fragment,
        columns: Sequence[str],
        *,
        row_ids: bool = False,
        offsets: bool = False,
    ) -> list[pa.RecordBatch]:
        """What Lance itself holds of a fragment's live rows; counts the bytes that moved.

        With ``offsets`` there is a column :data:`OFFSET`: each row's number in the fragment.
        """
        found = self.snapshot.open().get_fragment(fragment.id)
        if found is None:
            raise DatasetDamaged(f"Fragment {fragment.id} is not in version {self.snapshot}.")
        changed = dict(self.changed)
        names = [changed.get(name, name) for name in columns]
        with lance_call(self.snapshot.uri), lance_io(self.snapshot.open()):
            scanner = found.scanner(
                columns=names, with_row_id=row_ids or not columns,
                with_row_address=offsets and bool(fragment.deletions),
                batch_size=None if columns else ID_ROWS,
            )  # fmt: skip
            batches = list(scanner.to_batches())
        if names != list(columns):
            batches = [self._as_linked(batch) for batch in batches]
        return _with_offsets(batches) if offsets else batches

    def _as_linked(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """With the names and types that changed columns have in the sources."""
        columns = {lance_name: column for column, lance_name in self.changed}
        fields = [
            self.schema.field(columns[field.name]) if field.name in columns else field
            for field in batch.schema
        ]
        schema = pa.schema(fields)
        return conform(batch.rename_columns(schema.names), schema)


OFFSET = "_dsm_offset"

RANDOM_READ, VALUE = 1 << 16, 4
"""Bytes read in order that cost as much as one value that is read alone; bytes of a value."""


def _with_offsets(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """As Lance tells them by the rows' addresses; without those, no row was dropped."""
    found, position = [], 0
    for batch in batches:
        if "_rowaddr" in batch.schema.names:
            offsets = batch.column("_rowaddr").to_numpy() & 0xFFFFFFFF
        else:
            offsets = np.arange(position, position + batch.num_rows)
        found.append(batch.append_column(OFFSET, pa.array(offsets, pa.int64())))
        position += batch.num_rows
    return found


_PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


def _taken(batch: pa.RecordBatch, rows: pa.Array) -> pa.RecordBatch:
    """Some rows of a batch; Arrow has no ``take`` for views."""
    arrays = [
        array.cast(_PLAIN[array.type]).take(rows).cast(array.type)
        if array.type in _PLAIN
        else array.take(rows)
        for array in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def _joined(rows: pa.RecordBatch, kept: pa.Table, columns: Sequence[str]) -> pa.RecordBatch:
    kept_batch = kept.combine_chunks().to_batches()[0]
    if not columns:
        return no_columns(rows.num_rows)
    arrays = [
        rows.column(name) if name in rows.schema.names else kept_batch.column(name)
        for name in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


class lance_io:  # noqa: N801 - reads as a statement
    """Add what Lance moved through ``dataset`` to the byte counters."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __enter__(self) -> None:
        self._dataset.io_stats_incremental()

    def __exit__(self, *_: object) -> None:
        moved = self._dataset.io_stats_incremental()
        storage.count(
            moved.read_bytes, moved.written_bytes, int(moved.read_iops) + int(moved.write_iops)
        )


def live_rows(
    partition: DatasetPartition, fragment: Fragment
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Offsets in the fragment and row ids of its live rows, both in row order."""
    table = pa.Table.from_batches(partition.scan(fragment, [], row_ids=True, offsets=True))
    return table.column(OFFSET).to_numpy(), table.column(ROW_ID).to_numpy()
