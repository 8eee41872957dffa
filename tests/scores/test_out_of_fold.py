"""Out-of-fold probabilities: no row's label speaks for itself, whatever the cut; scikit-learn as
the truth; Folds; bad input."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dsm_dask.engine import Engine
from dsm_dask.errors import BadRows, SchemaError, UnknownColumn, UsageError
from dsm_dask.fold import run
from dsm_dask.scores.out_of_fold import out_of_fold
from dsm_dask.scores.out_of_fold.feature_scale import FeatureScale, LargestFeatures, Scale
from dsm_dask.scores.out_of_fold.features import Features, features_of
from dsm_dask.scores.out_of_fold.linear_model import Gradient, LabelsByFold, Parts, encoded, rounded
from dsm_dask.scores.out_of_fold.out_of_fold import OutOfFold
from dsm_dask.scores.out_of_fold.quasi_newton import QuasiNewton
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import read_all
from dsm_dask.testing.folds import check_bounded, check_laws

Array = npt.NDArray[Any]
ENGINE = Engine(workers=0)


def vectors(values: Array, **options: Any) -> pa.Array:
    flat = pa.array(values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], **options)


def predicted(
    path: Path, columns: dict[str, Any], scorer: OutOfFold, rows: int = 200
) -> list[list[float] | None]:
    file = path / f"{len(list(path.iterdir()))}.parquet"
    pq.write_table(pa.table(columns), file, row_group_size=rows)
    data = open_parquet(str(file))
    quantities = scorer.prepare(data, ENGINE, str(path))
    found = [scorer.apply(batch, quantities) for batch in read_all(data, scorer.columns)]
    assert all(batch.schema == scorer.schema for batch in found)
    return [row for batch in found for row in batch.column(0).to_pylist()]


def clouds(rows: int, seed: int, apart: float = 1.5) -> tuple[Array, Array]:
    """Three classes of points in five dimensions."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    centres = np.random.default_rng(1).normal(0, apart, (3, 5))
    return labels, (centres[labels] + rng.normal(size=(rows, 5))).astype(np.float32)


CLOUDS = OutOfFold("y", ("x",), (0, 1, 2))


# ---------------------------------------------------------------------------------------------
# What the probabilities are


def test_probabilities_are_those_of_scikit_learn(tmp_path: Path) -> None:
    """The same folds, the same penalty, trained to the end."""
    labels, x = clouds(900, 3)
    scorer = OutOfFold("y", ("x",), (0, 1, 2), rounds=100)
    found = np.array(predicted(tmp_path, {"y": labels, "x": vectors(x)}, scorer))
    folds = Features(("x",), (5,)).folds(pa.record_batch({"x": vectors(x)}), 5)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    expected = cross_val_predict(
        model, x, labels, cv=PredefinedSplit(folds), method="predict_proba"
    )
    assert np.abs(found - expected).max() < 0.03  # features are scaled by all rows here
    assert np.abs(found - expected).mean() < 0.002
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)


def test_digits_with_flipped_labels_as_well_as_scikit_learn(tmp_path: Path) -> None:
    digits = load_digits()
    x, true = digits.data.astype(np.float32), digits.target
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(len(true)) < 0.05, rng.integers(0, 10, len(true)), true)
    scorer = OutOfFold("y", ("x",), tuple(range(10)))
    found = np.array(predicted(tmp_path, {"y": labels, "x": vectors(x)}, scorer, 500))
    folds = Features(("x",), (64,)).folds(pa.record_batch({"x": vectors(x)}), 5)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = cross_val_predict(model, x, labels, cv=PredefinedSplit(folds))
    ours, theirs = (found.argmax(axis=1) == true).mean(), (expected == true).mean()
    assert ours > theirs - 0.01
    assert ours > 0.92


