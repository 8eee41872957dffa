"""Cohen's kappa: how far two annotators agree beyond chance."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.scores.annotators.answers import ReadsAnswers
from dsm_dask.scores.annotators.bootstrap import CELLS, Estimate, drawn, estimate, groups_for

Int64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Weights = Literal["none", "linear", "quadratic"]
WEIGHTS: tuple[Weights, ...] = get_args(Weights)

MOST_PAIRS = 1225
"""Of annotators, of which kappas are computed and listed."""


@codec.state("scores.pair", 1)
@dataclasses.dataclass(frozen=True)
class Pair:
    """Two annotators (numbers), the items that both answered, and their kappa."""

    left: int
    right: int
    items: int
    kappa: Estimate


@codec.state("scores.cohen", 1)
@dataclasses.dataclass(frozen=True)
class Cohen:
    """The pairs that have items in common, and the mean of their kappas (Light, "Measures of
    response agreement for qualitative data", 1971)."""

    weights: Weights
    mean: Estimate
    pairs: tuple[Pair, ...]


@dataclasses.dataclass(frozen=True)
class CohenKappa:
    """Cohen's kappa of each pair of annotators, over the items that both answered:

        kappa = 1 - Σ w_ck o_ck / Σ w_ck e_ck

    o_ck is how often one said c and the other k, e_ck = o_c. o_.k / n what chance gives, and w_ck
    is 1 for different classes, |c - k| (linear) or (c - k)² (quadratic), c and k being the places
    of the classes in their order (Cohen, "A coefficient of agreement for nominal scales", 1960;
    "Weighted kappa", 1968). Not defined (None) where both always say the same one thing.

    The state is a table of classes by classes for each pair and group of items; see
    :func:`fits` for how many are possible.
    """

    source: ReadsAnswers
    weights: Weights = "none"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.source.columns

    @property
    def shape(self) -> tuple[int, int, int, int]:
        pairs, classes = pairs_of(self.source.annotators), self.source.labels
        return groups_for(pairs * classes * classes), pairs, classes, classes

    def init(self) -> Int64:
        return np.zeros(self.shape, np.int64)

    def update(self, state: Int64, batch: pa.RecordBatch) -> Int64:
        from dsm_dask.scores.annotators import kernels

        own, found = np.array(state), self.source.read(batch)
        group = kernels.groups_of(found.keys, len(own))
        kernels.add_pairs(
            found.starts, found.annotators, found.labels, group, self.source.annotators, own
        )
        return own

    def merge(self, left: Int64, right: Int64) -> Int64:
        return left + right

    def finish(self, state: Int64) -> Cohen:
        number = self.source.annotators
        items = state.sum(axis=(2, 3))
        weights = drawn(items.sum(axis=1))
        kappas, pairs = [], []
        for index, (left, right) in enumerate(zip(*np.triu_indices(number, 1), strict=True)):
            if not items[:, index].any():
                continue
            one = _kappas(weights, state[:, index], self.weights)
            kappas.append(one)
            told = estimate(weights, lambda _, one=one: one)  # type: ignore[misc]
            pairs.append(Pair(int(left), int(right), int(items[:, index].sum()), told))
        return Cohen(self.weights, _mean(weights, kappas), tuple(pairs))


def _kappas(weights: Floats, tables: Int64, kind: Weights) -> Floats:
    classes = tables.shape[-1]
    flat = tables.reshape(len(tables), -1).astype(np.float64)
    rows = max(1, CELLS // flat.shape[1])
    parts = [
        kappa((weights[i : i + rows] @ flat).reshape(-1, classes, classes), kind)
        for i in range(0, len(weights), rows)
    ]
    return np.concatenate(parts)


def _mean(weights: Floats, kappas: list[Floats]) -> Estimate:
    if not kappas:
        return Estimate(None)
    known = np.isfinite(kappas)
    count = known.sum(axis=0)
    total = np.where(known, kappas, 0).sum(axis=0)
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return estimate(weights, lambda _: mean)


def kappa(tables: Any, weights: Weights = "none") -> Floats:
    """Cohen's kappa of tables of shape (..., classes, classes); NaN where it is not defined.

    >>> float(kappa([[20, 5], [10, 15]]).round(4))
    0.4
    """
    tables = np.asarray(tables, np.float64)
    places = np.arange(tables.shape[-1])
    apart = np.abs(np.subtract.outer(places, places)).astype(np.float64)
    weight = {"none": apart > 0, "linear": apart, "quadratic": apart**2}[weights]
    total = tables.sum(axis=(-2, -1))
    chance = tables.sum(axis=-1)[..., :, np.newaxis] * tables.sum(axis=-2)[..., np.newaxis, :]
    observed = (tables * weight).sum(axis=(-2, -1)) * total
    expected = (chance * weight).sum(axis=(-2, -1))
    found = np.divide(observed, expected, out=np.full_like(expected, np.nan), where=expected > 0)
    return np.asarray(1 - found)


def pairs_of(annotators: int) -> int:
    return annotators * (annotators - 1) // 2


def fits(source: ReadsAnswers) -> bool:
    """Whether there are few enough pairs: 50 annotators' (1,225), and their tables hold a million
    numbers.

    >>> from dsm_dask.scores.annotators.answer_files import Listed
    >>> fits(Listed(20, 10)), fits(Listed(51, 2)), fits(Listed(20, 100))
    (True, False, False)
    """
    pairs = pairs_of(source.annotators)
    return pairs <= MOST_PAIRS and pairs * source.labels**2 <= CELLS
