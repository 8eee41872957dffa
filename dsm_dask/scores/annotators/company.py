"""Annotators in the company of others: how much each answered, and how often others said the
same."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask.scores.annotators.answers import ReadsAnswers

Int64 = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Company:
    """For each annotator: answers, answers of others to the same items, those among them that are
    the same, and items that others answered, too. An int64 array of shape (annotators, 4)."""

    source: ReadsAnswers

    @property
    def columns(self) -> tuple[str, ...]:
        return self.source.columns

    def init(self) -> Int64:
        return np.zeros((self.source.annotators, 4), np.int64)

    def update(self, state: Int64, batch: pa.RecordBatch) -> Int64:
        from dsm_dask.scores.annotators import kernels as annotator_kernels

        own, found = np.array(state), self.source.read(batch)
        annotator_kernels.add_company(
            found.starts, found.annotators, found.labels, self.source.labels, own
        )
        return own

    def merge(self, left: Int64, right: Int64) -> Int64:
        return left + right

    def finish(self, state: Int64) -> Int64:
        return state
