"""The iterative methods against the same algorithms written plainly, and crowd-kit's numbers."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iteration_trials import answers_of, fit, planted
from scipy.special import digamma as scipy_digamma

from dsm_dask import codec
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.scores.annotators.answer_files import AnswerFiles, Listed, joined
from dsm_dask.scores.annotators.dawid_skene import DawidSkene
from dsm_dask.scores.annotators.expectation import fitted
from dsm_dask.scores.annotators.glad import Glad
from dsm_dask.scores.annotators.mace import Mace, digamma

QUICK = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
LEAST = 1e-10
METHODS = [DawidSkene(), Mace(), Glad()]

# Six annotators, twelve items; 0 is no answer; and what crowd-kit 1.4.2 says of the
# first eight of them: DawidSkene(n_iter=2, tol=-1).fit_predict_proba
SMALL = np.array(
    [
        [1, 1, 2, 0, 1, 3], [2, 2, 2, 1, 0, 2], [3, 0, 3, 3, 1, 3], [1, 1, 0, 1, 2, 1],
        [2, 3, 2, 0, 2, 1], [3, 3, 3, 2, 3, 0], [1, 2, 1, 1, 0, 3], [2, 2, 0, 2, 2, 2],
        [0, 3, 1, 3, 3, 1], [1, 1, 1, 0, 3, 2], [3, 2, 3, 3, 0, 1], [2, 0, 2, 1, 2, 3],
    ]
)  # fmt: skip


CROWD_KIT = np.array(
    [
        [0.999862533, 0.000107935, 0.000029532], [0.004557929, 0.995442057, 0.000000013],
        [0.000010189, 0.000000001, 0.999989811], [0.994765744, 0.005233761, 0.000000495],
        [0.001231855, 0.998758165, 0.000009980], [0.000000000, 0.000000099, 0.999999901],
        [0.997062222, 0.002841462, 0.000096316], [0.000000000, 0.999999449, 0.000000551],
    ]
)  # fmt: skip


def dawid_skene_plainly(labels, iterations, tolerance):
    """As the paper has it, with the choices of crowd-kit: item by item, in dictionaries."""
    items = [{a: v - 1 for a, v in enumerate(row) if v} for row in labels]
    items = [row for row in items if row]
    classes, number = int(labels.max()), sum(map(len, items))
    posterior = [
        [sum(v == k for v in row.values()) / len(row) for k in range(classes)] for row in items
    ]

    def maximise():
        prior = [sum(p[k] for p in posterior) / len(items) for k in range(classes)]
        counts = {}
        for row, p in zip(items, posterior, strict=True):
            for a, v in row.items():
                old = counts.get((a, v), [0.0] * classes)
                counts[a, v] = [x + y for x, y in zip(old, p, strict=True)]
        counts = {key: [max(x, LEAST) for x in value] for key, value in counts.items()}
        totals = {}
        for (a, _), value in counts.items():
            old = totals.get(a, [0.0] * classes)
            totals[a] = [x + y for x, y in zip(old, value, strict=True)]
        errors = {
            (a, v): [x / t for x, t in zip(value, totals[a], strict=True)]
            for (a, v), value in counts.items()
        }
        return [max(p, LEAST) for p in prior], errors

    before = -math.inf
    prior, errors = maximise()
    iteration = 0
    while iteration < iterations:
        iteration += 1
        posterior = []
        for row in items:
            logs = [
                math.log(prior[k]) + sum(math.log(errors[a, v][k]) for a, v in row.items())
                for k in range(classes)
            ]
            weights = [math.exp(x - max(logs)) for x in logs]
            posterior.append([w / sum(weights) for w in weights])
        prior, errors = maximise()
        bound = sum(
            p[k] * (math.log(errors[a, v][k]) + math.log(prior[k]))
            for row, p in zip(items, posterior, strict=True)
            for a, v in row.items()
            for k in range(classes)
        ) - sum(max(x, LEAST) * math.log(max(x, LEAST)) for p in posterior for x in p)
        if bound / number - before < tolerance:
            break
        before = bound / number
    return np.array(posterior), iteration


@pytest.mark.parametrize("seed", range(3))
def test_dawid_skene_is_the_algorithm_of_the_paper(seed, tmp_path):
    labels, truth = planted(300, 6, 4, seed)
    expected, iterations = dawid_skene_plainly(labels, 100, 1e-5)
    found = fit(labels, DawidSkene(), tmp_path)
    told = found.model.posteriors(answers_of(labels))
    answered = labels.any(axis=1)
    assert found.iterations == iterations
    assert np.abs(told[answered] - expected).max() < 1e-9
    assert np.isnan(told[~answered]).all()
    votes = np.array([(labels == k).sum(axis=1) for k in range(1, 5)]).argmax(axis=0) + 1
    right = [(guess[answered] == truth[answered]).mean() for guess in (told.argmax(1) + 1, votes)]
    assert right[0] >= right[1] - 0.01


@QUICK
@given(
    rows=st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=20).filter(
        lambda rows: any(map(any, rows))
    ),
    iterations=st.integers(1, 8),
)
def test_dawid_skene_of_any_answers(rows, iterations, tmp_path_factory):
    labels = np.array(rows)
    folder = tmp_path_factory.mktemp("answers")
    expected, _ = dawid_skene_plainly(labels, iterations, -math.inf)
    method = DawidSkene(iterations, 0.0)
    found = fit(labels, method, folder)
    if found.iterations < iterations:  # settled before
        expected, _ = dawid_skene_plainly(labels, found.iterations, -math.inf)
    told = found.model.posteriors(answers_of(labels))[labels.any(axis=1)]
    assert np.abs(told - expected).max() < 1e-6


def test_posteriors_are_those_of_crowd_kit(tmp_path):
    told = fit(SMALL, DawidSkene(2, 0.0), tmp_path).model.posteriors(answers_of(SMALL))
    assert np.abs(told[:8] - CROWD_KIT).max() < 1e-8


def test_confusions_and_quality_are_those_planted(tmp_path):
    random = np.random.default_rng(5)
    truth = random.integers(1, 4, 4000)
    labels = np.stack([truth] * 3, axis=1)
    swapped = random.random(4000) < 0.3
    labels[swapped & (truth == 1), 0] = 2  # the first takes ones for twos
    labels[random.random(4000) < 0.2, 1] = 3
    found = fit(labels, DawidSkene(), tmp_path).model
    assert abs(found.confusion[0, 1, 0] - 0.3) < 0.03
    assert found.confusion[0, 2, 0] < 0.01
    assert np.allclose(found.confusion.sum(axis=1), 1)
    assert np.argsort(found.quality()).tolist() == [1, 0, 2]


def mace_plainly(labels, iterations):
    """Answer by answer, from shares of votes; variational Bayes with the priors of the paper."""
    items = [{a: v - 1 for a, v in enumerate(row) if v} for row in labels]
    classes, number = int(labels.max()), labels.shape[1]
    posterior = [
        [sum(v == k for v in row.values()) / max(len(row), 1) for k in range(classes)]
        for row in items
    ]
    knows = np.ones((number, classes))
    for _ in range(iterations + 1):
        knowing, spamming = np.zeros(number), np.zeros((number, classes))
        for row, p in zip(items, posterior, strict=True):
            for a, v in row.items():
                knowing[a] += p[v] * knows[a, v]
                spamming[a, v] += 1 - p[v] * knows[a, v]
        used = (knowing, spamming)
        every = scipy_digamma(knowing + spamming.sum(1) + 1.0)
        theta = np.exp(scipy_digamma(knowing + 0.5) - every)
        spam = np.exp(scipy_digamma(spamming.sum(1) + 0.5) - every)
        habit = np.exp(
            scipy_digamma(spamming + 10.0) - scipy_digamma((spamming + 10.0).sum(1))[:, None]
        )
        knows = theta[:, None] / (theta[:, None] + spam[:, None] * habit)
        posterior = []
        for row in items:
            weights = np.ones(classes)
            for a, v in row.items():
                weights *= [spam[a] * habit[a, v] + theta[a] * (k == v) for k in range(classes)]
            posterior.append((weights / weights.sum()).tolist())
    return np.array(posterior), used


@pytest.mark.parametrize("iterations", [1, 4])
def test_mace_is_the_algorithm_of_the_paper(iterations, tmp_path):
    labels, _ = planted(200, 5, 3, 2)
    labels = labels[labels.any(axis=1)]
    expected, (knowing, spamming) = mace_plainly(labels, iterations - 1)
    found = fit(labels, Mace(iterations, 0.0), tmp_path)
    assert found.iterations == iterations
    assert np.allclose(found.model.posteriors(answers_of(labels)), expected, atol=1e-9)
    assert np.allclose(found.model.knowing, knowing, atol=1e-7)
    assert np.allclose(found.model.spamming, spamming, atol=1e-7)


def test_mace_tells_who_spams(tmp_path):
    labels, truth = planted(500, 5, 3, 4, missing=0.2)
    labels[:, 0] = np.where(labels[:, 0] > 0, 2, 0)  # always says the same
    found = fit(labels, Mace(), tmp_path)
    quality = found.model.quality()
    assert found.converged
    assert quality.argmin() == 0
    assert quality[0] < 0.15
    assert quality[4] > 0.85
    told = found.model.posteriors(answers_of(labels)).argmax(axis=1) + 1
    assert (told == truth).mean() > 0.9


def test_digamma_is_that_of_scipy():
    x = np.concatenate([np.linspace(1e-3, 12, 500), [100.0, 1e6, 1e12]])
    assert np.allclose(digamma(x), scipy_digamma(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS, ids=lambda one: type(one).__name__)
def test_the_same_bits_however_answers_are_cut(method, tmp_path):
    labels, _ = planted(400, 6, 4, 7)
    found = {
        codec.encode(fit(labels, method, tmp_path, pieces=pieces, in_one_task=most).model)
        for pieces in (1, 3, 16)
        for most in (0, 10**6)
    }
    assert len(found) == 1


def test_answers_are_joined_as_they_were_cut():
    labels, _ = planted(50, 4, 3)
    whole = answers_of(labels)
    parts = [answers_of(labels[:20]), answers_of(labels[20:21]), answers_of(labels[21:])]
    again = joined(parts)
    assert [again.starts.tolist(), again.annotators.tolist(), again.labels.tolist()] == [
        whole.starts.tolist(), whole.annotators.tolist(), whole.labels.tolist()
    ]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=lambda one: type(one).__name__)
def test_one_annotator_is_believed(method, tmp_path):
    labels = np.array([[1], [2], [2], [3]])
    told = fit(labels, method, tmp_path).model.posteriors(answers_of(labels))
    assert (told.argmax(axis=1) + 1).tolist() == [1, 2, 2, 3]


def test_an_annotator_without_an_answer_is_unknown(tmp_path):
    labels = np.array([[1, 1, 0], [2, 2, 0], [2, 1, 0]])
    found = fit(labels, DawidSkene(), tmp_path).model
    assert np.isnan(found.quality()).tolist() == [False, False, True]
    assert np.isfinite(found.posteriors(answers_of(labels))).all()


def test_answers_never_seen_before_are_no_certainty(tmp_path):
    """A model may be applied to later rows, where an annotator gives a label for the first time."""
    labels, _ = planted(100, 3, 2)
    labels[labels[:, 0] == 2, 0] = 0
    found = fit(labels, DawidSkene(), tmp_path).model
    told = found.posteriors(answers_of(np.array([[2, 2, 2], [2, 0, 0]])))
    assert np.isfinite(told).all()
    assert np.allclose(told.sum(axis=1), 1)


def test_too_many_numbers_are_refused(tmp_path):
    files = AnswerFiles(str(tmp_path), ())
    with Engine(workers=0) as engine, pytest.raises(UsageError, match="too many"):
        fitted(files, DawidSkene(), Listed(10_000, 100), engine)


@pytest.mark.parametrize("kind", [DawidSkene, Mace, Glad])
def test_settings_that_make_no_sense(kind):
    for wrong in (
        {"iterations": 0},
        {"tolerance": -1.0},
        {"tolerance": math.nan},
        {"tolerance": math.inf},
    ):
        with pytest.raises(UsageError):
            dataclasses.replace(kind(), **wrong)
