"""One appender at a time, for the moment of its commit.

Lance rebases one append on another, which is right for different files and doubles the rows of the
same ones. Who appends therefore looks at the newest version once more while it holds a small object
that only one writer can create. A holder that died is waited for no longer than :data:`SECONDS`.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
import uuid
from collections.abc import Iterator

from dsm_dask import storage
from dsm_dask.errors import CommitConflict, NotFound

SECONDS = 60.0
"""After this long a holder counts as dead."""


@contextlib.contextmanager
def append_lease(root: str) -> Iterator[None]:
    """Hold the dataset's append lease; raises CommitConflict when it cannot be had."""
    uri = storage.join(root, "_dsm", "append.lease")
    mine = json.dumps({"holder": uuid.uuid4().hex, "at": time.time()}).encode()
    deadline = time.monotonic() + 2 * SECONDS
    while not storage.create(uri, mine):
        if time.monotonic() > deadline:
            raise CommitConflict(
                "Other writers keep appending to this dataset; nothing of this run was written.",
                where=root,
                valid="Run the same command again.",
            )
        if _is_stale(uri):
            storage.delete(uri)
        else:
            time.sleep(random.uniform(0.05, 0.3))  # noqa: S311 - jitter
    try:
        yield
    finally:
        with contextlib.suppress(NotFound):
            if storage.read(uri) == mine:
                storage.delete(uri)


def _is_stale(uri: str) -> bool:
    try:
        held = json.loads(storage.read(uri))
    except (NotFound, ValueError):
        return False
    return bool(time.time() - held["at"] > SECONDS)
