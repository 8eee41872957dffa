"""What scorers of uncertainty have in common that look at probabilities of classes."""

from __future__ import annotations

from dsm_dask.scores.probabilities.probabilities import ClassProbabilities
from dsm_dask.scores.scorer import RowScorer


class FromProbabilities(RowScorer):
    """A part of scorers with ``probabilities``, which are all that they read. All have one name:
    a dataset has one uncertainty, and another kind of it is asked for by ``replace``."""

    probabilities: ClassProbabilities

    @property
    def name(self) -> str:
        return "uncertainty"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.probabilities.columns
