"""How unsure a model is of a number that it predicts."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.errors import BadRows, SchemaError, UsageError
from dsm_dask.scores.probabilities import class_values
from dsm_dask.scores.probabilities.class_values import Bools, Matrix
from dsm_dask.scores.row_names import named
from dsm_dask.scores.score_column import scores
from dsm_dask.scores.scorer import Quantities, RowScorer

Method = Literal["variance", "interval", "members"]
METHODS: tuple[Method, ...] = ("variance", "interval", "members")


@dataclasses.dataclass(frozen=True)
class RegressionUncertainty(RowScorer):
    """Measures in the units of the prediction (squared, of a variance), as float64: 0 or more, and
    larger where the model is less sure.

    * ``variance``: a column of variances, as Gaussian processes and networks with a variance output
      give them: ``uncertainty_variance`` is that;
    * ``interval``: the columns of a lower and an upper bound, as quantile regression and conformal
      prediction give them: ``uncertainty_interval`` is upper - lower;
    * ``members``: the predictions of several models, as a list or a column each:
      ``uncertainty_variance`` is their variance (divisor M) and ``uncertainty_interval`` the
      largest minus the smallest (Lakshminarayanan et al., "Simple and scalable predictive
      uncertainty estimation using deep ensembles", NeurIPS 2017; query by committee for
      regression: Burbidge et al., 2007).

    Rows with a null have null scores. For rows of very different scale, divide by it first.

    >>> scorer = RegressionUncertainty(("low", "high"), "interval")
    >>> batch = pa.record_batch({"low": [1.0, None], "high": [4.0, 2.0]})
    >>> scorer.apply(batch, {})["uncertainty_interval"].to_pylist()
    [3.0, None]
    """

    columns: tuple[str, ...]
    method: Method

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"{self.method!r} is unknown.", valid=", ".join(METHODS) + ".")
        needed = {"variance": 1, "interval": 2}.get(self.method, len(self.columns) or 1)
        if len(self.columns) != needed:
            raise UsageError(
                f"{self.method} takes {needed} column{'s' if needed > 1 else ''}, not "
                f"{len(self.columns)}.",
                valid="A variance; a lower and an upper bound; or the predictions of members.",
            )

    @property
    def name(self) -> str:
        return "uncertainty"

    @property
    def schema(self) -> pa.Schema:
        measures = ("variance", "interval") if self.method == "members" else (self.method,)
        return pa.schema([(f"uncertainty_{name}", pa.float64()) for name in measures])

    @property
    def parameters(self) -> dict[str, Any]:
        return {"method": f"regression {self.method}", "columns": list(self.columns)}

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """Raises SchemaError when the columns hold no numbers; BadRows for NaN and infinities, a
        variance below zero, an upper bound below the lower."""
        del quantities
        values, nulls = self._values(batch)
        self._check(batch, ~np.isfinite(values).all(axis=1) & ~nulls, "are NaN or infinite")
        if self.method == "variance":
            self._check(batch, (values[:, 0] < 0) & ~nulls, "are variances below zero")
            found = [values[:, 0]]
        elif self.method == "interval":
            found = [values[:, 1] - values[:, 0]]
            self._check(batch, (found[0] < 0) & ~nulls, "have the upper bound below the lower")
        else:
            found = [values.var(axis=1), np.ptp(values, axis=1)]
        return pa.record_batch([scores(one, nulls) for one in found], schema=self.schema)

    def _values(self, batch: pa.RecordBatch) -> tuple[Matrix, Bools]:
        """float64 of shape (rows, columns or members), 0 in null rows; and which these are."""
        lists = [n for n in self.columns if class_values.is_list(_plain_type(batch, n))]
        if lists and (self.method != "members" or len(self.columns) > 1):
            raise SchemaError(
                f"The column {lists[0]!r} holds lists, where {self.method} takes numbers.",
                valid="--spread members takes one column of lists, or a column for each member.",
            )
        if lists:
            naming = functools.partial(named, batch)
            column = arrays.plain(batch.column(lists[0]))
            values, nulls = class_values.of_lists(column, lists[0], naming)
        else:
            parts = [class_values.numbers(batch.column(name), name) for name in self.columns]
            values = np.stack([part for part, _ in parts], axis=1)
            nulls = np.zeros(batch.num_rows, np.bool_)
            for _, known in parts:
                if known is not None:
                    nulls |= ~known
        values = values.astype(np.float64)
        values[nulls] = 0.0
        return values, nulls

    def _check(self, batch: pa.RecordBatch, wrong: npt.NDArray[np.bool_], what: str) -> None:
        if wrong.any():
            raise BadRows(
                f"Values of {', '.join(map(repr, self.columns))} {what}: "
                f"{named(batch, np.flatnonzero(wrong))}.",
                valid="Numbers, or null for a row without a prediction.",
            )


def _plain_type(batch: pa.RecordBatch, name: str) -> pa.DataType:
    return arrays.plain_type(batch.schema.field(name).type)
