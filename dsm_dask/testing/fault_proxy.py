"""A proxy in front of an S3 server that does what networks and busy stores do.

    with S3Server() as server, FaultProxy(server.endpoint) as proxy:
        proxy.fail("slow_down", times=3)        # the next three requests are answered 503
        ...                                     # with AWS_ENDPOINT_URL or Options at proxy.endpoint

It is a real server on a real socket: connections are reset, bodies are cut off and answers are lost
on the wire. Requests are forwarded byte for byte, so signatures stay valid. Whatever passed is in
:attr:`FaultProxy.log`.
"""

from __future__ import annotations

import dataclasses
import http.client
import http.server
import random
import socket
import struct
import threading
import time
import urllib.parse
from types import TracebackType
from typing import Any, Literal, Self

Fault = Literal[
    "slow_down", "too_many", "internal_error", "reset", "truncate", "drop_ack", "delay"
]  # fmt: skip

_ERRORS = {
    "slow_down": (503, "SlowDown"),
    "too_many": (429, "TooManyRequests"),
    "internal_error": (500, "InternalError"),
}
DELAY = 0.3
"""Seconds by which an answer is late."""
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclasses.dataclass(frozen=True)
class Exchange:
    """One request that arrived, and what became of it."""

    method: str
    path: str
    fault: Fault | None
    status: int
    """What the server answered; 0 when the request was not forwarded."""
    received: int
    """Bytes of the request's body."""
    sent: int
    """Bytes of the answer's body that were sent on."""


@dataclasses.dataclass
class _Rule:
    fault: Fault
    left: int
    method: str
    part: str


class FaultProxy:
    """Forwards HTTP requests to ``upstream``, and fails those that it was told to."""

    def __init__(self, upstream: str, port: int = 0) -> None:
        self._upstream = urllib.parse.urlsplit(upstream)
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._chance = 0.0
        self._kinds: tuple[Fault, ...] = ()
        self._random = random.Random(0)  # noqa: S311 - repeatable on purpose
        self.log: list[Exchange] = []
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, fault: Fault, times: int = 1, method: str = "", part: str = "") -> None:
        """Fail the next ``times`` requests with this method, and with ``part`` in their path."""
        with self._lock:
            self._rules.append(_Rule(fault, times, method, part))

    def fail_at_random(self, chance: float, *faults: Fault, seed: int) -> None:
        """Fail every request with this chance, from now on; 0 ends it."""
        with self._lock:
            self._chance, self._kinds = chance, faults
            self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def heal(self) -> None:
        """Fail no further request, and forget those that passed."""
        with self._lock:
            self._rules, self._chance, self.log = [], 0.0, []

    def requests(self, method: str = "") -> int:
        """How many requests arrived."""
        with self._lock:
            return sum(method in ("", entry.method) for entry in self.log)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -- of one request --------------------------------------------------------------------

    def _fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for rule in self._rules:
                if rule.left and rule.method in ("", method) and rule.part in path:
                    rule.left -= 1
                    return rule.fault
            if self._chance and self._random.random() < self._chance:
                return self._random.choice(self._kinds)
            return None

    def _note(self, exchange: Exchange) -> None:
        with self._lock:
            self.log.append(exchange)

    def _forward(self, method: str, path: str, headers: Any, body: bytes) -> tuple[Any, bytes]:
        upstream = http.client.HTTPConnection(
            str(self._upstream.hostname), self._upstream.port, timeout=60
        )
        try:
            upstream.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in ("connection", "keep-alive", "expect"):
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer, answer.read()
        finally:
            upstream.close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are nothing to report."""


def _handler(proxy: FaultProxy) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy._fault_for(self.command, self.path)
            status, sent = 0, 0
            if fault == "delay":
                time.sleep(DELAY)
            if fault in _ERRORS:
                sent = self._refuse(*_ERRORS[fault])
            elif fault == "reset":
                self._cut()
            else:
                answer, content = proxy._forward(self.command, self.path, self.headers, body)
                status = answer.status
                sent = len(content) // 2 if fault == "truncate" else len(content)
                if fault == "drop_ack":
                    sent = 0
                    self._cut()
            proxy._note(Exchange(self.command, self.path, fault, status, len(body), sent))
            if status and fault != "drop_ack":
                self._pass_on(answer, content, sent)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

        def _refuse(self, status: int, code: str) -> int:
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Busy</Message></Error>"
            content = b"" if self.command == "HEAD" else text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return len(content)

        def _pass_on(self, answer: Any, content: bytes, sent: int) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            head = self.command == "HEAD"
            length = answer.getheader("Content-Length", "0") if head else len(content)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content[:sent])
            if sent < len(content):
                self._cut()

        def _cut(self) -> None:
            """Reset the connection: no more bytes, and no orderly end."""
            self.wfile.flush()
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.rfile.close()
            self.wfile.close()
            self.connection.close()

        def log_message(self, format: str, *args: Any) -> None:
            """Silence: the log is the proxy's own."""

    return Handler