def test_cut_and_order_make_no_difference(tmp_path: Path) -> None:
    labels, x = clouds(500, 5)
    order = np.random.default_rng(2).permutation(500)
    whole = predicted(tmp_path, {"y": labels, "x": vectors(x)}, CLOUDS, 500)
    parts = predicted(tmp_path, {"y": labels, "x": vectors(x)}, CLOUDS, 37)
    turned = predicted(tmp_path, {"y": labels[order], "x": vectors(x[order])}, CLOUDS, 111)
    assert parts == whole
    assert turned == [whole[i] for i in order]


def test_no_label_speaks_for_its_row_or_for_any_row_of_its_fold(tmp_path: Path) -> None:
    labels, x = clouds(400, 6)
    folds = CLOUDS_FEATURES.folds(pa.record_batch({"x": vectors(x)}), 5)
    before = predicted(tmp_path, {"y": labels, "x": vectors(x)}, CLOUDS)
    own = folds == folds[7]
    labels[own] = (labels[own] + 1) % 3
    after = predicted(tmp_path, {"y": labels, "x": vectors(x)}, CLOUDS)
    same = np.array([one == other for one, other in zip(before, after, strict=True)])
    assert same[own].all()
    assert not same[~own].any()


CLOUDS_FEATURES = Features(("x",), (5,))


def test_equal_rows_and_groups_stay_together() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)).astype(np.float32)
    twice = pa.record_batch({"x": vectors(np.concatenate([x, x]))})
    folds = Features(("x",), (2,)).folds(twice, 4)
    assert (folds[:60] == folds[60:]).all()
    assert len(set(folds.tolist())) == 4
    batch = pa.record_batch({"x": vectors(x), "g": np.arange(60) % 9})
    by_group = Features(("x",), (2,), "g").folds(batch, 4)
    assert all(len(set(by_group[np.arange(60) % 9 == g].tolist())) == 1 for g in range(9))
    texts = pa.record_batch({"t": ["b", "a", "b", None, None]})
    first, other, again, none, nothing = Features(("t",), (8,)).folds(texts, 1000).tolist()
    assert (first, none) == (again, nothing)
    assert other != first


