"""How well a classifier tells two embedding columns apart."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dsm_dask.distances.distance import Distance
from dsm_dask.stats.vector_sample import SampleState

PARTS = 5
FEWEST = 20
QUADRATIC = 128
"""Vectors of at most so many components are given to the classifier with their squares."""

Floats = npt.NDArray[np.float64]


def domain_classifier(reference: SampleState, current: SampleState) -> Distance | None:
    """The area under the ROC curve (AUC) of a classifier that tells sampled vectors of the current
    data from those of the reference: the probability that it ranks one of the former higher.

    0.5 (alike) to 1 (no overlap); below 0.5 only by chance. 0.55 is customary as the threshold
    (Evidently); see Rabanser et al., "Failing loudly: an empirical study of methods for detecting
    dataset shift", NeurIPS 2019. The classifier is Fisher's linear discriminant with a ridge, on
    components and, up to 128 of them, their squares, so it sees shifts of mean and variance; scores
    come from five-fold cross-validation, with equal vectors in one fold. The error is 1.96 standard
    errors of an AUC near 0.5, and p the probability of so large a one by chance (Mann and Whitney,
    1947); both are of the sample. None with fewer than 20 vectors on a side.

    >>> side = SampleState(np.arange(32, dtype=np.uint64), np.ones(32, np.int64), np.eye(32))
    >>> domain_classifier(side, side).value
    0.5
    """
    if reference.vectors is None or current.vectors is None:
        return None
    sides = reference, current
    if min(len(side.hashes) for side in sides) < FEWEST:
        return None
    features = _features(np.concatenate([reference.vectors, current.vectors]))
    positive = np.repeat([False, True], [len(side.hashes) for side in sides])
    weights = np.concatenate([side.counts / side.counts.sum() for side in sides])
    parts = np.concatenate([side.hashes for side in sides]) % np.uint64(PARTS)
    found, covered = 0.0, 0.0
    for part in range(PARTS):
        test = parts == part
        if positive[test].all() or not positive[test].any():
            continue
        direction = _direction(features[~test], positive[~test], weights[~test])
        scores = np.round(features[test] @ direction, 9)  # rounding errors rank nothing
        share = float(weights[test].sum())
        found += share * auc(scores, positive[test], weights[test])
        covered += share
    if not covered:
        return None
    # rows of equal vectors count as one where it comes to how sure the figure is
    n, m = (float(side.counts.sum()) ** 2 / float((side.counts**2.0).sum()) for side in sides)
    error = math.sqrt((n + m + 1) / (12 * n * m))
    value = found / covered
    p_value = math.erfc((value - 0.5) / error / math.sqrt(2)) / 2
    return Distance(value, 1.96 * error, p_value)


def auc(scores: Floats, positive: npt.NDArray[np.bool_], weights: Floats) -> float:
    """Weighted share of pairs that are ranked rightly; ties count half.

    >>> auc(np.array([1.0, 2.0, 2.0]), np.array([False, False, True]), np.ones(3))
    0.75
    """
    _, place = np.unique(scores, return_inverse=True)
    size = int(place.max()) + 1
    ups = np.bincount(place, weights * positive, size)
    downs = np.bincount(place, weights * ~positive, size)
    ranked = float(np.dot(ups, np.cumsum(downs) - downs / 2))
    return ranked / (float(ups.sum()) * float(downs.sum()))


def _features(vectors: npt.NDArray[np.floating]) -> Floats:
    """Columns of mean 0 and standard deviation 1."""
    rows = _standard(vectors.astype(np.float64))
    return np.hstack([rows, _standard(rows**2)]) if rows.shape[1] <= QUADRATIC else rows


def _standard(rows: Floats) -> Floats:
    away = rows - rows.mean(axis=0)
    spread = away.std(axis=0)
    found: Floats = np.divide(away, spread, out=np.zeros_like(away), where=spread > 0)
    return found


def _direction(rows: Floats, positive: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    """Ridge regression on the labels -1 and 1, which is the discriminant (Hastie, Tibshirani,
    Friedman, "The Elements of Statistical Learning", 4.2); both sides weigh the same."""
    share = np.where(
        positive, weights / weights[positive].sum(), weights / weights[~positive].sum()
    )
    root = np.sqrt(share / 2)[:, None]
    away = (rows - (rows * root**2).sum(axis=0)) * root
    target = np.where(positive, 1.0, -1.0)[:, None] * root
    count, size = rows.shape
    ridge = max(0.01, size / count)
    if size <= count:
        found = np.linalg.solve(away.T @ away + ridge * np.eye(size), away.T @ target)
    else:
        found = away.T @ np.linalg.solve(away @ away.T + ridge * np.eye(count), target)
    direction: Floats = found[:, 0]
    return direction
