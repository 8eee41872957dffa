"""Dataset: one version of a versioned dataset, as a Table."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.dataset import links
from dsm_dask.dataset.partition import DatasetPartition, Fragment, Snapshot, open_lance
from dsm_dask.dataset.refs import Ref
from dsm_dask.errors import DatasetDamaged, NotADataset, UnknownVersion, UsageError, nearest
from dsm_dask.sources.parquet import SUFFIXES, as_table, coalesce, open_parquet, partition_bytes
from dsm_dask.sources.schema import unify
from dsm_dask.states import StateStore
from dsm_dask.table import ROW_ID, check_columns, read_all

MANAGED_PARTITION = 16 << 20
"""Neighbouring managed fragments share a partition up to this many bytes."""


class Dataset:
    """A dataset at one version: a Table whose rows are linked, managed, or both.

    Made by :func:`open_dataset`. It never changes: a verb that commits gives a new one.
    """

    def __init__(self, uri: str, branch: str | None, lance_dataset: Any) -> None:
        self.uri = uri
        self.branch = branch
        self.lance = lance_dataset
        self.version: int = lance_dataset.version
        self.snapshot = Snapshot(uri, branch, self.version, uuid.uuid4().hex)

    def __repr__(self) -> str:
        return f"<Dataset {self.name} rows={self.rows:,} columns={len(self.schema)}>"

    @property
    def name(self) -> str:
        """``URI@VERSION`` or ``URI@BRANCH:VERSION``."""
        return f"{self.uri}@{self.ref}"

    @property
    def ref(self) -> str:
        return f"{self.branch}:{self.version}" if self.branch else str(self.version)

    @property
    def states(self) -> StateStore:
        """Where states of its partitions are kept."""
        return StateStore(storage.join(self.uri, "_dsm", "states"))

    @functools.cached_property
    def is_linked(self) -> bool:
        """Whether the payload stays in its source files."""
        return links.LINK in self.lance.schema.names

    @functools.cached_property
    def source_lists(self) -> tuple[str, ...]:
        """Lists of all files that were ever added to this version, dropped or not.

        A commit carries the list along. A branch begins with its parent's; a commit by another
        tool has none, and then those of the fragments are all that is known.
        """
        props = properties(self.lance, self.version)
        if not props and self.branch is not None:
            props = self._properties_of_parent()
        told = [name for name in props.get("dsm.lists", "").split(",") if name]
        return tuple(dict.fromkeys([*told, *(link[0] for link in self._links if link)]))

    def _properties_of_parent(self) -> dict[str, str]:
        found = self.lance.branches.list().get(self.branch, {})
        if found.get("parent_version") != self.version:
            return {}
        try:
            parent = open_lance(self.uri, found["parent_branch"], self.version)
            return properties(parent, self.version)
        except DatasetDamaged:  # gc took the version that it began at
            return {}

    @functools.cached_property
    def linked_schema(self) -> pa.Schema:
        """Columns that are read from source files, those of dropped rows included."""
        if not self.is_linked:
            return pa.schema([])
        lists = self._lists.values()
        schema = unify([(f"link list {found.id}", found.schema) for found in lists])
        managed = set(self.lance.schema.names)
        return pa.schema([field for field in schema if field.name not in managed])

    @functools.cached_property
    def schema(self) -> pa.Schema:
        managed = [f for f in self.lance.schema if f.name != links.LINK and not _is_changed(f.name)]
        return pa.schema([*self.linked_schema, *managed])

    @functools.cached_property
    def changed_names(self) -> dict[str, str]:
        """What the linked columns of which cells were changed are called in the Lance schema."""
        names = [name for name in self.lance.schema.names if _is_changed(name)]
        return {links.column_of(name): name for name in names}

    @functools.cached_property
    def fragments(self) -> tuple[Fragment, ...]:
        """Every fragment of this version, in row order."""
        fields = _field_names(self.lance.lance_schema)
        return tuple(
            self._fragment(found.metadata, link, fields)
            for found, link in zip(self._raw_fragments, self._links, strict=True)
        )

    @functools.cached_property
    def rows(self) -> int:
        return sum(fragment.rows for fragment in self.fragments)

    @property
    def size(self) -> int:
        """Stored bytes of the rows' files: linked row groups and managed data files."""
        return sum(fragment.size for fragment in self.fragments)

    def partitions(self) -> tuple[DatasetPartition, ...]:
        """Partitions never span two appends, so that an append leaves the earlier ones as they
        were, and their cached states with them."""
        groups: dict[str, list[Fragment]] = {}
        for fragment, list_id in zip(self.fragments, self._list_ids, strict=True):
            groups.setdefault(list_id, []).append(fragment)
        linked = tuple(self.linked_schema.names)
        changed = tuple(self.changed_names.items())
        return tuple(
            DatasetPartition(self.snapshot, members, self.schema, linked, changed)
            for list_id, fragments in groups.items()
            for members in coalesce(fragments, self._limit(list_id))
        )

    def _limit(self, list_id: str) -> int | None:
        if not list_id:
            return MANAGED_PARTITION
        return partition_bytes(sum(part.size for part in self._lists[list_id].parts))

    def column_sizes(self) -> dict[str, int]:
        sizes = dict.fromkeys(self.schema.names, 0)
        for found in self._lists.values():
            whole = sum(part.rows for part in found.parts) or 1
            held = sum(
                fragment.physical_rows
                for fragment, list_id in zip(self.fragments, self._list_ids, strict=True)
                if list_id == found.id
            )
            for name, size in found.column_sizes.items():
                if name in sizes:
                    sizes[name] += size * held // whole
        names = _field_names(self.lance.lance_schema)
        for field in self.lance.stats.data_stats().fields:
            name = links.column_of(names.get(field.id, links.LINK))
            if name != links.LINK:
                sizes[name] += field.bytes_on_disk
        return sizes

    # -- reading ---------------------------------------------------------------------------

    def to_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Live rows as Arrow batches, read in this process."""
        return read_all(self, columns)

    def reader(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """A streaming Arrow reader, for DuckDB, Polars, pandas and the like."""
        names = list(self.schema.names) if columns is None else list(columns)
        check_columns(self, names)
        row_id = pa.field(ROW_ID, pa.uint64())
        schema = pa.schema([row_id if n == ROW_ID else self.schema.field(n) for n in names])
        batches = (batch.cast(schema) for batch in read_all(self, names))
        return pa.RecordBatchReader.from_batches(schema, batches)

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All live rows in memory."""
        return self.reader(columns).read_all()

    def to_dask(self, columns: Sequence[str] | None = None) -> Any:
        """A Dask DataFrame with a partition for each of this dataset's; types stay Arrow's."""
        from dsm_dask.dataframe import dask_dataframe

        return dask_dataframe(self, columns)

    # -- fragments -------------------------------------------------------------------------

    @functools.cached_property
    def _raw_fragments(self) -> list[Any]:
        return list(self.lance.get_fragments())

    @functools.cached_property
    def _links(self) -> list[tuple[str, int] | None]:
        return [links.parse_name(f.metadata.files[0].path) for f in self._raw_fragments]

    @property
    def _list_ids(self) -> list[str]:
        return [link[0] if link else "" for link in self._links]

    @functools.cached_property
    def _lists(self) -> dict[str, links.LinkList]:
        return {list_id: links.load(self.uri, list_id) for list_id in self.source_lists}

    @property
    def link_names(self) -> list[tuple[str, int]]:
        """List and index of each linked fragment."""
        return [link for link in self._links if link]

    @property
    def known_files(self) -> dict[str, tuple[int, str]]:
        """Size and ETag of every file that was ever added, by URI."""
        parts = [part for found in self._lists.values() for part in found.parts]
        return {part.uri: (part.file_size, part.etag) for part in parts}

    def _fragment(
        self, metadata: Any, link: tuple[str, int] | None, fields: dict[int, str]
    ) -> Fragment:
        if link is None and self.is_linked and self._lists:
            raise DatasetDamaged(
                f"Fragment {metadata.id} of this linked dataset does not say where its rows are.",
                where=self.name,
                valid="Another tool may have compacted it: open an earlier version with @VERSION.",
            )
        part = self._lists[link[0]].parts[link[1]] if link else None
        paths = [str(file.path) for file in metadata.files]  # Lance makes a class for each look
        managed = tuple(
            (path, tuple(dict.fromkeys(_held(fields, file.fields))))
            for path, file in zip(paths, metadata.files, strict=True)
        )
        stored = sum(file.file_size_bytes or 0 for file in metadata.files)
        deletion = metadata.deletion_file
        return Fragment(
            id=metadata.id,
            part=part,
            link=paths[0] if link else "",
            files=tuple(file for file in managed if links.parse_name(file[0]) is None),
            deletions=f"{deletion.id}-{deletion.read_version}" if deletion is not None else "",
            physical_rows=metadata.physical_rows,
            rows=metadata.num_rows,
            size=part.size if part is not None else stored,
        )


