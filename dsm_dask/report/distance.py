"""How distances between two sides are told and coloured."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping
from typing import Any

from dsm_dask.report import text

METHODS = {
    "ks": "Kolmogorov-Smirnov",
    "wasserstein": "Wasserstein",
    "psi": "PSI",
    "js": "Jensen-Shannon",
    "hellinger": "Hellinger",
    "chi2": "χ²",
    "linf": "largest change of a share",
    "mean": "distance of means",
    "mahalanobis": "Mahalanobis",
    "mmd": "MMD",
    "classifier": "AUC of a classifier",
    "missing": "missing values",
}
_NAMED = 5
"""Columns of a note that are named."""
BY_P_VALUE = frozenset({"ks", "chi2"})
STEPS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Where the scale of a heat map goes to its next colour, in thresholds."""
_FARTHEST = 10.0


def method_name(method: Any) -> str:
    """A method as people call it.

    >>> method_name("js"), method_name("mine"), method_name(None)
    ('Jensen-Shannon', 'mine', 'missing values')
    """
    return METHODS["missing"] if method is None else METHODS.get(method, text.visible(method))


def method_notes(found: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Which columns another method judges than the one asked for.

    >>> method_notes([("a", {"method_note": "no ks distance, judged by js"}), ("b", {})])
    ['No ks distance, judged by js: a']
    """
    names: dict[str, dict[str, None]] = {}
    for name, column in found:
        if column.get("method_note"):
            shown = text.excerpt(text.visible(name))
            names.setdefault(str(column["method_note"]), {})[shown] = None
    made = []
    for note, known in names.items():
        more = f" and {len(known) - _NAMED:,} more" if len(known) > _NAMED else ""
        made.append(f"{note[:1].upper()}{note[1:]}: {', '.join([*known][:_NAMED])}{more}")
    return made


def categories(found: Mapping[str, Any] | None, side: str) -> str:
    """How many categories are ``new`` or ``vanished``.

    >>> found = {"new": 1200, "new_error": 30, "vanished": 0, "vanished_error": 0}
    >>> categories(found, "new"), categories(found, "vanished")
    ('1,200 ± 30', '')
    """
    if not found or not found.get(side):
        return ""
    error = found.get(f"{side}_error")
    return text.count(found[side]) + (f" ± {text.count(error)}" if error else "")


def limit(method: Any, threshold: Any) -> str:
    """From where on a column has drifted.

    >>> limit("js", 0.1), limit("ks", 0.05), limit(None, None)
    ('0.1', 'p 0.05', '')
    """
    if threshold is None:
        return ""
    return f"{'p ' if method in BY_P_VALUE else ''}{threshold:g}"


def told(value: Any, error: Any = None) -> str:
    """A distance and its error bound.

    >>> told(0.31415926, 0.00213), told(0.5, 0), told(None)
    ('0.3142 ± 0.0021', '0.5', '')
    """
    if value is None:
        return ""
    bound = f" ± {error:.2g}" if isinstance(error, (int, float)) and error > 0 else ""
    return text.number(value) + bound


def p_value(p: Any) -> str:
    """
    >>> p_value(0.0), p_value(0.0412), p_value(None)
    ('< 1e-300', '0.041', '')
    """
    if p is None:
        return ""
    return f"{p:.2g}" if p > 1e-300 else "< 1e-300"


def ratio(method: Any, threshold: Any, value: Any, p: Any) -> float | None:
    """A distance in thresholds; of methods that judge by p-values log p / log threshold, at most
    10. None where there is no threshold.

    >>> ratio("js", 0.1, 0.25, None), ratio("ks", 0.05, 0.4, 0.05), ratio(None, None, 0.2, None)
    (2.5, 1.0, None)
    """
    if not threshold or not isinstance(value, (int, float)):
        return None
    if method in BY_P_VALUE:
        if p is None or threshold >= 1:
            return None
        return min(_FARTHEST, math.log(max(p, 1e-300)) / math.log(threshold))
    least = 0.5 if method == "classifier" else 0.0
    return max(0.0, (value - least) / (threshold - least)) if threshold != least else None


def level(found: float | None, drift: bool) -> str:
    """The step of the scale: 0 to 2 are below the threshold, 3 to 6 beyond it.

    >>> level(0.1, False), level(1.5, True), level(40.0, True), level(1.5, False), level(0.2, True)
    ('0', '3', '6', '2', '3')
    """
    step = bisect.bisect_right(STEPS, found or 0.0)
    return str(max(step, 3) if drift else min(step, 2))
