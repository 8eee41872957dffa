"""Compiled loops of the linear models: from scores of classes to what their probabilities lack.

Numba; import this module only where a batch is at hand.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_compiled = numba.njit(cache=True, nogil=True)


@_compiled
def residuals(
    scores: Any, folds: Any, labels: Any, present: Any, unit: float, fine: float, losses: Any
) -> None:
    """Replace the scores of rows in ``scores``, (rows, models, classes), whole multiples of
    ``unit``, by probabilities less 1 for the label, in whole multiples of 1 / ``fine``; by zeros
    for a row without a label, in the model's own fold, or of a class that the model has not.
    ``losses``: int64, a model each, takes -ln p of the labels in the same multiples."""
    rows, models, classes = scores.shape
    for i in range(rows):
        for m in range(models):
            row, label = scores[i, m], labels[i]
            if label < 0 or folds[i] == m or not present[m, label]:
                row[:] = 0.0
                continue
            largest = -np.inf
            for j in range(classes):
                if present[m, j]:
                    largest = max(largest, row[j] * unit)
            own, total = row[label] * unit - largest, 0.0
            for j in range(classes):
                row[j] = np.exp(row[j] * unit - largest) if present[m, j] else 0.0
                total += row[j]
            losses[m] += np.int64(np.rint((np.log(total) - own) * fine))
            for j in range(classes):
                row[j] = np.rint((row[j] / total - (j == label)) * fine)


@_compiled
def probabilities(scores: Any, folds: Any, present: Any, unit: float, found: Any) -> None:
    """The probabilities of each row, by the model that has not seen its fold."""
    rows, _, classes = scores.shape
    for i in range(rows):
        m = folds[i]
        row = scores[i, m]
        largest, total = -np.inf, 0.0
        for j in range(classes):
            if present[m, j]:
                largest = max(largest, row[j] * unit)
        for j in range(classes):
            row[j] = np.exp(row[j] * unit - largest) if present[m, j] else 0.0
            total += row[j]
        for j in range(classes):
            found[i, j] = row[j] / total
