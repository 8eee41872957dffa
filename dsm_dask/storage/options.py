"""How to reach a store: endpoint, region, style; never a secret."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from dsm_dask.errors import UsageError
from dsm_dask.storage.uri import scheme


@dataclasses.dataclass(frozen=True)
class Options:
    """How to reach a store, without secrets, so that it may travel to workers.

    Unset fields fall back to the environment of the process that opens the store
    (``AWS_ENDPOINT_URL``, ``AWS_REGION``, ``AWS_PROFILE``, ``AWS_S3_ADDRESSING_STYLE``).
    """

    endpoint_url: str | None = None
    region: str | None = None
    path_style: bool | None = None
    anon: bool = False
    profile: str | None = None

    def __post_init__(self) -> None:
        protocol, _, rest = (self.endpoint_url or "http://localhost").partition("://")
        if "@" in (rest or protocol).partition("/")[0]:
            raise UsageError(
                "The endpoint URL of the store holds a name or a password.",
                valid="Give it without; keys belong in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.",
            )
        if protocol not in ("http", "https") or rest[:1] in ("", "/"):
            raise UsageError(
                f"{self.endpoint_url!r} is no endpoint of a store.",
                valid="Give http://HOST:PORT or https://HOST (--endpoint-url, AWS_ENDPOINT_URL).",
            )

    @classmethod
    def parse(cls, storage_options: dict[str, Any] | None) -> Options:
        """From an fsspec-like dictionary; refuses keys and secrets with the way out.

        >>> Options.parse({"endpoint_url": "http://localhost:9000"}).endpoint_url
        'http://localhost:9000'
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for name in storage_options or {}:
            if name not in known:
                raise UsageError(
                    f"storage_options does not take {name!r}.",
                    valid=f"It takes {', '.join(sorted(known))}. Keys and secrets belong in the "
                    "environment (AWS_ACCESS_KEY_ID, ...) of each process, workers included.",
                )
        return cls(**(storage_options or {}))


_options: ContextVar[Options] = ContextVar("dsm_options", default=Options())  # noqa: B039


@contextlib.contextmanager
def using(options: Options) -> Iterator[None]:
    """Reach stores with these options in the enclosed code."""
    token = _options.set(options)
    try:
        yield
    finally:
        _options.reset(token)


def current_options() -> Options:
    """The options in force."""
    return _options.get()


def effective() -> Options:
    given, env = _options.get(), os.environ
    endpoint = given.endpoint_url or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    style = env.get("AWS_S3_ADDRESSING_STYLE", "path" if endpoint else "auto")
    return Options(
        endpoint_url=endpoint,
        region=given.region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION"),
        path_style=given.path_style if given.path_style is not None else style == "path",
        anon=given.anon,
        profile=given.profile or env.get("AWS_PROFILE"),
    )


def lance_options(uri: str) -> dict[str, str] | None:
    """The same endpoint, region and style for Lance; secrets stay in the environment."""
    if scheme(uri) != "s3":
        return None
    options = effective()
    found = {"aws_virtual_hosted_style_request": "false" if options.path_style else "true"}
    if options.region:
        found["aws_region"] = options.region
    if options.endpoint_url:
        found["aws_endpoint"] = options.endpoint_url
        found["allow_http"] = str(options.endpoint_url.startswith("http://")).lower()
    if options.anon:
        found["aws_skip_signature"] = "true"
    if options.profile:
        found["aws_profile"] = options.profile
    return found
