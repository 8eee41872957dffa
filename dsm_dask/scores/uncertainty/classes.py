"""How unsure a model is of a row, from the probabilities that it gives the classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask.errors import UsageError
from dsm_dask.scores.labels import from_codes, label_type
from dsm_dask.scores.probabilities.probabilities import ClassProbabilities
from dsm_dask.scores.score_column import scores
from dsm_dask.scores.scorer import Quantities
from dsm_dask.scores.uncertainty.from_probabilities import FromProbabilities

MEASURES = ("least_confidence", "margin", "entropy", "ratio")


@dataclasses.dataclass(frozen=True)
class Uncertainty(FromProbabilities):
    """Measures of one distribution a row, p1 and p2 its largest probabilities, K its classes; all
    from 0 to 1, and larger where the model is less sure:

    * ``uncertainty_least_confidence``: 1 - p1, at most 1 - 1/K;
    * ``uncertainty_margin``: 1 - (p1 - p2);
    * ``uncertainty_entropy``: -sum p ln p / ln K (Shannon, 1948);
    * ``uncertainty_ratio``: p2 / p1;

    (Settles, "Active learning literature survey", 2009, chapter 2, turned so that more is less
    sure), as float32; and the class of p1, the first of equal ones, as ``predicted_label`` with p1
    as ``predicted_probability``. Rows without probabilities have null.

    >>> from dsm_dask.scores.probabilities.probabilities import Probabilities
    >>> scorer = Uncertainty(Probabilities(("p",), ("cat", "dog")))
    >>> found = scorer.apply(pa.record_batch({"p": [[0.52, 0.48], [0.99, 0.01]]}), {})
    >>> [round(value, 3) for value in found["uncertainty_entropy"].to_pylist()]
    [0.999, 0.081]
    >>> found["predicted_label"].to_pylist()
    ['cat', 'cat']
    """

    probabilities: ClassProbabilities

    def __post_init__(self) -> None:
        if self.probabilities.multilabel:
            raise UsageError(
                "Probabilities of several labels are no distribution.",
                valid="MultilabelUncertainty scores them.",
            )

    @property
    def schema(self) -> pa.Schema:
        measures = [(f"uncertainty_{name}", pa.float32()) for name in MEASURES]
        return pa.schema([*measures, *predicted(self.probabilities.classes)])

    @property
    def parameters(self) -> dict[str, Any]:
        return {"method": "probabilities", "probabilities": self.probabilities.parameters}

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises what reading the probabilities does."""
        del quantities
        from dsm_dask.scores.uncertainty import kernels

        values, nulls = self.probabilities.read(batch)
        found = np.empty((5, len(values)), np.float32)
        first = np.empty(len(values), np.int32)
        measure: Any = kernels.measures
        measure(values, *found, first)
        first[nulls] = -1
        labels = from_codes(first, self.probabilities.classes)
        numbers = [scores(one, nulls) for one in found]
        return pa.record_batch([*numbers[:4], labels, numbers[4]], schema=self.schema)


def predicted(classes: tuple[str | int, ...]) -> list[tuple[str, pa.DataType]]:
    """The columns of what a model says."""
    return [
        ("predicted_label", label_type(classes)),
        ("predicted_probability", pa.float32()),
    ]
