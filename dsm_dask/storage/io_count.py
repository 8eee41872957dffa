"""What was moved: bytes and requests, counted per task."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar


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


class _Counter:
    def __init__(self) -> None:
        self.io = IO()
        self.lock = threading.Lock()


_counter: ContextVar[_Counter | None] = ContextVar("dsm_counter", default=None)


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
