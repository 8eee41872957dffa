"""Why a row is in the queue, in words."""

import pytest

from dsm_dask.scores.review.measures import Measure, ScoreColumns
from dsm_dask.scores.review.reasons import reasons

QUALITY = Measure("label_quality", "label_quality", False)
OUTLIER = Measure("outlier", "outlier_score", True)


ALL = ScoreColumns(
    (
        QUALITY, Measure("disagreement", "annotator_disagreement", True), OUTLIER,
        Measure("uncertainty", "uncertainty_entropy", True),
        Measure("neighbours", "neighbour_agreement", False),
    ),
    (), label="y", neighbours=5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("values", "tails", "told"),
    [
        (
            {"y": "cat", "predicted_label": "dog", "predicted_probability": 0.97,
             "neighbour_label": "dog", "neighbour_agreement": 0.2},
            {},
            ("label `cat`, model says `dog` 0.97", "1 of 5 neighbours are `cat`, most `dog`"),
        ),
        (
            {"y": 3, "predicted_label": "3", "annotator_disagreement": 0.4},
            {"disagreement": 0.01},
            ("annotators disagree 0.4",),
        ),
        (
            {"y": None, "predicted_label": "dog", "predicted_probability": 0.51},
            {},
            ("no label, model says `dog` 0.51",),
        ),
        (
            {"y": "a", "label_quality": 0.02, "label_issue": True, "predicted_label": "a"},
            {"label_quality": 0.001},
            ("label `a` has a quality of 0.02; flagged as a label issue",),
        ),
        (
            {"y": "a", "consensus_label": "b", "consensus_confidence": 0.8},
            {"outlier": 0.5},
            ("annotators' consensus is `b` 0.80",),
        ),
        (
            {"y": "a", "outlier_score": 0.9, "uncertainty_entropy": 0.99, "neighbour_margin": 0.05,
             "cluster_entropy": 0.8, "class_share": 0.002},
            {"outlier": 0.008, "uncertainty": 0.02},
            ("model is unsure: entropy 0.99", "outlier: farther than 99.2 % of rows",
             "on the boundary of two classes: margin 0.05",
             "in a cluster of mixed labels: entropy 0.80", "`a` is rare: 0.2 % of labels"),
        ),
        (
            {"y": "a", "predicted_label": "a", "label_quality": 0.4, "outlier_score": 0.1},
            {"label_quality": 0.3, "outlier": 0.9},
            ("label quality 0.40: 30 % of rows are as suspicious",),
        ),
        (
            {"y": "a`b", "neighbour_label": "c", "neighbour_agreement": 1 / 3},
            {},
            ("33 % neighbours are `a‘b`, most `c`",),
        ),
    ],
)  # fmt: skip
def test_reasons(values, tails, told):
    assert reasons(values, tails, ALL, "label_quality") == told
