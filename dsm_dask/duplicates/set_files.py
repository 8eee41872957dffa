"""Shingle sets of candidates, laid out by the home that compares them: one scan writes them, each
home reads its share of every object by byte range.

Layout of an object, little-endian: for each home and one more, where its share begins and how many
rows it has (u64 each); then for each home its rows (node, number of shingles: u64 each) and the
shingles of each in turn (u64, ascending).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import storage
from dsm_dask.arrays import plain
from dsm_dask.dataset.partition import DatasetPartition
from dsm_dask.duplicates.directory import Directory
from dsm_dask.duplicates.edges import nodes_of, rows_of
from dsm_dask.duplicates.mapped import mapped
from dsm_dask.duplicates.normalise import Normalise
from dsm_dask.duplicates.shares import side_by_side
from dsm_dask.duplicates.shingles import Buffers, Shingles, buffers
from dsm_dask.table import ROW_ID, Partition

U64 = npt.NDArray[np.uint64]
Int64 = npt.NDArray[np.int64]

IN_MEMORY = 32 << 20
"""Shingles that a home holds in memory; more go to a temporary file."""

FLUSH = 3 << 20
"""Shingles that a scan holds before it writes them."""

TAKEN = 1024
"""Texts taken together: few enough for the allocator to use the same memory again."""

FEW = 64
"""A partition is not read from end to end for one row of so many, or fewer."""

_ROW = 16


@dataclasses.dataclass(frozen=True)
class WriteSets:
    """Write the shingle sets of a partition's candidates; gives the objects written."""

    column: str
    shingles: Shingles
    normalise: Normalise
    table: int
    directory: Directory
    folder: str

    def __call__(self, partition: Partition) -> list[str]:
        nodes, homes = self.directory.rows_of(partition, self.table)
        stored: list[str] = []
        if not len(nodes):
            return stored
        held: list[tuple[U64, U64, Int64]] = []
        for ids, texts, rows in self._texts(partition, nodes):
            held.append((ids, *self.shingles.sets_of(texts, rows)))
            if sum(len(hashes) for _, hashes, _ in held) > FLUSH:
                stored.append(self._store(partition, len(stored), held, nodes, homes))
                held = []
        if held:
            stored.append(self._store(partition, len(stored), held, nodes, homes))
        return stored

    def _texts(self, partition: Partition, nodes: U64) -> Iterator[tuple[U64, Buffers, Int64]]:
        for batch in self._batches(partition, nodes):
            ids = nodes_of(batch.column(ROW_ID).to_numpy(), self.table)
            chosen = np.flatnonzero(np.isin(ids, nodes))
            if not len(chosen):
                continue
            texts = plain(batch.column(0))
            whole = None if self.normalise.steps else buffers(texts)
            for start in range(0, len(chosen), TAKEN):
                some = chosen[start : start + TAKEN]
                if whole is not None:
                    yield ids[some], whole, some
                else:
                    taken = self.normalise.apply(texts.take(some))
                    yield ids[some], buffers(taken), np.arange(len(some))

    def _batches(self, partition: Partition, nodes: U64) -> Iterator[pa.RecordBatch]:
        """All rows of a partition; of a dataset's, when few are wanted, what has to be read for
        these."""
        columns = [self.column, ROW_ID]
        if isinstance(partition, DatasetPartition) and len(nodes) * FEW < partition.rows:
            for fragment in partition.fragments:
                yield from partition.take(fragment, rows_of(nodes), columns)
        else:
            yield from partition.read(columns)

    def _store(self, partition: Partition, number: int, held: Any, nodes: U64, homes: Int64) -> str:
        from dsm_dask.duplicates import pair_kernels

        ids = np.concatenate([one[0] for one in held])
        counts = np.concatenate([one[2] for one in held])
        home = homes[np.searchsorted(nodes, ids)]
        found, targets = _laid_out(ids, counts, home, self.directory.pieces)
        row = 0
        for some, values, sizes in held:
            pair_kernels.place(values, sizes, targets[row : row + len(some)], found)
            row += len(some)
        name = f"sets-{self.table:03d}-{partition.fingerprint}-{number:05d}"
        uri = storage.join(self.folder, name)
        data: Any = found.view(np.uint8).data if storage.is_local(uri) else found.tobytes()
        storage.write(uri, data, durable=False)
        return uri


def _laid_out(ids: U64, counts: Int64, home: Int64, homes: int) -> tuple[U64, Int64]:
    """An object without its shingles, and where the shingles of each row go in it."""
    order = np.argsort(home, kind="stable")
    shares = np.bincount(home, minlength=homes)
    sizes = np.bincount(home, weights=counts, minlength=homes).astype(np.int64)
    begins = 2 * (homes + 1) + np.concatenate([[0], np.cumsum(2 * shares + sizes)])
    found = np.empty(int(begins[-1]), "<u8")
    head = found[: 2 * (homes + 1)].reshape(-1, 2)
    head[:, 0], head[:-1, 1], head[-1, 1] = begins * 8, shares, 0
    ranks = np.arange(len(ids)) - np.repeat(np.cumsum(shares) - shares, shares)
    rows = np.repeat(begins[:-1], shares) + 2 * ranks
    found[rows], found[rows + 1] = ids[order], counts[order].astype(np.uint64)
    before = np.cumsum(counts[order]) - counts[order]
    before -= np.repeat(np.cumsum(sizes) - sizes, shares)
    targets = np.empty(len(ids), np.int64)
    targets[order] = np.repeat(begins[:-1] + 2 * shares, shares) + before
    return found, targets


def read_sets(uris: Sequence[str], home: int) -> tuple[U64, Int64, U64]:
    """Nodes of a home, the size of each one's set, and the sets one after the other: in memory, or
    in a temporary file when there are many."""
    spans = side_by_side(lambda uri: _span(uri, home), uris)
    sizes = [(end - begin - rows * _ROW) // 8 for begin, end, rows in spans]
    starts = np.cumsum([0, *sizes])
    make = mapped if starts[-1] > IN_MEMORY else np.empty
    hashes: U64 = make((int(starts[-1]),), np.uint64)

    def read(index: int) -> U64:
        begin, end, rows = spans[index]
        if begin == end:
            return np.empty((0, 2), np.uint64)
        (data,) = storage.read_ranges(uris[index], [(begin, end)])
        hashes[starts[index] : starts[index + 1]] = np.frombuffer(data, "<u8", offset=rows * _ROW)
        return np.frombuffer(data, "<u8", 2 * rows).reshape(-1, 2).copy()

    rows = np.concatenate([np.empty((0, 2), np.uint64), *side_by_side(read, range(len(uris)))])
    return rows[:, 0].copy(), rows[:, 1].astype(np.int64), np.asarray(hashes)


def _span(uri: str, home: int) -> tuple[int, int, int]:
    """Where the share of a home begins and ends, and its rows."""
    (raw,) = storage.read_ranges(uri, [(home * 16, home * 16 + 32)])
    begin, rows, end, _ = np.frombuffer(raw, "<u8").tolist()
    return begin, end, rows
