"""What a profile tells of the table as a whole, and how its page shows that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsm_dask.report import grid, text

Json = Mapping[str, Any]

_STEPS = (-0.7, -0.4, -0.1, 0.1, 0.4, 0.7)
_STATISTICS = {
    "rows": "rows",
    "null_share": "share of nulls",
    "nan_share": "share of NaN",
    "std": "spread",
    "distinct_share": "share of distinct values",
    "length": "mean length",
}


def correlation(table: Json) -> grid.Grid | None:
    """The matrix as a heat map."""
    found = table.get("correlation") or {}
    names = [text.visible(name) or "(no name)" for name in found.get("columns") or []]
    matrix = found.get("matrix") or []
    if len(names) < 2 or len(matrix) != len(names):
        return None
    head = {"labels": names, "few": "0" * len(names), "scale": "r", "tells": "correlation",
            "ticks": "upright" if len(names) <= grid.UPRIGHT else "",
            "readout": "correlated"}  # fmt: skip
    tracks = []
    for name, row in zip(names, matrix, strict=True):
        levels = "".join("x" if r is None else level(r) for r in row)
        others = [
            abs(r) for other, r in zip(names, row, strict=True) if r is not None and other != name
        ]
        strong = max(others, default=0.0)
        chart = {"name": name, "levels": levels,
                 "told": f"at most {strong:.2f} with another column",
                 "values": [None if r is None else f"{r:.3f}" for r in row]}  # fmt: skip
        tracks.append(grid.Track(name, "", False, chart))
    return grid.Grid(head, tuple(tracks))


def level(r: float) -> str:
    """The step of a scale from -1 to 1.

    >>> [level(r) for r in (-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0)]
    ['0', '1', '2', '3', '4', '5', '6']
    """
    return str(sum(r >= limit for limit in _STEPS))


def strongest(table: Json) -> list[tuple[str, str, str, str]]:
    """(column, column, r, rows) of the pairs that go together most."""
    pairs = (table.get("correlation") or {}).get("strongest") or []
    return [
        (*_both(pair), f"{pair.get('r') or 0.0:+.3f}", text.count(pair.get("rows") or 0))
        for pair in pairs
    ]


def missing(table: Json) -> dict[str, Any] | None:
    """Sets of columns always null together, and pairs that are so more often than by chance."""
    found = table.get("missing_together") or {}
    always = [[text.visible(name) for name in names] for names in found.get("always") or []]
    pairs = [
        (*_both(pair), text.count(pair.get("rows") or 0), text.share(pair.get("jaccard") or 0, 1))
        for pair in found.get("pairs") or []
    ]
    return {"always": always, "pairs": pairs} if always or pairs else None


def balance(table: Json) -> dict[str, Any] | None:
    """The classes of a label, with their bars in percent of the largest."""
    found = table.get("class_balance") or {}
    classes = found.get("classes") or []
    if not found:
        return None
    total = sum(one.get("count") or 0 for one in classes)
    most = max((one.get("count") or 0 for one in classes), default=0) or 1
    figures = [("Imbalance", found.get("imbalance"), "largest class over smallest"),
               ("Entropy", found.get("entropy"), "bits"),
               ("Evenness", found.get("evenness"), "1 when all classes are equal")]  # fmt: skip
    return {
        "column": text.visible(found.get("column")),
        "classes": [
            (grid.slice_name(one.get("value")), text.count(one.get("count") or 0),
             text.share(one.get("count") or 0, total), 100 * (one.get("count") or 0) / most)
            for one in classes
        ],
        "figures": [(label, text.number(value), unit) for label, value, unit in figures
                    if value is not None],
        "unlabelled": text.many(found["unlabelled"], "row") if found.get("unlabelled") else "",
        "exact": found.get("exact", True),
    }  # fmt: skip


def outliers(table: Json) -> dict[str, Any] | None:
    """Partitions unlike the rest: (partition, column, statistic, value, typical, score)."""
    found = table.get("partition_outliers") or {}
    listed = found.get("found") or []
    if not listed:
        return None
    return {
        "partitions": text.count(found.get("partitions") or 0),
        "more": found.get("more") or 0,
        "found": [
            (text.visible(one.get("partition")),
             "" if one.get("column") is None else text.visible(one["column"]),
             _STATISTICS.get(one.get("statistic", ""), text.visible(one.get("statistic"))),
             _figure(one, "value"), _figure(one, "typical"), text.number(one.get("score")))
            for one in listed
        ],
    }  # fmt: skip


def _figure(one: Json, key: str) -> str:
    value = one.get(key)
    if str(one.get("statistic")).endswith("_share") and isinstance(value, (int, float)):
        return text.share(value, 1)
    return text.moment(value) if isinstance(value, str) else text.number(value)


def _both(pair: Json) -> tuple[str, str]:
    one, other = (text.visible(name) for name in pair["columns"])
    return one, other
