"""What an earlier run decided about groups of candidates, kept beside a dataset: the next run looks
at groups that rows joined or left since, and takes the others as they are.

``settled.dsm`` lists the objects of groups (:mod:`dsm_dask.duplicates.verified_groups`), and the
band files that they are of, each with what was gone of it. It is of use as long as all these band
files are still there, and no row that was gone is back.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

from dsm_dask import codec, storage
from dsm_dask.duplicates.band_files import BandFile
from dsm_dask.duplicates.damage import read_sealed, sealed
from dsm_dask.duplicates.gone import Gone
from dsm_dask.duplicates.verified_groups import GroupFile, Groups
from dsm_dask.errors import AccessDenied, CannotWrite, NotFound, StateVersion

LISTING = "settled.dsm"


def file_name(table: int, file: BandFile) -> str:
    """What a band file is listed as."""
    return f"{table}:{storage.name(file.uri)}"


@dataclasses.dataclass(frozen=True)
class Listing:
    """The band files of a run, with what was gone of each, and the groups that it found."""

    seen: dict[str, Gone | None]
    files: tuple[GroupFile, ...]

    @staticmethod
    def read(uri: str) -> Listing:
        """Raises StateVersion when it is not what was written."""
        seen, files = codec.decode(read_sealed(uri))
        folder = storage.parent(uri)
        return Listing(
            {
                name: None if gone is None else Gone(storage.join(folder, gone[0]), *gone[1:])
                for name, gone in seen
            },
            tuple(GroupFile(storage.join(folder, name), *told) for name, *told in files),
        )

    def encode(self) -> bytes:
        """The objects are named without their folder: a dataset may be moved."""
        seen = tuple(
            (name, None if gone is None else _told(gone)) for name, gone in self.seen.items()
        )
        return codec.encode((seen, tuple(_told(file) for file in self.files)))


def _told(one: Gone | GroupFile) -> tuple[Any, ...]:
    uri, *more = dataclasses.astuple(one)
    return (storage.name(uri), *more)


@dataclasses.dataclass(frozen=True)
class Settled:
    """Where groups of this run go: to ``folder``, or to ``work`` where one may only read there; and
    where those of an earlier run are."""

    folder: str
    work: str
    run: str
    known: str | None
    """None for a table beside which nothing is kept."""

    def load(self) -> Listing | None:
        """What an earlier run left."""
        if self.known is not None:
            with contextlib.suppress(NotFound, StateVersion, TypeError, ValueError):
                return Listing.read(storage.join(self.known, LISTING))
        return None

    def write(self, name: str, found: Groups) -> GroupFile:
        """Store groups, by root."""
        if self.known is not None:
            with contextlib.suppress(AccessDenied, CannotWrite):
                return GroupFile.write(storage.join(self.folder, f"{self.run}-{name}"), found)
        return GroupFile.write(storage.join(self.work, f"{self.run}-{name}"), found)

    def keep(self, name: str, gone: Gone) -> Gone:
        """Store what is gone of a band file."""
        if self.known is not None:
            with contextlib.suppress(AccessDenied, CannotWrite):
                return gone.kept(storage.join(self.folder, f"{self.run}-{name}"))
        return gone

    def save(self, listing: Listing) -> None:
        """Leave this for the next run, instead of what there was."""
        files = tuple(file for file in listing.files if file.groups)
        gone = [one for one in listing.seen.values() if one is not None]
        uris = {file.uri for file in files} | {one.uri for one in gone}
        if self.known is None or any(storage.parent(uri) != self.folder for uri in uris):
            return
        with contextlib.suppress(AccessDenied, CannotWrite):  # one may only read here
            uri = storage.join(self.folder, LISTING)
            told = dataclasses.replace(listing, files=files)
            storage.write(uri, sealed(told.encode()))
            for item in storage.listing(self.folder):
                if item.uri not in uris | {uri}:
                    storage.delete(item.uri)


@dataclasses.dataclass(frozen=True)
class ListedCheck:
    """Files of verified groups that were read, and those of them that are not what was written."""

    checked: tuple[str, ...]
    damaged: tuple[str, ...]


def check_listed(listing: str) -> ListedCheck:
    """Read the verified groups that a listing names, and compare checksums."""
    try:
        found = Listing.read(listing)
    except (NotFound, StateVersion, TypeError, ValueError):
        return ListedCheck((listing,), (listing,))
    damaged = [file.uri for file in found.files if file.read() is None]
    gone = [one for one in found.seen.values() if one is not None]
    damaged += [one.uri for one in gone if not one.is_whole()]
    uris = [file.uri for file in found.files] + [one.uri for one in gone]
    return ListedCheck((listing, *uris), tuple(damaged))


def grouped(files: Sequence[GroupFile], tasks: int, most: int) -> list[tuple[GroupFile, ...]]:
    """Neighbouring files for ``tasks`` tasks or more, of up to ``most`` pairs each."""
    limit = max(1, min(most, sum(file.pairs for file in files) // tasks))
    found: list[list[GroupFile]] = []
    held = limit
    for file in files:
        if held + file.pairs > limit:
            found.append([])
            held = 0
        found[-1].append(file)
        held += file.pairs
    return [tuple(some) for some in found]
