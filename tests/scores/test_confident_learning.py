"""Confident learning: the flags of the reference whatever the cut, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import confident_reference as reference
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_trials import ENGINE, Batches, flagged, lists, planted, source, table

from dsm_dask.errors import BadRows, DsmError, SchemaError, UsageError
from dsm_dask.scores.confident_learning.confident_joint import ConfidentJoint, Joint
from dsm_dask.scores.confident_learning.label_filters import FILTERS, LabelFilter
from dsm_dask.scores.confident_learning.label_issues import LabelIssues
from dsm_dask.scores.confident_learning.labelled import Labelled
from dsm_dask.scores.confident_learning.sparse_counts import SparseCounts
from dsm_dask.scores.labels import LearnClasses
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.sources.parquet import open_parquet

# ---------------------------------------------------------------------------------------------
# The flags


@pytest.mark.parametrize("rule", FILTERS)
@pytest.mark.parametrize(("classes", "dtype"), [(2, np.float64), (3, np.float32), (10, np.float64)])
def test_flags_are_those_of_the_reference(
    tmp_path: Path, rule: Any, classes: int, dtype: Any
) -> None:
    labels, p = planted(2500, classes, classes, dtype)
    scorer = LabelIssues("y", source(classes), LabelFilter(rule))
    expected = reference.issues(labels, p, rule)
    assert 20 < expected.sum() < 1500
    for rows in (2500, 333):
        assert flagged(table(tmp_path, labels, p, rows), scorer) == expected.tolist()


@pytest.mark.parametrize("rule", ["prune_by_noise_rate", "prune_by_class", "both"])
@pytest.mark.parametrize(("least", "share"), [(1, 0.5), (40, 1.0), (150, 0.8), (0, 1.0)])
def test_some_rows_of_a_class_may_be_left_and_some_noise(
    tmp_path: Path, rule: Any, least: int, share: float
) -> None:
    labels, p = planted(600, 5, 7, noise=0.4)
    labels[labels == 4] = np.where(np.arange((labels == 4).sum()) < 45, 4, 3)
    scorer = LabelIssues("y", source(5), LabelFilter(rule, least, share))
    expected = reference.issues(labels, p, rule, least, share)
    assert flagged(table(tmp_path, labels, p), scorer) == expected.tolist()


def test_a_first_look_that_misleads_changes_nothing() -> None:
    """Rows in the order of their labels, so that the first partitions know of one class only."""
    labels, p = planted(3000, 4, 12)
    order = np.argsort(labels, kind="stable")
    batch = pa.record_batch({"y": labels[order], "p": lists(p[order])})
    parts = Batches(*(batch[i : i + 100] for i in range(0, 3000, 100)))
    for rule in FILTERS:
        scorer = LabelIssues("y", source(4), LabelFilter(rule))
        made = scorer.apply(batch, scorer.prepare(parts, ENGINE, ""))
        assert (
            made.column(0).to_pylist() == reference.issues(labels[order], p[order], rule).tolist()
        )


def test_many_classes_with_few_rows_each(tmp_path: Path) -> None:
    labels, p = planted(1500, 150, 3, noise=0.2)
    scorer = LabelIssues("y", source(150))
    expected = reference.issues(labels, p, "prune_by_noise_rate")
    assert expected.sum() > 100
    assert flagged(table(tmp_path, labels, p), scorer) == expected.tolist()


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(1, 60), st.sampled_from(FILTERS))
def test_small_tables_are_as_the_reference_says(
    seed: int, classes: int, rows: int, rule: Any
) -> None:
    labels, p = planted(rows, classes, seed, np.float64, noise=0.5)
    labelled = Labelled("y", source(classes))
    batch = pa.record_batch({"y": labels, "p": lists(p)})
    scorer = LabelIssues("y", source(classes), LabelFilter(rule))
    made = scorer.apply(batch, scorer.prepare(Batches(batch), ENGINE, ""))
    assert labelled.columns == scorer.columns
    assert made.column(0).to_pylist() == reference.issues(labels, p, rule).tolist()


@pytest.mark.parametrize("rule", FILTERS)
def test_several_labels_are_problems_of_two_classes(tmp_path: Path, rule: Any) -> None:
    rng = np.random.default_rng(5)
    p = (1 / (1 + np.exp(-2 * rng.normal(size=(1200, 4))))).astype(np.float32)
    held = (rng.random(p.shape) < p) ^ (rng.random(p.shape) < 0.05)
    labels = pa.array([np.flatnonzero(row).tolist() for row in held], pa.list_(pa.int64()))
    scorer = LabelIssues("y", source(4, multilabel=True), LabelFilter(rule))
    problems = [
        (held[:, k].astype(int), np.stack([1 - p[:, k], p[:, k]], axis=1)) for k in range(4)
    ]
    if rule.startswith("low_"):
        scores = np.stack([reference.quality(*one, rule[4:]) for one in problems], axis=1)
        scores = -np.sort(-scores, axis=1)
        moving = scores[:, 0]
        for k in range(1, 4):
            moving = 0.8 * scores[:, k] + (1 - 0.8) * moving
        count = np.any([reference.issues(*one, "confident_learning") for one in problems], axis=0)
        expected = moving <= np.sort(moving)[count.sum() - 1]
    else:
        expected = np.any([reference.issues(*one, rule) for one in problems], axis=0)
    data = table(tmp_path, labels, p)
    assert flagged(data, scorer) == expected.tolist()
    flags = pa.array(held.tolist(), pa.list_(pa.bool_(), 4))
    assert flagged(table(tmp_path, flags, p, 500), scorer) == expected.tolist()
    told = scorer.summary(scorer.prepare(data, ENGINE, ""))
    assert told["rows"] == 1200
    assert [one["label"] for one in told["by_class"]] == [0, 1, 2, 3]
    assert told["by_class"][2]["joint"] == reference.joint(*problems[2]).tolist()


def test_rows_that_tie_with_the_last_are_issues_wherever_they_are(tmp_path: Path) -> None:
    """Of each label 1 in 20 is wrong; all wrong ones look the same, and one more is expected."""
    labels = np.repeat([0, 1], 400)
    p = np.tile(np.float32([0.75, 0.25]), (800, 1))
    p[labels == 1] = [0.25, 0.75]
    wrong = np.arange(800) % 20 == 0
    p[wrong] = p[wrong][:, ::-1]
    scorer = LabelIssues("y", source(2), LabelFilter("prune_by_noise_rate", noise_share=0.5))
    for order in (np.arange(800), np.random.default_rng(0).permutation(800)):
        found = flagged(table(tmp_path, labels[order], p[order], 90), scorer)
        assert found == wrong[order].tolist()


# ---------------------------------------------------------------------------------------------
# Labels and classes that are not as they should be


def test_a_class_that_is_never_predicted_and_one_without_rows(tmp_path: Path) -> None:
    labels, p = planted(900, 5, 9, np.float64)
    labels[labels == 4] = 0  # no rows
    p[:, 3] = 0  # never predicted
    p /= p.sum(axis=1, keepdims=True)
    for rule in FILTERS:
        scorer = LabelIssues("y", source(5), LabelFilter(rule))
        expected = reference.issues(labels, p, rule)
        found = flagged(table(tmp_path, labels, p), scorer)
        if rule in ("prune_by_noise_rate", "confident_learning", "predicted_neq_given"):
            assert found == expected.tolist()
        assert not (expected & ~np.array(found)).any()  # ties at 0 of the class never predicted
    told = scorer.summary(scorer.prepare(table(tmp_path, labels, p), ENGINE, ""))
    empty = told["classes"][4]
    assert (empty["rows"], empty["threshold"], empty["quality"]) == (0, None, None)


def test_rows_without_a_label_or_probabilities_are_left_out(tmp_path: Path) -> None:
    labels, p = planted(800, 3, 4)
    missing = np.arange(800) % 7 == 0
    no_model = np.arange(800) % 11 == 0
    made = pa.table(
        {
            "y": pa.array(labels, mask=missing),
            "p": pa.FixedSizeListArray.from_arrays(
                pa.array(p.reshape(-1)), 3, mask=pa.array(no_model)
            ),
        }
    )
    pq.write_table(made, tmp_path / "b.parquet", row_group_size=100)
    scorer = LabelIssues("y", source(3))
    found = flagged(open_parquet(str(tmp_path / "b.parquet")), scorer)
    known = ~(missing | no_model)
    expected = reference.issues(labels[known], p[known], "prune_by_noise_rate")
    assert [flag for flag in found if flag is not None] == expected.tolist()
    assert [flag is not None for flag in found] == known.tolist()


@pytest.mark.parametrize("rule", FILTERS)
def test_nothing_labelled_has_no_issues(tmp_path: Path, rule: Any) -> None:
    p = np.full((5, 2), 0.5, np.float32)
    scorer = LabelIssues("y", source(2), LabelFilter(rule))
    data = table(tmp_path, pa.nulls(5, pa.int64()), p)
    assert flagged(data, scorer) == [None] * 5
    told = scorer.summary(scorer.prepare(data, ENGINE, ""))
    assert (told["rows"], told["health"], told["confused"]) == (0, None, ())


@pytest.mark.parametrize("rule", FILTERS)
def test_perfect_labels_have_no_issues(tmp_path: Path, rule: Any) -> None:
    labels = np.arange(60) % 3
    p = np.eye(3, dtype=np.float32)[labels]
    assert not any(
        flagged(table(tmp_path, labels, p), LabelIssues("y", source(3), LabelFilter(rule)))
    )


def test_classes_go_by_name_in_the_order_given_or_learned(tmp_path: Path) -> None:
    labels, p = planted(700, 3, 6)
    rule = "prune_by_noise_rate"
    names = np.array(["pear", "apple", "fig"])
    data = table(tmp_path, pa.array(names[labels].tolist()), p)
    given_order = Probabilities(("p",), ("pear", "apple", "fig"))
    expected = reference.issues(labels, p, rule)
    assert flagged(data, LabelIssues("y", given_order)) == expected.tolist()
    learned = ENGINE.fold(data, LearnClasses("y")).result.classes
    assert learned == ("apple", "fig", "pear")
    turned = p[:, [1, 2, 0]]
    expected = reference.issues(np.array([2, 0, 1])[labels], turned, rule)
    data = table(tmp_path, pa.array(names[labels].tolist()), turned)
    assert flagged(data, LabelIssues("y", Probabilities(("p",), learned))) == expected.tolist()


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [(2, SchemaError, "3 probabilities a row.*2 classes"), (4, SchemaError, "3 prob.*4 classes")],
)
def test_classes_that_are_not_those_of_the_probabilities(
    tmp_path: Path, classes: int, error: type[DsmError], message: str
) -> None:
    labels, p = planted(50, 3, 1)
    with pytest.raises(error, match=message):
        LabelIssues("y", source(classes)).prepare(table(tmp_path, labels, p), ENGINE, "")


def test_a_label_that_is_no_class_is_named(tmp_path: Path) -> None:
    labels, p = planted(50, 3, 1)
    labels[7] = 8
    with pytest.raises(BadRows, match=r"label 8 .* none of the classes"):
        LabelIssues("y", source(3)).prepare(table(tmp_path, labels, p), ENGINE, "")


@pytest.mark.parametrize(
    "arguments", [("prune",), ("both", -1), ("both", 1, 0.0), ("confident_learning", 3)]
)
def test_filters_that_make_no_sense(arguments: Any) -> None:
    with pytest.raises(UsageError):
        LabelFilter(*arguments)


def test_too_many_classes_to_count_pairs_of() -> None:
    with pytest.raises(UsageError, match="2,049"):
        ConfidentJoint(Labelled("y", source(2049)), (0.5,) * 2049)


def test_a_filter_with_nothing_to_prune_has_no_cells() -> None:
    empty = Joint(np.zeros((1, 2, 2), np.int64), np.zeros((1, 2), np.int64), 0, SparseCounts.none())
    for rule in FILTERS:
        assert not len(LabelFilter(rule).cells(empty, np.zeros((1, 2), np.int64)).groups)
