"""Mean and covariance of an embedding column."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.stats import vectors
from dsm_dask.stats.vectors import Matrix

WIDEST = 256
"""Dimensions of the covariance kept: wider vectors are projected to so many."""
_SEED = 20_001

Row = npt.NDArray[np.float64]


@codec.state("stats.covariance", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class CovarianceState:
    """Of ``count`` vectors of d components: their ``mean`` (d), the sums ``squares`` (d) of squared
    deviations from it, and the sums ``products`` (p, p) of products of deviations, after projection
    to p = min(d, 256) dimensions. ``skipped`` vectors are incomplete. None before the first."""

    count: int = 0
    skipped: int = 0
    mean: Row | None = None
    squares: Row | None = None
    products: Matrix | None = None


@dataclasses.dataclass(frozen=True)
class Covariance:
    """Mean vector and covariance matrix of a column of embeddings.

    Deviations are summed about the mean of each batch and combined by Chan, Golub and LeVeque
    ("Updating formulae and a pairwise algorithm for computing sample variances", 1979), so nothing
    cancels; another cut of the data changes the last digits. Vectors with more than 256 components
    keep their own mean and variances; their covariance is that of a fixed random projection, which
    keeps distances within about 10 % (Johnson and Lindenstrauss, 1984). At most 530 KB of state.
    Null vectors and those with a component that is null, NaN or infinite are left out and counted.

    >>> from dsm_dask.fold import run
    >>> column = pa.array([[1, 0], [3, 0]], pa.list_(pa.float32(), 2))
    >>> run(Covariance("v"), [pa.record_batch({"v": column})]).products.tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return vectors.is_vector(dtype)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> CovarianceState:
        return CovarianceState()

    def update(self, state: CovarianceState, batch: pa.RecordBatch) -> CovarianceState:
        found, whole = vectors.matrix(batch, self.column)
        rows, skipped = found[whole], int(np.count_nonzero(~whole))
        if not len(rows):
            return self.merge(state, CovarianceState(skipped=skipped))
        mean = rows.mean(axis=0)
        away = rows - mean
        narrow = projected(away)
        squares = np.einsum("ij,ij->j", away, away)
        made = CovarianceState(len(rows), skipped, mean, squares, narrow.T @ narrow)
        return self.merge(state, made)

    def merge(self, left: CovarianceState, right: CovarianceState) -> CovarianceState:
        skipped = left.skipped + right.skipped
        if not left.count or not right.count:
            return dataclasses.replace(left if left.count else right, skipped=skipped)
        count = left.count + right.count
        gap = _known(right.mean) - _known(left.mean)
        weight = left.count * right.count / count
        narrow = projected(gap[None])
        return CovarianceState(
            count,
            skipped,
            _known(left.mean) + gap * (right.count / count),
            _known(left.squares) + _known(right.squares) + weight * gap**2,
            _known(left.products) + _known(right.products) + weight * (narrow.T @ narrow),
        )

    def finish(self, state: CovarianceState) -> CovarianceState:
        return state

    def same(self, left: CovarianceState, right: CovarianceState, rows: pa.RecordBatch) -> bool:
        """Equal but for rounding."""
        if (left.count, left.skipped) != (right.count, right.skipped):
            return False
        found, whole = vectors.matrix(rows, self.column)
        scale = float(np.abs(found[whole]).max(initial=0.0))
        pairs = ((left.mean, right.mean, 1), (left.squares, right.squares, 2))
        return not left.count or all(
            np.allclose(_known(a), _known(b), rtol=1e-9, atol=1e-9 * scale**power)
            for a, b, power in (*pairs, (left.products, right.products, 2))
        )


def projected(rows: Matrix) -> Matrix:
    """Rows of more than :data:`WIDEST` components as so many: their products with fixed random
    directions, normal with variance 1 / :data:`WIDEST`."""
    size = rows.shape[1]
    if size <= WIDEST:
        return rows
    # RandomState's streams are frozen: stored states have to keep their meaning
    directions = np.random.RandomState(_SEED).standard_normal((size, WIDEST))
    found: Matrix = rows @ directions / np.sqrt(WIDEST)
    return found


def _known(part: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
    return np.empty(0) if part is None else part
