"""Annotators that cannot be compared, and settings that make no sense."""

import itertools
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from annotator_trials import METHODS, THREE, answered, long, planted, scored, wide, write

from dsm_dask.errors import BadRows, SchemaError, UsageError
from dsm_dask.scores.annotators.annotators import describe
from dsm_dask.scores.annotators.consensus import Consensus, kind_of
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.table import read_all


@pytest.mark.parametrize("method", METHODS)
def test_nobody_answered(method, engine, tmp_path):
    table = write(wide(np.full((4, 3), None, object)), tmp_path / "t")
    scorer = Consensus(THREE, method)
    columns, told = scored(table, scorer, engine, tmp_path / "w")
    assert columns["consensus_label"].null_count == columns["consensus_confidence"].null_count == 4
    found = describe(table, scorer, told, engine=engine, work=str(tmp_path / "w"))
    assert found.agreement.unanswered == 4
    assert [one.quality for one in found.annotators] == [None] * 3
    assert json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("method", METHODS)
def test_one_annotator_is_taken_at_their_word(method, engine, tmp_path):
    table = write(wide(planted(30)[0]), tmp_path / "t")
    scorer = Consensus(("bob",), method)
    columns, told = scored(table, scorer, engine, tmp_path / "w")
    given = [batch.column("bob").to_pylist() for batch in read_all(table, ["bob"])]
    assert columns["consensus_label"].to_pylist() == list(itertools.chain(*given))
    found = describe(table, scorer, told, engine=engine, work=str(tmp_path / "w"))
    assert "one annotator" in found.notes[0]
    assert found.cohen.pairs == ()


@pytest.mark.parametrize("method", METHODS)
def test_an_annotator_with_one_answer(method, engine, tmp_path):
    names, _ = planted(50, 3, missing=0.0)
    names[1:, 0] = None
    table = write(wide(names), tmp_path / "t")
    scorer = Consensus(THREE, method)
    _, told = scored(table, scorer, engine, tmp_path / "w")
    found = describe(table, scorer, told, engine=engine, work=str(tmp_path / "w"))
    assert found.annotators[0].answers == 1
    assert 0 <= found.annotators[0].quality <= 1


@pytest.mark.parametrize("method", METHODS)
def test_all_agree(method, engine, tmp_path):
    names = np.array([["cat"] * 3, ["dog"] * 3, ["cat"] * 3], object)
    table = write(wide(names), tmp_path / "t")
    scorer = Consensus(THREE, method)
    columns, told = scored(table, scorer, engine, tmp_path / "w")
    assert columns["consensus_label"].to_pylist() == ["cat", "dog", "cat"]
    found = describe(table, scorer, told, engine=engine, work=str(tmp_path / "w"))
    assert found.agreement.fleiss.value == 1
    assert found.disputed == ()


def test_labels_unknown_are_refused(engine, tmp_path):
    table = write(wide(planted(30)[0]), tmp_path / "t")
    for method in METHODS:
        with pytest.raises(BadRows, match="none of the classes"):
            scored(table, Consensus(THREE, method, classes=("cat", "dog")), engine, tmp_path / "w")


def test_the_order_of_classes_breaks_ties():
    batch = pa.record_batch({"ann": ["low"], "bob": ["high"]})
    for classes, expected in ((None, "high"), (("low", "high"), "low")):
        found = Consensus(("ann", "bob"), classes=classes).apply(batch, {})
        assert found.column(0).to_pylist() == [expected]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([1, None], pa.int8()), "integer", [1, None]),
        (pa.array([2.0, float("nan")]), "integer", [2, None]),
        (pa.array([True, None]), "boolean", [True, None]),
        (pa.array(["a", None]).dictionary_encode(), "text", ["a", None]),
        (pa.nulls(2), "text", [None, None]),
    ],
)
def test_kinds_of_labels(values, kind, expected, engine, tmp_path):
    table = write(pa.table({"ann": values, "bob": values}), tmp_path / "t")
    assert kind_of(table, ("ann", "bob")) == kind
    for method in METHODS:
        scorer = Consensus(("ann", "bob"), method, kind)
        columns, _ = scored(table, scorer, engine, tmp_path / "w")
        assert columns["consensus_label"].to_pylist() == expected


def test_labels_of_different_kinds(engine, tmp_path):
    table = write(pa.table({"ann": ["1"], "bob": [1], "eve": [[1]]}), tmp_path / "t")
    with pytest.raises(SchemaError, match="different kinds"):
        kind_of(table, ("ann", "bob"))
    with pytest.raises(SchemaError, match="no label"):
        kind_of(table, ("eve",))
    with pytest.raises(SchemaError, match="texts, those of"):
        Consensus(("ann", "bob"), "mace").prepare(table, engine, str(tmp_path / "w"))


def test_too_many_classes_are_no_labels(engine, tmp_path):
    table = write(pa.table({"ann": list(range(2000))}), tmp_path / "t")
    with pytest.raises(UsageError, match="too many"):
        Consensus(("ann",), "mace", "integer").prepare(table, engine, str(tmp_path / "w"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"annotators": ()}, {"annotators": ("a", "a")}, {"method": "best"},
        {"method": "crowdlab"}, {"probabilities": Probabilities(("p",), (0, 1))},
        {"method": "glad", "iterations": 0}, {"iterations": 5}, {"tolerance": 0.1},
        {"method": "mace", "tolerance": math.nan},
        {"method": "crowdlab", "probabilities": Probabilities(("p",), (0, 1)), "classes": (1, 0)},
        {"method": "crowdlab", "probabilities": Probabilities(("p",), (0, 1), multilabel=True)},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        Consensus(**{"annotators": ("a", "b"), **wrong})


@pytest.mark.parametrize("method", METHODS)
def test_without_a_model_nothing_is_calibrated(method):
    with pytest.raises(UsageError, match="no model to calibrate"):
        Consensus(("a", "b"), method, calibrate=True)


@pytest.mark.parametrize("asked", [{"weights": "linear"}, {"ordered": True}])
def test_texts_have_no_order_of_their_own(asked, engine, tmp_path):
    table = write(long(planted(20)[0]), tmp_path / "t")
    with pytest.raises(UsageError, match="need an order"):
        answered(table, engine, **asked)
    found = answered(table, engine, classes=("dog", "cow", "cat"), **asked)
    assert found.classes == ("dog", "cow", "cat")


def test_weights_unknown_are_refused(engine, tmp_path):
    with pytest.raises(UsageError, match="no weights 'cubic'"):
        answered(write(long(planted(5)[0]), tmp_path / "t"), engine, weights="cubic")
