"""What the calibrated joint says of a dataset's labels: noise rates, classes, pairs of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask.scores.probabilities.probabilities import Class

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
TOP = 20
MOST = 100
"""Matrices of more classes are not shown; their pairs are."""


@dataclasses.dataclass(frozen=True)
class ClassNoise:
    """A class: rows labelled so, the threshold of its probability, how many of them are expected to
    be of another class (``issues``), how many rows of other labels to be of it
    (``missing``), p(true = class | given = class)."""

    label: Class
    rows: int
    threshold: float | None
    issues: int
    missing: int
    quality: float | None


@dataclasses.dataclass(frozen=True)
class Confusion:
    """So many rows labelled ``given`` are expected to be ``true``."""

    given: Class
    true: Class
    rows: int


@dataclasses.dataclass(frozen=True)
class LabelNoise:
    """``health``: the share of labels that are no issues (as ``confident_learning`` finds them).
    ``noise_matrix[i][j]`` = p(given i | true j), ``inverse_noise_matrix[j][i]`` =
    p(true j | given i), ``joint`` the expected rows (given, true): None for more than 100 classes.
    ``confused``: the pairs with most rows."""

    rows: int
    issues: int
    health: float | None
    classes: tuple[ClassNoise, ...]
    confused: tuple[Confusion, ...]
    joint: list[list[int]] | None = None
    noise_matrix: list[list[float]] | None = None
    inverse_noise_matrix: list[list[float]] | None = None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def noise_matrix(joint: Counts) -> Floats:
    """p(given i | true j) = J[i, j] / Σ_i J[i, j]; zeros for a class that no row is expected of.

    >>> noise_matrix(np.array([[9, 0], [1, 4]])).tolist()
    [[0.9, 0.0], [0.1, 1.0]]
    """
    found: Floats = joint / np.maximum(joint.sum(axis=0), 1)
    return found


def inverse_noise_matrix(joint: Counts) -> Floats:
    """p(true j | given i) = J[i, j] / Σ_j J[i, j], at [j, i]; zeros for a class without rows.

    >>> inverse_noise_matrix(np.array([[9, 0], [1, 4]])).tolist()
    [[1.0, 0.2], [0.0, 0.8]]
    """
    return noise_matrix(joint.T)


def label_noise(
    classes: Sequence[Class], joint: Counts, thresholds: Floats, issues: int
) -> LabelNoise:
    """``joint``: the calibrated one, (given, true); ``issues``: rows."""
    given, true, kept = joint.sum(axis=1), joint.sum(axis=0), joint.diagonal()
    rows = int(given.sum())
    table = tuple(
        ClassNoise(
            label,
            int(given[i]),
            float(thresholds[i]) if given[i] else None,
            int(given[i] - kept[i]),
            int(true[i] - kept[i]),
            float(kept[i] / given[i]) if given[i] else None,
        )
        for i, label in enumerate(classes)
    )
    small = len(classes) <= MOST
    return LabelNoise(
        rows,
        issues,
        1 - issues / rows if rows else None,
        table,
        tuple(Confusion(classes[i], classes[j], n) for i, j, n in _largest(joint)),
        joint.tolist() if small else None,
        noise_matrix(joint).tolist() if small else None,
        inverse_noise_matrix(joint).tolist() if small else None,
    )


def _largest(joint: Counts) -> list[tuple[int, int, int]]:
    """The cells off the diagonal with most rows, ties by place."""
    off = joint - np.diag(joint.diagonal())
    order = np.argsort(-off, axis=None, kind="stable")[:TOP]
    pairs = np.stack(np.unravel_index(order, off.shape), axis=1).tolist()
    return [(i, j, int(off[i, j])) for i, j in pairs if off[i, j]]
