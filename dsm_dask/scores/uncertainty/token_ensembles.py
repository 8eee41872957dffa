"""How unsure an ensemble is of a row of which its members label the tokens, or spans."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask.errors import UsageError
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.scores.score_column import scores
from dsm_dask.scores.scorer import Quantities
from dsm_dask.scores.uncertainty import member_sequences
from dsm_dask.scores.uncertainty.ensembles import MEASURES
from dsm_dask.scores.uncertainty.from_probabilities import FromProbabilities
from dsm_dask.scores.uncertainty.tokens import AGGREGATES, Aggregate


@dataclasses.dataclass(frozen=True)
class TokenEnsembleUncertainty(FromProbabilities):
    """Measures of rows with n tokens, as many as there are, for each of which M members give a
    distribution; all from 0 to 1, and larger where the members are less sure.

    ``uncertainty_entropy``, ``_expected_entropy``, ``_mutual_information`` and ``_variation_ratio``
    are what ``EnsembleUncertainty`` gives each token, aggregated as ``TokenUncertainty`` does it:
    their ``mean``, ``max`` or ``min``. ``uncertainty_sequence``, ``_sequence_normalised`` and
    ``weakest_token`` are those of ``TokenUncertainty`` for the members' mean distributions.
    float32, but for the position.

    Members that are null are left out, and so are tokens that are null (padding), of each member;
    rows without tokens have null. ``members``, unless 0, is how many each row has to have. See
    :func:`dsm_dask.scores.uncertainty.member_sequences.read` for the layouts.

    >>> source = Probabilities(("a", "b"), ("O", "PER"))
    >>> tokens = [[[1.0, 0.0], [1.0, 0.0]]], [[[1.0, 0.0], [0.0, 1.0]]]
    >>> batch = pa.record_batch(dict(zip("ab", tokens, strict=True)))
    >>> [row] = TokenEnsembleUncertainty(source).apply(batch, {}).to_pylist()
    >>> row["uncertainty_mutual_information"], row["weakest_token"]
    (0.5, 1)
    """

    probabilities: Probabilities
    members: int = 0
    aggregate: Aggregate = "mean"

    def __post_init__(self) -> None:
        if self.probabilities.multilabel:
            raise UsageError("Tokens with several labels are not scored.")
        if self.aggregate not in AGGREGATES:
            raise UsageError(f"{self.aggregate!r} is unknown.", valid=", ".join(AGGREGATES) + ".")
        if self.members < 0:
            raise UsageError(f"{self.members} members are none.", valid="1 or more.")

    @property
    def schema(self) -> pa.Schema:
        names = [*MEASURES, "sequence", "sequence_normalised"]
        measures = [(f"uncertainty_{name}", pa.float32()) for name in names]
        return pa.schema([*measures, ("weakest_token", pa.int32())])

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "method": "token ensemble", "members": self.members, "aggregate": self.aggregate,
            "probabilities": self.probabilities.parameters,
        }  # fmt: skip

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises what :func:`dsm_dask.scores.uncertainty.member_sequences.read` does."""
        del quantities
        from dsm_dask.scores.uncertainty import kernels

        told = member_sequences.read(self.probabilities, batch, self.members)
        tokens = np.zeros((5, len(told.vectors) - 1), np.float32)
        first = np.zeros(len(told.vectors) - 1, np.int32)
        measure: Any = kernels.members
        measure(told.values, told.missing, told.vectors, *tokens, first)
        found = np.zeros((6, batch.num_rows), np.float32)
        weakest = np.zeros(batch.num_rows, np.int32)
        aggregate: Any = kernels.sequences
        aggregate(
            tokens[:4], told.padding, told.tokens, tokens[4], AGGREGATES.index(self.aggregate),
            found[:4], found[4], found[5], weakest,
        )  # fmt: skip
        numbers = [scores(one, told.nulls) for one in found]
        return pa.record_batch([*numbers, scores(weakest, told.nulls)], schema=self.schema)
