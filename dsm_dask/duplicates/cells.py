"""Cells of the vectors of tables: made once, from a sample of them, then used by every worker."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.duplicates.embedding_column import Embedding
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.unit_vectors import Vectors
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError
from dsm_dask.table import ROW_ID, Partition

SAMPLE_BYTES = 64 << 20
"""Vectors that centroids are made from, at most."""
TASK_BYTES = 64 << 20
"""Vectors that a task compares, about."""
LEAST_TASKS = 8
_PARTS = 4096


@dataclasses.dataclass(frozen=True)
class Cells:
    """Where the centroids are, and what the client needs to know of them."""

    uri: str | None = None
    """None for a single cell."""
    cells: int = 1
    dimension: int | None = None
    quantiles: tuple[int, ...] = ()
    """Cells by which each further :data:`_PARTS`-th of the sample is at home."""

    def groups(self, size: int) -> list[tuple[int, int]]:
        """Ranges of cells, of about the same size each."""
        wanted = min(max(LEAST_TASKS, -(-size // TASK_BYTES)), _PARTS)
        cuts = self.quantiles and [self.quantiles[i * _PARTS // wanted] for i in range(wanted)]
        edges = sorted({0, *cuts, self.cells})
        return list(itertools.pairwise(edges))


def make_cells(
    parts: Sequence[tuple[int, Partition]],
    embedding: Embedding,
    folder: str,
    engine: Engine,
    cells: int | None = None,
) -> Cells:
    """Cells for the vectors of some partitions, each with the number of its table; their centroids
    are written below ``folder``. About as many as ``cells`` says, or
    :func:`~dsm_dask.duplicates.kmeans.cells_for` does."""
    from dsm_dask.duplicates.kmeans import BY_CELL, cells_for

    rows = sum(part.rows for _, part in parts)
    cells = cells_for(rows) if cells is None else cells
    if cells == 1:
        return Cells()
    below = min(2**64 - 1, int(BY_CELL * cells / rows * 2**64))
    sampled = engine.map_partitions(
        _Sample(embedding, below, folder), [part for _, part in parts], label="Sampling vectors"
    )
    one_dimension([(one.dimension, one.label) for one in sampled])
    uris = tuple(one.uri for one in sampled if one.uri is not None)
    if not uris:
        return Cells()
    (found,) = engine.map(_Train.run, [_Train(uris, cells, folder)], label="Making cells")
    return found


@dataclasses.dataclass(frozen=True)
class _Sampled:
    uri: str | None
    dimension: int
    label: str


@dataclasses.dataclass(frozen=True)
class _Sample:
    """The distinct vectors of a partition whose values have small hashes, as an object."""

    embedding: Embedding
    below: int
    folder: str

    def __call__(self, partition: Partition) -> _Sampled:
        found = list(self.embedding.read(partition, None, self.below))
        some = [one for one in found if len(one.ids)]
        if not some:
            return _Sampled(None, 0, partition.label)
        hashes = np.concatenate([one.hashes for one in some])
        vectors = np.concatenate([one.vectors for one in some])
        kept = _smallest(hashes, vectors)
        uri = storage.join(
            self.folder, "sample", file_name(partition, self.embedding.column) + ".dsm"
        )
        storage.write(uri, codec.encode((hashes[kept], vectors[kept])))
        return _Sampled(uri, vectors.shape[1], partition.label)


def _smallest(hashes: npt.NDArray[np.uint64], vectors: Vectors) -> npt.NDArray[np.int64]:
    """Distinct vectors in the order of their hashes, as many as are sampled."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))
    first = order[first_of_runs(hashes[order, 0], hashes[order, 1])]
    found: npt.NDArray[np.int64] = first[: max(1, SAMPLE_BYTES // (4 * vectors.shape[1]))]
    return found


@dataclasses.dataclass(frozen=True)
class _Train:
    """Centroids from the samples of all partitions."""

    uris: tuple[str, ...]
    cells: int
    folder: str

    def run(self) -> Cells:
        from dsm_dask.duplicates.kmeans import train

        hashes, vectors = codec.decode(storage.read(self.uris[0]))
        kept = _smallest(hashes, vectors)
        hashes, vectors = hashes[kept], vectors[kept]
        for uri in self.uris[1:]:
            more = codec.decode(storage.read(uri))
            hashes = np.concatenate([hashes, more[0]])
            vectors = np.concatenate([vectors, more[1]])
            kept = _smallest(hashes, vectors)
            hashes, vectors = hashes[kept], vectors[kept]
        centroids = train(vectors, self.cells)
        uri = storage.join(self.folder, "centroids.dsm")
        storage.write(uri, codec.encode(centroids))
        quantiles = quantiles_of(centroids.shares)
        return Cells(uri, len(centroids.points), centroids.dimension, quantiles)


def quantiles_of(shares: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """:attr:`Cells.quantiles`, from the share of the sample that is at home in each cell."""
    parts = np.searchsorted(np.cumsum(shares), np.arange(_PARTS) / _PARTS)
    return tuple(parts.tolist())


@functools.lru_cache(maxsize=2)
def centroids_at(uri: str, options: storage.Options) -> Any:
    del options  # part of the cache key: the same URI may be another place
    from dsm_dask.duplicates import kmeans  # noqa: F401 - declares the state

    return codec.decode(storage.read(uri))


def one_dimension(found: Sequence[tuple[int, str]]) -> None:
    """Raise SchemaError unless all partitions with vectors agree."""
    some = [(dimension, label) for dimension, label in found if dimension]
    for dimension, label in some:
        if dimension != some[0][0]:
            raise SchemaError(
                f"Vectors of different dimensions: {some[0][0]} in {some[0][1]}, {dimension} in "
                f"{label}.",
                where=label,
                valid="All vectors of a column need the same number of components.",
            )


def file_name(partition: Partition, column: str) -> str:
    values = partition.values_fingerprint([column, ROW_ID])
    text = repr((partition.fingerprint, values)).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()
