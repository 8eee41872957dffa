"""Whole small objects, and exact byte ranges of large ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from dsm_dask.errors import NotFound, SourceChanged
from dsm_dask.storage.filesystem import CONCURRENCY, filesystem, key_of
from dsm_dask.storage.io_count import count
from dsm_dask.storage.listing import info
from dsm_dask.storage.retry import changed, retry
from dsm_dask.storage.uri import is_local, normalise, scheme

PART = 4 << 20
"""Larger ranges are fetched as parts of this many bytes, side by side."""


def read(uri: str) -> bytes:
    """The whole of a small object."""
    uri = normalise(uri)
    if is_local(uri):
        try:
            data = Path(uri).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            raise NotFound(f"There is no such file: {uri}.", where=uri) from None
        count(bytes_read=len(data), requests=1)
        return data
    data = retry(lambda: bytes(filesystem(uri).cat_file(key_of(uri))), uri)
    count(bytes_read=len(data), requests=1)
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
        pieces = _read_s3(uri, parts, etag)
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
    except FileNotFoundError:
        if etag is not None:
            raise changed(uri, gone=True) from None
        raise NotFound(f"There is no such file: {uri}.", where=uri) from None
    for (start, stop), data in zip(ranges, found, strict=True):
        if len(data) != stop - start:
            # A read may be cut at 2 GiB or by a truncated file: only the latter stays short.
            found[found.index(data)] = _read_fully(uri, start, stop)
    count(bytes_read=sum(map(len, found)), requests=len(ranges))
    return [memoryview(data) for data in found]


def _read_fully(uri: str, start: int, stop: int) -> bytes:
    with open(uri, "rb") as file:
        file.seek(start)
        data = file.read(stop - start)
    if len(data) != stop - start:
        raise SourceChanged(
            f"The file is shorter than it was: bytes {start} to {stop} are not all there.",
            where=uri,
        )
    return data


def _read_s3(uri: str, parts: list[tuple[int, int, int]], etag: str | None) -> list[bytes]:
    import fsspec.asyn

    fs = filesystem(uri)
    bucket, _, key = key_of(uri).partition("/")
    condition = {"IfMatch": f'"{etag}"'} if etag else {}
    done: dict[int, bytes] = {}

    async def fetch(number: int, start: int, stop: int, gate: asyncio.Semaphore) -> None:
        async with gate:
            answer = await fs._call_s3(
                "get_object", Bucket=bucket, Key=key, Range=f"bytes={start}-{stop - 1}", **condition
            )
            async with answer["Body"] as body:
                data = await body.read()
        if len(data) != stop - start:
            raise ConnectionError(f"{len(data)} of {stop - start} bytes arrived")
        done[number] = data

    async def fetch_all() -> None:
        gate = asyncio.Semaphore(CONCURRENCY)
        missing = [(n, start, stop) for n, (_, start, stop) in enumerate(parts) if n not in done]
        outcomes = await asyncio.gather(
            *(fetch(n, start, stop, gate) for n, start, stop in missing), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def attempt() -> None:
        before = len(done)
        try:
            fsspec.asyn.sync(fs.loop, fetch_all)
        finally:
            count(requests=len(parts) - before)

    try:
        retry(attempt, uri)
    except NotFound:
        if etag is not None:
            raise changed(uri, gone=True) from None
        raise
    count(bytes_read=sum(map(len, done.values())))
    return [done[number] for number in range(len(parts))]


def _read_fsspec(uri: str, parts: list[tuple[int, int, int]]) -> list[bytes]:
    fs, path = filesystem(uri), key_of(uri)
    starts, stops = [start for _, start, _ in parts], [stop for _, _, stop in parts]
    pieces = retry(lambda: fs.cat_ranges([path] * len(parts), starts, stops, on_error="raise"), uri)
    count(bytes_read=sum(map(len, pieces)), requests=len(parts))
    return [bytes(piece) for piece in pieces]
