"""Remove what no kept version needs, and say what."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from dsm_dask import storage
from dsm_dask.dataset.leftovers import unused
from dsm_dask.dataset.version import Dataset, open_dataset


@dataclasses.dataclass(frozen=True)
class Collected:
    """What was removed, or, in a dry run, would be."""

    dataset: str
    versions: int
    """Versions that nobody can open any more."""
    bytes: int
    data_files: int
    deletion_files: int
    orphans: tuple[str, ...]
    """Objects that no version uses: left by runs that did not commit, removed once they are old."""
    dry_run: bool
    unused: tuple[str, ...] = ()
    """Decisions of runs that did not commit, keys and indexes of rows that no version has."""
    temporary: tuple[str, ...] = ()
    """Folders that runs which were killed left on this machine."""
    jobs: tuple[str, ...] = ()
    """Runs of jobs of which the records are forgotten."""

    def to_dict(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items()}


def gc(data: str | Dataset, *, older_than: dt.timedelta, dry_run: bool = False) -> Collected:
    """Forget versions older than ``older_than`` and remove what only they used.

    The newest version and tagged versions stay, whatever their age. Source files are never
    touched. Objects that no version refers to are removed only when they are a week old, since a
    run may be about to commit them. So are decisions of runs that did not commit. Keys and indexes
    of rows that no version has go when they are older than ``older_than``; so do, on this machine,
    the temporary folders of runs that were killed, when nothing in them changed for a day at least.
    """
    dataset = open_dataset(data)
    orphans = _orphans(dataset)
    left = storage.left_behind(older_than.total_seconds())
    arguments = {"older_than": older_than, "error_if_tagged_old_versions": False}
    if dry_run:
        found = dataset.lance.explain_cleanup_old_versions(**arguments)
        stats = getattr(found, "stats", found)
    else:
        stats = dataset.lance.cleanup_old_versions(**arguments)
    useless = unused(dataset, older_than, forgetting=dry_run)
    if not dry_run:
        for item in useless:
            storage.delete(item.uri)
        for folder, _ in left:
            storage.remove_left_behind(folder)
    more = sum(item.size for item in useless) + sum(size for _, size in left)
    return Collected(
        dataset=dataset.uri,
        versions=stats.old_versions,
        bytes=stats.bytes_removed + more,
        data_files=stats.data_files_removed,
        deletion_files=stats.deletion_files_removed,
        orphans=orphans,
        dry_run=dry_run,
        unused=tuple(item.uri for item in useless),
        temporary=tuple(folder for folder, _ in left),
    )


def _orphans(dataset: Dataset) -> tuple[str, ...]:
    """Data and deletion files of this branch that no version refers to."""
    tracked = set(dataset.lance.tracked_files().read_all().column("path").to_pylist())
    folder = dataset.uri
    if dataset.branch:
        folder = storage.join(folder, "tree", dataset.branch)
    found = []
    for name in ("data", "_deletions"):
        for item in storage.listing(storage.join(folder, name)):
            path = item.uri.removeprefix(folder).lstrip("/")
            if path not in tracked:
                found.append(item.uri)
    return tuple(found)
