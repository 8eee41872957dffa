"""Remove what no kept version needs, and say what."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from dsm_dask import storage
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

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "orphans": list(self.orphans)}


def gc(data: str | Dataset, *, older_than: dt.timedelta, dry_run: bool = False) -> Collected:
    """Forget versions older than ``older_than`` and remove what only they used.

    The newest version and tagged versions stay, whatever their age. Source files are never
    touched. Objects that no version refers to are removed only when they are a week old, since a
    run may be about to commit them.
    """
    dataset = open_dataset(data)
    orphans = _orphans(dataset)
    arguments = {"older_than": older_than, "error_if_tagged_old_versions": False}
    if dry_run:
        found = dataset.lance.explain_cleanup_old_versions(**arguments)
        stats = getattr(found, "stats", found)
    else:
        stats = dataset.lance.cleanup_old_versions(**arguments)
    return Collected(
        dataset=dataset.uri,
        versions=stats.old_versions,
        bytes=stats.bytes_removed,
        data_files=stats.data_files_removed,
        deletion_files=stats.deletion_files_removed,
        orphans=orphans,
        dry_run=dry_run,
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
