"""Whole small objects, and exact byte ranges of large ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dsm_dask.errors import NotFound
from dsm_dask.storage.filesystem import counted, filesystem, key_of
from dsm_dask.storage.io_count import count
from dsm_dask.storage.listing import info
from dsm_dask.storage.retry import changed, retry
from dsm_dask.storage.s3 import read_parts, shorter
from dsm_dask.storage.uri import is_local, normalise, scheme

PART = 8 << 20
"""Larger ranges are fetched as parts of this many bytes, side by side."""


def read(uri: str) -> bytes:
    """The whole of a small object."""
    uri = normalise(uri)
    if is_local(uri):
        try:
            data = Path(uri).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound(f"There is no such file: {uri}.", where=uri) from None
        count(bytes_read=len(data), requests=1)
        return data
    with counted(uri) as fs:
        data = retry(lambda: bytes(fs.cat_file(key_of(uri))), uri)
    count(bytes_read=len(data))
    return data


def read_ranges(
    uri: str, ranges: Sequence[tuple[int, int]], etag: str | None = None
) -> list[memoryview]:
    """Exactly these byte ranges ``[start, stop)`` of an object, fetched side by side.

    With ``etag`` the object must still be the one that has it: S3 checks it in the same request,
    elsewhere size and time are compared; raises :class:`~dsm_dask.errors.SourceChanged`.
    """
    uri = normalise(uri)
    if is_local(uri):
        return _read_local(uri, ranges, etag)
    parts = [
        (index, start, min(start + PART, stop))
        for index, (first, stop) in enumerate(ranges)
        for start in range(first, stop, PART)
    ]
    if scheme(uri) == "s3":
        pieces = read_parts(uri, [(start, stop) for _, start, stop in parts], etag)
    else:
        if etag is not None and info(uri).etag != etag:
            raise changed(uri)
        pieces = _read_fsspec(uri, parts)
    buffers = [bytearray(stop - start) if stop - start > PART else b"" for start, stop in ranges]
    views = [memoryview(buffer) for buffer in buffers]
    for (index, start, stop), piece in zip(parts, pieces, strict=True):
        first = ranges[index][0]
        if isinstance(buffers[index], bytearray):
            views[index][start - first : stop - first] = piece
        else:
            views[index] = memoryview(piece)
    return views


def _read_local(uri: str, ranges: Sequence[tuple[int, int]], etag: str | None) -> list[memoryview]:
    try:
        with open(uri, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if etag is not None and f"{status.st_mtime_ns:x}-{status.st_size:x}" != etag:
                raise changed(uri)
            found = [os.pread(file.fileno(), stop - start, start) for start, stop in ranges]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        if etag is not None:
            raise changed(uri, gone=True) from None
        raise NotFound(f"There is no such file: {uri}.", where=uri) from None
    for index, (start, stop) in enumerate(ranges):
        if len(found[index]) != stop - start:
            # A read may be cut at 2 GiB or by a truncated file: only the latter stays short.
            found[index] = _read_fully(uri, start, stop)
    count(bytes_read=sum(map(len, found)), requests=len(ranges))
    return [memoryview(data) for data in found]


def _read_fully(uri: str, start: int, stop: int) -> bytes:
    with open(uri, "rb") as file:
        file.seek(start)
        data = file.read(stop - start)
    if len(data) != stop - start:
        raise shorter(uri, start, stop)
    return data


def _read_fsspec(uri: str, parts: list[tuple[int, int, int]]) -> list[bytes]:
    fs, path = filesystem(uri), key_of(uri)
    starts, stops = [start for _, start, _ in parts], [stop for _, _, stop in parts]
    pieces = retry(lambda: fs.cat_ranges([path] * len(parts), starts, stops, on_error="raise"), uri)
    count(bytes_read=sum(map(len, pieces)), requests=len(parts))
    return [bytes(piece) for piece in pieces]
