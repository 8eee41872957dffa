"""What confident learning is made of: Folds, cuts, the joint."""

from __future__ import annotations

from pathlib import Path

import confident_reference as reference
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_trials import ENGINE, Batches, lists, planted, source, table

from dsm_dask.scores.confident_learning import nth_largest
from dsm_dask.scores.confident_learning.class_thresholds import ClassThresholds
from dsm_dask.scores.confident_learning.confident_joint import ConfidentJoint, calibrated
from dsm_dask.scores.confident_learning.label_issues import LabelIssues
from dsm_dask.scores.confident_learning.labelled import Labelled
from dsm_dask.scores.confident_learning.noise_matrix import inverse_noise_matrix, noise_matrix
from dsm_dask.scores.confident_learning.nth_largest import Cells, Narrowing, Search
from dsm_dask.scores.confident_learning.row_quality import Quality
from dsm_dask.scores.confident_learning.sparse_counts import SparseCounts
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.testing.folds import check_bounded, check_laws

# ---------------------------------------------------------------------------------------------
# Folds


CLASSES = ("a", "b", "c")
LABELLED = Labelled("y", Probabilities(("p",), CLASSES))


@st.composite
def cut(draw: st.DrawFn) -> list[pa.RecordBatch]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = []
    for rows in draw(st.lists(st.integers(0, 30), min_size=1, max_size=4)):
        p = rng.dirichlet([0.5] * 3, rows).astype(np.float32)
        if draw(st.booleans()):
            p = np.round(p * 4) / 4  # ties, zeros and ones; sums may be off
            p[:, 2] = 1 - p[:, 0] - p[:, 1]
            p = np.clip(p, 0, 1)
            p[p.sum(axis=1) != 1] = [0.25, 0.5, 0.25]
        y = rng.choice(["a", "b", "c", ""], rows)
        mask = pa.array(rng.random(rows) < 0.1, pa.bool_())
        items = pa.array(p.reshape(-1), pa.float32())
        made.append(
            pa.record_batch(
                {
                    "y": pa.array([label or None for label in y.tolist()], pa.string()),
                    "p": pa.FixedSizeListArray.from_arrays(items, 3, mask=mask),
                }
            )
        )
    return made


def cells_of_three() -> Cells:
    groups = np.array([0, 0, 0, 1, 2, 3])
    return Cells(groups, np.array([1, 2, -1, 0, -1, -1], np.int32), np.array([1, 2, 3, 4, 2, 9]))


def plan(each: int) -> bytes:
    everything = Search(
        np.zeros(6, np.uint64), np.full(6, nth_largest.LARGEST), cells_of_three().ranks,
        np.full(6, 1000),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nth_largest, "SLOTS", each)
        patch.setattr(nth_largest, "LEAST", 2)
        return nth_largest.planned(cells_of_three(), everything, 3)


@settings(max_examples=30)
@given(cut())
def test_laws(batches: list[pa.RecordBatch]) -> None:
    check_laws(ClassThresholds(LABELLED), batches)
    check_laws(ConfidentJoint(LABELLED, (0.4, 0.5, 2.0)), batches)
    for each in (6, 600):
        check_laws(Narrowing(LABELLED, Quality(LABELLED), plan(each)), batches)


@pytest.mark.parametrize("multilabel", [False, True])
def test_states_are_bounded(multilabel: bool) -> None:
    probabilities = Probabilities(("p",), (0, 1), kind="logits", multilabel=multilabel)
    labelled = Labelled("y", probabilities)
    labels = pa.list_(pa.bool_(), 2) if multilabel else pa.bool_()
    columns = {"y": labels, "p": pa.list_(pa.float32(), 2)}
    check_bounded(ClassThresholds(labelled), columns, limit=1024)
    check_bounded(ConfidentJoint(labelled, (0.5,) * (4 if multilabel else 2)), columns)
    check_bounded(Narrowing(labelled, None, plan(60)), columns, limit=4096)


def test_thresholds_are_means_to_the_last_bit() -> None:
    labels, p = planted(5000, 3, 11, np.float64)
    found = ClassThresholds(Labelled("y", source(3)))
    state = found.update(found.init(), pa.record_batch({"y": labels, "p": lists(p)}))
    means = found.finish(state).means[0]
    assert np.abs(means - reference.thresholds(labels, p)).max() < 1e-15


