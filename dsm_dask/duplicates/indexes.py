"""Indexes that deduplication keeps beside a dataset: what there is, whether it is whole, and away
with it.

An index is a folder below ``_dsm/index``, with a description of what it holds (``index.json``) and
files, one a partition; or the keys of exact deduplication, in ``_dsm/keys``. Losing any of it loses
only time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from dsm_dask import storage
from dsm_dask.dataset.version import Dataset
from dsm_dask.duplicates import (
    band_files,
    hash_files,
    home_files,
    key_files,
    known_bands,
    semantic_index,
    settled,
)
from dsm_dask.duplicates.minhash import MinHash
from dsm_dask.engine import Engine
from dsm_dask.errors import AccessDenied, CannotWrite, NotFound, nearest

DESCRIPTION = "index.json"
KEYS = "exact"
"""What the keys of exact deduplication are called, of all columns together."""


@dataclasses.dataclass(frozen=True)
class Index:
    """One index of a dataset."""

    name: str
    files: int
    """With what was computed of a partition."""
    bytes: int
    """Of all files, those about verified groups included."""
    about: dict[str, Any]
    """The method, the column, and how it was computed."""


@dataclasses.dataclass(frozen=True)
class IndexCheck:
    """Whether the files of an index are what was written."""

    name: str
    files: int
    damaged: tuple[str, ...]
    """Files that are not whole; the next run that needs one replaces it."""


def index_name(minhash: MinHash, on: str) -> str:
    """The folder of an index below ``_dsm/index``."""
    column = hashlib.blake2b(on.encode(), digest_size=4).hexdigest()
    return f"{minhash.name}-{column}"


def describe(folder: str, about: dict[str, Any]) -> None:
    """Say what an index holds, unless that is said already, or one may only read there."""
    uri = storage.join(folder, DESCRIPTION)
    if not storage.exists(uri):
        with contextlib.suppress(AccessDenied, CannotWrite):
            storage.create(uri, json.dumps(about, sort_keys=True).encode())


def indexes(dataset: Dataset, names: Sequence[str] = ()) -> list[Index]:
    """Some indexes of a dataset (all, by name, when none is named).

    Raises NotFound for a name that there is not.
    """
    root = _root(dataset)
    groups: dict[str, list[storage.ObjectInfo]] = {}
    for item in storage.listing(root):
        name = item.uri.removeprefix(root).lstrip("/").split("/", 1)[0]
        groups.setdefault(name, []).append(item)
    if keys := storage.listing(_folder(dataset, KEYS)):
        groups[KEYS] = keys
    for name in names:
        if name not in groups:
            raise NotFound(
                f"There is no index {name!r}.", where=dataset.uri, valid=nearest(name, list(groups))
            )
    return [_index(root, name, groups[name]) for name in names or sorted(groups)]


def _index(root: str, name: str, items: Sequence[storage.ObjectInfo]) -> Index:
    files = [item for item in items if storage.name(item.uri) != DESCRIPTION]
    about = {"method": KEYS} if name == KEYS else {}
    if len(files) < len(items):
        about = json.loads(storage.read(storage.join(root, name, DESCRIPTION)))
    suffixes = (band_files.SUFFIX, home_files.SUFFIX, hash_files.SUFFIX)
    parts = sum(item.uri.endswith(suffixes) for item in files)
    return Index(name, parts or len(files), sum(item.size for item in files), about)


def verify_indexes(
    dataset: Dataset, names: Sequence[str] = (), *, engine: Engine
) -> list[IndexCheck]:
    """Read every file of some indexes (all when none is named), verified groups included, and
    compare its checksums.

    Raises NotFound for a name that there is not.
    """
    found = []
    for index in indexes(dataset, names):
        folder = _folder(dataset, index.name)
        uris = [item.uri for item in storage.listing(folder)]
        files = [uri for uri in uris if uri.endswith(tuple(_CHECKS))]
        whole = engine.map(_is_whole, files, label="Verifying")
        damaged = [uri for uri, fine in zip(files, whole, strict=True) if not fine]
        listings = [uri for uri in uris if storage.name(uri) == settled.LISTING]
        groups = engine.map(settled.check_listed, listings, label="Verifying")
        listings = [uri for uri in uris if storage.name(uri) == semantic_index.LISTING]
        groups += engine.map(semantic_index.check_listed, listings, label="Verifying")
        checked = len(files) + sum(len(one.checked) for one in groups)
        damaged += [uri for one in groups for uri in one.damaged]
        found.append(IndexCheck(index.name, checked, tuple(damaged)))
    return found


_CHECKS = {
    band_files.SUFFIX: band_files.is_whole,
    hash_files.SUFFIX: hash_files.is_whole,
    key_files.SUFFIX: key_files.is_whole,
    known_bands.NAME: known_bands.is_whole,
}


def _is_whole(uri: str) -> bool:
    return next(check(uri) for suffix, check in _CHECKS.items() if uri.endswith(suffix))


def remove_indexes(dataset: Dataset, names: Sequence[str] = ()) -> list[Index]:
    """Remove some indexes (all when none is named); says what was there.

    Raises NotFound for a name that there is not.
    """
    found = indexes(dataset, names)
    for index in found:
        storage.delete_folder(_folder(dataset, index.name))
    return found


def _folder(dataset: Dataset, name: str) -> str:
    if name == KEYS:
        return storage.join(dataset.uri, "_dsm", "keys")
    return storage.join(_root(dataset), name)


def _root(dataset: Dataset) -> str:
    return storage.join(dataset.uri, "_dsm", "index")
