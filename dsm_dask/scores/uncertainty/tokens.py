"""How unsure a model is of a row of which it labels the tokens, or spans."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from dsm_dask.errors import UsageError
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.scores.score_column import scores
from dsm_dask.scores.scorer import Quantities
from dsm_dask.scores.uncertainty import vector_lists
from dsm_dask.scores.uncertainty.classes import MEASURES
from dsm_dask.scores.uncertainty.from_probabilities import FromProbabilities

Aggregate = Literal["mean", "max", "min"]
AGGREGATES: tuple[Aggregate, ...] = ("mean", "max", "min")


@dataclasses.dataclass(frozen=True)
class TokenUncertainty(FromProbabilities):
    """Measures of rows with a distribution for each of their n tokens, as many as there are; all
    from 0 to 1, and larger where the model is less sure.

    ``uncertainty_least_confidence``, ``_margin``, ``_entropy`` and ``_ratio`` are what
    ``Uncertainty`` gives each token, aggregated: their ``mean``
    (the default; of entropies, "token entropy"), their ``max`` (the token it is least sure of, for
    texts in which little is at stake) or their ``min``. Of the sequence, tokens taken as
    independent:

    * ``uncertainty_sequence``: 1 - p1(1) ... p1(n), with p1(t) the largest probability of token t
      (least confidence of Culotta and McCallum, "Reducing labeling effort for structured prediction
      tasks", AAAI 2005): near 1 for any long text;
    * ``uncertainty_sequence_normalised``: 1 - (p1(1) ... p1(n))^(1/n), which length does not move
      (Shen et al., "Deep active learning for named entity recognition", 2017);
    * ``weakest_token``: the position, from 0, of the token with the least p1.

    (Settles and Craven, "An analysis of active learning strategies for sequence labeling tasks",
    EMNLP 2008.) float32, but for the position. Tokens that are null (padding) are left out; rows
    without tokens have null.

    >>> scorer = TokenUncertainty(Probabilities(("p",), ("O", "PER")), aggregate="max")
    >>> [found] = scorer.apply(pa.record_batch({"p": [[[1.0, 0.0], [0.5, 0.5]]]}), {}).to_pylist()
    >>> found["uncertainty_entropy"], found["uncertainty_sequence"], found["weakest_token"]
    (1.0, 0.5, 1)
    """

    probabilities: Probabilities
    aggregate: Aggregate = "mean"

    def __post_init__(self) -> None:
        if self.probabilities.multilabel:
            raise UsageError("Tokens with several labels are not scored.")
        if self.aggregate not in AGGREGATES:
            raise UsageError(f"{self.aggregate!r} is unknown.", valid=", ".join(AGGREGATES) + ".")

    @property
    def schema(self) -> pa.Schema:
        names = [*MEASURES, "sequence", "sequence_normalised"]
        measures = [(f"uncertainty_{name}", pa.float32()) for name in names]
        return pa.schema([*measures, ("weakest_token", pa.int32())])

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "method": "tokens", "aggregate": self.aggregate,
            "probabilities": self.probabilities.parameters,
        }  # fmt: skip

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises what :func:`dsm_dask.scores.uncertainty.vector_lists.read` does."""
        del quantities
        from dsm_dask.scores.uncertainty import kernels

        vectors = vector_lists.read(self.probabilities, batch)
        tokens = np.empty((5, len(vectors.values)), np.float32)
        measure: Any = kernels.measures
        measure(vectors.values, *tokens, np.empty(len(vectors.values), np.int32))
        found = np.zeros((6, batch.num_rows), np.float32)
        weakest = np.zeros(batch.num_rows, np.int32)
        aggregate: Any = kernels.sequences
        aggregate(
            tokens[:4], vectors.missing, vectors.offsets, tokens[4],
            AGGREGATES.index(self.aggregate), found[:4], found[4], found[5], weakest,
        )  # fmt: skip
        numbers = [scores(one, vectors.nulls) for one in found]
        return pa.record_batch([*numbers, scores(weakest, vectors.nulls)], schema=self.schema)
