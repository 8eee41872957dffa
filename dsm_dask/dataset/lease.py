"""One appender at a time, for the moment of its commit.

Lance rebases one append on another, which is right for different files and doubles the rows of the
same ones. Who appends therefore looks at the newest version once more while it holds a lease.

A lease is the newest of a row of numbered objects. Only one writer can create the next number, so
only one can take over; nobody deletes what another may hold. A holder counts as dead when a waiter,
by its own clock, has seen its object unchanged for :data:`SECONDS`; clocks are never compared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import time
import uuid
from collections.abc import Callable, Iterator

from dsm_dask import storage
from dsm_dask.errors import CommitConflict, NotFound

SECONDS = 30.0
"""After this long without a sign a holder counts as dead."""

PATIENCE = 300.0
"""After this long a waiter gives up."""

FREE = b"free"


@dataclasses.dataclass(frozen=True)
class _Seen:
    number: int
    content: bytes


@contextlib.contextmanager
def append_lease(root: str) -> Iterator[Callable[[], None]]:
    """Hold the dataset's append lease; raises CommitConflict when it cannot be had.

    Gives a function to call just before the commit: it raises CommitConflict when somebody has
    taken the lease over meanwhile.
    """
    folder = storage.join(root, "_dsm", "lease")
    number = _acquire(folder, root)

    def still_mine() -> None:
        if _newest(folder).number != number:
            raise _lost(root)

    try:
        yield still_mine
    finally:
        if _newest(folder).number == number:
            storage.write(_uri(folder, number), FREE)


def _acquire(folder: str, root: str) -> int:
    mine = uuid.uuid4().hex.encode()
    began = since = time.monotonic()
    seen: _Seen | None = None
    while time.monotonic() - began < PATIENCE:
        now = _newest(folder)
        if now != seen:
            seen, since = now, time.monotonic()
        dead = time.monotonic() - since > SECONDS
        if (now.content == FREE or dead) and storage.create(_uri(folder, now.number + 1), mine):
            _forget(folder, now.number)
            return now.number + 1
        time.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - jitter
    raise _lost(root)


def _newest(folder: str) -> _Seen:
    numbers = _numbers(folder)
    if not numbers:
        return _Seen(0, FREE)
    try:
        return _Seen(max(numbers), storage.read(_uri(folder, max(numbers))))
    except NotFound:
        return _newest(folder)  # forgotten by who took over: there is a newer one


def _forget(folder: str, last: int) -> None:
    """Remove what came before the lease that was just taken over."""
    for number in _numbers(folder):
        if number < last:
            storage.delete(_uri(folder, number))


def _numbers(folder: str) -> list[int]:
    """Of the leases there; what a writer on disk has not yet named does not count."""
    names = [storage.name(item.uri) for item in storage.listing(folder)]
    return [int(name) for name in names if name.isdigit()]


def _uri(folder: str, number: int) -> str:
    return storage.join(folder, f"{number:012d}")


def _lost(root: str) -> CommitConflict:
    return CommitConflict(
        "Other writers were appending to this dataset; nothing of this run was written.",
        where=root,
        valid="Run the same command again.",
    )
