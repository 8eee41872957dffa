"""Annotators and a model: CROWDLAB against the paper, and its calibration."""

import numpy as np
import pyarrow as pa
import pytest
from annotator_trials import CLASSES, THREE, planted, scored, wide, write

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
