"""One retry budget, and errors for people."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from dsm_dask.errors import (
    AccessDenied,
    DsmError,
    NotFound,
    SourceChanged,
    StoreUnreachable,
    UsageError,
)
from dsm_dask.storage.options import effective

T = TypeVar("T")


CONNECT_SECONDS = 5.0
"""A refused connection is retried for this long only: the endpoint is probably wrong."""

PAUSE_SECONDS = 5.0
"""The most between two tries; how long it is, is drawn at random."""


_TRANSIENT_CODES = frozenset(
    [
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "RequestTimeout",
        "RequestTimeoutException",
        "InternalError",
        "ServiceUnavailable",
        "500",
        "502",
        "503",
        "504",
        "429",
    ]
)


_DENIED_CODES = frozenset(
    [
        "AccessDenied",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "401",
        "403",
    ]
)


_MISSING_CODES = frozenset(["NoSuchKey", "NoSuchBucket", "404"])


def retry(operation: Callable[[], T], uri: str, **fallback: T) -> T:
    """Run ``operation`` within the budget, and turn what it raises into errors for people."""
    started, attempt = time.monotonic(), 0
    budget = _budget()
    while True:
        try:
            return operation()
        except DsmError:
            raise
        except FileNotFoundError as error:
            if "missing" in fallback:
                return fallback["missing"]
            raise _missing(uri) from error
        except Exception as error:
            if error_codes(error) & _MISSING_CODES:
                if "missing" in fallback:
                    return fallback["missing"]
                raise _missing(uri) from error
            limit = min(budget, CONNECT_SECONDS) if _is_refused(error) else budget
            waited = time.monotonic() - started
            if not is_transient(error) or waited >= limit:
                raise _explained(error, uri, waited) from error
            attempt += 1
            pause = random.uniform(0, min(PAUSE_SECONDS, 0.1 * 2**attempt))  # noqa: S311 - jitter
            time.sleep(min(pause, max(0.0, limit - waited)))


def _budget() -> float:
    """``DSM_RETRY_SECONDS``, or 30."""
    try:
        return float(os.environ.get("DSM_RETRY_SECONDS", "30"))
    except ValueError:
        raise UsageError("DSM_RETRY_SECONDS must be a number of seconds.") from None


def _missing(uri: str) -> NotFound:
    return NotFound(f"There is no such file or folder: {uri}.", where=uri)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def error_codes(error: BaseException) -> set[str]:
    codes = set()
    for link in _chain(error):
        response = getattr(link, "response", None)
        if isinstance(response, dict):
            codes.add(str(response.get("Error", {}).get("Code", "")))
            codes.add(str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")))
    return codes


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: throttling, resets, time-outs, short answers.

    >>> is_transient(ConnectionResetError()), is_transient(PermissionError())
    (True, False)
    """
    codes = error_codes(error)
    if codes & _DENIED_CODES:
        return False
    if codes & _TRANSIENT_CODES:
        return True
    names = {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}
    return bool(
        names
        & {
            "ConnectionError",
            "TimeoutError",
            "HTTPClientError",
            "ClientConnectionError",
            "ClientPayloadError",
            "IncompleteRead",
            "IncompleteReadError",
            "ServerDisconnectedError",
        }
    )


def _is_refused(error: BaseException) -> bool:
    return any(
        kind.__name__ in {"ClientConnectorError", "NewConnectionError", "ConnectionRefusedError"}
        for link in _chain(error)
        for kind in type(link).__mro__
    )


def _reason(error: BaseException, uri: str) -> str:
    text = str(error).rstrip(".")
    return f"{text}: {uri}" if uri not in text else text


def _explained(error: Exception, uri: str, waited: float) -> DsmError:
    codes = error_codes(error)
    names = {type(link).__name__ for link in _chain(error)}
    if codes & {"PreconditionFailed", "412", "InvalidRange", "416"}:
        return changed(uri)
    missing = names & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}
    if missing or codes & _DENIED_CODES or isinstance(error, PermissionError):
        why = "no credentials were found" if missing else _reason(error, uri)
        return AccessDenied(
            f"The store refused access: {why}.",
            where=uri,
            valid="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) here and on "
            "the workers, and check that they may read this place.",
        )
    if is_transient(error):
        endpoint = effective().endpoint_url or "the default endpoint"
        return StoreUnreachable(
            f"The store at {endpoint} did not answer for {waited:.0f} s "
            f"({type(error).__name__}: {_reason(error, uri)}).",
            where=uri,
            valid="Check AWS_ENDPOINT_URL and the network, then run the same command again.",
        )
    return StoreUnreachable(
        f"The store failed: {type(error).__name__}: {_reason(error, uri)}.", where=uri
    )


def changed(uri: str, gone: bool = False) -> SourceChanged:
    state = "is gone" if gone else "is no longer the file that was linked"
    return SourceChanged(
        f"{uri} {state}.", where=uri, valid="`dsm verify DATASET` lists every such file."
    )
