"""Change in the share of missing values."""

from __future__ import annotations

from dsm_dask.distances.chi_squared import two_proportions
from dsm_dask.distances.distance import Distance
from dsm_dask.stats.count import Counts


def missing_share(reference: Counts, current: Counts) -> Distance | None:
    """|p - q|, where p and q are the shares of rows that are null or NaN.

    Between 0 and 1; symmetric; exact. The p-value is that of the test of two proportions. A change
    by 0.05 is customarily worth a look. None when either side has no rows.

    >>> round(missing_share(Counts(100, nulls=10), Counts(100, nan=20)).value, 6)
    0.1
    """
    if not reference.count or not current.count:
        return None
    counts = tuple(side.count - side.values for side in (reference, current))
    value = abs(counts[0] / reference.count - counts[1] / current.count)
    p_value = two_proportions((counts[0], counts[1]), (reference.count, current.count))
    return Distance(value, 0.0, p_value)
