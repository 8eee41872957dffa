"""How unsure a model is of a row that may have several labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask.errors import UsageError
from dsm_dask.scores.labels import Class, from_codes, label_type
from dsm_dask.scores.probabilities.class_values import Bools, Matrix
from dsm_dask.scores.probabilities.probabilities import ClassProbabilities
from dsm_dask.scores.score_column import scores
from dsm_dask.scores.scorer import Quantities
from dsm_dask.scores.uncertainty.from_probabilities import FromProbabilities

MEASURES = ("entropy", "entropy_max", "margin")


@dataclasses.dataclass(frozen=True)
class MultilabelUncertainty(FromProbabilities):
    """Measures of a row with a probability of its own for each class (a sigmoid each); all from 0
    to 1, and larger where the model is less sure:

    * ``uncertainty_entropy``: the mean over classes of the binary entropy
      -p log2 p - (1 - p) log2 (1 - p);
    * ``uncertainty_entropy_max``: the largest of these: that of the class it is least
      sure of;
    * ``uncertainty_margin``: 1 - min |p - (1 - p)|: how near to even that class is;

    as float32; and the classes of at least 0.5 as ``predicted_labels``, a list. Rows without
    probabilities have null. With classes taken as independent the entropy of the row is the sum of
    the binary ones; the smallest margin is that of Brinker, "On active learning in multi-label
    classification", 2006.

    >>> from dsm_dask.scores.probabilities.probabilities import Probabilities
    >>> source = Probabilities(("p",), ("wet", "cold"), multilabel=True)
    >>> batch = pa.record_batch({"p": [[0.5, 1.0], [0.0, 1.0]]})
    >>> MultilabelUncertainty(source).apply(batch, {}).to_pylist()[0]["predicted_labels"]
    ['wet', 'cold']
    >>> MultilabelUncertainty(source).apply(batch, {})["uncertainty_entropy"].to_pylist()
    [0.5, 0.0]
    """

    probabilities: ClassProbabilities

    def __post_init__(self) -> None:
        if not self.probabilities.multilabel:
            raise UsageError(
                "These probabilities sum to one, so classes exclude each other.",
                valid="Probabilities(..., multilabel=True).",
            )

    @property
    def schema(self) -> pa.Schema:
        measures = [(f"uncertainty_{name}", pa.float32()) for name in MEASURES]
        labels = pa.list_(label_type(self.probabilities.classes))
        return pa.schema([*measures, ("predicted_labels", labels)])

    @property
    def parameters(self) -> dict[str, Any]:
        return {"method": "multilabel", "probabilities": self.probabilities.parameters}

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises what reading the probabilities does."""
        del quantities
        from dsm_dask.scores.uncertainty import kernels

        values, nulls = self.probabilities.read(batch)
        found = np.empty((3, len(values)), np.float32)
        kernels.independent(values, *found)
        labels = predicted_labels(values, nulls, self.probabilities.classes)
        return pa.record_batch([*(scores(one, nulls) for one in found), labels], schema=self.schema)


def predicted_labels(values: Matrix, nulls: Bools, classes: Sequence[Class]) -> pa.Array:
    """The classes of at least 0.5 in each row, as lists; null for rows that are."""
    held = (values >= 0.5) & ~nulls[:, None]
    ends = np.append(0, np.cumsum(held.sum(axis=1))).astype(np.int32)
    mask = pa.array(nulls) if nulls.any() else None
    names = from_codes(np.nonzero(held)[1], classes)
    return pa.ListArray.from_arrays(pa.array(ends), names, mask=mask)
