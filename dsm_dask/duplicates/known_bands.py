"""Descriptions of band files that a dataset keeps, as one object: those of partitions that did not
change are asked for once, not for each partition.

The object is behind its XXH3-64: for each partition its lasting name, the digest of its
fingerprint, and the descriptions. Losing it loses only time.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

from dsm_dask import codec, storage
from dsm_dask.duplicates.band_files import BandFile
from dsm_dask.duplicates.band_index import WriteBands, digest_of
from dsm_dask.duplicates.damage import read_sealed, sealed
from dsm_dask.errors import AccessDenied, CannotWrite, NotFound, StateVersion
from dsm_dask.table import Partition

NAME = "partitions.known"
MOST = 1 << 16
"""Partitions that are told of, at most: some hundred bytes each. Those of more are looked up by
workers."""

Told = tuple[int, tuple[Any, ...]]
"""The digest of a partition's fingerprint, and the descriptions of its files."""


def is_whole(uri: str) -> bool:
    """Whether such an object is what was written."""
    return _read(uri) is not None


def _read(uri: str) -> dict[str, Told] | None:
    with contextlib.suppress(NotFound, StateVersion):
        return {name: (digest, files) for name, digest, files in codec.decode(read_sealed(uri))}
    return None


@dataclasses.dataclass(frozen=True)
class KnownBands:
    """What is known of the files in a folder."""

    folder: str
    told: dict[str, Told]

    @staticmethod
    def load(folder: str) -> KnownBands:
        return KnownBands(folder, _read(storage.join(folder, NAME)) or {})

    def of(self, worker: WriteBands, partition: Partition) -> list[BandFile] | None:
        """The files of a partition; None when they have to be looked for."""
        digest, rows = self.told.get(worker.name(partition), (None, ()))
        if digest != digest_of(partition.fingerprint):
            return None
        if any(len(row) != _FIELDS for row in rows):  # as an earlier release described them
            return None
        files = [BandFile.of((storage.join(self.folder, name), *row)) for name, *row in rows]
        return None if any(file.uri in worker.damaged for file in files) else files

    def save(
        self,
        worker: WriteBands,
        partitions: Sequence[Partition],
        found: Sequence[Sequence[BandFile]],
    ) -> None:
        """Leave what is known now, if that is more or something else; rows that are gone are of
        this run, and who may only read there leaves nothing."""
        told = {
            worker.name(partition): (digest_of(partition.fingerprint), tuple(map(_told, files)))
            for partition, files in zip(partitions, found, strict=True)
            if all(file.gone is None and self._here(file) for file in files)
        }
        if told == self.told or len(partitions) > MOST:
            return
        rows = tuple((name, *more) for name, more in told.items())
        with contextlib.suppress(AccessDenied, CannotWrite):
            uri = storage.join(self.folder, NAME)
            storage.write(uri, sealed(codec.encode(rows)), durable=False)

    def _here(self, file: BandFile) -> bool:
        return file.uri == storage.join(self.folder, storage.name(file.uri))


_FIELDS = len(dataclasses.fields(BandFile))


def _told(file: BandFile) -> tuple[Any, ...]:
    """Without the folder: a dataset may be moved."""
    uri, *more = dataclasses.astuple(dataclasses.replace(file, made=False))
    return (storage.name(uri), *more)
