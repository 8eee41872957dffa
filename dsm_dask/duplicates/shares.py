"""Shares: records laid out by who reads them, one object a writer.

The exchange between two steps of a job, through the store: each writer leaves one object with an
index of destinations at its head, and each reader fetches its share of every object by byte range.
Nobody holds more than what one writer wrote or one reader reads.

Layout, little-endian: ``destinations + 1`` u64, the record at which each share begins; the records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dsm_dask import storage

T = TypeVar("T")
R = TypeVar("R")
U64 = npt.NDArray[np.uint64]

READERS = 8
"""Objects read side by side."""


def write_shares(
    uri: str, records: npt.NDArray[Any], destination: npt.NDArray[Any], destinations: int
) -> int:
    """Store ``records`` grouped by ``destination`` (numbers from 0), in their order within each
    group. Gives the bytes written."""
    # of numbers of two bytes, NumPy's stable sort is a radix sort
    narrow = destination.astype(np.uint16 if destinations <= 1 << 16 else np.int64)
    order = np.argsort(narrow, kind="stable")
    counts = np.bincount(destination, minlength=destinations)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype("<u8")
    raw: Any = np.ascontiguousarray(records[order])
    data = b"".join([starts.tobytes(), memoryview(raw).cast("B")])
    storage.write(uri, data, durable=False)
    return len(data)


def read_share(uri: str, destination: int, destinations: int, dtype: Any) -> npt.NDArray[Any]:
    """The records of one object for one destination."""
    kind = np.dtype(dtype)
    (index,) = storage.read_ranges(uri, [(destination * 8, destination * 8 + 16)])
    first, last = (int(value) for value in np.frombuffer(index, "<u8"))
    if first == last:
        return np.empty(0, kind)
    head = (destinations + 1) * 8
    wanted = (head + first * kind.itemsize, head + last * kind.itemsize)
    (data,) = storage.read_ranges(uri, [wanted])
    return np.frombuffer(data, kind)


def read_shares(
    uris: Sequence[str], destination: int, destinations: int, dtype: Any
) -> npt.NDArray[Any]:
    """The records of several objects for one destination, in the order of the objects."""
    found = side_by_side(lambda uri: read_share(uri, destination, destinations, dtype), uris)
    return np.concatenate([np.empty(0, dtype), *found])


def side_by_side(function: Callable[[T], R], items: Sequence[T], *, waits: bool = True) -> list[R]:
    """``function`` of every item, on a few threads, in order. Threads cost more than they save for
    one that hardly ``waits``, as for a file of this machine."""
    if len(items) < 2 or not waits:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(READERS, len(items))) as pool:
        tasks = [pool.submit(copy_context().run, partial(function, item)) for item in items]
        return [task.result() for task in tasks]


def destinations_of(keys: U64, count: int) -> npt.NDArray[np.int64]:
    """Spread numbers evenly over ``count`` destinations, the same number to the same one.

    The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), then the high bits scaled.

    >>> set(destinations_of(np.arange(100, dtype=np.uint64), 4).tolist())
    {0, 1, 2, 3}
    """
    x = keys.astype(np.uint64, copy=True)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    spread: npt.NDArray[np.int64] = (
        (x >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)
    ).astype(np.int64)
    return spread
