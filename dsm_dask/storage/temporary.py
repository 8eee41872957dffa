"""Folders of this machine for what passes between the tasks of one run.

Such a folder is gone for good when its run is over: what is late and still writes there gets an
error, and does not make it anew. A run that was killed leaves its folder behind, which
:func:`left_behind` finds.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator

PREFIX = "dsm-run-"
IDLE = 86_400
"""Seconds without a change after which a folder may be taken for left behind."""

_OURS = re.compile(r"dsm-run-(\d+)-[0-9a-f]{32}(\.gone)?")
_ROOT = re.compile(r"(.*?/dsm-run-\d+-[0-9a-f]{32})(/|$)")


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder of this machine's temporary folder, removed at the end."""
    name = f"{PREFIX}{os.getpid()}-{uuid.uuid4().hex}"
    folder = os.path.join(tempfile.gettempdir(), name)
    os.mkdir(folder, 0o700)
    try:
        yield folder
    finally:
        remove_left_behind(folder)


def remove_left_behind(folder: str) -> None:
    """Remove a temporary folder, whoever still writes there: under another name nobody does."""
    gone = f"{folder}.gone"
    try:
        os.rename(folder, gone)
    except OSError:  # somebody else's, or it is gone already
        gone = folder
    shutil.rmtree(gone, ignore_errors=True)


def make_folders(folder: str) -> None:
    """Make a folder and those above it, but never the :func:`temporary_folder` of a run that is
    over: raises FileNotFoundError then."""
    inside = _ROOT.match(folder)
    if inside is None:
        os.makedirs(folder, exist_ok=True)
        return
    path = inside[1]
    os.stat(path)
    for part in folder[len(path) :].split("/"):
        if part:
            path = os.path.join(path, part)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)


def left_behind(older_than: float) -> list[tuple[str, int]]:
    """Folders of runs on this machine that are dead, with the bytes in each: nothing in them
    changed for ``older_than`` seconds (a day at least), and the process that made it is gone."""
    oldest = time.time() - max(older_than, IDLE)
    found = []
    for entry in os.scandir(tempfile.gettempdir()):
        ours = _OURS.fullmatch(entry.name)
        if ours is None or not entry.is_dir(follow_symlinks=False):
            continue
        with contextlib.suppress(FileNotFoundError):  # somebody else removed it meanwhile
            if entry.stat(follow_symlinks=False).st_uid != os.getuid() or _is_alive(int(ours[1])):
                continue
            changed, size = _changed(entry.path)
            if changed < oldest:
                found.append((entry.path, size))
    return sorted(found)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _changed(folder: str) -> tuple[float, int]:
    """When anything in a folder last changed, in seconds since 1970, and the bytes in it."""
    latest, size = os.stat(folder).st_mtime, 0
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(os.path.join(root, name))
                latest = max(latest, status.st_mtime)
                size += status.st_size if name in files else 0
    return latest, size
