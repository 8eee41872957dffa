"""A sample of the vectors of an embedding column."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.hashing import U64, hash_rows
from dsm_dask.stats import vectors

LARGEST = 1024
COMPONENTS = 1 << 18


@codec.state("stats.vector_sample", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class SampleState:
    """The distinct vectors with the smallest 64-bit hashes, in their order: float32 of shape
    (k, d); ``counts`` says how many rows hold each. None before the first."""

    hashes: U64
    counts: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32] | None = None


@dataclasses.dataclass(frozen=True)
class VectorSample:
    """A sample of distinct vectors, with the number of rows of each: those with the smallest hashes
    of their values (bottom-k, Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC
    2007). It does not depend on how the data was cut, and samples of two tables are coordinated:
    a vector that is in both tables is in both samples or in neither.

    At most 1,024 vectors, fewer when they have more than 256 components: 1 MB of state. Vectors are
    left out as in :class:`~dsm_dask.stats.covariance.Covariance`.

    >>> from dsm_dask.fold import run
    >>> column = pa.array([[1, 0], [0, 2], [1, 0]], pa.list_(pa.float32(), 2))
    >>> sorted(run(VectorSample("v"), [pa.record_batch({"v": column})]).counts.tolist())
    [1, 2]
    """

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return vectors.is_vector(dtype)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> SampleState:
        return SampleState(np.empty(0, np.uint64), np.empty(0, np.int64))

    def update(self, state: SampleState, batch: pa.RecordBatch) -> SampleState:
        found, whole = vectors.matrix(batch, self.column)
        if not whole.any():
            return state
        array = arrays.plain(batch.column(self.column))
        hashes = hash_rows([array])[whole, 0]
        distinct, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        kept = slice(0, size(found.shape[1]))
        rows = np.flatnonzero(whole)[first[kept]]
        with np.errstate(over="ignore"):  # past what a float32 holds is as far as can be
            narrow = np.clip(found[rows], -_FLOAT32, _FLOAT32).astype(np.float32)
        made = SampleState(distinct[kept], counts[kept].astype(np.int64), narrow)
        return self.merge(state, made)

    def merge(self, left: SampleState, right: SampleState) -> SampleState:
        if left.vectors is None or right.vectors is None:
            return right if left.vectors is None else left
        hashes = np.concatenate([left.hashes, right.hashes])
        distinct, first, place = np.unique(hashes, return_index=True, return_inverse=True)
        counts = np.concatenate([left.counts, right.counts])
        sums = np.bincount(place, counts, len(distinct)).astype(np.int64)
        kept = slice(0, size(left.vectors.shape[1]))
        rows = np.concatenate([left.vectors, right.vectors])[first[kept]]
        return SampleState(distinct[kept], sums[kept], rows)

    def finish(self, state: SampleState) -> SampleState:
        return state


_FLOAT32 = float(np.finfo(np.float32).max)


def size(dimension: int) -> int:
    """How many vectors of so many components a sample has at most.

    >>> size(2), size(1024)
    (1024, 256)
    """
    return max(16, min(LARGEST, COMPONENTS // dimension))