def test_texts_numbers_and_flags_together(tmp_path: Path) -> None:
    """Texts tell two classes from a third; a number and a flag tell these two apart."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 240)
    words = ["the goal of the match", "the score of the match", "a pinch of salt in the pan"]
    texts = [f"{words[label]} {rng.integers(10**6)}" for label in labels]
    numbers = pa.array(np.where(labels == 1, 2.0, -2.0) + rng.normal(size=240), mask=labels == 2)
    columns = {"y": labels, "t": texts, "n": numbers, "f": labels == 1}
    scorer = OutOfFold("y", ("t", "n", "f"), (0, 1, 2), dimension=64)
    found = np.array(predicted(tmp_path, columns, scorer, 100))
    assert (found.argmax(axis=1) == labels).mean() > 0.97


def test_rows_without_features_have_none_and_those_without_label_do(tmp_path: Path) -> None:
    labels, x = clouds(300, 8, apart=3)
    unlabelled, empty = np.arange(300) % 10 == 0, np.arange(300) % 10 == 1
    columns = {"y": pa.array(labels, mask=unlabelled), "x": vectors(x, mask=pa.array(empty))}
    found = predicted(tmp_path, columns, CLOUDS)
    assert [row is None for row in found] == empty.tolist()
    rest = np.array([row for row in found if row is not None])
    assert (rest.argmax(axis=1) == labels[~empty]).mean() > 0.9


def test_a_class_of_one_row_is_named_and_has_probability_zero_there(tmp_path: Path) -> None:
    labels, x = clouds(200, 9)
    labels = np.where(np.arange(200) == 50, 3, labels)
    scorer = OutOfFold("y", ("x",), (0, 1, 2, 3, 4))
    with pytest.warns(UserWarning, match="one part of the data.*: 3"):
        found = np.array(predicted(tmp_path, {"y": labels, "x": vectors(x)}, scorer))
    folds = CLOUDS_FEATURES.folds(pa.record_batch({"x": vectors(x)}), 5)
    assert (found[folds == folds[50], 3] == 0).all()
    assert (found[folds != folds[50], 3] > 0).all()
    assert (found[:, 4] == 0).all()  # a class without rows
    assert np.allclose(found.sum(axis=1), 1, atol=1e-6)


def test_large_models_are_left_in_the_work_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, x = clouds(150, 4)
    small = predicted(tmp_path, {"y": labels, "x": vectors(x)}, CLOUDS)
    monkeypatch.setattr(out_of_fold, "SMALL", 0)
    assert predicted(tmp_path, {"y": labels, "x": vectors(x)}, CLOUDS) == small
    assert (tmp_path / "models.dsm").exists()


# ---------------------------------------------------------------------------------------------
# Folds


@st.composite
def cut(draw: st.DrawFn) -> list[pa.RecordBatch]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from([1e-6, 1.0, 1e9]))
    made = []
    for rows in draw(st.lists(st.integers(0, 12), min_size=1, max_size=3)):
        x = rng.normal(0, size, (rows, 2))
        made.append(
            pa.record_batch(
                {
                    "x": vectors(x, mask=pa.array(rng.random(rows) < 0.2, pa.bool_())),
                    "n": pa.array(rng.integers(-3, 3, rows), mask=rng.random(rows) < 0.2),
                    "y": pa.array(rng.integers(0, 2, rows), mask=rng.random(rows) < 0.2),
                }
            )
        )
    return made


FEATURES = Features(("x", "n"), (2, 1))
PARTS = Parts(FEATURES, "y", (0, 1), 3)
WEIGHTS = encoded(rounded(np.random.default_rng(0).normal(size=(3, 2, 4))), np.ones((3, 2), bool))
SCALE = Scale((0.1, -0.5, 0.0), (0.7, 0.0, 2.5))


@settings(max_examples=25)
@given(cut())
def test_laws(batches: list[pa.RecordBatch]) -> None:
    check_laws(LargestFeatures(FEATURES), batches)
    check_laws(FeatureScale(FEATURES, (1e9, 3.0, 0.0)), batches)
    check_laws(LabelsByFold(PARTS), batches)
    check_laws(Gradient(PARTS, SCALE, WEIGHTS, gram=True), batches)


def test_states_are_bounded() -> None:
    columns = {"x": pa.list_(pa.float32(), 2), "n": pa.int8(), "y": pa.bool_()}
    check_bounded(LargestFeatures(FEATURES), columns, limit=256, rows=20_000)
    check_bounded(FeatureScale(FEATURES, (1.0, 1.0, 1.0)), columns, limit=512, rows=20_000)
    check_bounded(LabelsByFold(PARTS), columns, limit=256, rows=20_000)
    check_bounded(Gradient(PARTS, SCALE, WEIGHTS, gram=True), columns, limit=1024, rows=20_000)


def test_the_gradient_is_that_of_the_loss() -> None:
    """Sums of losses and residuals over the rows outside of each fold, as NumPy has them."""
    rng = np.random.default_rng(5)
    x, labels = rng.normal(size=(300, 3)), rng.integers(0, 2, 300)
    features = Features(("x",), (3,))
    parts = Parts(features, "y", (0, 1), 3)
    scale = Scale((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    weights = rounded(rng.normal(size=(3, 2, 4)))
    batch = pa.record_batch({"x": vectors(x), "y": labels})
    found = run(Gradient(parts, scale, encoded(weights, np.ones((3, 2), bool)), gram=True), [batch])
    wide = np.column_stack([np.rint(np.clip(x, -8, 8) * 1024) / 1024, np.ones(300)])
    folds = features.folds(batch, 3)
    for m in range(3):
        rows = folds != m
        z = wide[rows] @ (weights[m] / 65536).T
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        own = p[np.arange(rows.sum()), labels[rows]]
        assert found.losses[m] / 65536 == pytest.approx(-np.log(own).sum(), abs=0.01)
        expected = (p - np.eye(2)[labels[rows]]).T @ wide[rows]
        assert np.allclose(found.gradient[m] / 2**26, expected, atol=0.01)
    assert np.allclose(found.gram / 2**20, wide.T @ wide)


def test_scales_are_means_and_standard_deviations() -> None:
    values = np.random.default_rng(2).normal([3, -1e6, 0], [1, 1e3, 0], (5000, 3))
    batch = pa.record_batch({"x": vectors(values)})
    features = Features(("x",), (3,))
    scale = run(FeatureScale(features, run(LargestFeatures(features), [batch])), [batch])
    assert np.allclose(scale.means, values.mean(axis=0), rtol=1e-4)
    assert np.allclose(scale.inverses[:2], 1 / values.std(axis=0)[:2], rtol=1e-2)
    assert scale.inverses[2] == 0  # a constant says nothing


@given(st.integers(0, 2**32), st.integers(1, 8))
def test_a_quadratic_function_is_minimised(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    hessian, lowest = root @ root.T + np.eye(size), rng.normal(size=size)
    search = QuasiNewton(np.zeros(size), lambda g: g / 100, lambda w: w, 1e-7)
    for _ in range(500):
        away = search.next - lowest
        search.told(float(away @ hessian @ away), 2 * hessian @ away)
        if search.done:
            break
    assert np.allclose(search.point, lowest, atol=1e-5)


# ---------------------------------------------------------------------------------------------
# What cannot be learned from


def test_too_little_to_learn_from(tmp_path: Path) -> None:
    labels, x = clouds(40, 1)
    with pytest.raises(UsageError, match="1 classes are too few"):
        predicted(tmp_path, {"y": np.zeros(40, int), "x": vectors(x)}, CLOUDS)
    with pytest.raises(UsageError, match="0 labelled rows"):
        predicted(tmp_path, {"y": pa.nulls(40, pa.int64()), "x": vectors(x)}, CLOUDS)
    one_group = OutOfFold("y", ("x",), (0, 1, 2), group="g")
    with pytest.raises(UsageError, match="more than one part"):
        predicted(tmp_path, {"y": labels, "x": vectors(x), "g": np.zeros(40, int)}, one_group)


def test_columns_that_give_no_features(tmp_path: Path) -> None:
    labels, x = clouds(40, 1)
    x[3, 2] = np.inf
    with pytest.raises(BadRows, match="infinite: row with the id 3"):
        predicted(tmp_path, {"y": labels, "x": vectors(x)}, CLOUDS)
    struct = pa.array([{"a": 1}] * 40)
    with pytest.raises(SchemaError, match="features cannot be made"):
        predicted(tmp_path, {"y": labels, "x": struct}, CLOUDS)
    uneven = pa.array([[1.0, 2.0]] * 20 + [[1.0]] * 20)
    with pytest.raises(SchemaError, match="hold 1 numbers, and elsewhere 2"):
        predicted(tmp_path, {"y": labels, "x": uneven}, CLOUDS, 20)
    with pytest.raises(UnknownColumn):
        predicted(tmp_path, {"y": labels, "z": vectors(x)}, CLOUDS)


@pytest.mark.parametrize(
    "options",
    [{"folds": 1}, {"rounds": 0}, {"penalty": 0.0}, {"dimension": 0}, {"classes": ("a",)}],
)
def test_settings_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        OutOfFold(**{"label": "y", "on": ("x",), "classes": ("a", "b"), **options})


def test_too_many_features_or_weights(tmp_path: Path) -> None:
    pq.write_table(pa.table({"y": [0, 1], "t": ["a", "b"]}), tmp_path / "a.parquet")
    data = open_parquet(str(tmp_path / "a.parquet"))
    with pytest.raises(UsageError, match="20,000 features"):
        features_of(data, ("t",), dimension=20_000)
    many = OutOfFold("y", ("t",), tuple(range(200)), dimension=10_000)
    with pytest.raises(UsageError, match="10,001,000 weights"):
        many.prepare(data, ENGINE, "")
