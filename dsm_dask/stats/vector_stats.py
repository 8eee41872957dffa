"""Norms and components of embedding columns."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec
from dsm_dask.stats import vectors
from dsm_dask.stats.vectors import Matrix

WIDEST = 8192
"""Dimensions up to which the mean and variance of each are kept."""
_BLOCK = 1 << 18
"""Components looked at together: 2 MB as float64."""

Row = npt.NDArray[np.float64]


@codec.state("stats.vectors", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class VectorsState:
    """Of ``count`` whole vectors: norms (``low``, ``high``, ``mean``, sum ``squares`` of squared
    deviations) and components (``means`` and ``deviations``, sums of squared ones, of shape (d,);
    None before the first vector, or above :data:`WIDEST`)."""

    dimension: int | None = None
    count: int = 0
    nulls: int = 0
    nan: int = 0
    infinite: int = 0
    zeros: int = 0
    low: float = math.inf
    high: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0
    means: Row | None = None
    deviations: Row | None = None


@dataclasses.dataclass(frozen=True)
class VectorStats:
    """``count`` vectors are whole; the others are ``nulls``, or have a component that is null or
    NaN (``nan``), or one that is ``infinite`` or beyond 1e100. ``zeros`` are of norm 0.

    ``norm_*`` are of Euclidean norms, ``norm_std`` and ``variances`` of the sample (divisor n - 1).
    ``means`` and ``variances`` have a number for each dimension; they are None above 8,192
    dimensions, as is everything for which there are not enough vectors."""

    dimension: int | None = None
    count: int = 0
    nulls: int = 0
    nan: int = 0
    infinite: int = 0
    zeros: int = 0
    norm_min: float | None = None
    norm_max: float | None = None
    norm_mean: float | None = None
    norm_std: float | None = None
    means: tuple[float, ...] | None = None
    variances: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Norms, and mean and variance by dimension, of a column of fixed-size lists of floats.

    In float64. Deviations are summed about the mean of each block of rows, with NumPy's pairwise
    sums, and combined by Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for
    computing sample variances", 1979): another cut of the data changes the last digits. 16 bytes of
    state a dimension, up to 8,192.

    >>> from dsm_dask.fold import run
    >>> column = pa.array([[3, 4], [0, 0], None], pa.list_(pa.float32(), 2))
    >>> found = run(Vectors("v"), [pa.record_batch({"v": column})])
    >>> found.norm_max, found.zeros, found.means, found.variances
    (5.0, 1, (1.5, 2.0), (4.5, 8.0))
    """

    takes_encoded = True

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return vectors.is_vector(dtype)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> VectorsState:
        return VectorsState()

    def update(self, state: VectorsState, batch: pa.RecordBatch) -> VectorsState:
        dtype = arrays.plain_type(batch.schema.field(self.column).type)
        state = dataclasses.replace(state, dimension=dtype.list_size)
        step = max(1, _BLOCK // dtype.list_size)
        for start in range(0, batch.num_rows, step):
            state = self.merge(state, self._of(batch[start : start + step]))
        return state

    def _of(self, batch: pa.RecordBatch) -> VectorsState:
        found, whole = vectors.matrix(batch, self.column)
        if whole.all():
            return _summary(found)
        array = arrays.plain(batch.column(self.column))
        valid = arrays.validity(array)
        valid = np.ones(len(array), np.bool_) if valid is None else valid
        nan = np.isnan(found)
        size = array.type.list_size
        known = arrays.validity(array.values.slice(array.offset * size, found.size))
        if known is not None:
            nan |= ~known.reshape(-1, size)
        torn = valid & nan.any(axis=1)
        return dataclasses.replace(
            _summary(found[whole]),
            nulls=int(np.count_nonzero(~valid)),
            nan=int(np.count_nonzero(torn)),
            infinite=int(np.count_nonzero(valid & ~whole & ~torn)),
        )

    def merge(self, left: VectorsState, right: VectorsState) -> VectorsState:
        counts = {
            name: getattr(left, name) + getattr(right, name)
            for name in ("count", "nulls", "nan", "infinite", "zeros")
        }
        dimension = right.dimension if left.dimension is None else left.dimension
        if not left.count or not right.count:
            known = left if left.count else right
            return dataclasses.replace(known, dimension=dimension, **counts)
        part, weight = right.count / counts["count"], left.count * (right.count / counts["count"])
        gap = right.mean - left.mean
        merged = VectorsState(
            dimension,
            **counts,
            low=min(left.low, right.low),
            high=max(left.high, right.high),
            mean=left.mean + gap * part,
            squares=left.squares + right.squares + weight * gap**2,
        )
        if left.means is None or right.means is None:
            return merged
        gaps = right.means - left.means
        deviations = _known(left.deviations) + _known(right.deviations) + weight * gaps**2
        return dataclasses.replace(merged, means=left.means + gaps * part, deviations=deviations)

    def finish(self, state: VectorsState) -> VectorStats:
        counts = (state.dimension, state.count, state.nulls, state.nan, state.infinite, state.zeros)
        if not state.count:
            return VectorStats(*counts)
        several = state.count > 1
        std = math.sqrt(state.squares / (state.count - 1)) if several else None
        variances = None
        if several and state.deviations is not None:
            variances = tuple((state.deviations / (state.count - 1)).tolist())
        means = None if state.means is None else tuple(state.means.tolist())
        return VectorStats(*counts, state.low, state.high, state.mean, std, means, variances)

    def same(self, left: VectorStats, right: VectorStats, rows: pa.RecordBatch) -> bool:
        """Equal but for rounding."""
        scale = left.norm_max or 0.0
        names = ("norm_min", "norm_max", "norm_mean", "norm_std", "means")
        powers = {**dict.fromkeys(names, 1), "variances": 2}
        exact = [f.name for f in dataclasses.fields(left) if f.name not in powers]
        return all(getattr(left, n) == getattr(right, n) for n in exact) and all(
            _near(getattr(left, n), getattr(right, n), scale**power) for n, power in powers.items()
        )


def _summary(rows: Matrix) -> VectorsState:
    """Of whole vectors."""
    if not len(rows):
        return VectorsState()
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    mean = float(norms.mean())
    state = VectorsState(
        count=len(rows),
        zeros=int(np.count_nonzero(norms == 0)),
        low=float(norms.min()),
        high=float(norms.max()),
        mean=mean,
        squares=float(((norms - mean) ** 2).sum()),
    )
    if rows.shape[1] > WIDEST:
        return state
    means = rows.mean(axis=0)
    return dataclasses.replace(state, means=means, deviations=((rows - means) ** 2).sum(axis=0))


def _known(part: Row | None) -> Row:
    return np.empty(0) if part is None else part


def _near(left: Any, right: Any, scale: float) -> bool:
    if left is None or right is None:
        return left is right
    # a square root turns a rounding error of 1e-16 into one of 1e-8
    return bool(np.allclose(left, right, rtol=1e-7, atol=1e-7 * scale))