def _is_changed(lance_name: str) -> bool:
    return links.column_of(lance_name) != lance_name


def _held(names: dict[int, str], fields: Sequence[int]) -> list[str]:
    """The columns of some fields of a data file."""
    return [links.column_of(names[i]) for i in fields if i in names]


def _field_names(schema: Any) -> dict[int, str]:
    """The column that each field belongs to; the fields inside a struct belong to its column."""
    found: dict[int, str] = {}

    def add(field: Any, column: str) -> None:
        found[field.id()] = column
        for child in field.children():
            add(child, column)

    for field in schema.fields():
        add(field, field.name())
    return found


def open_dataset(data: str | Ref | Dataset) -> Dataset:
    """Open ``URI``, ``URI@VERSION``, ``URI@TAG`` or ``URI@BRANCH[:VERSION]``.

    Raises NotADataset, or UnknownVersion with the names there are.
    """
    if isinstance(data, Dataset):
        return data
    ref = Ref.parse(data) if isinstance(data, str) else data
    if not is_dataset(ref.uri):
        storage.check_bucket(ref.uri)
        raise NotADataset(
            f"There is no dataset at {ref.uri}.",
            where=ref.uri,
            valid="`dsm create DATASET SOURCE...` makes one.",
        )
    latest = open_lance(ref.uri, None, None)
    if ref.name is None:
        return Dataset(ref.uri, None, latest)
    return _at(ref, latest)


