"""What is there: files, folders, globs."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import glob as local_glob
import os
import re
from pathlib import Path
from typing import Any

from dsm_dask.errors import DsmError, NotFound
from dsm_dask.storage.filesystem import counted, key_of
from dsm_dask.storage.io_count import count
from dsm_dask.storage.retry import retry
from dsm_dask.storage.uri import is_local, normalise, parent, scheme


@dataclasses.dataclass(frozen=True)
class ObjectInfo:
    """One stored object. ``etag`` changes whenever the content may have changed."""

    uri: str
    size: int
    etag: str
    modified: float | None = dataclasses.field(default=None, compare=False)
    """When it was stored, in seconds since 1970; None where the store does not tell."""


def find(pattern: str, suffixes: tuple[str, ...] = ()) -> list[ObjectInfo]:
    """The objects that a path, a folder or a glob names, sorted by URI.

    In a folder, only names that end in one of ``suffixes`` count, at any depth, and names that
    begin with ``_`` or ``.`` are left out, as elsewhere in the field. Raises
    :class:`~dsm_dask.errors.NotFound` when there is nothing.
    """
    uri = normalise(pattern)
    glob = _is_glob(uri) and not exists(uri)  # a name may hold a bracket
    if is_local(uri):
        found = _find_local(uri, glob)
    else:
        found = retry(functools.partial(_find_remote, uri, glob), uri)
    folder = not (len(found) == 1 and found[0].uri == uri) and not glob
    if folder:
        found = [item for item in found if _counts_in_folder(item.uri, uri, suffixes)]
    elif glob:  # as in a shell: a star matches no hidden name
        fixed = _fixed_part(uri)
        found = [item for item in found if _counts_in_folder(item.uri, fixed, ())]
    if not found:
        kind = "The glob matches no file" if glob else "There is no such file or folder"
        if folder and suffixes:
            kind = f"There is no such file, or no {' or '.join(suffixes)} file in this folder"
        raise NotFound(f"{kind}: {uri}.", where=uri, valid=_look_around(uri))
    return sorted(found, key=lambda item: item.uri)


def info(uri: str) -> ObjectInfo:
    """Size and ETag of one object; raises :class:`~dsm_dask.errors.NotFound`."""
    uri = normalise(uri)
    if is_local(uri):
        try:
            return _local_info(uri)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound(f"There is no such file: {uri}.", where=uri) from None
    with counted(uri) as fs:
        return retry(lambda: _remote_info(uri, fs.info(key_of(uri))), uri)


def exists(uri: str) -> bool:
    """Whether an object is there."""
    try:
        info(uri)
    except NotFound:
        return False
    return True


def listing(folder: str) -> list[ObjectInfo]:
    """Every object below a folder, whatever its name; an empty list when there is none."""
    uri = normalise(folder)
    if is_local(uri):
        found = _find_local(uri, False) if Path(uri).is_dir() else []
    else:
        find_all = functools.partial(_find_remote, uri, False)
        found = retry(find_all, uri, missing=list[ObjectInfo]())
    return sorted(found, key=lambda item: item.uri)


def check_bucket(uri: str) -> None:
    """Raise NotFound when the bucket of a remote URI is not there."""
    uri = normalise(uri)
    if not is_local(uri):
        bucket = key_of(uri).split("/", 1)[0]
        with counted(uri) as fs:
            if not retry(lambda: fs.exists(bucket), uri):
                raise _no_bucket(uri, bucket)


def _no_bucket(uri: str, bucket: str) -> NotFound:
    return NotFound(f"There is no bucket {bucket!r}.", where=uri, valid="Check the spelling.")


def _is_glob(uri: str) -> bool:
    return any(mark in uri for mark in "*?[")


def _fixed_part(uri: str) -> str:
    """The folder that a glob starts from.

    >>> _fixed_part("s3://lake/_raw/2026-*/x?.parquet")
    's3://lake/_raw'
    """
    while _is_glob(uri):
        uri = uri.rsplit("/", 1)[0]
    return uri


def _counts_in_folder(uri: str, folder: str, suffixes: tuple[str, ...]) -> bool:
    parts = uri[len(folder) :].strip("/").split("/")
    hidden = any(part.startswith(("_", ".")) for part in parts)
    return not hidden and (not suffixes or uri.lower().endswith(suffixes))


def _find_local(uri: str, glob: bool) -> list[ObjectInfo]:
    count(requests=1)
    if glob:
        paths = local_glob.glob(uri, recursive=True)
    elif Path(uri).is_dir():
        paths = [os.path.join(root, file) for root, _, files in os.walk(uri) for file in files]
    else:
        paths = [uri]
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            found.append(_local_info(path))
    return found


def _local_info(uri: str) -> ObjectInfo:
    status = os.stat(uri)
    if not os.path.isfile(uri):
        raise IsADirectoryError(uri)
    etag = f"{status.st_mtime_ns:x}-{status.st_size:x}"
    return ObjectInfo(uri, status.st_size, etag, status.st_mtime)


def _find_remote(uri: str, glob: bool) -> list[ObjectInfo]:
    path = key_of(uri)
    bucket = path.split("/", 1)[0]
    with counted(uri) as fs:
        fs.invalidate_cache()
        listed = _globbed(fs, uri) if glob else fs.find(path, detail=True)
        is_there = bool(listed) or fs.exists(bucket)
    if not is_there:
        raise _no_bucket(uri, bucket)
    prefix = uri.split("://", 1)[0]
    return [
        _remote_info(f"{prefix}://{key}", entry)
        for key, entry in listed.items()
        if entry.get("type") == "file" and not key.endswith("/")
    ]


def _globbed(fs: Any, uri: str) -> dict[str, dict[str, Any]]:
    """What a glob matches. fsspec's own takes a folder that it fails to list for an empty one, so
    that files would be missing and nobody told."""
    from fsspec.utils import glob_translate

    path, root = key_of(uri), key_of(_fixed_part(uri) + "/").rstrip("/")
    if scheme(uri) != "s3" or not root:
        return dict(fs.glob(path, detail=True))
    stem = re.split(r"[*?\[]", path[len(root) + 1 :], maxsplit=1)[0]
    matches = re.compile(glob_translate(path)).match
    found = fs.find(root, detail=True, prefix=stem)
    return {key: entry for key, entry in found.items() if matches(key)}


def _remote_info(uri: str, entry: dict[str, Any]) -> ObjectInfo:
    if entry.get("type") != "file":
        raise FileNotFoundError(uri)
    tag = entry.get("ETag") or entry.get("etag") or entry.get("md5Hash") or entry.get("mtime") or ""
    return ObjectInfo(uri, int(entry["size"] or 0), str(tag).strip('"'), _modified(entry))


def _modified(entry: dict[str, Any]) -> float | None:
    """When an object was stored, as far as its file system tells."""
    for name in ("LastModified", "last_modified", "updated", "mtime", "created"):
        found = entry.get(name)
        if isinstance(found, dt.datetime):
            return found.timestamp()
        if isinstance(found, (int, float)):
            return float(found)
    return None


def _look_around(uri: str) -> str:
    folder = _fixed_part(uri)
    above = folder if folder != uri else parent(uri)
    with contextlib.suppress(DsmError, ValueError):
        near = [item.uri for item in listing(above)[:3]] if above.count("/") > 2 else []
        if near:
            return f"Near it: {', '.join(near)}."
    return "Check the spelling."
