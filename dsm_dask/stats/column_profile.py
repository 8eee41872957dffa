"""The statistics of one column."""

from __future__ import annotations

import dataclasses
from typing import Any

from dsm_dask.stats import values
from dsm_dask.stats.count import Counts
from dsm_dask.stats.distinct import DistinctCount
from dsm_dask.stats.extremes import MinMax
from dsm_dask.stats.gaps import GapStats
from dsm_dask.stats.histogram import Bins
from dsm_dask.stats.lengths import LengthStats
from dsm_dask.stats.moments import MeanStd
from dsm_dask.stats.quantiles import QuantileValues
from dsm_dask.stats.text_classes import TextCounts
from dsm_dask.stats.top_values import TopCounts
from dsm_dask.stats.vector_stats import VectorStats


@dataclasses.dataclass(frozen=True)
class ColumnProfile:
    """The statistics of a column, or of what lies at a ``path`` inside one (see
    :class:`dsm_dask.stats.nested.At`); None for those that its type does not have.

    ``nested`` are the names under which a profile has the paths inside the column, and
    ``nested_left_out`` says how many more it has that were not followed."""

    name: str
    type: str
    counts: Counts
    extremes: MinMax | None = None
    moments: MeanStd | None = None
    distinct: DistinctCount | None = None
    quantiles: QuantileValues | None = None
    top: TopCounts | None = None
    histogram: Bins | None = None
    lengths: LengthStats | None = None
    text: TextCounts | None = None
    gaps: GapStats | None = None
    vectors: VectorStats | None = None
    path: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    nested_left_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe: see :func:`dsm_dask.stats.values.to_json` for dates, bytes and infinities."""
        extremes, distinct = self.extremes or MinMax(), self.distinct
        shown: dict[str, Any] = {
            "type": self.type,
            **self._counts(),
            "min": values.to_json(extremes.min),
            "max": values.to_json(extremes.max),
            "min_truncated": extremes.min_truncated,
            "max_truncated": extremes.max_truncated,
            **_fields(self.moments or MeanStd()),
            # an estimate may be above what there can be
            "distinct": min(distinct.count, self.counts.values) if distinct else None,
            "distinct_exact": distinct.exact if distinct else None,
            "distinct_error": distinct.error if distinct else None,
            **_quantiles(self.quantiles),
            **_top(self.top),
            "histogram": _histogram(self.histogram),
        }
        for key in ("lengths", "text", "vectors"):
            found = getattr(self, key)
            if found is not None:
                shown[key] = _fields(found)
        if self.gaps is not None:
            longest = [_fields(gap) for gap in self.gaps.longest]
            shown["gaps"] = {**_fields(self.gaps), "longest": longest}
        if self.type == "bool" and self.top is not None:
            counts = {top.value: top.count for top in self.top.top}
            shown["booleans"] = {"true": counts.get(True, 0), "false": counts.get(False, 0)}
        if self.path:
            shown["path"] = list(self.path)
        if self.nested or self.nested_left_out:
            shown["nested"] = {"columns": list(self.nested), "left_out": self.nested_left_out}
        return shown

    def _counts(self) -> dict[str, Any]:
        found = self.counts
        numeric = self.moments is not None
        return {
            "count": found.count,
            "nulls": found.nulls,
            "nan": found.nan,
            **{
                key: getattr(found, key) if numeric else None
                for key in ("infinities", "zeros", "negatives")
            },
        }


def _fields(found: Any) -> dict[str, Any]:
    fields = dataclasses.fields(found)
    return {field.name: values.to_json(getattr(found, field.name)) for field in fields}


def _quantiles(found: QuantileValues | None) -> dict[str, Any]:
    if found is None:
        return {"quantiles": {}, "quantiles_error": None}
    pairs = zip(found.probabilities, found.values, strict=True)
    shown = {str(p): values.to_json(value) for p, value in pairs}
    return {"quantiles": shown, "quantiles_error": found.rank_error}


def _top(found: TopCounts | None) -> dict[str, Any]:
    if found is None:
        return {"top": [], "top_exact": None}
    items = [
        {"value": values.to_json(t.value), "count": t.count, "error": t.error} for t in found.top
    ]
    return {"top": items, "top_exact": found.exact}


def _histogram(found: Bins | None) -> dict[str, Any]:
    found = found or Bins()
    return {
        "edges": values.to_json(found.edges),
        "counts": list(found.counts),
        "below": found.below,
        "above": found.above,
    }
