"""Which distance judges a column, and from where on it counts as drift."""

from __future__ import annotations

from collections.abc import Mapping

from dsm_dask.distances.distance import Distance
from dsm_dask.errors import UsageError, nearest

FEW_ROWS = 1000
"""Up to so many values on either side, columns are judged by p-values: with more, every difference
is significant, and its size counts."""

SIGNIFICANCE = 0.05
"""Of p-values adjusted for the number of columns."""

MISSING = 0.05
"""Change in the share of missing values that counts as drift, if it is significant."""

THRESHOLDS: dict[str, float] = {
    "ks": SIGNIFICANCE,
    "wasserstein": 0.1,
    "psi": 0.1,
    "js": 0.1,
    "hellinger": 0.1,
    "chi2": SIGNIFICANCE,
    "linf": 0.1,
    "mean": 0.1,
    "mahalanobis": 0.5,
    "mmd": 0.1,
    "classifier": 0.55,
}
"""By method: the value from which on a column has drifted; for ``ks`` and ``chi2`` the adjusted
p-value up to which it has."""

BY_P_VALUE = frozenset({"ks", "chi2"})

LEAST = {"classifier": 0.5}
"""The value of a method where nothing has changed, where that is not 0."""


def check(method: str | None, threshold: float | None) -> None:
    """Raise UsageError for an unknown method, or a threshold that says nothing.

    >>> check("psi", 0.2)
    """
    if method is not None and method not in THRESHOLDS:
        raise UsageError(
            f"There is no method {method!r}.", valid=nearest(method, THRESHOLDS), where="--method"
        )
    if threshold is None:
        return
    if method is None:
        raise UsageError(
            "A threshold belongs to a method.", valid="Give --method, too.", where="--threshold"
        )
    least = LEAST.get(method, 0.0)
    if not threshold > least or (method in BY_P_VALUE and threshold >= 1):
        upper = " and below 1" if method in BY_P_VALUE else ""
        raise UsageError(
            f"{threshold} cannot be the threshold of {method}.",
            valid=f"It has to be above {least:g}{upper}.",
            where="--threshold",
        )


def note(wanted: str | None, chosen: str | None, identifying: bool = False) -> str | None:
    """What to say of a column that another method judges than the one asked for, or none.

    >>> note("ks", "js"), note("ks", "ks"), note(None, "js")
    ('no ks distance, judged by js', None, None)
    """
    if identifying and chosen is None:
        return "values name rows: judged by missing values, or by --method"
    if wanted is None or wanted == chosen:
        return None
    return f"no {wanted} distance, judged by {chosen or 'missing values'}"


def choose(distances: Mapping[str, Distance], *, fewest: int, preferred: str) -> str | None:
    """The method for a column with these distances and at least ``fewest`` values on either side;
    ``preferred`` is the one for many rows. None without any distance.

    >>> known = {"ks": Distance(0.2, 0.0, 0.01), "js": Distance(0.1)}
    >>> choose(known, fewest=50, preferred="wasserstein")
    'ks'
    >>> choose(known, fewest=50_000, preferred="wasserstein")
    'js'
    """
    tests = ("chi2", "ks") if preferred == "js" else ("ks", "chi2")
    wanted = (*tests, preferred, "js") if fewest <= FEW_ROWS else (preferred, "js")
    return next((name for name in wanted if name in distances), next(iter(distances), None))
