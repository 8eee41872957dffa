"""What lies below a dataset's ``_dsm`` and is of no use to any version that there is.

* Decisions and scratch of runs that did not commit, a :data:`WEEK` after they were written: a run
  may be about to commit. Those of committed runs stay, also when the version itself was forgotten:
  they tell why rows were dropped.
* Keys and indexes of partitions that no version has any more. Losing these loses only time.
* Names of classes that no column of any version is of, also a week after they were written.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Sequence

from dsm_dask import storage
from dsm_dask.dataset.class_names import referred, uri_of
from dsm_dask.dataset.commit import checksums_folder
from dsm_dask.dataset.partition import open_lance
from dsm_dask.dataset.version import Dataset, properties
from dsm_dask.storage import ObjectInfo

WEEK = 7 * 86_400
"""Seconds that what was not committed stays, at least."""

_KEPT = re.compile(r"([0-9a-f]{16})[0-9a-f]{24}")
"""In a kept file's name: whose rows it is about (a partition's ``lasting_fingerprint``), and what
was computed of them."""
_APART = (".keys", ".bands", ".hashes")
"""Kept files that can go one by one; an index of others goes as a whole."""


def unused(dataset: Dataset, older_than: dt.timedelta, *, forgetting: bool) -> list[ObjectInfo]:
    """Objects below ``_dsm`` that serve nobody and are older than that. With ``forgetting``
    versions of this branch that ``gc`` would forget count as gone already."""
    before = time.time() - older_than.total_seconds()
    root = storage.join(dataset.uri, "_dsm")
    runs, keys, index, classes = (
        storage.listing(storage.join(root, name)) for name in ("runs", "keys", "index", "classes")
    )
    long_ago = min(before, time.time() - WEEK)
    old_runs, old_classes = _older(runs, long_ago), _older(classes, long_ago)
    old_kept = _older([*keys, *index], before)
    if not (old_runs or old_kept or old_classes):
        return []
    versions = _versions(dataset, before if forgetting else None)
    found = _uncommitted(dataset, old_runs, versions) if old_runs else []
    if old_classes:
        named = {uri_of(dataset.uri, d) for version in versions for d in referred(version)}
        found += [item for item in old_classes if item.uri not in named]
    if old_kept:
        used = {whose for version in versions for whose in _rows_of(version)}
        gone = [item for item in keys if not _is_used(item, used)]
        gone += _unused_index(storage.join(root, "index"), index, used)
        found += _older(gone, before)
    return found


def _older(items: Sequence[ObjectInfo], before: float) -> list[ObjectInfo]:
    """Those that are known to be."""
    return [item for item in items if item.modified is not None and item.modified <= before]


def _versions(dataset: Dataset, before: float | None) -> list[Dataset]:
    """Every version of every branch; of the dataset's own branch those that stay when the ones from
    ``before`` are forgotten."""
    main = open_lance(dataset.uri, None, None)
    branches, tags = main.branches.list(), main.tags.list().values()
    stays = {(_branch(one.get("branch")), one["version"]) for one in tags}
    stays |= {(_branch(b["parent_branch"]), b["parent_version"]) for b in branches.values()}
    found = []
    for branch in (None, *branches):
        line = open_lance(dataset.uri, branch, None)
        for entry in line.versions():
            version = int(entry["version"])
            young = before is None or entry["timestamp"].timestamp() > before
            lasts = version == line.version or (branch, version) in stays
            if young or lasts or branch != dataset.branch:
                opened = open_lance(dataset.uri, branch, version)
                found.append(Dataset(dataset.uri, branch, opened))
    return found


def _branch(name: str | None) -> str | None:
    return None if name == "main" else name


def _rows_of(version: Dataset) -> set[str]:
    """Whose rows kept files of a version may be about: its partitions, and the parts that one of
    several files is read in when a file cannot be."""
    partitions = version.partitions()
    pieces = (piece for partition in partitions for piece in partition.pieces)
    return {one.lasting_fingerprint for one in (*partitions, *pieces)}


def _uncommitted(
    dataset: Dataset, items: Sequence[ObjectInfo], versions: Sequence[Dataset]
) -> list[ObjectInfo]:
    """Those of some objects of runs that no commit refers to."""
    records = {storage.name(i.uri): i.uri for i in storage.listing(checksums_folder(dataset.uri))}
    committed = {name.removesuffix("-commit.jsonl") for name in records if "-commit" in name}
    committed |= {properties(one.lance, one.version).get("dsm.run", "") for one in versions}
    told = set()
    for run in committed:
        if (uri := records.get(f"{run}.jsonl")) is not None:
            lines = storage.read(uri).decode().splitlines()
            told |= {storage.join(dataset.uri, json.loads(line)[0]) for line in lines}
    return [item for item in items if item.uri not in told]


def _is_used(item: ObjectInfo, used: set[str]) -> bool:
    found = _KEPT.search(storage.name(item.uri))
    return found is not None and found[1] in used


def _unused_index(root: str, items: Sequence[ObjectInfo], used: set[str]) -> list[ObjectInfo]:
    """Of each index what can go: files of partitions that are gone, or all of it when it is about
    no partition that is left."""
    groups: dict[str, list[ObjectInfo]] = {}
    for item in items:
        groups.setdefault(item.uri.removeprefix(root).lstrip("/").split("/", 1)[0], []).append(item)
    found = []
    for group in groups.values():
        if not any(_is_used(item, used) for item in group):
            found += group
        else:
            found += [i for i in group if i.uri.endswith(_APART) and not _is_used(i, used)]
    return found
