"""Kept files that are not what was written, or are gone: they count as missing.

Whoever reads a part of such a file checks it against a checksum of that part. What is wrong is made
again in its place. That is safe while others read: they hold the checksums of what they
know, so they find out, too, and never mix the two.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import xxhash

from dsm_dask import storage
from dsm_dask.errors import DatasetDamaged, NotFound, SourceChanged, StateVersion

T = TypeVar("T")

TRIES = 3
"""How often files that turn out to be damaged are made again in a run."""


class DamagedFile(DatasetDamaged):
    """A file of an index or of keys is not what was written."""

    def __init__(self, what: str, *, where: str | None = None, valid: str | None = None) -> None:
        super().__init__(what, where=where, valid=valid or _VALID)


_VALID = "Losing it loses only time: remove it (`dsm index rm` for an index) and run again."


@contextlib.contextmanager
def reading(uri: str) -> Iterator[None]:
    """Raise :class:`DamagedFile` when a file is gone or shorter than it was."""
    try:
        yield
    except (NotFound, SourceChanged) as error:
        raise DamagedFile(f"{uri} was removed or replaced meanwhile.", where=uri) from error


def check(fine: bool, uri: str) -> None:
    """Raise :class:`DamagedFile` unless ``fine``."""
    if not fine:
        raise DamagedFile(f"{uri} is damaged: a checksum is wrong.", where=uri)


def sealed(data: bytes) -> bytes:
    """``data`` behind its XXH3-64 (u64, little-endian)."""
    return _sum(data) + data


def read_sealed(uri: str) -> bytes:
    """The data of an object that was :func:`sealed`; raises StateVersion when it is not what was
    written."""
    whole = storage.read(uri)
    data = whole[8:]
    if whole[:8] != _sum(data):
        raise StateVersion(f"{uri} is damaged.", where=uri)
    return data


def _sum(data: bytes) -> bytes:
    return xxhash.xxh3_64_intdigest(data).to_bytes(8, "little")


def read_or_name(read: Callable[[], T], damaged: list[str]) -> T | None:
    """What ``read`` gives; None when the file is damaged, which is then listed."""
    try:
        return read()
    except DamagedFile as error:
        damaged.append(str(error.where))
        return None


def gave_up(uris: Sequence[str]) -> DatasetDamaged:
    """The error for files that were made again :data:`TRIES` times, and are damaged again."""
    return DatasetDamaged(
        f"{len(uris)} kept files were removed or damaged while they were in use.",
        where=uris[0],
        valid="Run it again when nothing removes them (`dsm index rm` in another process?).",
    )
