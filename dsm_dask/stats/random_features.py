"""Mean of random Fourier features of an embedding column."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.stats import vectors
from dsm_dask.stats.vectors import Matrix

BANDWIDTHS = (0.25, 0.5, 1.0)
"""Of the Gaussian kernels, as distances between vectors of length one."""
FREQUENCIES = 80
"""For each bandwidth."""
_SEED = 20_002


@codec.state("stats.random_features", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class FeaturesState:
    """Sums of the cosines, then of the sines, over ``count`` vectors: float64 of shape (2, 240).
    ``skipped`` vectors are incomplete."""

    count: int = 0
    skipped: int = 0
    sums: Matrix | None = None


@dataclasses.dataclass(frozen=True)
class RandomFeatures:
    """Where the vectors of a column lie, as the mean of random features whose products approximate
    a kernel: the mean of three Gaussian ones, exp(-|x - y|² / (2 s²)) for s = 0.25, 0.5 and 1, of
    the vectors scaled to length one (Rahimi and Recht, "Random features for large-scale kernel
    machines", NIPS 2007).

    Seed and bandwidths are fixed, and each vector is scaled on its own, so states of any two parts
    of any data can be merged and compared. Another cut changes the last digits. 4 KB of state.
    Vectors are left out as in :class:`~dsm_dask.stats.covariance.Covariance`.

    >>> from dsm_dask.fold import run
    >>> column = pa.array([[1, 0], [0, 2]], pa.list_(pa.float32(), 2))
    >>> run(RandomFeatures("v"), [pa.record_batch({"v": column})]).count
    2
    """

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return vectors.is_vector(dtype)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> FeaturesState:
        return FeaturesState()

    def update(self, state: FeaturesState, batch: pa.RecordBatch) -> FeaturesState:
        found, whole = vectors.matrix(batch, self.column)
        rows, skipped = _unit(found[whole]), int(np.count_nonzero(~whole))
        if not len(rows):
            return self.merge(state, FeaturesState(skipped=skipped))
        angles = rows @ _frequencies(rows.shape[1])
        sums = np.stack([np.cos(angles).sum(axis=0), np.sin(angles).sum(axis=0)])
        return self.merge(state, FeaturesState(len(rows), skipped, sums))

    def merge(self, left: FeaturesState, right: FeaturesState) -> FeaturesState:
        skipped = left.skipped + right.skipped
        if left.sums is None or right.sums is None:
            return dataclasses.replace(right if left.sums is None else left, skipped=skipped)
        return FeaturesState(left.count + right.count, skipped, left.sums + right.sums)

    def finish(self, state: FeaturesState) -> FeaturesState:
        return state

    def same(self, left: FeaturesState, right: FeaturesState, rows: pa.RecordBatch) -> bool:
        """Equal but for rounding."""
        if (left.count, left.skipped) != (right.count, right.skipped):
            return False
        if left.sums is None or right.sums is None:
            return left.sums is right.sums
        return bool(np.allclose(left.sums, right.sums, rtol=0, atol=1e-9 * left.count))


def _unit(rows: Matrix) -> Matrix:
    """Scaled to length one; zero stays zero."""
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    near = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    lengths = np.sqrt(np.einsum("ij,ij->i", near, near))[:, None]
    found: Matrix = np.divide(near, lengths, out=near, where=lengths > 0)
    return found


@functools.lru_cache(maxsize=8)
def _frequencies(size: int) -> npt.NDArray[np.float64]:
    # RandomState's streams are frozen: stored states have to keep their meaning
    normal = np.random.RandomState(_SEED).standard_normal((size, FREQUENCIES * len(BANDWIDTHS)))
    found: Matrix = normal / np.repeat(BANDWIDTHS, FREQUENCIES)
    return found