def _at(ref: Ref, latest: Any) -> Dataset:
    name = ref.name or ""
    branch, _, number = name.rpartition(":")
    if name.isdigit() or (branch and number.isdigit()):
        branch_name = branch or None
        if branch_name == "main":
            branch_name = None
        if branch_name is not None and branch_name not in latest.branches.list():
            raise _unknown(ref, latest)
        line = open_lance(ref.uri, branch_name, None)
        version = int(number)
        if version not in {entry["version"] for entry in line.versions()}:
            raise _unknown(ref, line)
        return Dataset(ref.uri, branch_name, open_lance(ref.uri, branch_name, version))
    tags = latest.tags.list()
    if name in tags:
        tag = tags[name]
        return Dataset(ref.uri, tag["branch"], open_lance(ref.uri, tag["branch"], tag["version"]))
    if name in latest.branches.list():
        return Dataset(ref.uri, name, open_lance(ref.uri, name, None))
    if name == "main":
        return Dataset(ref.uri, None, latest)
    raise _unknown(ref, latest)


def _unknown(ref: Ref, latest: Any) -> UnknownVersion:
    names = [*latest.tags.list(), *latest.branches.list()]
    known = nearest(str(ref.name), names).replace("Known:", "Tags and branches:")
    return UnknownVersion(
        f"There is no version, tag or branch {ref.name!r} (or gc has removed it).",
        where=str(ref),
        valid=f"Versions go up to {latest.version}."
        + (f" {known}" if names else " There are no tags and branches."),
    )


def is_dataset(uri: str) -> bool:
    """Whether there is a dataset (any Lance table) at a URI."""
    return bool(storage.listing(storage.join(uri, "_versions")))


def open_data(data: Any, map_: Any = map) -> Any:
    """A dataset, or a table over Parquet files, whichever ``data`` names."""
    if not isinstance(data, str):
        return as_table(data, map_)
    if data.lower().endswith(SUFFIXES):
        return open_parquet(data, map_=map_)
    ref = Ref.parse(data)
    if ref.name is not None or is_dataset(ref.uri):
        return open_dataset(ref)
    return open_parquet(data, map_=map_)


def properties(lance_dataset: Any, version: int) -> dict[str, str]:
    """Transaction properties of a version; empty when there are none."""
    transaction = lance_dataset.read_transaction(version)
    found = transaction.transaction_properties if transaction is not None else None
    return dict(found or {})


def newest(uri: str, branch: str | None) -> Dataset:
    """The newest version of a branch (the main one when None)."""
    return Dataset(uri, branch, open_lance(uri, branch, None))


def open_for_writing(data: str | Dataset) -> Dataset:
    """The newest version of the branch that a URI names; a Dataset is taken as it is, because a job
    goes on from a version of its own (see :func:`refuse_overtaken`).

    Raises UsageError for the URI of an older version: a commit always goes on top of the newest.
    """
    if isinstance(data, Dataset):
        return data
    ref = Ref.parse(data)
    base = open_dataset(ref)
    if ref.name in (None, "main", base.branch):
        return base  # the newest one; whoever commits meanwhile is met at the commit
    refuse_overtaken(base)
    return base


def refuse_overtaken(base: Dataset, *, appends: bool = False) -> None:
    """Raise UsageError when there is a newer version of the branch, on which a commit to ``base``
    would have to go; with ``appends``, one that is more than added rows."""
    head = newest(base.uri, base.branch)
    if head.version == base.version:
        return
    if appends:
        known = {entry["version"] for entry in head.lance.versions()}
        since = range(base.version + 1, head.version + 1)
        if all(v in known and properties(head.lance, v).get("dsm.job") == "append" for v in since):
            return
    raise UsageError(
        f"{base.name} is not the newest version; version {head.version} is.",
        where=base.name,
        valid="Write to the newest one, or start a branch there with `dsm branch`.",
    )


def changes_of(props: dict[str, str]) -> dict[str, int]:
    """Counts of what a version changed."""
    return dict(json.loads(props.get("dsm.changed", "{}")))


def spec_of(props: dict[str, str]) -> dict[str, Any]:
    """The arguments of the verb that made a version."""
    return dict(json.loads(props.get("dsm.spec", "{}")))
