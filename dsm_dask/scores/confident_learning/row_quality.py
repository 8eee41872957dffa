"""How likely the label of a row is right, as far as its probabilities tell."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.errors import UsageError
from dsm_dask.scores.confident_learning.labelled import Bools, Labelled, Problem

Method = Literal["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
METHODS: tuple[str, ...] = get_args(Method)
SMOOTHING = 0.8
_LEAST = 1e-6
Values = npt.NDArray[Any]


@codec.state("scores.quality", 1)
@dataclasses.dataclass(frozen=True)
class Quality:
    """The quality of labels, from 0 (suspicious) to 1. Of p, the probabilities of a row labelled i:

    * ``self_confidence``: p_i;
    * ``normalized_margin``: (p_i - max_{j≠i} p_j + 1) / 2;
    * ``confidence_weighted_entropy``: log(1 + e) / e, where e = H(p) / log K / p_i; both divisors
      are at least 1e-6, so a row that gives all to one class has 0, whatever its label.

    As defined by Kuan and Mueller, "Model-agnostic label quality scoring to detect real-world label
    errors", ICML DataPerf workshop 2022, in Northcutt's package. Of several labels it is the
    exponential moving average, of weight 0.8 for each next, of the qualities of all classes from
    the highest to the lowest (Thyagarajan et al., "Identifying incorrect annotations in multi-label
    classification data", 2022), so that the worst count most.
    """

    labelled: Labelled
    method: Method = "self_confidence"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(
                f"There is no quality of labels called {self.method!r}.",
                valid=f"{', '.join(METHODS)}.",
            )

    def read(self, batch: pa.RecordBatch) -> tuple[Values, Bools]:
        """float32 or float64, as the probabilities are; and which rows have none: those without a
        label or without probabilities."""
        found = [self._of(problem) for problem in self.labelled.problems(batch)]
        values, nulls = found[0]
        if len(found) > 1:
            values = _smoothed(np.stack([one for one, _ in found], axis=1))
        return values, nulls

    def _of(self, problem: Problem) -> tuple[Values, Bools]:
        from dsm_dask.scores.confident_learning import kernels

        probabilities, labels = problem.probabilities, problem.labels
        found = np.zeros(len(labels), probabilities.dtype)
        if self.method == "self_confidence":
            kernels.self_confidence(probabilities, labels, found)
        elif self.method == "normalized_margin":
            kernels.normalized_margin(probabilities, labels, probabilities.dtype.type(1), found)
        else:
            kernels.confidence_weighted_entropy(probabilities, labels, _LEAST, found)
        return found, labels < 0


def _smoothed(values: Values) -> Values:
    """The moving averages of the rows of a matrix, from their largest to their smallest."""
    values.sort(axis=1)
    found = values[:, -1]
    for place in range(values.shape[1] - 2, -1, -1):
        found = SMOOTHING * values[:, place] + (1 - SMOOTHING) * found
    return found
