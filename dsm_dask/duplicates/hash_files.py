"""Hash files: the perceptual hashes of a partition's images, kept beside a dataset.

Decoding images takes nearly all the time of comparing them, so a later run reads their hashes, and
decodes what was added since. Rows that were dropped since do not make a file useless: whoever reads
it leaves out what is gone. An object is the XXH3-64 of what follows (8 bytes, little-endian), then
:class:`Hashed` by :mod:`dsm_dask.codec`.
"""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.damage import read_sealed, sealed
from dsm_dask.errors import NotFound, StateVersion

U64 = npt.NDArray[np.uint64]

SUFFIX = ".hashes"
CAUSES = 64
"""Images that cannot be read of which the cause is kept."""
_VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Hashed:
    """The images of a partition, by row id."""

    made_of: str
    """Fingerprint of the partition."""
    rows: U64
    hashes: U64
    """Of the images in ``rows``."""
    nulls: U64
    undecodable: U64
    causes: tuple[str, ...] = ()
    """Why the first of the undecodable are."""
    unreached: int = 0
    """Images that were not to be had for the time being, among the undecodable."""

    def among(self, live: U64) -> Hashed | None:
        """The same of the rows ``live`` alone; None when some of these are not known."""
        kept, nulls, bad = (
            np.isin(rows, live) for rows in (self.rows, self.nulls, self.undecodable)
        )
        if np.count_nonzero(kept) + np.count_nonzero(nulls) + np.count_nonzero(bad) != len(live):
            return None
        causes = tuple(why for why, is_live in zip(self.causes, bad, strict=False) if is_live)
        return dataclasses.replace(
            self, rows=self.rows[kept], hashes=self.hashes[kept], nulls=self.nulls[nulls],
            undecodable=self.undecodable[bad], causes=causes,
        )  # fmt: skip


def save(uri: str, hashed: Hashed) -> int:
    """Store it; gives the bytes written."""
    told = (
        _VERSION, hashed.made_of, hashed.rows, hashed.hashes, hashed.nulls, hashed.undecodable,
        hashed.causes[:CAUSES],
    )  # fmt: skip
    data = codec.encode(told)
    whole = sealed(data)
    storage.write(uri, whole, durable=False)
    return len(whole)


def load(uri: str) -> tuple[Hashed, int] | None:
    """What was stored, and its bytes; None when there is nothing, or it is damaged."""
    with contextlib.suppress(NotFound, StateVersion):
        data = read_sealed(uri)
        version, made_of, rows, hashes, nulls, undecodable, causes = codec.decode(data)
        if version == _VERSION:
            hashed = Hashed(made_of, rows, hashes, nulls, undecodable, tuple(causes))
            return hashed, len(data) + 8
    return None


def is_whole(uri: str) -> bool:
    """Whether an object is what was written: reads all of it."""
    return load(uri) is not None