# ---------------------------------------------------------------------------------------------
# Cuts


@settings(max_examples=40)
@given(st.data())
def test_the_nth_largest_is_found_in_any_number_of_passes(data: st.DataObject) -> None:
    """Cells of all rows, of numbers that crowd and tie; few slots, so that passes are many."""
    numbers = data.draw(
        st.lists(st.sampled_from([0.25, 0.5]) | st.floats(0, 1), min_size=1, max_size=80)
    )
    rank = data.draw(st.integers(1, len(numbers)))
    p = np.array([[1 - x, x] for x in numbers])
    batch = pa.record_batch({"y": np.ones(len(p), np.int64), "p": lists(p)})
    labelled = Labelled("y", source(2))
    cells = Cells(np.array([1, 1]), np.array([0, -1], np.int32), np.array([rank, rank]))
    search = nth_largest.begin(
        cells, np.full(2, len(p)), SparseCounts.none(), (1, 600)
    )  # no counts to begin with
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nth_largest, "SLOTS", 4)
        patch.setattr(nth_largest, "LEAST", data.draw(st.integers(2, 6)))
        search = Search(search.low, search.high, cells.ranks, np.full(2, len(p)))
        found = nth_largest.cuts(Batches(batch), labelled, None, cells, search, ENGINE)
    for values, at in zip([p[:, 0] - p[:, 1], -p[:, 1]], found.tolist(), strict=True):
        assert (values >= at).tolist() == (values >= np.sort(values)[-rank]).tolist()


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_words_order_as_numbers_do(numbers: list[float]) -> None:
    some = np.array([x for x in numbers if x == x])
    found = nth_largest.words(some)
    assert (np.argsort(found, kind="stable") == np.argsort(some + 0.0, kind="stable")).all()
    assert (nth_largest.numbers(found) == some).all()


# ---------------------------------------------------------------------------------------------
# The joint


@given(st.integers(0, 2**32), st.integers(2, 8))
def test_the_calibrated_joint_keeps_the_rows_of_each_label(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    joint = rng.poisson(3, (classes, classes)) * (rng.random((classes, classes)) < 0.6)
    counts = joint.sum(axis=1) + rng.poisson(20, classes)
    found = calibrated(joint, counts)
    assert (found.sum(axis=1) == counts).all()
    assert (found >= 0).all()
    shares = found / np.maximum(found.sum(axis=1), 1)[:, None]
    raw = joint + np.diag((joint.diagonal() == 0).astype(int))
    assert (np.abs(shares - raw / raw.sum(axis=1)[:, None]) * counts[:, None] <= 1.01).all()


def test_what_the_joint_says_of_a_dataset(tmp_path: Path) -> None:
    labels, p = planted(3000, 4, 2)
    scorer = LabelIssues("y", source(4))
    told = scorer.summary(scorer.prepare(table(tmp_path, labels, p), ENGINE, ""))
    expected = reference.joint(labels, p)
    assert told["joint"] == expected.tolist()
    assert told["issues"] == reference.issues(labels, p, "confident_learning").sum()
    assert told["health"] == 1 - told["issues"] / 3000
    assert np.allclose(np.array(told["noise_matrix"]).sum(axis=0), 1)
    assert np.allclose(
        np.array(told["inverse_noise_matrix"])[:, 1], expected[1] / expected[1].sum()
    )
    worst = told["confused"][0]
    assert worst["rows"] == (expected - np.diag(expected.diagonal())).max()
    assert expected[worst["given"], worst["true"]] == worst["rows"]
    for k, one in enumerate(told["classes"]):
        assert one["rows"] == (labels == k).sum()
        assert one["issues"] == expected[k].sum() - expected[k, k]
        assert one["missing"] == expected[:, k].sum() - expected[k, k]


def test_noise_matrices_are_conditional_probabilities() -> None:
    joint = np.array([[6, 2, 0], [2, 8, 0], [0, 0, 0]])
    assert noise_matrix(joint)[:, 0].tolist() == [0.75, 0.25, 0]
    assert inverse_noise_matrix(joint)[:, 1].tolist() == [0.2, 0.8, 0]
    assert not noise_matrix(joint)[:, 2].any()
