"""Features to one scale: differences from the mean in standard deviations, as whole numbers.

Means come from sums of whole numbers (each feature a multiple of 2^-15 of its largest), so that
they are the same bits however the data was cut.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.scores.out_of_fold.features import Features, Floats

Int64 = npt.NDArray[np.int64]

UNIT = 1 << 10
"""Standardised features are multiples of its inverse,"""
FARTHEST = 8
"""... and no farther from the mean than so many standard deviations."""
_FINE = 1 << 15


@dataclasses.dataclass(frozen=True)
class LargestFeatures:
    """The largest absolute value of each feature: a tuple, 0.0 for one without values.

    >>> from dsm_dask.fold import run
    >>> run(LargestFeatures(Features(("a",), (1,))), [pa.record_batch({"a": [1.0, -3.0]})])
    (3.0,)
    """

    features: Features

    @property
    def columns(self) -> tuple[str, ...]:
        return self.features.on

    def init(self) -> Floats:
        return np.zeros(self.features.width)

    def update(self, state: Floats, batch: pa.RecordBatch) -> Floats:
        for piece in self.features.pieces(batch):
            values, _ = self.features.read(piece)
            state = np.maximum(state, np.abs(np.nan_to_num(values)).max(axis=0, initial=0))
        return state

    def merge(self, left: Floats, right: Floats) -> Floats:
        return np.maximum(left, right)

    def finish(self, state: Floats) -> tuple[float, ...]:
        return tuple(state.tolist())


@codec.state("scores.feature_sums", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSums:
    """By feature: values, and sums of the multiples of 2^-15 of the largest, and of their
    squares."""

    counts: Int64
    sums: Int64
    squares: Int64


@codec.state("scores.scale", 1)
@dataclasses.dataclass(frozen=True)
class Scale:
    """Mean and inverse standard deviation (0 of a constant) of each feature."""

    means: tuple[float, ...]
    inverses: tuple[float, ...]

    def apply(self, values: Floats) -> Floats:
        """Whole multiples of 1 / 1024 standard deviations, as float64, with one more feature that
        is 1 for all; a missing value is the mean.

        >>> Scale((2.0,), (0.5,)).apply(np.array([[4.0], [np.nan]])).tolist()
        [[1024.0, 1024.0], [0.0, 1024.0]]
        """
        found = np.empty((len(values), values.shape[1] + 1))
        found[:, -1] = UNIT
        inner = found[:, :-1]
        np.subtract(values, self.means, out=inner)
        inner *= np.array(self.inverses) * UNIT
        np.clip(np.nan_to_num(inner, copy=False), -FARTHEST * UNIT, FARTHEST * UNIT, out=inner)
        np.rint(inner, out=inner)
        return found


@dataclasses.dataclass(frozen=True)
class FeatureScale:
    """Means and standard deviations of features, to about 2^-15 of their largest values.
    State: 24 bytes a feature."""

    features: Features
    largest: tuple[float, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.features.on

    def init(self) -> FeatureSums:
        return FeatureSums(*(np.zeros(self.features.width, np.int64) for _ in range(3)))

    def update(self, state: FeatureSums, batch: pa.RecordBatch) -> FeatureSums:
        largest = np.array(self.largest)
        unit = np.where(largest > 0, largest, 1) / _FINE
        for piece in self.features.pieces(batch):
            values, _ = self.features.read(piece)
            known = ~np.isnan(values)
            whole = np.rint(np.nan_to_num(values) / unit).astype(np.int64)
            fresh = FeatureSums(known.sum(axis=0), whole.sum(axis=0), (whole * whole).sum(axis=0))
            state = self.merge(state, fresh)
        return state

    def merge(self, left: FeatureSums, right: FeatureSums) -> FeatureSums:
        return FeatureSums(
            left.counts + right.counts, left.sums + right.sums, left.squares + right.squares
        )

    def finish(self, state: FeatureSums) -> Scale:
        means, inverses = [], []
        parts = (state.counts.tolist(), state.sums.tolist(), state.squares.tolist(), self.largest)
        for count, total, squares, largest in zip(*parts, strict=True):
            unit = largest / _FINE
            spread = count * squares - total * total  # of integers, so nothing cancels
            means.append(total / count * unit if count else 0.0)
            inverses.append(count / (spread**0.5 * unit) if spread > 0 and unit else 0.0)
        return Scale(tuple(means), tuple(inverses))
