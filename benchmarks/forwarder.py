"""A TCP forwarder that counts the bytes that pass: what really went over a wire, whoever asks.

    with Forwarder("127.0.0.1", 9000) as wire:
        ...                                        # clients connect to wire.address
        before = wire.counted()

It knows nothing of what it carries, so its counts include headers, retries and keep-alives.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from typing import Self

_CHUNK = 1 << 18
_QUIET_SECONDS = 0.15


@dataclasses.dataclass(frozen=True)
class Counted:
    """Bytes to the server, bytes from it, and connections made."""

    up: int = 0
    down: int = 0
    connections: int = 0

    def __sub__(self, other: Counted) -> Counted:
        return Counted(
            self.up - other.up, self.down - other.down, self.connections - other.connections
        )


class Forwarder:
    """Listens on a free port of an address and forwards every connection to one server."""

    def __init__(self, host: str, port: int, listen: str = "127.0.0.1") -> None:
        self._target = (host, port)
        self._up, self._down = [0], [0]  # each changed by many threads, under the lock
        self._connections = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server((listen, 0))
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def counted(self) -> Counted:
        """What has passed so far, once nothing passes any more."""
        seen = self._now()
        while True:
            time.sleep(_QUIET_SECONDS)
            now = self._now()
            if now == seen:
                return now
            seen = now

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _now(self) -> Counted:
        with self._lock:
            return Counted(self._up[0], self._down[0], self._connections)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    self._connections += 1
                    self._sockets += [client, server]
                for ends in ((client, server, self._up), (server, client, self._down)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, total: list[int]) -> None:
        buffer = memoryview(bytearray(_CHUNK))
        with contextlib.suppress(OSError):
            for end in (source, target):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while size := source.recv_into(buffer):
                with self._lock:
                    total[0] += size
                target.sendall(buffer[:size])
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
