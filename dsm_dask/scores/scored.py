"""What scoring gives: the columns, and how their scores are spread."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from dsm_dask.dataset.version import Dataset
from dsm_dask.engine import Engine
from dsm_dask.fold import Fold, Product
from dsm_dask.scores.column_metadata import ColumnMetadata
from dsm_dask.scores.scorer import Quantities
from dsm_dask.stats.count import Count
from dsm_dask.stats.extremes import Extremes
from dsm_dask.stats.moments import Moments
from dsm_dask.stats.quantiles import Quantiles
from dsm_dask.stats.top_values import TopValues
from dsm_dask.stats.values import to_json


@dataclasses.dataclass(frozen=True)
class ScoredColumn:
    """One column of scores. ``mean`` and ``quantiles`` of numbers; ``top``: the most frequent
    values of labels and flags, with their rows. All of them None when nothing was committed."""

    name: str
    type: str
    metadata: ColumnMetadata
    nulls: int | None = None
    mean: float | None = None
    min: Any = None
    max: Any = None
    quantiles: dict[str, Any] | None = None
    top: tuple[tuple[Any, int], ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "type": self.type, **self.metadata.to_dict(), "nulls": self.nulls, "mean": self.mean,
            "min": self.min, "max": self.max,
        }  # fmt: skip
        if self.quantiles is not None:
            found["quantiles"] = self.quantiles
        if self.top is not None:
            found["top"] = [{"value": value, "count": count} for value, count in self.top]
        return found


@dataclasses.dataclass(frozen=True)
class Scored:
    """What :func:`dsm_dask.scores.score.score` did, or, in a dry run, would do."""

    dataset: str
    version: int
    rows: int
    columns: tuple[ScoredColumn, ...]
    computed: dict[str, int]
    """Rows of which the scores of each scorer were computed now; the others' were right."""
    stale: tuple[str, ...] = ()
    """Columns of which no score was right any more: what the whole table gives has changed."""
    committed: bool = False
    dry_run: bool = False
    summaries: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What scorers have to tell about the whole table, as in JSON, by their names."""
    quantities: Mapping[str, Quantities] = dataclasses.field(default_factory=dict, repr=False)
    """What they took from the whole table; empty when an earlier run had committed."""
    branch: str | None = None

    def to_dict(self) -> dict[str, Any]:
        names = [field.name for field in dataclasses.fields(self) if field.name != "quantities"]
        return {
            **{name: getattr(self, name) for name in names},
            "columns": {column.name: column.to_dict() for column in self.columns},
            "stale": list(self.stale),
        }


def spread(
    dataset: Dataset, columns: Sequence[ScoredColumn], engine: Engine
) -> tuple[ScoredColumn, ...]:
    """The columns with what their scores are like, over all live rows. Ones that are not there, as
    all partitions were left out, stay as they are."""
    there = [column for column in columns if column.name in dataset.schema.names]
    folds = {column.name: _folds(dataset.schema.field(column.name)) for column in there}
    product = Product(tuple(fold for some in folds.values() for fold in some))
    results = iter(engine.fold(dataset, product, label="Reading scores").result)
    return tuple(
        _told(column, {type(fold): next(results) for fold in folds.get(column.name, ())})
        for column in columns
    )


def _folds(field: pa.Field) -> tuple[Fold[Any, Any], ...]:
    numbers = Moments.accepts(field.type) and not pa.types.is_boolean(field.type)
    kinds = (Count, Extremes, Moments, Quantiles) if numbers else (Count, Extremes, TopValues)
    return tuple(kind(field.name) for kind in kinds if kind.accepts(field.type))


def _told(column: ScoredColumn, found: dict[type[Any], Any]) -> ScoredColumn:
    told: dict[str, Any] = {}
    if Count in found:
        told["nulls"] = found[Count].nulls
    if Extremes in found:
        told |= {"min": to_json(found[Extremes].min), "max": to_json(found[Extremes].max)}
    if Moments in found:
        told["mean"] = to_json(found[Moments].mean)
    if Quantiles in found:
        pairs = zip(found[Quantiles].probabilities, found[Quantiles].values, strict=True)
        told["quantiles"] = {str(p): to_json(value) for p, value in pairs}
    if TopValues in found:
        told["top"] = tuple((to_json(top.value), top.count) for top in found[TopValues].top[:10])
    return dataclasses.replace(column, **told)
