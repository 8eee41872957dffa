"""Annotators and a model: CROWDLAB against the paper, and its calibration."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from annotator_trials import CLASSES, THREE, planted, scored, wide, write

from dsm_dask import codec
from dsm_dask.errors import UsageError
from dsm_dask.scores.annotators.annotators import describe
from dsm_dask.scores.annotators.consensus import Consensus
from dsm_dask.scores.probabilities.probabilities import Probabilities


def crowdlab_plainly(labels, model):
    """As the paper has it, over a matrix; -1 is no answer."""
    items, annotators = labels.shape
    classes = model.shape[1]
    count = (labels >= 0).sum(axis=1)
    several = count > 1

    def weights(consensus):
        agree = (labels == consensus[:, None]).sum(axis=1)[several] / count[several]
        error = 1 - np.bincount(consensus[several]).max() / several.sum()
        own = np.empty(annotators)
        for j in range(annotators):
            mine = several & (labels[:, j] >= 0)
            same = (labels[mine] == labels[mine, j][:, None]).sum(axis=1) - 1
            own[j] = max(1 - (1 - same.sum() / (count[mine] - 1).sum()) / error, 1e-6)
        wrong = (model.argmax(axis=1) != consensus)[several].mean()
        return own, max(1 - wrong / error, 1e-6) * np.sqrt(count.mean()), agree.mean()

    def posterior(consensus):
        own, whole, right = weights(consensus)
        found, total = model * whole, np.full(items, whole)
        for i, j in zip(*np.nonzero(labels >= 0), strict=True):
            said = np.full(classes, (1 - right) / (classes - 1))
            said[labels[i, j]] = right
            found[i] += own[j] * said
            total[i] += own[j]
        return found / total[:, None]

    votes = np.stack([(labels == k).sum(axis=1) for k in range(classes)], axis=1)
    best = votes == votes.max(axis=1, keepdims=True)
    first = np.where(best, model, -1).argmax(axis=1)
    chosen = posterior(first).argmax(axis=1)
    return chosen, posterior(chosen)[np.arange(items), chosen]


def test_crowdlab_is_the_method_of_the_paper(engine, tmp_path):
    names, truth = planted(600, 5)
    names[[row.tolist() == [None] * 3 for row in names], 0] = "cat"
    random = np.random.default_rng(0)
    logits = random.normal(size=(600, 3))
    logits[np.arange(600), truth] += 1.5
    model = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(model.ravel()), 3)
    table = write(wide(names, p=lists), tmp_path / "t", 4)
    scorer = Consensus(THREE, "crowdlab", probabilities=Probabilities(("p",), CLASSES))
    columns, told = scored(table, scorer, engine, tmp_path / "w")
    codes = np.array([[-1 if v is None else CLASSES.index(v) for v in row] for row in names])
    labels, sure = crowdlab_plainly(codes, model)
    assert columns["consensus_label"].to_pylist() == [CLASSES[k] for k in labels]
    assert np.allclose(columns["consensus_confidence"].to_numpy(), sure, atol=1e-6)
    assert told["second_annotators"].argmin() == 0
    found = describe(table, scorer, told, engine=engine, work=str(tmp_path / "w"))
    assert found.consensus == tuple(np.bincount(labels).tolist())


def test_crowdlab_without_a_word_of_the_model(engine, tmp_path):
    rows = {
        "ann": ["cat", "dog", "dog", None], "bob": ["cat", "dog", "cat", None],
        "p": pa.array([[0.9, 0.1], None, [0.2, 0.8], [0.5, 0.5]], pa.list_(pa.float64())),
    }  # fmt: skip
    table = write(pa.table(rows), tmp_path / "t")
    probabilities = Probabilities(("p",), ("cat", "dog"))
    scorer = Consensus(("ann", "bob"), "crowdlab", probabilities=probabilities)
    columns, _ = scored(table, scorer, engine, tmp_path / "w")
    assert columns["consensus_label"].to_pylist() == ["cat", "dog", "dog", None]
    assert columns["consensus_confidence"].to_pylist()[3] is None


def test_crowdlab_needs_items_with_two_answers(engine, tmp_path):
    rows = {"ann": ["cat", None], "bob": [None, "dog"], "p": [[0.9, 0.1], [0.5, 0.5]]}
    table = write(pa.table(rows), tmp_path / "t")
    probabilities = Probabilities(("p",), ("cat", "dog"))
    scorer = Consensus(("ann", "bob"), "crowdlab", probabilities=probabilities)
    with pytest.raises(UsageError, match="No item has two answers"):
        scorer.prepare(table, engine, str(tmp_path / "w"))


# ---------------------------------------------------------------------------------------------
# Calibration


def modelled(sharpness, items=500, seed=0):
    """Labels, and a model that is as sure as it should be, times a sharpness."""
    names, truth = planted(items, seed)
    names[[row.tolist() == [None] * 3 for row in names], 1] = "dog"
    logits = np.random.default_rng(seed).normal(size=(items, 3))
    logits[np.arange(items), truth] += 1.5
    model = np.exp(logits * sharpness)
    return names, model / model.sum(axis=1, keepdims=True)


def table_of(names, model, folder, files=1):
    lists = pa.FixedSizeListArray.from_arrays(pa.array(model.ravel()), 3)
    return write(wide(names, p=lists), folder, files, 100)


def calibrating():
    probabilities = Probabilities(("p",), CLASSES)
    return Consensus(THREE, "crowdlab", probabilities=probabilities, calibrate=True)


def temperature_plainly(names, model):
    """Of 33 temperatures the one of the least mean cross-entropy with the shares of the answers."""
    coarse = [0.1, 0.2, 0.5, 0.8, 1, 2, 3, 5, 8]
    tried = [a + (b - a) * i / 4 for a, b in itertools.pairwise(coarse) for i in range(4)] + [8]
    shares = np.array([[list(row).count(name) for name in CLASSES] for row in names], float)
    shares /= shares.sum(axis=1, keepdims=True)
    costs = []
    for temperature in tried:
        sharpened = model ** (1 / temperature)
        sharpened /= sharpened.sum(axis=1, keepdims=True)
        costs.append(-(shares * np.log(np.maximum(sharpened, 1e-30))).sum(axis=1).mean())
    return tried[int(np.argmin(costs))]


@pytest.mark.parametrize("sharpness", [0.2, 0.7, 1.0, 2.5, 9.0])
def test_calibration_finds_the_temperature(sharpness, engine, tmp_path):
    names, model = modelled(sharpness)
    columns, told = scored(
        table_of(names, model, tmp_path / "t", 3), calibrating(), engine, tmp_path / "w"
    )
    expected = temperature_plainly(names, model)
    assert math.isclose(told["temperature"], expected)
    codes = np.array([[-1 if v is None else CLASSES.index(v) for v in row] for row in names])
    used = model ** (1 / expected)
    labels, sure = crowdlab_plainly(codes, used / used.sum(axis=1, keepdims=True))
    assert columns["consensus_label"].to_pylist() == [CLASSES[k] for k in labels]
    assert np.allclose(columns["consensus_confidence"].to_numpy(), sure, atol=1e-6)


def test_the_surer_a_model_is_the_warmer_it_gets(engine, tmp_path):
    found = [
        calibrating().prepare(
            table_of(*modelled(sharpness, 2000), tmp_path / f"{sharpness}"), engine, f"{tmp_path}/w"
        )["temperature"]
        for sharpness in (0.5, 1, 2, 4)
    ]
    assert found == sorted(set(found))
    assert found[3] / found[0] > 5


def test_the_same_calibration_however_the_table_is_cut(engine, tmp_path):
    names, model = modelled(1.7, 200)
    found = []
    for files in (1, 4, 9):
        table = table_of(names, model, tmp_path / f"{files}", files)
        columns, told = scored(table, calibrating(), engine, tmp_path / f"w{files}")
        found.append((columns, codec.encode(sorted(told.items()))))
    assert all(one == found[0] for one in found)


def test_what_is_told_is_of_the_calibrated_model(engine, tmp_path):
    names, model = modelled(3.0, 150)
    table = table_of(names, model, tmp_path / "t")
    columns, told = scored(table, calibrating(), engine, tmp_path / "w")
    found = describe(table, calibrating(), told, engine=engine, work=str(tmp_path / "w"))
    labels = columns["consensus_label"].to_pylist()
    assert found.consensus == tuple(labels.count(name) for name in CLASSES)
    first = found.disputed[0]
    sure = columns["consensus_confidence"][first.item].as_py()
    assert math.isclose(first.confidence, sure, abs_tol=1e-6)
    assert found.to_dict()["temperature"] == told["temperature"] > 1
    assert found.parameters["calibrate"] is True


def test_calibration_where_there_is_little_to_go_by(engine, tmp_path):
    """Rows without an answer or without probabilities say nothing; certain ones are no infinity."""
    kind = pa.list_(pa.float64())
    rows = {
        "ann": ["cat", "dog", "dog", None], "bob": ["cat", "cat", "cat", None],
        "p": pa.array([[1.0, 0.0], [0.0, 1.0], None, [0.5, 0.5]], kind),
    }  # fmt: skip
    probabilities = Probabilities(("p",), ("cat", "dog"))
    scorer = Consensus(("ann", "bob"), "crowdlab", probabilities=probabilities, calibrate=True)
    columns, told = scored(write(pa.table(rows), tmp_path / "t"), scorer, engine, tmp_path / "w")
    assert told["temperature"] == 0.1
    assert np.isfinite(columns["consensus_confidence"].to_numpy()[:3]).all()
    nothing = write(pa.table({**rows, "p": pa.nulls(4, kind)}), tmp_path / "n")
    assert scorer.prepare(nothing, engine, f"{tmp_path}/v")["temperature"] == 1
