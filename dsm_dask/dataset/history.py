"""What happened to a dataset: log, show, diff."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask import storage
from dsm_dask.dataset.cells import updated_rows
from dsm_dask.dataset.commit import CHECKSUMS, manifest_name, skipped_by, transaction_name
from dsm_dask.dataset.partition import DatasetPartition, Fragment, live_rows
from dsm_dask.dataset.version import Dataset, changes_of, open_dataset, properties, spec_of
from dsm_dask.table import ROW_ID
from dsm_dask.task import Skipped

SAMPLE = 10
"""Row ids given as examples in a diff."""


@dataclasses.dataclass(frozen=True)
class VersionInfo:
    """One version, as ``log`` and ``show`` tell it."""

    version: int
    branch: str | None
    parent: str | None
    job: str
    message: str
    rows: int
    tags: tuple[str, ...]
    at: str
    bytes_written: int
    """What the workers and the driver wrote for this commit."""
    spec: dict[str, Any]
    changed: dict[str, int]
    software: str

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "tags": list(self.tags)}


@dataclasses.dataclass(frozen=True)
class Log:
    """Versions of one branch, newest first."""

    dataset: str
    versions: tuple[VersionInfo, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "versions": [v.to_dict() for v in self.versions]}


@dataclasses.dataclass(frozen=True)
class Shown:
    """One version in full."""

    info: VersionInfo
    dataset: str
    columns: dict[str, str]
    linked: tuple[str, ...]
    bytes: int
    partitions: int
    sources: int
    branches: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    """Partitions that the version was made without."""

    def to_dict(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        for name in ("linked", "branches", "skipped"):
            found[name] = list(found[name])
        return {**self.info.to_dict(), **{k: v for k, v in found.items() if k != "info"}}


@dataclasses.dataclass(frozen=True)
class Diff:
    """How rows and columns of ``after`` differ from ``before``, by stable row id."""

    before: str
    after: str
    added: int
    removed: int
    updated: int
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    added_row_ids: tuple[int, ...] = ()
    removed_row_ids: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()}


def log(data: str | Dataset, limit: int | None = None) -> Log:
    """The versions up to the one named, newest first."""
    dataset = open_dataset(data)
    known = sorted(dataset.lance.versions(), key=lambda entry: -int(entry["version"]))
    known = [entry for entry in known if entry["version"] <= dataset.version][:limit]
    tags = _tags(dataset)
    written = _Sizes.of(dataset)
    return Log(dataset.uri, tuple(_info(dataset, entry, tags, written) for entry in known))


def show(data: str | Dataset) -> Shown:
    """Everything about one version."""
    dataset = open_dataset(data)
    (entry,) = [e for e in dataset.lance.versions() if e["version"] == dataset.version]
    schema = dataset.schema
    return Shown(
        info=_info(dataset, entry, _tags(dataset), _Sizes.of(dataset)),
        dataset=dataset.name,
        columns={field.name: str(field.type) for field in schema},
        linked=tuple(dataset.linked_schema.names),
        bytes=dataset.size,
        partitions=len(dataset.partitions()),
        sources=len({f.part.uri for f in dataset.fragments if f.part is not None}),
        branches=tuple(sorted(dataset.lance.branches.list())),
        skipped=skipped_by(properties(dataset.lance, dataset.version)),
    )


def _tags(dataset: Dataset) -> dict[tuple[str | None, int], list[str]]:
    found: dict[tuple[str | None, int], list[str]] = {}
    for name, tag in dataset.lance.tags.list().items():
        found.setdefault((tag["branch"], tag["version"]), []).append(name)
    return found


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """Bytes of what commits themselves wrote, by object name."""

    manifests: dict[str, int]
    transactions: dict[str, int]
    checksums: dict[str, int]

    @classmethod
    def of(cls, dataset: Dataset) -> _Sizes:
        inside = f"tree/{dataset.branch}" if dataset.branch else ""

        def listed(*parts: str) -> dict[str, int]:
            found = storage.listing(storage.join(dataset.uri, *(part for part in parts if part)))
            return {storage.name(item.uri): item.size for item in found}

        return cls(listed(inside, "_versions"), listed(inside, "_transactions"), listed(CHECKSUMS))

    def written(self, version: int, transaction: Any, props: dict[str, str]) -> int:
        """Bytes that a version added: its objects, their checksums, and the commit itself."""
        if not props:
            return 0
        return (
            int(props.get("dsm.bytes_written", 0))
            + self.manifests.get(manifest_name(version), 0)
            + self.transactions.get(transaction_name(transaction), 0)
            + self.checksums.get(f"{props.get('dsm.run')}-commit.jsonl", 0)
        )


def _info(
    dataset: Dataset,
    entry: dict[str, Any],
    tags: dict[tuple[str | None, int], list[str]],
    sizes: _Sizes,
) -> VersionInfo:
    version = int(entry["version"])
    transaction = dataset.lance.read_transaction(version)
    props = dict((transaction.transaction_properties if transaction else None) or {})
    return VersionInfo(
        version=version,
        branch=dataset.branch,
        parent=props.get("dsm.parent") or (str(version - 1) if version > 1 else None),
        job=props.get("dsm.job") or _made_otherwise(dataset, version),
        message=props.get("lance.commit.message", ""),
        rows=int(entry["metadata"].get("total_rows", 0)),
        tags=tuple(sorted(tags.get((dataset.branch, version), []))),
        at=entry["timestamp"].astimezone(dt.UTC).isoformat(timespec="seconds"),
        bytes_written=sizes.written(version, transaction, props),
        spec=spec_of(props),
        changed=changes_of(props),
        software=props.get("dsm.software", ""),
    )


def _made_otherwise(dataset: Dataset, version: int) -> str:
    """A version without properties of ours: where a branch begins, or another tool's commit."""
    begun = dataset.lance.branches.list().get(dataset.branch, {}).get("parent_version")
    return "branch" if begun == version else "another tool"


