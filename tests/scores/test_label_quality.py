"""The quality of labels: the scores of the reference, nulls, several labels, bad input."""

from __future__ import annotations

from typing import Any

import confident_reference as reference
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask.engine import Engine
from dsm_dask.errors import BadRows, SchemaError, UsageError
from dsm_dask.scores.confident_learning.label_quality import LabelQuality
from dsm_dask.scores.confident_learning.multilabel import memberships
from dsm_dask.scores.confident_learning.row_quality import METHODS
from dsm_dask.scores.probabilities.probabilities import Probabilities

Array = npt.NDArray[Any]


def batch(labels: Any, p: Array) -> pa.RecordBatch:
    return pa.record_batch(
        {"y": labels, "p": pa.FixedSizeListArray.from_arrays(pa.array(p.reshape(-1)), p.shape[1])}
    )


def scored(rows: pa.RecordBatch, method: Any, multilabel: bool = False) -> list[float | None]:
    classes = tuple(range(rows.column("p").type.list_size))
    source = Probabilities(("p",), classes, multilabel=multilabel)
    scorer = LabelQuality("y", source, method)
    assert scorer.prepare(None, Engine(workers=0), "") == {}  # type: ignore[arg-type]
    made = scorer.apply(rows, {})
    assert made.schema == scorer.schema
    found: list[float | None] = made.column("label_quality").to_pylist()
    return found


@settings(max_examples=30)
@given(
    st.integers(0, 2**32),
    st.integers(2, 12),
    st.sampled_from(METHODS),
    st.sampled_from([np.float32, np.float64]),
)
def test_scores_are_those_of_the_reference(
    seed: int, classes: int, method: str, dtype: Any
) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.6), 200).astype(dtype)
    labels = rng.integers(0, classes, 200)
    found = np.array(scored(batch(labels, p), method))
    expected = reference.quality(labels, p, method)
    assert np.abs(found - expected).max() < 1e-6
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("method", METHODS)
def test_sure_rows_score_at_the_ends(method: str) -> None:
    """A label that the model is sure to be wrong has the lowest score, a right one the highest; but
    the entropy of a row that is all one class is 0 whatever its label, by its definition."""
    p = np.array([[0.999, 0.001], [0.001, 0.999], [1.0, 0.0]])
    right, wrong, all_one = scored(batch([0, 0, 0], p), method)
    assert right is not None
    assert wrong is not None
    assert right > 0.9
    assert wrong < 0.25
    assert all_one == (0.0 if method == "confidence_weighted_entropy" else 1.0)


def test_rows_without_a_label_or_probabilities_have_no_score() -> None:
    p = pa.array([[0.2, 0.8], None, [0.3, 0.7]], pa.list_(pa.float32(), 2))
    rows = pa.record_batch({"y": pa.array([1, 0, None]), "p": p})
    first, second, third = scored(rows, "self_confidence")
    assert first == pytest.approx(0.8)
    assert (second, third) == (None, None)


@pytest.mark.parametrize("method", METHODS)
def test_of_several_labels_the_worst_count_most(method: str) -> None:
    """The moving average of the qualities of all classes, highest first."""
    rng = np.random.default_rng(1)
    p = rng.random((100, 3))
    held = rng.random((100, 3)) < p
    labels = pa.array([np.flatnonzero(row).tolist() for row in held], pa.list_(pa.int64()))
    each = np.stack(
        [
            reference.quality(
                held[:, k].astype(int), np.stack([1 - p[:, k], p[:, k]], axis=1), method
            )
            for k in range(3)
        ],
        axis=1,
    )
    each = np.sort(each, axis=1)[:, ::-1]
    expected = 0.8 * each[:, 2] + 0.2 * (0.8 * each[:, 1] + 0.2 * each[:, 0])
    assert np.allclose(scored(batch(labels, p), method, multilabel=True), expected, atol=1e-6)


def test_an_unknown_method_is_an_error_at_once() -> None:
    with pytest.raises(UsageError, match="self_confidence, normalized_margin"):
        LabelQuality("y", Probabilities(("p",), (0, 1)), "confidence")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------
# Several labels a row


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_view(pa.string())]
)
def test_lists_of_labels(kind: pa.DataType) -> None:
    column = pa.array([["x"], ["b", "a"], [], None, [None, "b"]], kind)[1:]
    found, nulls = memberships(column, ("a", "b"))
    assert found.tolist() == [[True, True], [False, False], [False, False], [False, True]]
    assert nulls.tolist() == [False, False, True, False]


def test_lists_of_booleans() -> None:
    column = pa.array([[True, False], None, [None, True]], pa.list_(pa.bool_(), 2))
    found, nulls = memberships(column, ("a", "b"))
    assert found[[0, 2]].tolist() == [[True, False], [False, True]]
    assert nulls.tolist() == [False, True, False]
    assert memberships(pa.nulls(2), ("a", "b"))[1].tolist() == [True, True]


def test_labels_that_are_no_lists_or_no_classes() -> None:
    with pytest.raises(SchemaError, match="one label a row"):
        memberships(pa.array(["a"]), ("a", "b"))
    with pytest.raises(BadRows, match="'c' of 'labels' is none of the classes"):
        memberships(pa.array([["a", "c"]]), ("a", "b"))
    with pytest.raises(BadRows, match="row 1 of a batch of 2"):
        memberships(pa.array([[True, False], [True]]), ("a", "b"))
