"""fsspec file systems, made from the options in force."""

from __future__ import annotations

import functools
import os
from typing import Any

from dsm_dask.errors import UsageError
from dsm_dask.storage.options import Options, effective
from dsm_dask.storage.uri import scheme

CONCURRENCY = 16
"""Requests in flight at once for one :func:`read_ranges` call."""


def key_of(uri: str) -> str:
    return uri.split("://", 1)[1]


def filesystem(uri: str) -> Any:
    if scheme(uri) == "s3":
        return _s3(effective(), os.getpid())
    return _other(scheme(uri))


@functools.lru_cache(maxsize=8)
def _s3(options: Options, pid: int) -> Any:
    import s3fs

    style = "path" if options.path_style else "auto"
    fs = s3fs.S3FileSystem(
        anon=options.anon,
        profile=options.profile,
        endpoint_url=options.endpoint_url,
        client_kwargs={"region_name": options.region} if options.region else {},
        config_kwargs={
            "s3": {"addressing_style": style},
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 5,
            "read_timeout": 30,
            "max_pool_connections": CONCURRENCY * 2,
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    fs.retries = 1  # the budget above is the only one
    return fs


@functools.lru_cache(maxsize=8)
def _other(protocol: str) -> Any:
    import fsspec

    try:
        return fsspec.filesystem(protocol, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"URLs that begin with {protocol}:// cannot be opened: {error}.",
            valid="Local paths, s3:// and every protocol of an installed fsspec package can.",
        ) from error
