"""The only door to object storage: URLs, file systems, credentials, byte counts and retries.

Everything that dsm itself reads or writes goes through the functions here, on local paths, ``s3://``
and any other fsspec URL. (Lance does its own I/O; :func:`lance_options` gives it the same endpoint,
and its counters are added with :func:`count`.)

* **Credentials** are resolved by each process from its own environment and never leave it; what is
  sent to workers is :class:`Options`, which has no place for a secret.
* **Bytes and requests** are counted per task: ``with counting() as io: ...``.
* **One retry budget** (``DSM_RETRY_SECONDS``, 30 s by default) stands above every operation, with
  jittered exponential backoff for throttling, resets, time-outs and short answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import glob as local_glob
import os
import random
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from dsm_dask.errors import (
    AccessDenied,
    DsmError,
    NotFound,
    SourceChanged,
    StoreUnreachable,
    UsageError,
)

T = TypeVar("T")

PART = 4 << 20
"""Larger ranges are fetched as parts of this many bytes, side by side."""

CONCURRENCY = 16
"""Requests in flight at once for one :func:`read_ranges` call."""

CONNECT_SECONDS = 5.0
"""A refused connection is retried for this long only: the endpoint is probably wrong."""

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


@dataclasses.dataclass(frozen=True)
class IO:
    """What was moved: bytes and requests between this process and storage.

    >>> IO(10, 5, 2) + IO(bytes_read=1)
    IO(bytes_read=11, bytes_written=5, requests=2)
    """

    bytes_read: int = 0
    bytes_written: int = 0
    requests: int = 0

    def __add__(self, other: IO) -> IO:
        return IO(
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
            self.requests + other.requests,
        )

    def __sub__(self, other: IO) -> IO:
        return self + IO(-other.bytes_read, -other.bytes_written, -other.requests)

    def to_dict(self) -> dict[str, int]:
        return dataclasses.asdict(self)


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


@dataclasses.dataclass(frozen=True)
class ObjectInfo:
    """One stored object. ``etag`` changes whenever the content may have changed."""

    uri: str
    size: int
    etag: str


class _Counter:
    def __init__(self) -> None:
        self.io = IO()
        self.lock = threading.Lock()


_counter: ContextVar[_Counter | None] = ContextVar("dsm_counter", default=None)
_options: ContextVar[Options] = ContextVar("dsm_options", default=Options())  # noqa: B039


@contextlib.contextmanager
def counting(apart: bool = False) -> Iterator[Callable[[], IO]]:
    """Count what the enclosed code moves (in threads too, when they copy the context).

    ``apart`` keeps it out of an enclosing count.

    >>> with counting() as moved:
    ...     count(bytes_read=3, requests=1)
    >>> moved()
    IO(bytes_read=3, bytes_written=0, requests=1)
    """
    counter = _Counter()
    outer = _counter.get()
    token = _counter.set(counter)
    try:
        yield lambda: counter.io
    finally:
        _counter.reset(token)
        if outer is not None and not apart:
            with outer.lock:
                outer.io += counter.io


def count(bytes_read: int = 0, bytes_written: int = 0, requests: int = 0) -> None:
    """Add to the enclosing :func:`counting`, for I/O that does not pass through this module."""
    counter = _counter.get()
    if counter is not None:
        with counter.lock:
            counter.io += IO(bytes_read, bytes_written, requests)


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


# ---------------------------------------------------------------------------------------------
# URIs


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


# ---------------------------------------------------------------------------------------------
# Listing


def find(pattern: str, suffixes: tuple[str, ...] = ()) -> list[ObjectInfo]:
    """The objects that a path, a folder or a glob names, sorted by URI.

    In a folder, only names that end in one of ``suffixes`` count, at any depth, and names that
    begin with ``_`` or ``.`` are left out, as elsewhere in the field. Raises
    :class:`~dsm_dask.errors.NotFound` when there is nothing.
    """
    uri = normalise(pattern)
    found = _find_local(uri) if is_local(uri) else _retry(functools.partial(_find_remote, uri), uri)
    folder = not (len(found) == 1 and found[0].uri == uri) and not _is_glob(uri)
    if folder:
        found = [item for item in found if _counts_in_folder(item.uri, uri, suffixes)]
    if not found:
        kind = "The glob matches no file" if _is_glob(uri) else "There is no such file or folder"
        if folder and suffixes:
            kind = f"There is no such file, or no {' or '.join(suffixes)} file in this folder"
        raise NotFound(f"{kind}: {uri}.", where=uri, valid=_look_around(uri))
    return sorted(found, key=lambda item: item.uri)


def info(uri: str) -> ObjectInfo:
    """Size and ETag of one object; raises :class:`~dsm_dask.errors.NotFound`."""
    uri = normalise(uri)
    if is_local(uri):
        try:
            return _local_info(uri)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"There is no such file: {uri}.", where=uri) from None
    return _retry(lambda: _remote_info(uri, _filesystem(uri).info(_path(uri))), uri)


def exists(uri: str) -> bool:
    """Whether an object is there."""
    try:
        info(uri)
    except NotFound:
        return False
    return True


def listing(folder: str) -> list[ObjectInfo]:
    """Every object below a folder, whatever its name; an empty list when there is none."""
    uri = normalise(folder)
    if is_local(uri):
        return _find_local(uri) if Path(uri).is_dir() else []
    return sorted(
        _retry(functools.partial(_find_remote, uri), uri, missing=[]), key=lambda item: item.uri
    )


def _is_glob(uri: str) -> bool:
    return any(mark in uri for mark in "*?[")


def _counts_in_folder(uri: str, folder: str, suffixes: tuple[str, ...]) -> bool:
    parts = uri[len(folder) :].strip("/").split("/")
    hidden = any(part.startswith(("_", ".")) for part in parts)
    return not hidden and (not suffixes or uri.lower().endswith(suffixes))


def _find_local(uri: str) -> list[ObjectInfo]:
    count(requests=1)
    if _is_glob(uri) and not Path(uri).exists():
        paths = local_glob.glob(uri, recursive=True)
    elif Path(uri).is_dir():
        paths = [os.path.join(root, file) for root, _, files in os.walk(uri) for file in files]
    else:
        paths = [uri]
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            found.append(_local_info(path))
    return found


def _local_info(uri: str) -> ObjectInfo:
    status = os.stat(uri)
    if not os.path.isfile(uri):
        raise IsADirectoryError(uri)
    return ObjectInfo(uri, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}")


def _find_remote(uri: str) -> list[ObjectInfo]:
    fs, path = _filesystem(uri), _path(uri)
    fs.invalidate_cache()
    if _is_glob(uri):
        listed = fs.glob(path, detail=True)
    else:
        listed = fs.find(path, detail=True)
    count(requests=1 + len(listed) // 1000)
    if not listed and not fs.exists(path.split("/", 1)[0]):
        bucket = path.split("/", 1)[0]
        raise NotFound(f"There is no bucket {bucket!r}.", where=uri, valid="Check the spelling.")
    prefix = uri.split("://", 1)[0]
    return [
        _remote_info(f"{prefix}://{key}", entry)
        for key, entry in listed.items()
        if entry.get("type") == "file" and not key.endswith("/")
    ]


def _remote_info(uri: str, entry: dict[str, Any]) -> ObjectInfo:
    if entry.get("type") != "file":
        raise FileNotFoundError(uri)
    tag = entry.get("ETag") or entry.get("etag") or entry.get("md5Hash") or entry.get("mtime") or ""
    return ObjectInfo(uri, int(entry["size"] or 0), str(tag).strip('"'))


def _look_around(uri: str) -> str:
    folder = uri
    while _is_glob(folder):
        folder = folder.rsplit("/", 1)[0]
    above = folder if folder != uri else parent(uri)
    with contextlib.suppress(DsmError, ValueError):
        near = [item.uri for item in listing(above)[:3]] if above.count("/") > 2 else []
        if near:
            return f"Near it: {', '.join(near)}."
    return "Check the spelling."


# ---------------------------------------------------------------------------------------------
# Reading


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
    data = _retry(lambda: bytes(_filesystem(uri).cat_file(_path(uri))), uri)
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
            raise _changed(uri)
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
                raise _changed(uri)
            found = [os.pread(file.fileno(), stop - start, start) for start, stop in ranges]
    except FileNotFoundError:
        if etag is not None:
            raise _changed(uri, gone=True) from None
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

    fs = _filesystem(uri)
    bucket, _, key = _path(uri).partition("/")
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
        _retry(attempt, uri)
    except NotFound:
        if etag is not None:
            raise _changed(uri, gone=True) from None
        raise
    count(bytes_read=sum(map(len, done.values())))
    return [done[number] for number in range(len(parts))]


def _read_fsspec(uri: str, parts: list[tuple[int, int, int]]) -> list[bytes]:
    fs, path = _filesystem(uri), _path(uri)
    starts, stops = [start for _, start, _ in parts], [stop for _, _, stop in parts]
    pieces = _retry(
        lambda: fs.cat_ranges([path] * len(parts), starts, stops, on_error="raise"), uri
    )
    count(bytes_read=sum(map(len, pieces)), requests=len(parts))
    return [bytes(piece) for piece in pieces]


def _changed(uri: str, gone: bool = False) -> SourceChanged:
    state = "is gone" if gone else "is no longer the file that was linked"
    return SourceChanged(
        f"{uri} {state}.", where=uri, valid="`dsm verify DATASET` lists every such file."
    )


# ---------------------------------------------------------------------------------------------
# Writing


def write(uri: str, data: bytes) -> None:
    """Store a small object, replacing one that is there; readers see the old or the new whole."""
    uri = normalise(uri)
    if is_local(uri):
        temporary = _staged(uri, data)
        os.replace(temporary, uri)
    else:
        _retry(lambda: _filesystem(uri).pipe_file(_path(uri), data), uri)
    count(bytes_written=len(data), requests=1)


def create(uri: str, data: bytes) -> bool:
    """Store a small object unless one is there already; ``False`` when one is.

    Exactly one of any number of racing callers gets ``True``. A lost acknowledgement is settled
    by reading back: the content decides, so give each writer content of its own.
    """
    uri = normalise(uri)
    count(requests=1)
    if is_local(uri):
        temporary = _staged(uri, data)
        try:
            os.link(temporary, uri)
        except FileExistsError:
            return False
        finally:
            Path(temporary).unlink()
        count(bytes_written=len(data))
        return True

    def attempt() -> bool:
        try:
            _filesystem(uri).pipe_file(_path(uri), data, mode="create")
        except (FileExistsError, OSError) as error:
            if isinstance(error, FileExistsError) or _codes(error) & {"PreconditionFailed", "412"}:
                return bool(_filesystem(uri).cat_file(_path(uri)) == data)
            raise
        return True

    won = _retry(attempt, uri)
    if won:
        count(bytes_written=len(data))
    return won


def delete(uri: str) -> None:
    """Remove one object; nothing happens when there is none."""
    uri = normalise(uri)
    if is_local(uri):
        Path(uri).unlink(missing_ok=True)
    else:
        _retry(lambda: _filesystem(uri).rm_file(_path(uri)), uri, missing=None)
    count(requests=1)


def delete_folder(uri: str) -> None:
    """Remove every object below a folder."""
    uri = normalise(uri)
    if is_local(uri):
        shutil.rmtree(uri, ignore_errors=True)
        return
    paths = [_path(item.uri) for item in listing(uri)]
    if paths:
        _retry(lambda: _filesystem(uri).rm(paths), uri, missing=None)
    count(requests=len(paths))


def _staged(uri: str, data: bytes) -> str:
    folder = os.path.dirname(uri)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{uuid.uuid4().hex}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return temporary


# ---------------------------------------------------------------------------------------------
# File systems and Lance


def lance_options(uri: str) -> dict[str, str] | None:
    """The same endpoint, region and style for Lance; secrets stay in the environment."""
    if scheme(uri) != "s3":
        return None
    options = _effective()
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


def _effective() -> Options:
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


def _path(uri: str) -> str:
    return uri.split("://", 1)[1]


def _filesystem(uri: str) -> Any:
    if scheme(uri) == "s3":
        return _s3(_effective(), os.getpid())
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


# ---------------------------------------------------------------------------------------------
# Retries


def _retry(operation: Callable[[], T], uri: str, **fallback: T) -> T:
    """Run ``operation`` within the budget, and turn what it raises into errors for people."""
    started, attempt = time.monotonic(), 0
    budget = float(os.environ.get("DSM_RETRY_SECONDS", "30"))
    while True:
        try:
            return operation()
        except DsmError:
            raise
        except FileNotFoundError as error:
            if "missing" in fallback:
                return fallback["missing"]
            raise NotFound(f"{_reason(error, uri)}.", where=uri) from error
        except Exception as error:
            limit = min(budget, CONNECT_SECONDS) if _is_refused(error) else budget
            waited = time.monotonic() - started
            if not is_transient(error) or waited >= limit:
                raise _explained(error, uri, waited) from error
            attempt += 1
            pause = random.uniform(0, min(5.0, 0.1 * 2**attempt))  # noqa: S311 - jitter
            time.sleep(min(pause, max(0.0, limit - waited)))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def _codes(error: BaseException) -> set[str]:
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
    codes = _codes(error)
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
            "ServerDisconnectedError",
        }
    )


def _is_refused(error: BaseException) -> bool:
    return any(
        type(link).__name__ in {"EndpointConnectionError", "ConnectionRefusedError"}
        for link in _chain(error)
    )


def _reason(error: BaseException, uri: str) -> str:
    text = str(error).rstrip(".")
    return f"{text}: {uri}" if uri not in text else text


def _explained(error: Exception, uri: str, waited: float) -> DsmError:
    codes = _codes(error)
    names = {type(link).__name__ for link in _chain(error)}
    if codes & {"PreconditionFailed", "412"}:
        return _changed(uri)
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
        endpoint = _effective().endpoint_url or "the default endpoint"
        return StoreUnreachable(
            f"The store at {endpoint} did not answer for {waited:.0f} s "
            f"({type(error).__name__}: {_reason(error, uri)}).",
            where=uri,
            valid="Check AWS_ENDPOINT_URL and the network, then run the same command again.",
        )
    return StoreUnreachable(
        f"The store failed: {type(error).__name__}: {_reason(error, uri)}.", where=uri
    )
