"""Freed memory goes back to the system now and then.

Workers that keep what they free are a quarter faster (``connection.ALLOCATION``), but free pieces
pile up between those in use. So all of it is given back after a task, as often as that costs next
to nothing: then a worker is no larger after a hundred times as many rows.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import time
from collections.abc import Callable

SHARE = 0.02
"""Of the processor time of a process: what giving back may cost, at most."""

SECONDS = 0.09 / (200 << 20)
"""What a byte costs that is given back: memory that is had anew is paid for in page faults."""

_PAGE = 4096
_next = 0.0
"""Processor time of this process from which on it may give back again."""


def trim_now_and_then() -> None:
    """Give back what is free, unless that was done lately; nothing where there is no glibc."""
    global _next
    began = time.process_time()
    if began < _next or _trim() is None:
        return
    before = _resident()
    _trim()(0)  # type: ignore[misc]
    given = max(0, before - _resident())
    ended = time.process_time()
    _next = ended + (ended - began + given * SECONDS) / SHARE


def _resident() -> int:
    with contextlib.suppress(OSError, ValueError), open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE
    return 0


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        found = ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None
    found.argtypes = [ctypes.c_size_t]
    return found
