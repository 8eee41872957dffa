"""Annotators and their agreement as text for a terminal."""

from __future__ import annotations

from typing import Any

from dsm_dask.cli.text import short, table
from dsm_dask.report.text import many

SHOWN = 10
"""Annotators, pairs and items, at most."""


def annotators(found: dict[str, Any]) -> str:
    """How far annotators agree, who of them stands out, and what they dispute. ``found`` is
    :meth:`dsm_dask.scores.annotators.annotators.Annotators.to_dict`."""
    counts = f"{many(found['answers'], 'answer')} to {many(found['items'], 'item')}"
    lines = [f"{counts}, {found['shared']:,} of them answered twice or more"]
    for reason, rows in found["left_out"].items():
        lines.append(f"Left out: {many(rows, 'row')} with {reason}")
    lines += [_agreement(found["agreement"]), _people(found)]
    if found["disputed"]:
        lines.append(_disputed(found["disputed"]))
    if found["out"]:
        lines.append(f"Tables of items and annotators: {found['out']}")
    return "\n".join(lines + found["notes"])


def _agreement(found: dict[str, Any]) -> str:
    named = {"percent": found["percent"], "Fleiss' kappa": found["fleiss"]}
    named |= {f"Krippendorff's alpha, {level}": one for level, one in found["alpha"].items()}
    if found["cohen"] is not None:
        weights = found["cohen"]["weights"]
        kind = "" if weights == "none" else f", {weights} weights"
        named[f"Cohen's kappa{kind}: mean of pairs"] = found["cohen"]["mean"]
        lowest = sorted(
            (one for one in found["cohen"]["pairs"] if one["value"] is not None),
            key=lambda one: one["value"],
        )
        for one in lowest[:3] if len(lowest) > 1 else ():
            named["  " + " and ".join(short(name, 20) for name in one["annotators"])] = one
    rows = [[name, one["value"], _interval(one)] for name, one in named.items()]
    return table(["agreement", "", "95 %"], rows, "1")


def _interval(one: dict[str, Any]) -> str:
    if one["low"] is None or one["high"] is None:
        return ""
    return f"{one['low']:.3f} to {one['high']:.3f}"


def _people(found: dict[str, Any]) -> str:
    known = found["annotators"]
    ranked = sorted(known.items(), key=lambda pair: _rank(pair[1]["quality"]))
    rows = [
        [short(name, 30), one["answers"], one["agreement"], one["with_consensus"], one["quality"]]
        for name, one in ranked[:SHOWN]
    ]
    heads = ["annotator", "answers", "like others", "like consensus", "quality"]
    more = found["annotator_count"] - len(rows)
    rest = f"\n... and {many(more, 'annotator')} of higher quality" if more > 0 else ""
    return table(heads, rows, "1 2 3 4") + rest


def _rank(quality: float | None) -> float:
    return 2.0 if quality is None else quality


def _disputed(items: list[dict[str, Any]]) -> str:
    rows = [
        [short(one["item"], 30), one["answers"], one["disagreement"], one["label"],
         one["confidence"]]
        for one in items[:SHOWN]
    ]  # fmt: skip
    return table(["disputed", "answers", "disagreement", "consensus", "sure"], rows, "1 2 4")