# ---------------------------------------------------------------------------------------------
# Diff


def diff(before: str | Dataset, after: str | Dataset) -> Diff:
    """Rows and columns that were added, removed or updated between two versions.

    Fragments that both versions share differ by their deletion vectors, and by columns that were
    written anew; only those are read, one fragment at a time. Fragments of one side only (appended
    rows; rows moved by another tool's update or compaction) are matched by stable row id.
    """
    old, new = open_dataset(before), open_dataset(after)
    count = _Count()
    olds = {_identity(fragment): fragment for fragment in old.fragments}
    news = {_identity(fragment): fragment for fragment in new.fragments}
    gone = [fragment for identity, fragment in olds.items() if identity not in news]
    come = [fragment for identity, fragment in news.items() if identity not in olds]
    both = olds.keys() & news.keys()
    pairs = [_lost_and_found(old, new, olds[i], news[i]) for i in both]
    count.updated = sum(updated_rows(old, new, olds[i], news[i]) for i in both)
    lost, found = [ids for ids, _ in pairs], [ids for _, ids in pairs]
    # Another tool's update or compaction moves rows, with their ids, to fragments of its own.
    left = bool(gone) or any(len(ids) for ids in lost)
    if left and come and not all(f.link for f in come) and not _unrelated(old, new):
        was = np.concatenate([*lost, *(_live(old, fragment) for fragment in gone)])
        now = np.concatenate([*found, *(_live(new, fragment) for fragment in come)])
        _match(old, new, was, now, come, count)
    else:
        for ids in lost:
            count.removed(ids)
        for ids in found:
            count.added(ids)
        for fragment in gone:
            count.removed(_some(old, fragment, count.removed_ids), fragment.rows)
        for fragment in come:
            count.added(_some(new, fragment, count.added_ids), fragment.rows)
    had, has = set(old.schema.names), set(new.schema.names)
    return Diff(
        old.name, new.name, count.rows_added, count.rows_removed, count.updated,
        tuple(n for n in new.schema.names if n not in had),
        tuple(n for n in old.schema.names if n not in has),
        tuple(sorted(count.added_ids)), tuple(sorted(count.removed_ids)),
    )  # fmt: skip


def _lost_and_found(
    old: Dataset, new: Dataset, before: Fragment, after: Fragment
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Row ids that a fragment of both versions lost and got back; nothing is read if none did."""
    if before.deletions == after.deletions:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    was, now = _live(old, before), _live(new, after)
    return (
        np.setdiff1d(was, now, assume_unique=True),
        np.setdiff1d(now, was, assume_unique=True),
    )


def _match(
    old: Dataset,
    new: Dataset,
    was: np.ndarray[Any, Any],
    now: np.ndarray[Any, Any],
    come: list[Fragment],
    count: _Count,
) -> None:
    """Row ids of both sides stay; of those, the ones written again since are updated."""
    count.removed(np.setdiff1d(was, now, assume_unique=True))
    count.added(np.setdiff1d(now, was, assume_unique=True))
    stayed = np.intersect1d(was, now, assume_unique=True)
    if len(stayed):
        count.updated += sum(_updated_since(new, f, stayed, old.version) for f in come)


class _Count:
    def __init__(self) -> None:
        self.rows_added = self.rows_removed = self.updated = 0
        self.added_ids: list[int] = []
        self.removed_ids: list[int] = []

    def added(self, row_ids: np.ndarray[Any, Any], rows: int | None = None) -> None:
        self.rows_added += len(row_ids) if rows is None else rows
        self.added_ids = sorted([*self.added_ids, *row_ids[:SAMPLE].tolist()])[:SAMPLE]

    def removed(self, row_ids: np.ndarray[Any, Any], rows: int | None = None) -> None:
        self.rows_removed += len(row_ids) if rows is None else rows
        self.removed_ids = sorted([*self.removed_ids, *row_ids[:SAMPLE].tolist()])[:SAMPLE]


def _identity(fragment: Fragment) -> tuple[Any, ...]:
    """The same rows in both versions: the part linked, or the first managed file."""
    if fragment.part is not None:
        return (fragment.id, fragment.link)
    return (fragment.id, fragment.files[0][0] if fragment.files else "")


def _unrelated(old: Dataset, new: Dataset) -> bool:
    """Whether rows were added apart, on two branches, so that equal row ids mean nothing."""
    return old.branch != new.branch or old.uri != new.uri


def _some(dataset: Dataset, fragment: Fragment, known: list[int]) -> np.ndarray[Any, Any]:
    """Row ids of a fragment as examples; none are read when there are enough already."""
    return np.empty(0, np.uint64) if len(known) >= SAMPLE else _live(dataset, fragment)


def _live(dataset: Dataset, fragment: Fragment) -> np.ndarray[Any, Any]:
    _, row_ids = live_rows(_alone(dataset, fragment), fragment)
    return row_ids


def _alone(dataset: Dataset, fragment: Fragment) -> DatasetPartition:
    return DatasetPartition(dataset.snapshot, (fragment,), dataset.schema, ())


def _updated_since(
    dataset: Dataset, fragment: Fragment, row_ids: np.ndarray[Any, Any], version: int
) -> int:
    updated_at = "_row_last_updated_at_version"
    batches = _alone(dataset, fragment).scan(fragment, [updated_at], row_ids=True)
    table = pa.Table.from_batches(batches)
    later = table.column(updated_at).to_numpy() > version
    return int(np.isin(table.column(ROW_ID).to_numpy()[later], row_ids).sum())
