"""Confident learning: the flags of the reference whatever the cut, Folds, exact cuts, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import confident_reference as reference
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask import codec
from dsm_dask.engine import Engine
from dsm_dask.errors import BadRows, DsmError, SchemaError, UsageError
from dsm_dask.scores import nth_largest
from dsm_dask.scores.class_thresholds import ClassThresholds
from dsm_dask.scores.confident_joint import ConfidentJoint, Joint, calibrated
from dsm_dask.scores.label_filters import FILTERS, LabelFilter
from dsm_dask.scores.label_issues import LabelIssues
from dsm_dask.scores.labelled import Labelled
from dsm_dask.scores.labels import LearnClasses
from dsm_dask.scores.noise_matrix import inverse_noise_matrix, noise_matrix
from dsm_dask.scores.nth_largest import Cells, Narrowing, Search
from dsm_dask.scores.probabilities import Probabilities
from dsm_dask.scores.row_quality import Quality
from dsm_dask.scores.sparse_counts import SparseCounts
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import Table, read_all
from dsm_dask.testing.folds import check_bounded, check_laws

Array = npt.NDArray[Any]
ENGINE = Engine(workers=0)


def planted(
    rows: int, classes: int, seed: int, dtype: Any = np.float32, noise: float = 0.05
) -> tuple[Array, Array]:
    """Labels, some of them wrong, and probabilities of a fair model."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, rows)
    logits = rng.normal(0, 1.3, (rows, classes))
    logits[np.arange(rows), true] += 3.0
    p = np.exp(logits)
    labels = np.where(rng.random(rows) < noise, rng.integers(0, classes, rows), true)
    return labels, (p / p.sum(axis=1, keepdims=True)).astype(dtype)


def lists(p: Array) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(p.reshape(-1)), p.shape[1])


def table(path: Path, labels: Any, p: Array, rows: int = 1000) -> Table:
    """A new file of batches of ``rows``."""
    made = pa.table({"y": labels, "p": lists(p)})
    file = path / f"{len(list(path.iterdir()))}.parquet"
    pq.write_table(made, file, row_group_size=rows)
    return open_parquet(str(file))


def source(classes: int, **options: Any) -> Probabilities:
    return Probabilities(("p",), tuple(range(classes)), **options)


def flagged(data: Table, scorer: LabelIssues) -> list[bool | None]:
    quantities = codec.decode(codec.encode(dict(scorer.prepare(data, ENGINE, ""))))
    found = [scorer.apply(batch, quantities) for batch in read_all(data, scorer.columns)]
    return [flag for batch in found for flag in batch.column(0).to_pylist()]


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
    made = scorer.apply(batch, scorer.prepare(_Batches(batch), ENGINE, ""))
    assert labelled.columns == scorer.columns
    assert made.column(0).to_pylist() == reference.issues(labels, p, rule).tolist()


class _Batches:
    """A table of one partition in memory."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch, self.uri, self.schema, self.rows = batch, "memory", batch.schema, len(batch)
        self.size, self.fingerprint, self.label = 1, "memory", "memory"

    def partitions(self) -> list[Any]:
        return [self]

    def values_fingerprint(self, columns: Any) -> str:
        return ""

    def column_sizes(self) -> dict[str, int]:
        return {}

    def read(self, columns: Any) -> Any:
        yield self.batch.select(columns)


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
        found = nth_largest.cuts(_Batches(batch), labelled, None, cells, search, ENGINE)
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
