"""Why a row is worth a look, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsm_dask.report.text import excerpt, visible
from dsm_dask.scores.review.measures import ScoreColumns

NOTABLE = 0.05
"""A score is told of when so few rows have one as suspicious."""
MIXED = 0.5
NARROW = 0.2
RARE = 0.01

Values = Mapping[str, Any]


def reasons(
    values: Values, tails: Mapping[str, float], found: ScoreColumns, by: str
) -> tuple[str, ...]:
    """What the scores of a row say, the most telling first; names of classes in backticks.

    ``values`` are those of the row, by column (labels as text), ``tails`` the shares of rows as
    suspicious or more by each measure. When nothing stands out, the score that it is ranked ``by``.

    >>> from dsm_dask.scores.review.measures import Measure
    >>> found = ScoreColumns((Measure("outlier", "outlier_score", True),), (), label="y")
    >>> row = {"y": "cat", "predicted_label": "dog", "predicted_probability": 0.971,
    ...        "outlier_score": 0.9}
    >>> reasons(row, {"outlier": 0.008}, found, "outlier")
    ('label `cat`, model says `dog` 0.97', 'outlier: farther than 99.2 % of rows')
    """
    row = _Row(values, tails, found)
    told = [
        row.model(), row.annotators(), row.neighbours(), row.unsure(), row.outlier(),
        row.boundary(), row.cluster(), row.rare(),
    ]  # fmt: skip
    some = tuple(one for one in told if one)
    return some or (row.ranked(by),)


class _Row:
    def __init__(self, values: Values, tails: Mapping[str, float], found: ScoreColumns) -> None:
        self._values, self._tails, self._found = values, tails, found
        self._columns = {one.name: one.column for one in found.measures}
        self._label = None if found.label is None else values.get(found.label)

    def _of(self, name: str) -> Any:
        return self._values.get(self._found.prefix + name)

    def _score(self, measure: str) -> float | None:
        return self._values.get(self._columns.get(measure, ""))

    def _stands_out(self, measure: str) -> bool:
        return self._tails.get(measure, 1.0) <= NOTABLE

    def model(self) -> str:
        said, sure, quality = self._of("predicted_label"), self._of("predicted_probability"), None
        chance = "" if sure is None else f" {sure:.2f}"
        flag = "; flagged as a label issue" if self._of("label_issue") else ""
        if self._stands_out("label_quality"):
            quality = self._score("label_quality")
        if said is not None and self._label is None and self._found.label is not None:
            return f"no label, model says {_name(said)}{chance}"
        if said is not None and self._label is not None and str(said) != str(self._label):
            return f"label {_name(self._label)}, model says {_name(said)}{chance}{flag}"
        if quality is not None:
            label = "" if self._label is None else f" {_name(self._label)}"
            return f"label{label} has a quality of {quality:.2f}{flag}"
        return f"label {_name(self._label)}{flag}" if flag and self._label is not None else ""

    def annotators(self) -> str:
        consensus, sure = self._of("consensus_label"), self._of("consensus_confidence")
        score, told = self._score("disagreement"), []
        if self._stands_out("disagreement") and score:
            told.append(f"annotators disagree {score:.2g}")
        differs = self._label is not None and str(consensus) != str(self._label)
        if consensus is not None and differs:
            chance = "" if sure is None else f" {sure:.2f}"
            told.append(f"annotators' consensus is {_name(consensus)}{chance}")
        return ", ".join(told)

    def neighbours(self) -> str:
        said, agreement = self._of("neighbour_label"), self._score("neighbours")
        if said is None or str(said) == str(self._label):
            return ""
        if self._label is None or agreement is None:
            return f"most neighbours are {_name(said)}"
        share, asked = f"{100 * agreement:.0f} %", self._found.neighbours
        if asked and abs(agreement * asked - round(agreement * asked)) < 1e-4:
            share = f"{round(agreement * asked)} of {asked}"
        return f"{share} neighbours are {_name(self._label)}, most {_name(said)}"

    def unsure(self) -> str:
        score = self._score("uncertainty")
        if score is None or not self._stands_out("uncertainty"):
            return ""
        kind = self._columns["uncertainty"].rpartition("uncertainty_")[2].replace("_", " ")
        return f"model is unsure: {kind} {score:.2f}"

    def outlier(self) -> str:
        if self._score("outlier") is None or not self._stands_out("outlier"):
            return ""
        return f"outlier: farther than {_percent(1 - self._tails['outlier'])} of rows"

    def boundary(self) -> str:
        margin = self._of("neighbour_margin")
        if margin is None or margin >= NARROW:
            return ""
        return f"on the boundary of two classes: margin {margin:.2f}"

    def cluster(self) -> str:
        entropy = self._of("cluster_entropy")
        if entropy is None or entropy < MIXED:
            return ""
        return f"in a cluster of mixed labels: entropy {entropy:.2f}"

    def rare(self) -> str:
        share = self._of("class_share")
        if share is None or share >= RARE or self._label is None:
            return ""
        return f"{_name(self._label)} is rare: {_percent(share)} of labels"

    def ranked(self, by: str) -> str:
        measure = by if by in self._tails else min(self._tails, key=lambda one: self._tails[one])
        share, score = self._tails[measure], self._score(measure)
        name = measure.replace("_", " ")
        return f"{name} {score:.2f}: {_percent(share)} of rows are as suspicious"


def _name(label: Any) -> str:
    """A class, in backticks; those that it has itself become other quotes."""
    return f"`{excerpt(visible(label).replace('`', chr(8216)), 60)}`"


def _percent(share: float) -> str:
    """Never 100 % nor 0 % of what is neither.

    >>> _percent(0.9921), _percent(0.99999), _percent(0.0001), _percent(0.5)
    ('99.2 %', '99.999 %', '0.01 %', '50 %')
    """
    percent = 100 * share
    for digits in range(1, 6):
        shown = f"{percent:.{digits}f}"
        if (float(shown) not in (0.0, 100.0) or percent in (0.0, 100.0)) and (
            digits > 1 or 0.1 <= percent <= 99.9 or percent in (0.0, 100.0)
        ):
            break
    return f"{shown.rstrip('0').rstrip('.')} %"
