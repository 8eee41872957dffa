"""fsspec file systems, made from the options in force."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

from dsm_dask.errors import UsageError
from dsm_dask.storage.io_count import count
from dsm_dask.storage.options import Options, effective
from dsm_dask.storage.uri import scheme

CONCURRENCY = 16
"""Requests in flight at once for one :func:`read_ranges` call."""


WEB = ("http", "https")


def key_of(uri: str) -> str:
    return uri.split("://", 1)[1]


def filesystem(uri: str) -> Any:
    if scheme(uri) == "s3":
        return _s3(effective(), os.getpid())
    return _other(scheme(uri))


@contextlib.contextmanager
def counted(uri: str) -> Iterator[Any]:
    """The file system of a URI; the requests that it makes meanwhile are counted."""
    fs = filesystem(uri)
    before = getattr(fs, "calls", 0)
    try:
        yield fs
    finally:
        count(requests=getattr(fs, "calls", before + 1) - before)


@functools.lru_cache(maxsize=8)
def _s3(options: Options, pid: int) -> Any:
    import s3fs

    class CountingS3FileSystem(s3fs.S3FileSystem):  # type: ignore[misc]
        calls = 0

        async def _call_s3(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return await super()._call_s3(*args, **kwargs)

    style = "path" if options.path_style else "auto"
    fs = CountingS3FileSystem(
        anon=options.anon,
        profile=options.profile,
        endpoint_url=options.endpoint_url,
        client_kwargs={"region_name": options.region} if options.region else {},
        config_kwargs={
            "s3": {"addressing_style": style},
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 5,
            "read_timeout": 10,
            "max_pool_connections": CONCURRENCY * 2,
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    fs.retries = 1  # the budget above is the only one
    return fs


@functools.lru_cache(maxsize=8)
def _other(protocol: str) -> Any:
    if protocol in WEB:
        raise UsageError(
            f"{protocol}:// is the address of a web server, not of a store: it lists no files, and "
            "need not have byte ranges or tell when a file changes.",
            valid="Copy the files to a path or a store. An S3 address like "
            "https://BUCKET.s3.amazonaws.com/KEY is s3://BUCKET/KEY here.",
        )
    import fsspec

    try:
        return fsspec.filesystem(protocol, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"URLs that begin with {protocol}:// cannot be opened: {error}.",
            valid="Local paths, s3:// and every protocol of an installed fsspec package can.",
        ) from error
