"""Rows with a label and probabilities: what confident learning looks at.

Labels of one class a row are one problem of all classes. Rows with several labels are a problem of
two classes for each class: does the row have it? (One against the rest, as in Northcutt's package.)
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.scores.confident_learning.multilabel import memberships
from dsm_dask.scores.labels import Codes, codes_of
from dsm_dask.scores.probabilities.probabilities import Class, ClassProbabilities
from dsm_dask.scores.row_names import named

Matrix = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Problem:
    """``labels``: int32, the class of each row, -1 where there is no label or no probabilities;
    ``probabilities``: float32 or float64 of shape (rows, classes)."""

    labels: Codes
    probabilities: Matrix


@codec.state("scores.labelled", 1)
@dataclasses.dataclass(frozen=True)
class Labelled:
    """A column of labels, and where the probabilities of the classes come from.

    >>> from dsm_dask.scores.probabilities.probabilities import Probabilities
    >>> batch = pa.record_batch({"y": ["b", None], "p": [[0.1, 0.9], [0.5, 0.5]]})
    >>> [problem] = Labelled("y", Probabilities(("p",), ("a", "b"))).problems(batch)
    >>> problem.labels.tolist()
    [1, -1]
    """

    label: str
    probabilities: ClassProbabilities

    @property
    def multilabel(self) -> bool:
        return bool(getattr(self.probabilities, "multilabel", False))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.label, *self.probabilities.columns)))

    @property
    def classes(self) -> tuple[Class, ...]:
        return self.probabilities.classes

    @property
    def shape(self) -> tuple[int, int]:
        """How many problems, and of how many classes each."""
        count = len(self.classes)
        return (count, 2) if self.multilabel else (1, count)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"label": self.label, "probabilities": self.probabilities.parameters}

    def problems(self, batch: pa.RecordBatch) -> Iterator[Problem]:
        """The rows as each problem has them. Raises what reading labels and probabilities does."""
        values, nulls = self.probabilities.read(batch)
        if not self.multilabel:
            labels = codes_of(batch, self.label, self.classes)
            if nulls.any():
                labels[nulls] = -1
            yield Problem(labels, values)
            return
        naming = functools.partial(named, batch)
        column = batch.column(self.label)
        held, unknown = memberships(column, self.classes, self.label, naming)
        unknown |= nulls
        for place in range(len(self.classes)):
            labels = held[:, place].astype(np.int32)
            labels[unknown] = -1
            own = values[:, place]
            both = np.ascontiguousarray(np.stack([1 - own, own], axis=1))
            both.flags.writeable = False  # as what is read: loops are compiled for one kind
            yield Problem(labels, both)
