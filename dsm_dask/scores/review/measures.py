"""What a dataset can be put in order by, for people to look at: which of its columns hold scores,
and which end of each is suspicious."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from dsm_dask import codec
from dsm_dask.errors import UnknownColumn, UsageError, nearest

LABELS = "labels"
"""Whether the label is wrong, by all that tells."""
COMBINED = "combined"
"""All measures together."""
_OF_LABELS = ("label_quality", "disagreement", "neighbours")

_COLUMNS: dict[str, tuple[tuple[str, ...], bool]] = {
    "label_quality": (("label_quality",), False),
    "disagreement": (("annotator_disagreement",), True),
    "uncertainty": (
        tuple(
            f"uncertainty_{name}"
            for name in (
                "entropy", "least_confidence", "margin", "ratio", "mutual_information", "variance",
                "interval",
            )
        ),
        True,
    ),
    "neighbours": (("neighbour_agreement",), False),
    "outlier": (("outlier_score",), True),
}  # fmt: skip
"""The columns that a measure may be taken from, the first that is there; whether more of it is more
suspicious."""

MEASURES = (*_COLUMNS, LABELS, COMBINED)

TOLD = (
    "predicted_label", "predicted_probability", "label_issue", "consensus_label",
    "consensus_confidence", "neighbour_label", "neighbour_margin", "cluster_entropy", "class_share",
)  # fmt: skip
"""Other columns of scores, for reasons."""


@codec.state("scores.measure", 1)
@dataclasses.dataclass(frozen=True)
class Measure:
    """``name`` is one of :data:`MEASURES` (not of the groups); ``more``: larger numbers are more
    suspicious."""

    name: str
    column: str
    more: bool


@dataclasses.dataclass(frozen=True)
class ScoreColumns:
    """The columns of scores that a table has, ``prefix`` before each name."""

    measures: tuple[Measure, ...]
    told: tuple[str, ...]
    prefix: str = ""
    label: str | None = None
    """The column of labels."""
    neighbours: int | None = None
    """How many neighbours were asked."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(dict.fromkeys([*(one.column for one in self.measures), *self.told]))

    def by(self, name: str | None) -> tuple[str, tuple[Measure, ...]]:
        """What rows are ranked by, and its measures: by default whether labels are wrong, or all
        that there is when nothing tells. Raises UsageError for what is not there."""
        if not self.measures:
            raise UsageError(
                "There are no scores to rank rows by.",
                valid="`dsm score DATASET` writes them; --prefix names those with a prefix.",
            )
        groups: dict[str, tuple[Measure, ...]] = {one.name: (one,) for one in self.measures}
        of_labels = tuple(one for one in self.measures if one.name in _OF_LABELS)
        if of_labels:
            groups[LABELS] = of_labels
        groups[COMBINED] = self.measures
        name = name or (LABELS if of_labels else COMBINED)
        if name not in groups:
            raise UsageError(
                f"There are no scores of {name!r}.",
                valid=f"Rows can be ranked by {', '.join(groups)}.",
            )
        return name, groups[name]


def score_columns(
    schema: pa.Schema,
    metadata: Mapping[str, Any],
    label: str | None = None,
    prefix: str = "",
) -> ScoreColumns:
    """What there is in a table. ``metadata``, of :mod:`dsm_dask.scores.column_metadata` by column,
    tells which column the labels are in, unless ``label`` does.

    Raises UnknownColumn when there is no column ``label``.

    >>> schema = pa.schema([("y", pa.string()), ("label_quality", pa.float32())])
    >>> found = score_columns(schema, {}, "y")
    >>> [(one.name, one.more) for one in found.measures], found.label
    ([('label_quality', False)], 'y')
    """
    if label is not None and label not in schema.names:
        raise UnknownColumn(f"There is no column {label!r}.", valid=nearest(label, schema.names))
    measures = []
    for name, (columns, more) in _COLUMNS.items():
        there = [prefix + one for one in columns if _is_number(schema, prefix + one)]
        if there:
            measures.append(Measure(name, there[0], more))
    told = tuple(prefix + name for name in TOLD if prefix + name in schema.names)
    found = ScoreColumns(tuple(measures), told, prefix)
    parameters = [metadata[name].parameters for name in found.names if name in metadata]
    said = [one["label"] for one in parameters if one.get("label") in schema.names]
    asked = [one["neighbours"] for one in parameters if one.get("neighbours")]
    return dataclasses.replace(
        found,
        label=label or (said[0] if said else None),
        neighbours=asked[0] if asked else None,
    )


def _is_number(schema: pa.Schema, name: str) -> bool:
    return name in schema.names and pa.types.is_floating(schema.field(name).type)
