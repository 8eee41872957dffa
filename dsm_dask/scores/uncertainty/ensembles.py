"""How unsure an ensemble is of a row, or a model with dropout left on: what it does not know, apart
from what nobody could."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask.errors import UsageError
from dsm_dask.scores.labels import from_codes
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.scores.score_column import scores
from dsm_dask.scores.scorer import Quantities
from dsm_dask.scores.uncertainty import vector_lists
from dsm_dask.scores.uncertainty.classes import predicted
from dsm_dask.scores.uncertainty.from_probabilities import FromProbabilities

MEASURES = ("entropy", "expected_entropy", "mutual_information", "variation_ratio")


@dataclasses.dataclass(frozen=True)
class EnsembleUncertainty(FromProbabilities):
    """Measures of several distributions p_1, ..., p_M a row, of K classes; all from 0 to 1, and
    larger where the members are less sure:

    * ``uncertainty_entropy``: H(mean of p_m) / ln K, with H(p) = -sum p ln p: all uncertainty;
    * ``uncertainty_expected_entropy``: mean of H(p_m) / ln K: what each member is unsure of, such
      as rows that are truly ambiguous;
    * ``uncertainty_mutual_information``: the difference of the two: what the members disagree about
      though each is sure, and more data would settle (BALD; Houlsby et al., "Bayesian active
      learning for classification and preference learning", 2011; Gal et al., "Deep Bayesian active
      learning with image data", ICML 2017);
    * ``uncertainty_variation_ratio``: the share of members that do not predict the class that most
      predict (Freeman, "Elementary applied statistics", 1965);

    as float32; and the class of the largest mean probability as ``predicted_label``, with that as
    ``predicted_probability``. A member that is null is left out; rows without any have null.

    ``members``, unless 0, is how many each row has to have. See
    :func:`dsm_dask.scores.uncertainty.vector_lists.read` for the layouts.

    >>> scorer = EnsembleUncertainty(Probabilities(("p",), ("cat", "dog")))
    >>> agree, differ = [[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]
    >>> found = scorer.apply(pa.record_batch({"p": [agree, differ]}), {})
    >>> found["uncertainty_entropy"].to_pylist()
    [1.0, 1.0]
    >>> found["uncertainty_mutual_information"].to_pylist()
    [0.0, 1.0]
    """

    probabilities: Probabilities
    members: int = 0

    def __post_init__(self) -> None:
        if self.probabilities.multilabel:
            raise UsageError(
                "Probabilities of several labels are no distribution.",
                valid="MultilabelEnsembleUncertainty scores them.",
            )
        if self.members < 0:
            raise UsageError(f"{self.members} members are none.", valid="1 or more.")

    @property
    def schema(self) -> pa.Schema:
        measures = [(f"uncertainty_{name}", pa.float32()) for name in MEASURES]
        return pa.schema([*measures, *predicted(self.probabilities.classes)])

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "method": "ensemble", "members": self.members,
            "probabilities": self.probabilities.parameters,
        }  # fmt: skip

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises what ``read`` does, and BadRows for rows with
        another number of members."""
        del quantities
        from dsm_dask.scores.uncertainty import kernels

        vectors = vector_lists.read(self.probabilities, batch)
        vector_lists.check_members(batch, np.diff(vectors.offsets), vectors.nulls, self.members)
        rows = batch.num_rows
        found = np.zeros((5, rows), np.float32)
        first = np.full(rows, -1, np.int32)
        measure: Any = kernels.members
        measure(vectors.values, vectors.missing, vectors.offsets, *found, first)
        numbers = [scores(one, vectors.nulls) for one in found]
        labels = from_codes(first, self.probabilities.classes)
        return pa.record_batch([*numbers[:4], labels, numbers[4]], schema=self.schema)
