"""Models that workers apply: stored once, read once by each of them."""

from __future__ import annotations

import functools
from typing import Any

from dsm_dask import codec, storage


def store(model: Any, uri: str) -> str:
    """Keep a codec state under a URI that nothing else is kept under; the URI."""
    storage.write(uri, codec.encode(model), durable=False)
    return uri


def load(uri: str) -> Any:
    """What :func:`store` kept."""
    return _load(uri, storage.current_options())


@functools.lru_cache(maxsize=4)
def _load(uri: str, options: storage.Options) -> Any:
    del options  # part of the cache key: the same path may be another place
    return codec.decode(storage.read(uri))
