"""How unsure an ensemble is of a row that may have several labels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask.errors import UsageError
from dsm_dask.scores.labels import label_type
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.scores.score_column import scores
from dsm_dask.scores.scorer import Quantities
from dsm_dask.scores.uncertainty import vector_lists
from dsm_dask.scores.uncertainty.from_probabilities import FromProbabilities
from dsm_dask.scores.uncertainty.multilabel import predicted_labels

MEASURES = (
    "entropy", "entropy_max", "expected_entropy", "mutual_information", "mutual_information_max",
    "variation_ratio",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class MultilabelEnsembleUncertainty(FromProbabilities):
    """Measures of rows in which M members give each of K classes a probability of its own, p_mk;
    H(p) = -p log2 p - (1 - p) log2 (1 - p) and q_k is the mean of p_mk over members. All from 0 to
    1, and larger where the members are less sure:

    * ``uncertainty_entropy``: the mean over classes of H(q_k); ``_entropy_max``: the largest;
    * ``uncertainty_expected_entropy``: the mean over classes and members of H(p_mk);
    * ``uncertainty_mutual_information``: the difference of the two, H(q_k) less the mean of
      H(p_mk), as a mean over classes; ``_mutual_information_max``: that of the class about which
      members disagree most (BALD, see ``EnsembleUncertainty``, of K labels taken as independent:
      the information of the row is the sum over them);
    * ``uncertainty_variation_ratio``: the share of members that are in the minority about a class,
      having it or not, as a mean over classes; at most 0.5;

    as float32; and the classes with a mean of at least 0.5 as ``predicted_labels``, a list. A
    member that is null is left out; rows without any have null.

    ``members``, unless 0, is how many each row has to have. See
    :func:`dsm_dask.scores.uncertainty.vector_lists.read` for the layouts.

    >>> source = Probabilities(("p",), ("wet", "cold"), multilabel=True)
    >>> batch = pa.record_batch({"p": [[[0.0, 1.0], [1.0, 1.0]]]})
    >>> [row] = MultilabelEnsembleUncertainty(source).apply(batch, {}).to_pylist()
    >>> row["uncertainty_mutual_information"], row["uncertainty_mutual_information_max"]
    (0.5, 1.0)
    >>> row["predicted_labels"]
    ['wet', 'cold']
    """

    probabilities: Probabilities
    members: int = 0

    def __post_init__(self) -> None:
        if not self.probabilities.multilabel:
            raise UsageError(
                "These probabilities sum to one, so classes exclude each other.",
                valid="Probabilities(..., multilabel=True); or EnsembleUncertainty.",
            )
        if self.members < 0:
            raise UsageError(f"{self.members} members are none.", valid="1 or more.")

    @property
    def schema(self) -> pa.Schema:
        measures = [(f"uncertainty_{name}", pa.float32()) for name in MEASURES]
        labels = pa.list_(label_type(self.probabilities.classes))
        return pa.schema([*measures, ("predicted_labels", labels)])

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "method": "multilabel ensemble", "members": self.members,
            "probabilities": self.probabilities.parameters,
        }  # fmt: skip

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises what ``read`` does, and BadRows for rows with another number of members."""
        del quantities
        from dsm_dask.scores.uncertainty import kernels

        vectors = vector_lists.read(self.probabilities, batch)
        vector_lists.check_members(batch, np.diff(vectors.offsets), vectors.nulls, self.members)
        classes = self.probabilities.classes
        mean = np.zeros((batch.num_rows, len(classes)))
        found = np.zeros((len(MEASURES), batch.num_rows), np.float32)
        measure: Any = kernels.independent_members
        measure(vectors.values, vectors.missing, vectors.offsets, mean, *found)
        labels = predicted_labels(mean, vectors.nulls, classes)
        numbers = [scores(one, vectors.nulls) for one in found]
        return pa.record_batch([*numbers, labels], schema=self.schema)
