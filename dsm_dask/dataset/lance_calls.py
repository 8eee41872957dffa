"""What Lance raises, as errors for people."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator

import pyarrow as pa

from dsm_dask.errors import AccessDenied, DatasetDamaged, DsmError, SchemaError, StoreUnreachable

_DENIED = ("permission denied", "forbidden", "accessdenied", "access denied", "unauthorized")
_UNREACHABLE = (
    "error sending request", "connection", "timed out", "timeout", "slowdown", "503", "429",
    "http error", "body error",
)  # fmt: skip
_PATH = re.compile(r"\S*/\S*")  # may hold any of these words


@contextlib.contextmanager
def lance_call(uri: str) -> Iterator[None]:
    """Name the dataset and the way out when Lance fails; lost races pass through."""
    from lance.commit import CommitConflictError

    try:
        yield
    except (CommitConflictError, DsmError):
        raise
    except (OSError, RuntimeError, ValueError) as error:
        if "KeyboardInterrupt" in str(error):  # Ctrl-C while Lance called back
            raise KeyboardInterrupt from error
        raise _explained(error, uri) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's, which is no Exception
            raise
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from error
        raise _explained(RuntimeError(str(error)), uri) from error


def from_lance(error: BaseException) -> DsmError | None:
    """For people, what Lance raised where nobody called it by :func:`lance_call`; None when it is
    not from Lance."""
    if isinstance(error, Exception) and "LanceError" in str(error):
        return _explained(error, "The dataset")
    return None


def _explained(error: Exception, uri: str) -> DsmError:
    text = str(error).split(", /home/")[0].split(", rust/")[0].rstrip(".")
    name = uri.partition("://")[2] or uri
    lowered = _PATH.sub("", text.replace(name.strip("/"), "/").lower())
    if isinstance(error, PermissionError) or any(word in lowered for word in _DENIED):
        return AccessDenied(
            f"The store refused access to {uri}: {text}.",
            where=uri,
            valid="Check the credentials here and on the workers, and that they may write there.",
        )
    if any(word in lowered for word in _UNREACHABLE):
        return StoreUnreachable(
            f"The store did not answer: {text}.",
            where=uri,
            valid="Check AWS_ENDPOINT_URL and the network, then run the same command again.",
        )
    if "unsupported data type" in lowered:
        return SchemaError(
            f"A column cannot be stored in {uri}: {text}.",
            where=uri,
            valid="Link the files instead of copying them, or convert the column.",
        )
    return DatasetDamaged(
        f"{uri} cannot be read or written: {text}.",
        where=uri,
        valid="`dsm verify` names every damaged object; earlier versions may still open.",
    )


class Relayed:
    """Batches on their way into Lance. What reading them raised is raised again by :meth:`check`:
    Lance turns every error of an iterator into one of its own.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except Exception as error:
            self._error = error
            raise

    @contextlib.contextmanager
    def check(self, uri: str) -> Iterator[None]:
        """Around the Lance call that takes the batches."""
        try:
            with lance_call(uri):
                yield
        except DsmError:
            if self._error is not None:
                raise self._error from None
            raise
