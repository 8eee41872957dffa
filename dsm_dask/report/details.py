"""What a profile knows of some columns only: classes of texts, gaps in time, embeddings, paths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dsm_dask.report import text

Column = Mapping[str, Any]
Told = tuple[str, str, str, str]
"""Label, figure, the earlier one (none here), and a hint."""

_TEXTS = (
    ("Empty", "empty", "Texts without any character"),
    ("Blank", "blank", "Only white space"),
    ("Padded", "padded", "White space around other text"),
    ("Numbers", "numeric", "Texts that read as numbers"),
    ("Not ASCII", "non_ascii", "With bytes above 127"),
    ("Not UTF-8", "invalid_utf8", "Bytes that are no text"),
)
_VECTORS = (
    ("Null", "nulls", ""),
    ("With NaN", "nan", ""),
    ("With infinities", "infinite", ""),
    ("All zero", "zeros", ""),
)


def some(column: Column, key: str) -> str:
    """How many of the rows, and their share; nothing when there are none.

    >>> some({"count": 8, "zeros": 2}, "zeros"), some({"count": 8, "zeros": 0}, "zeros")
    ('2 (25.0 %)', '')
    """
    number = column.get(key)
    if not number:
        return ""
    return f"{text.count(number)} ({text.share(number, column.get('count') or 0)})"


def plain(column: Column, key: str) -> str:
    """A figure, where there is one."""
    value = column.get(key)
    return "" if value is None else text.number(value)


def details(column: Column) -> list[Told]:
    """Figures below the chart of a column."""
    return [*_texts(column), *_gaps(column), *_vectors(column), *_paths(column)]


def dimensions(column: Column) -> dict[str, Any]:
    """What the script draws of an embedding: mean and standard deviation of each dimension."""
    found = column.get("vectors") or {}
    means, variances = found.get("means") or [], found.get("variances") or []
    if not means or len(means) != len(variances):
        return {}
    if not all(isinstance(x, (int, float)) and math.isfinite(x) for x in (*means, *variances)):
        return {}
    deviations = [_short(math.sqrt(max(0.0, x))) for x in variances]
    return {"means": [_short(x) for x in means], "deviations": deviations}


def _short(number: float) -> float:
    return float(f"{number:.5g}")


def _texts(column: Column) -> list[Told]:
    found = column.get("text") or {}
    return [(label, some(found, key), "", hint) for label, key, hint in _TEXTS if found.get(key)]


def _gaps(column: Column) -> list[Told]:
    found = column.get("gaps") or {}
    told: list[Told] = []
    if found.get("step"):
        told.append(("Steps of", text.seconds(found["step"]), "",
                     "All distances between values are multiples"))  # fmt: skip
    if found.get("occupied") is not None:
        share, unit = text.share(found["occupied"], 1), text.seconds(found.get("resolution") or 0)
        told.append(("Time covered", share, "", f"Stretches of {unit} with any value"))
    for i, gap in enumerate((found.get("longest") or [])[:3]):
        ends = f"{text.moment(gap.get('start'))} to {text.moment(gap.get('end'))}"
        label = "Longest gap" if i == 0 else "Next gap"
        told.append((label, f"{_span(gap.get('seconds') or 0)}: {ends}", "", ""))
    return told


def _span(seconds: float) -> str:
    return text.seconds(seconds) if seconds < 2 * 86400 else f"{seconds / 86400:,.1f} days"


def _vectors(column: Column) -> list[Told]:
    found = column.get("vectors") or {}
    if not found:
        return []
    told: list[Told] = []
    if found.get("dimension") is not None:
        told.append(("Dimensions", text.count(found["dimension"]), "", ""))
    if found.get("count") is not None:
        told.append(("Whole vectors", text.count(found["count"]), "", ""))
    told += [(label, text.count(found[key]), "", hint) for label, key, hint in _VECTORS
             if found.get(key)]  # fmt: skip
    if found.get("norm_mean") is not None:
        spread = plain(found, "norm_std")
        told.append(("Norm", plain(found, "norm_mean") + (f" ± {spread}" if spread else ""), "",
                     "Euclidean, mean ± standard deviation"))  # fmt: skip
        ends = [plain(found, f"norm_{end}") for end in ("min", "max")]
        told.append(("Norms from", " to ".join(ends), "", ""))
    return told


def _paths(column: Column) -> list[Told]:
    found = column.get("nested") or {}
    told: list[Told] = []
    if found.get("columns"):
        names = ", ".join(text.visible(name) for name in found["columns"])
        told.append(("Inside", text.many(len(found["columns"]), "path"), "", names))
    if found.get("left_out"):
        told.append(("Not followed", text.many(found["left_out"], "path"), "", "Nested too deep"))
    return told
