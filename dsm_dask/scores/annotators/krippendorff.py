"""Krippendorff's alpha, from a matrix of coincidences."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dsm_dask.scores.labels import Class

Floats = npt.NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]


def alpha(coincidences: Any, level: Level = "nominal", values: Any = None) -> Floats:
    """1 - observed / expected disagreement (Krippendorff, "Content analysis", 2004, chapter 11).

    ``coincidences`` (..., classes, classes): for each pair of classes c, k the pairs of answers to
    the same item that are c and k, each counted 1 / (answers to the item - 1). With n_c = Σ_k o_ck
    and n = Σ_c n_c

        alpha = 1 - (n - 1) Σ o_ck δ²_ck / Σ n_c n_k δ²_ck

    δ²_ck is 1 for different classes (nominal); (v_c - v_k)² of their ``values`` (interval); or
    (n_c / 2 + n_(c+1) + ... + n_(k-1) + n_k / 2)², the answers between them (ordinal, the classes
    in the order of their ``values``, else as they stand). NaN when only one class occurs: there is
    nothing to tell chance from.

    >>> together = [[2.0, 1.0], [1.0, 4.0]]
    >>> float(alpha(np.array(together)).round(4))
    0.5333
    """
    coincidences = np.asarray(coincidences, np.float64)
    marginals = coincidences.sum(axis=-1)
    distance = _squared(marginals, level, values)
    total = marginals.sum(axis=-1)
    observed = (coincidences * distance).sum(axis=(-2, -1))
    products = marginals[..., :, np.newaxis] * marginals[..., np.newaxis, :]
    expected = (products * distance).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = 1 - (total - 1) * observed / expected
    return np.where(expected > 0, found, np.nan)


def _squared(marginals: Floats, level: Level, values: Any) -> Floats:
    classes = marginals.shape[-1]
    if level == "nominal":
        return 1 - np.eye(classes)
    if level == "interval":
        numbers = np.asarray(values, np.float64)
        return np.subtract.outer(numbers, numbers) ** 2
    # half of the class itself and all below it: differences are what lies between two
    order = np.arange(classes) if values is None else np.argsort(values, kind="stable")
    middle = np.empty_like(marginals)
    middle[..., order] = np.cumsum(marginals[..., order], axis=-1) - marginals[..., order] / 2
    found: Floats = (middle[..., :, np.newaxis] - middle[..., np.newaxis, :]) ** 2
    return found


def numbers_of(classes: tuple[Class, ...]) -> tuple[float, ...] | None:
    """What classes that are numbers amount to; None for others.

    >>> numbers_of((1, 2, 5)), numbers_of(("1", "2")), numbers_of(("low", "high"))
    ((1.0, 2.0, 5.0), (1.0, 2.0), None)
    """
    try:
        return tuple(float(one) for one in classes)
    except ValueError:
        return None
