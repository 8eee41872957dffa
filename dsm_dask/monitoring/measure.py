"""All distances of one column."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.distances.binned import Binned
from dsm_dask.distances.bins import bin_edges, is_discrete, shares
from dsm_dask.distances.categories import Categories, categories
from dsm_dask.distances.chebyshev import chebyshev
from dsm_dask.distances.chi_squared import chi_squared
from dsm_dask.distances.distance import Distance
from dsm_dask.distances.distribution import Distribution, distribution, in_one_unit
from dsm_dask.distances.domain_classifier import domain_classifier
from dsm_dask.distances.hellinger import hellinger
from dsm_dask.distances.jensen_shannon import jensen_shannon
from dsm_dask.distances.kolmogorov_smirnov import kolmogorov_smirnov
from dsm_dask.distances.mahalanobis import mahalanobis
from dsm_dask.distances.mean_discrepancy import mean_discrepancy
from dsm_dask.distances.mean_shift import mean_shift
from dsm_dask.distances.missing_share import missing_share
from dsm_dask.distances.overlap import Overlap, overlap
from dsm_dask.distances.population_stability import population_stability
from dsm_dask.distances.wasserstein import wasserstein
from dsm_dask.monitoring import charts
from dsm_dask.stats import values
from dsm_dask.stats.vectors import is_vector

LISTED = 20
"""New and vanished categories that are named."""
RARE = 0.1
"""Share of values in rare categories that is worth a note."""
FEW_A_VALUE = 5
"""Where a value occurs less often than this on the average, two samples of the same source differ
in their shares by chance: for 2 rows a value JS is 0.47."""
HEAVY = 3.0
"""How many times larger than that of a normal distribution with the same quartiles a standard
deviation may be before it is no unit to measure with."""
_IQR = 1.349
"""Interquartile range of a normal distribution, in standard deviations."""

States = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Measured:
    """The distances of one column, by the name of their method; and what else both sides show.

    ``kind`` is numeric, categorical, embedding or other. ``fewest``: values on the smaller side.
    ``preferred``: the method that suits many rows. ``overlap``: how many categories are new.
    ``identifying``: values name rows rather than kinds of rows, so that other rows have others."""

    kind: str
    distances: dict[str, Distance] = dataclasses.field(default_factory=dict)
    missing: Distance | None = None
    nulls: tuple[float | None, float | None] = (None, None)
    fewest: int = 0
    preferred: str = "js"
    chart: dict[str, Any] | None = None
    bins: dict[str, Any] | None = None
    new: tuple[Any, ...] = ()
    vanished: tuple[Any, ...] = ()
    overlap: Overlap | None = None
    identifying: bool = False
    note: str | None = None


def family(dtype: pa.DataType) -> str:
    """Columns of one family can be compared.

    >>> family(pa.int8()) == family(pa.float64()), family(pa.list_(pa.float32(), 2))
    (True, 'embedding of 2')
    """
    if is_vector(dtype):
        return f"embedding of {arrays.plain_type(dtype).list_size}"
    kind = values.kind_of(dtype)
    if kind in {"integer", "float", "decimal"}:
        return "number"
    if kind == "temporal":
        plain, types = arrays.plain_type(dtype), pa.types
        if types.is_duration(plain):
            return "duration"
        return "time of day" if types.is_time(plain) else "time"
    return kind if kind in {"boolean", "string", "binary", "null"} else str(dtype)


def measure(
    reference: States, current: States, types: tuple[pa.DataType, pa.DataType]
) -> Measured | None:
    """Compare a column by the states of both sides; None for types that cannot be compared."""
    families = [family(dtype) for dtype in types]
    counts = reference["counts"], current["counts"]
    if families[0] != families[1] and "null" not in families:
        return None
    nulls = [(c.count - c.values) / c.count if c.count else None for c in counts]
    fewest = min(c.values for c in counts)
    kind = next((k for name, k in _KINDS if families[0].startswith(name)), "other")
    made = Measured(kind)
    if fewest and "null" not in families:
        find = {"numeric": _numeric, "categorical": _categorical, "embedding": _embedding}
        made = find[kind](reference, current, types) if kind in find else made
    elif any(c.values for c in counts):
        what = "values" if all(c.count for c in counts) else "rows"
        made = dataclasses.replace(made, note=f"no {what} on one side")
    if types[0] != types[1] and made.note is None:
        made = dataclasses.replace(made, note=f"{types[0]} compared with {types[1]}")
    return dataclasses.replace(
        made, missing=missing_share(*counts), nulls=(nulls[0], nulls[1]), fewest=fewest
    )


_KINDS = (
    *((name, "numeric") for name in ("number", "time", "duration")),
    *((name, "categorical") for name in ("boolean", "string", "binary")),
    ("embedding", "embedding"),
)


def _numeric(
    reference: States, current: States, types: tuple[pa.DataType, pa.DataType]
) -> Measured:
    sides = distribution(reference), distribution(current)
    if sides[0] is None or sides[1] is None:
        return Measured("numeric")
    one, two = in_one_unit(sides[0], sides[1], types)
    edges, discrete = bin_edges(one, two), is_discrete(one, two)
    binned = shares(one, edges), shares(two, edges)
    found = {"ks": kolmogorov_smirnov(one, two), "wasserstein": wasserstein(one, two)}
    found.update(_of_bins(*binned, categorical=discrete))
    draw = charts.discrete_chart if discrete else charts.numeric_chart
    return Measured(
        kind="numeric",
        distances={name: distance for name, distance in found.items() if distance is not None},
        preferred="js" if discrete or _is_heavy(one) else "wasserstein",
        chart=draw(one, two, types[0]),
        bins={
            "edges": charts.shown(edges, types[0]),
            "reference": charts.rounded(binned[0].shares),
            "current": charts.rounded(binned[1].shares),
        },
    )


def _is_heavy(reference: Distribution) -> bool:
    """Whether few values make most of the standard deviation, or there is none."""
    if reference.std is None:
        return True
    low, high = (float(x) for x in reference.quantile(np.array([0.25, 0.75])))
    return reference.std > HEAVY * (high - low) / _IQR


def _of_bins(one: Binned, two: Binned, *, categorical: bool) -> dict[str, Distance | None]:
    found: dict[str, Distance | None] = {
        "psi": population_stability(one, two),
        "js": jensen_shannon(one, two),
        "hellinger": hellinger(one, two),
    }
    if categorical:
        found["chi2"], found["linf"] = chi_squared(one, two), chebyshev(one, two)
    return found


def _categorical(
    reference: States, current: States, types: tuple[pa.DataType, pa.DataType]
) -> Measured:
    counts = reference["counts"].values, current["counts"].values
    common = _overlap(reference, current, counts, types)
    found = categories(reference["top"], current["top"], counts, common)
    distances = _of_bins(found.reference, found.current, categorical=True)
    identifying = _identifying(found, common, counts)
    return Measured(
        kind="categorical",
        distances={name: distance for name, distance in distances.items() if distance is not None},
        chart=charts.categorical_chart(found),
        new=tuple(charts.category_values(found, found.new[:LISTED])),
        vanished=tuple(charts.category_values(found, found.vanished[:LISTED])),
        overlap=common,
        identifying=identifying,
        note=_rare(found, common),
    )


def _identifying(found: Categories, common: Overlap | None, counts: tuple[int, int]) -> bool:
    """Are there too few rows a value on either side to see shares that recur?"""
    if common is None or not (found.reference.rare and found.current.rare):
        return False
    distinct = common.reference, common.current
    return all(count < FEW_A_VALUE * d for count, d in zip(counts, distinct, strict=True))


def _overlap(
    reference: States,
    current: States,
    counts: tuple[int, int],
    types: tuple[pa.DataType, pa.DataType],
) -> Overlap | None:
    fixed = {pa.types.is_fixed_size_binary(arrays.plain_type(dtype)) for dtype in types}
    if "distinct" not in reference or "distinct" not in current or len(fixed) > 1:
        return None  # binaries of a fixed size have other hashes
    return overlap(reference["distinct"], current["distinct"], counts)


def _rare(found: Categories, common: Overlap | None) -> str | None:
    """Says it when much lies in categories that the summaries cannot tell apart."""
    one, two = found.reference, found.current
    share = max(one.shares[-1], two.shares[-1])
    if not (one.rare or two.rare) or share < RARE:
        return None
    if common is None or not (one.rare and two.rare):
        return f"{share:.0%} in categories too rare to tell apart"
    return (
        f"{share:.0%} in rare categories, about {two.about:.0%} of the current values in new ones"
    )


def _embedding(
    reference: States, current: States, types: tuple[pa.DataType, pa.DataType]
) -> Measured:
    compare: dict[str, tuple[str, Callable[[Any, Any], Distance | None]]] = {
        "classifier": ("vectors", domain_classifier),
        "mmd": ("features", mean_discrepancy),
        "mahalanobis": ("covariance", mahalanobis),
        "mean": ("covariance", mean_shift),
    }
    found = {
        name: function(reference[state], current[state])
        for name, (state, function) in compare.items()
        if state in reference and state in current
    }
    return Measured(
        kind="embedding",
        distances={name: distance for name, distance in found.items() if distance is not None},
        preferred="classifier" if found.get("classifier") else "mmd",
        note=None if found else "these sketches hold no states of embeddings",
    )
