"""Hashing for exact deduplication: a key file of each partition, computed once.

A key file is named by what the rows of its partition hold, whichever of them were dropped: it is
the cache of the next run. After a drop the keys of the rows that are left are taken out of it;
nothing is read or hashed again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from dsm_dask import storage
from dsm_dask.arrays import plain_type
from dsm_dask.duplicates.damage import DamagedFile
from dsm_dask.duplicates.key_files import FIRST, REST, SUFFIX, KeyFile, read_keys, write_keys
from dsm_dask.duplicates.lasting_name import lasting_name
from dsm_dask.duplicates.normalise import Normalise
from dsm_dask.errors import AccessDenied, CannotWrite
from dsm_dask.hashing import hash_lanes
from dsm_dask.table import ROW_ID, Partition

MOST_BITS = 12
PIECE = 512
"""Rows of one prefix, about, as long as there are bits for so many prefixes."""

U64 = npt.NDArray[np.uint64]
_NONE = np.empty(0, np.uint64)


@dataclasses.dataclass(frozen=True)
class WriteKeys:
    """Hash the rows of a partition and store them by hash, unless they are stored already.

    What is stored is looked for in ``folders``, the first of which that may be written to takes a
    new file; and in ``known`` before. ``work`` takes what is of this run only. Texts are normalised
    by the ``steps`` before they are hashed. Files that are ``damaged`` are not used but replaced.
    """

    columns: tuple[str, ...]
    folders: tuple[str, ...]
    known: tuple[str, ...] = ()
    work: str | None = None
    steps: Normalise = dataclasses.field(default_factory=Normalise)
    damaged: frozenset[str] = frozenset()

    def __call__(self, partition: Partition) -> KeyFile:
        digest = xxhash.xxh3_64_intdigest(partition.fingerprint.encode())
        name = self.name(partition)
        own = f"{name.removesuffix(SUFFIX)}-{digest:016x}{SUFFIX}"
        taken = False
        for folder in dict.fromkeys((*self.known, *self.folders)):
            file = read_keys(storage.join(folder, name))
            if file is not None and file.made_of != digest:
                taken = True
                file = read_keys(storage.join(folder, own)) or self._left(file, partition, digest)
            if file is not None and file.uri not in self.damaged:
                return file
        # Nothing whole is ever replaced: another run may be reading it.
        return self._write(own if taken else name, partition, digest)

    def name(self, partition: Partition) -> str:
        """What the file of a partition is called, whichever of its rows were dropped."""
        computed = (repr(self.columns), *self.steps.steps)
        return lasting_name(partition, self.columns, *computed) + SUFFIX

    def _left(self, file: KeyFile, partition: Partition, digest: int) -> KeyFile | None:
        """What a file that was made of other rows of a partition tells of those that it has now;
        None when it does not know them all."""
        if self.work is None:
            return None
        batches = [batch.column(0).to_numpy() for batch in partition.read([ROW_ID])]
        live = np.concatenate([_NONE, *batches])
        if (live[1:] < live[:-1]).any():
            live = np.sort(live)
        uri = storage.join(self.work, "keys", f"{digest:016x}-{storage.name(file.uri)}")
        with contextlib.suppress(DamagedFile):
            return file.without(live, digest, uri)
        return None

    def _write(self, name: str, partition: Partition, digest: int) -> KeyFile:
        high, low, rows = [_NONE], [_NONE], [_NONE]
        for batch in _batches(partition, [*self.columns, ROW_ID]):
            lanes = hash_lanes([self._normal(batch.column(name)) for name in self.columns])
            high.append(lanes[0])
            low.append(lanes[1])
            rows.append(batch.column(ROW_ID).to_numpy())
        parts = _split(*(np.concatenate(part) for part in (high, low, rows)))
        for folder in self.folders[:-1]:
            with contextlib.suppress(AccessDenied, CannotWrite):  # one may only read there
                return write_keys(storage.join(folder, name), *parts, digest)
        return write_keys(storage.join(self.folders[-1], name), *parts, digest)

    def _normal(self, column: pa.Array) -> pa.Array:
        """A column after all steps, if it is of texts; each different text once, where it comes as
        a dictionary."""
        if not self.steps.steps:
            return column
        if pa.types.is_dictionary(column.type):
            texts = self._normal(column.dictionary)
            return pa.DictionaryArray.from_arrays(column.indices, texts)
        return self.steps.apply(column) if is_text(column.type) else column


def is_text(dtype: pa.DataType) -> bool:
    """Whether values of a type can be normalised.

    >>> is_text(pa.string()), is_text(pa.dictionary(pa.int8(), pa.string())), is_text(pa.int8())
    (True, True, False)
    """
    types = pa.types
    dtype = plain_type(dtype)
    return bool(types.is_string(dtype) or types.is_large_string(dtype))


def _batches(partition: Partition, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of a partition; texts as dictionaries, if it has them so: each is hashed once."""
    if getattr(partition, "takes_encoded", False):
        return partition.read(columns, encoded=True)  # type: ignore[call-arg]
    return partition.read(columns)


def _split(high: U64, low: U64, rows: U64) -> tuple[npt.NDArray[Any], npt.NDArray[Any], U64]:
    """The first row of each hash with its count, the other rows, and where those of each prefix
    begin."""
    from dsm_dask.duplicates.key_kernels import split

    if (rows[1:] < rows[:-1]).any():
        by_row = np.argsort(rows)
        high, low, rows = high[by_row], low[by_row], rows[by_row]
    bits = piece_bits(len(rows))
    firsts, rest = np.empty(len(rows), FIRST), np.empty(len(rows), REST)
    begins = np.empty((2, 2**bits + 1), np.uint64)
    counts = split(high, low, rows, bits, firsts, rest, begins)
    return firsts[: counts[0]], rest[: counts[1]], begins


def first_of_runs(*sorted_keys: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where a run of equal keys begins.

    >>> first_of_runs(np.array([1, 1, 2, 2]), np.array([5, 5, 5, 6])).tolist()
    [True, False, True, True]
    """
    found = np.zeros(len(sorted_keys[0]), np.bool_)
    found[:1] = True
    for key in sorted_keys:
        found[1:] |= key[1:] != key[:-1]
    return found


def piece_bits(rows: int) -> int:
    """How many bits cut some rows into pieces of about :data:`PIECE`.

    >>> piece_bits(100), piece_bits(100_000)
    (0, 8)
    """
    return min(MOST_BITS, (rows // PIECE).bit_length())
