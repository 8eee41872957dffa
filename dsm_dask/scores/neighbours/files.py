"""What was found of the neighbours of rows, as files: laid out by row id, so that whoever writes
the columns of some rows reads little else."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.shares import read_shares, write_shares

U64 = npt.NDArray[np.uint64]

FOUND = np.dtype(
    [
        ("row", "<u8"), ("distance", "<f4"), ("label", "<i4"),
        ("agreement", "<f4"), ("margin", "<f4"), ("entropy", "<f4"),
    ]
)  # fmt: skip
"""NaN, and label -1, where there is nothing to say."""

SHARE = 1 << 20
"""Rows of a share, about: 28 MB."""


def share_starts(spans: Iterable[tuple[int, int, int]]) -> U64:
    """Row ids at which shares begin, from (least id, greatest id, rows) of each partition.

    >>> share_starts([(0, 9, 10), (10, 19, 10), (20, 3145747, 3 << 20)]).tolist()
    [0, 20, 1048596, 2097172]
    """
    starts: list[int] = []
    held = 0
    for first, last, rows in sorted(spans):
        pieces = max(1, rows // SHARE)
        cuts = [first + (last + 1 - first) * i // pieces for i in range(pieces)]
        if starts and held + rows // pieces <= SHARE:
            cuts = cuts[1:]
        held = rows // pieces if cuts else held + rows
        starts += cuts
    return np.unique(np.array(starts, np.uint64))


@dataclasses.dataclass(frozen=True)
class Listing:
    """Where all the files of a run are, and the shares in each."""

    uris: tuple[str, ...]
    starts: U64

    def write(self, uri: str) -> None:
        storage.write(uri, codec.encode((self.uris, self.starts)), durable=False)


def write_found(uri: str, found: npt.NDArray[Any], starts: U64) -> None:
    """Store records of :data:`FOUND`, whatever their order, by share."""
    destination = np.searchsorted(starts, found["row"], "right") - 1
    write_shares(uri, found, destination, len(starts))


def found_of(listing: str, rows: U64) -> npt.NDArray[Any]:
    """What a run found of some rows: a record for each; NaN and -1 for those that it left out.

    ``listing`` is the URI of a :class:`Listing`.
    """
    told = np.zeros(len(rows), FOUND)
    told["row"], told["label"] = rows, -1
    for name in ("distance", "agreement", "margin", "entropy"):
        told[name] = np.nan
    options = storage.current_options()
    starts = _listing(listing, options).starts
    if not len(starts):
        return told
    share = np.searchsorted(starts, rows, "right") - 1
    for number in np.unique(share[share >= 0]).tolist():
        here = np.flatnonzero(share == number)
        known = _share(listing, number, options)
        place = np.searchsorted(known["row"], rows[here])
        place[place == len(known)] = 0
        if len(known):
            same = known["row"][place] == rows[here]
            told[here[same]] = known[place[same]]
    return told


@functools.lru_cache(maxsize=4)
def _listing(uri: str, options: storage.Options) -> Listing:
    del options  # part of the cache key: the same URI may be another place
    return Listing(*codec.decode(storage.read(uri)))


@functools.lru_cache(maxsize=2)
def _share(listing: str, number: int, options: storage.Options) -> npt.NDArray[Any]:
    """A share of all files, sorted by row."""
    told = _listing(listing, options)
    found = read_shares(told.uris, number, len(told.starts), FOUND)
    return found[np.argsort(found["row"], kind="stable")]


def histogram(distances: npt.NDArray[np.float32]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Distances counted by the upper 18 of their bits: those that differ by less than 0.2 % are
    one. What it gives adds up in any order."""
    known = distances[~np.isnan(distances)]
    return np.unique(np.ascontiguousarray(known).view(np.uint32) >> 14, return_counts=True)


def median(histograms: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> float | None:
    """The (lower) median of the distances that histograms count, to 0.2 %; None without any.

    >>> made = histogram(np.array([0.5, 0.25, 0.125, np.nan], np.float32))
    >>> median([made])
    0.25
    """
    if not histograms:
        return None
    keys, place = np.unique(np.concatenate([one for one, _ in histograms]), return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    np.add.at(counts, place, np.concatenate([two for _, two in histograms]))
    if not counts.sum():
        return None
    middle = np.searchsorted(np.cumsum(counts), (int(counts.sum()) + 1) // 2)
    return float((keys[middle : middle + 1] << 14).astype(np.uint32).view(np.float32)[0])
