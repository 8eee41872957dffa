"""URIs of local paths and object stores: one spelling for one place."""

from __future__ import annotations

import os


def scheme(uri: str) -> str:
    """``file`` for local paths.

    >>> scheme("s3://lake/x"), scheme("/data/x"), scheme("data/x")
    ('s3', 'file', 'file')
    """
    head, sep, _ = uri.partition("://")
    return head if sep else "file"


def normalise(uri: str) -> str:
    """One spelling for one place: local paths absolute, no trailing slash, ``s3a`` as ``s3``.

    >>> normalise("s3a://lake/x/")
    's3://lake/x'
    """
    if scheme(uri) == "file":
        return os.path.abspath(uri.removeprefix("file://"))
    return uri.replace("s3a://", "s3://", 1).rstrip("/")


def join(uri: str, *parts: str) -> str:
    """
    >>> join("s3://lake/x/", "a", "b.txt")
    's3://lake/x/a/b.txt'
    """
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])


def parent(uri: str) -> str:
    """The folder of an object."""
    return normalise(uri).rsplit("/", 1)[0]


def name(uri: str) -> str:
    """The last part of a URI."""
    return normalise(uri).rsplit("/", 1)[1]


def is_local(uri: str) -> bool:
    return scheme(uri) == "file"
