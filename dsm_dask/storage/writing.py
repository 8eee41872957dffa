"""Storing and removing objects; conditional create."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from dsm_dask.errors import CannotWrite
from dsm_dask.storage.filesystem import counted, key_of
from dsm_dask.storage.io_count import count
from dsm_dask.storage.listing import listing
from dsm_dask.storage.retry import error_codes, retry
from dsm_dask.storage.temporary import make_folders
from dsm_dask.storage.uri import is_local, normalise

_EXISTS_CODES = {"PreconditionFailed", "412"}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS}
"""What file systems without hard links answer: exFAT, SMB, buckets that are mounted."""


def write(uri: str, data: bytes, *, durable: bool = True) -> None:
    """Store a small object, replacing one that is there; readers see the old or the new whole.

    One that is not ``durable`` may be garbage after a power failure: for what can be told to be so
    and made again, and a local disk takes some milliseconds less.
    """
    uri = normalise(uri)
    if is_local(uri):
        _replace(_staged(uri, data, durable), uri)
        count(requests=1)
    else:
        with counted(uri) as fs:
            retry(lambda: fs.pipe_file(key_of(uri), data), uri)
    count(bytes_written=len(data))


def upload(path: str, uri: str) -> None:
    """Store a file of this machine as an object elsewhere, a piece at a time."""
    uri = normalise(uri)
    with counted(uri) as fs:
        retry(lambda: fs.put_file(path, key_of(uri)), uri)
    count(bytes_written=os.stat(path).st_size)


def create(uri: str, data: bytes) -> bool:
    """Store a small object unless one is there already; ``False`` when one is.

    Exactly one of any number of racing callers gets ``True``. A lost acknowledgement is settled
    by reading back: the content decides, so give each writer content of its own.
    """
    uri = normalise(uri)
    if is_local(uri):
        count(requests=1)
        temporary = _staged(uri, data)
        try:
            os.link(temporary, uri)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise CannotWrite(
                f"The file system of {uri} has no hard links, by which exactly one of several "
                "writers creates a file.",
                where=uri,
                valid="Use the store's own URI (s3://, gs://, …), or a local disk.",
            ) from error
        finally:
            Path(temporary).unlink()
        count(bytes_written=len(data))
        return True

    def attempt() -> bool:
        try:
            fs.pipe_file(key_of(uri), data, mode="create")
        except OSError as error:
            if isinstance(error, FileExistsError) or error_codes(error) & _EXISTS_CODES:
                return _is_mine(fs, key_of(uri), data)
            raise
        return True

    with counted(uri) as fs:
        won = retry(attempt, uri)
    if won:
        count(bytes_written=len(data))
    return won


def _is_mine(fs: Any, key: str, data: bytes) -> bool:
    try:
        return bool(fs.cat_file(key) == data)
    except FileNotFoundError:
        return False  # somebody else's, and removed since


def delete(uri: str) -> None:
    """Remove one object; nothing happens when there is none."""
    uri = normalise(uri)
    if is_local(uri):
        Path(uri).unlink(missing_ok=True)
        count(requests=1)
        return
    with counted(uri) as fs:
        retry(lambda: fs.rm_file(key_of(uri)), uri, missing=None)


def delete_folder(uri: str) -> None:
    """Remove every object below a folder."""
    uri = normalise(uri)
    if is_local(uri):
        shutil.rmtree(uri, ignore_errors=True)
        return
    paths = [key_of(item.uri) for item in listing(uri)]
    if paths:
        with counted(uri) as fs:
            retry(lambda: fs.rm(paths), uri, missing=None)


def _replace(temporary: str, uri: str) -> None:
    try:
        os.replace(temporary, uri)
    except OSError as error:
        Path(temporary).unlink()
        raise CannotWrite(f"{uri} cannot be written: {error.strerror}.", where=uri) from error


def _staged(uri: str, data: bytes, durable: bool = True) -> str:
    folder = os.path.dirname(uri)
    temporary = os.path.join(folder, f".{uuid.uuid4().hex}.tmp")
    try:
        make_folders(folder)
        with open(temporary, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise CannotWrite(
            f"{uri} cannot be written: {error.strerror}.",
            where=uri,
            valid="Check that the folder exists, that you may write there, and the free space.",
        ) from error
    return temporary
