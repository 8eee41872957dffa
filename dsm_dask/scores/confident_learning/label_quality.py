"""The quality of each label, as a column: what its row alone tells."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask.scores.confident_learning.labelled import Labelled
from dsm_dask.scores.confident_learning.row_quality import Method, Quality
from dsm_dask.scores.probabilities.probabilities import ClassProbabilities
from dsm_dask.scores.score_column import scores
from dsm_dask.scores.scorer import Quantities, RowScorer


@dataclasses.dataclass(frozen=True)
class LabelQuality(RowScorer):
    """``label_quality``: how likely the label is right, float32 from 0 (suspicious) to 1, by a
    ``method`` of ``Quality``; null for rows without a label or
    without probabilities. The probabilities should be of a model that has not seen the row's label
    (see :mod:`dsm_dask.scores.out_of_fold.out_of_fold`).

    >>> from dsm_dask.scores.probabilities.probabilities import Probabilities
    >>> scorer = LabelQuality("y", Probabilities(("p",), ("cat", "dog")))
    >>> batch = pa.record_batch({"y": ["dog", None], "p": [[0.75, 0.25], [0.5, 0.5]]})
    >>> scorer.apply(batch, {}).column("label_quality").to_pylist()
    [0.25, None]
    """

    label: str
    probabilities: ClassProbabilities
    method: Method = "self_confidence"

    def __post_init__(self) -> None:
        _ = self.quality  # an unknown method is an error now

    @property
    def name(self) -> str:
        return "label_quality"

    @property
    def quality(self) -> Quality:
        return Quality(Labelled(self.label, self.probabilities), self.method)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.quality.labelled.columns

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([("label_quality", pa.float32())])

    @property
    def parameters(self) -> dict[str, Any]:
        return {"method": self.method, **self.quality.labelled.parameters}

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises what reading labels and probabilities does."""
        del quantities
        values, nulls = self.quality.read(batch)
        return pa.record_batch(
            [scores(values.astype(np.float32, copy=False), nulls)], schema=self.schema
        )
