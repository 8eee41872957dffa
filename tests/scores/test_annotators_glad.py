"""GLAD against its likelihood maximised by SciPy, and crowd-kit's numbers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iteration_trials import answers_of, fit, planted
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp

from dsm_dask.scores.annotators.glad import Abilities, Glad

QUICK = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
TO_THE_END = Glad(5000, 0.0)

# Eight items, five annotators, 0 is no answer; and what crowd-kit 1.4.2 says of them:
# GLAD(n_iter=60, tol=-1, m_step_max_iter=20, m_step_tol=1e-9)
SMALL = np.array(
    [
        [1, 1, 2, 0, 1], [2, 2, 2, 1, 0], [3, 0, 3, 3, 1], [1, 1, 0, 1, 2],
        [2, 3, 2, 2, 2], [3, 3, 3, 2, 3], [1, 2, 1, 1, 0], [2, 2, 0, 2, 3],
    ]
)  # fmt: skip
POSTERIORS = np.array(
    [
        [0.8826055, 0.1029411, 0.0144535], [0.0010202, 0.9987964, 0.0001834],
        [0.0000002, 0.0000002, 0.9999997], [0.9999990, 0.0000004, 0.0000006],
        [0.0001975, 0.9988542, 0.0009483], [0.0002546, 0.0012827, 0.9984627],
        [0.9991698, 0.0006984, 0.0001317], [0.0000006, 0.9999990, 0.0000004],
    ]
)  # fmt: skip
ABILITY = [1.4100435, 0.4088695, 1.0193969, 0.4450894, -0.1875715]
EASE = [
    0.2198653, 0.8321624, 1.5388509, 1.6900342, 0.7618629, 0.7301960, 0.8690208, 1.6900342
]  # fmt: skip


def likelihoods(labels, ability, ease):
    """log P(answers, class) of each item, of shape (items, classes): as the paper has it, over a
    matrix; 0 is no answer."""
    classes = int(labels.max())
    x = ability * np.exp(ease)[:, None]
    others = -np.log(max(classes - 1, 1))
    found = [
        np.where(labels == 0, 0, np.where(labels == k, log_expit(x), log_expit(-x) + others))
        for k in range(1, classes + 1)
    ]
    return np.stack([one.sum(axis=1) for one in found], axis=1) - np.log(classes)


def objective(labels, ability, ease):
    prior = ((ability - 1) ** 2).sum() + ((ease - 1) ** 2).sum()
    return logsumexp(likelihoods(labels, ability, ease), axis=1).sum() - prior / 2


def glad_by_scipy(labels):
    people = labels.shape[1]

    def cost(x):
        return -objective(labels, x[:people], x[people:])

    found = minimize(cost, np.ones(people + len(labels)), method="BFGS", options={"gtol": 1e-7})
    ability, ease = found.x[:people], found.x[people:]
    logs = likelihoods(labels, ability, ease)
    return np.exp(logs - logsumexp(logs, axis=1, keepdims=True)), ability, ease


@pytest.mark.parametrize("classes", [2, 4])
def test_glad_is_the_likeliest_model(classes, tmp_path):
    labels, _ = planted(25, 5, classes, classes, missing=0.2)
    labels = labels[labels.any(axis=1)]
    expected, ability, ease = glad_by_scipy(labels)
    model = fit(labels, TO_THE_END, tmp_path).model
    told, easier, _ = model.explained(answers_of(labels), 1.0)
    assert np.allclose(model.ability, ability, atol=1e-4)
    assert np.allclose(easier, ease, atol=1e-4)
    assert np.allclose(told, expected, atol=1e-4)


def test_glad_is_that_of_crowd_kit_run_to_the_end(tmp_path):
    model = fit(SMALL, TO_THE_END, tmp_path).model
    told, ease, _ = model.explained(answers_of(SMALL), 1.0)
    assert np.allclose(told, POSTERIORS, atol=1e-6)
    assert np.allclose(model.ability, ABILITY, atol=1e-6)
    assert np.allclose(ease, EASE, atol=1e-6)


@QUICK
@given(
    rows=st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=20).filter(
        lambda rows: any(map(any, rows))
    )
)
def test_each_iteration_is_likelier(rows, tmp_path_factory):
    labels = np.array(rows)
    folder = tmp_path_factory.mktemp("answers")
    before = -np.inf
    for iterations in range(1, 9):
        found = fit(labels, Glad(iterations, 0.0), folder)
        told, ease, _ = found.model.explained(answers_of(labels), 1.0)
        answered = labels.any(axis=1)
        whole = objective(labels[answered], found.model.ability, ease[answered])
        assert np.isclose(found.objective * (labels > 0).sum(), whole, atol=1e-8)
        assert whole >= before - 1e-8
        assert np.isnan(told[~answered]).all()
        assert np.allclose(told[answered].sum(axis=1), 1)
        before = whole


@pytest.mark.parametrize("abilities", [[1.0, 2.0, 0.5], [-1.0, 3.0, 0.0], [40.0, 40.0, -40.0]])
def test_the_ease_of_an_item_is_the_likeliest(abilities):
    labels = np.array([[1, 1, 1], [1, 2, 3], [1, 1, 2], [3, 0, 0], [0, 2, 3]])
    _, ease, _ = Abilities(np.array(abilities), 3).explained(answers_of(labels), 1.0)
    assert (np.abs(ease - 1) <= 6).all()
    for step in (-1e-3, 1e-3):
        for item in range(len(labels)):
            one = labels[[item]]
            one = np.where(one > 0, one, 0)
            logs = [
                logsumexp(_of_three(one, np.array(abilities), at)) - (at - 1) ** 2 / 2
                for at in (ease[item], ease[item] + step)
            ]
            assert logs[1] <= logs[0] + 1e-12


def _of_three(labels, ability, ease):
    """:func:`likelihoods` of one item among three classes."""
    padded = np.concatenate([labels, np.full_like(labels, 3)])
    return likelihoods(padded, ability, np.array([ease, 1.0]))[0]


def test_hard_items_and_bad_annotators_are_known(tmp_path):
    random = np.random.default_rng(3)
    truth = random.integers(1, 4, 600)
    hard = np.arange(600) < 200
    labels = np.empty((600, 8), np.int64)
    for j, skill in enumerate([0.34, 0.05, 0.7, 0.8, 0.85, 0.9, 0.9, 0.95]):
        right = random.random(600) < np.where(hard, (skill + 1 / 3) / 2, skill)
        labels[:, j] = np.where(right, truth, (truth + random.integers(0, 2, 600)) % 3 + 1)
    found = fit(labels, Glad(), tmp_path)
    told, ease, _ = found.model.explained(answers_of(labels), 1.0)
    assert found.converged
    assert ease[hard].mean() < ease[~hard].mean() - 0.3
    assert found.model.quality().argsort()[:2].tolist() == [1, 0]
    assert found.model.ability[1] < 0 < found.model.ability[2]
    votes = np.stack([(labels == k).sum(axis=1) for k in (1, 2, 3)], axis=1).argmax(axis=1) + 1
    assert (told.argmax(axis=1) + 1 == truth).mean() > (votes == truth).mean()


def test_the_quality_is_that_of_answers_to_items_of_the_prior(tmp_path):
    labels, _ = planted(50, 3, 2)
    model = fit(labels, Glad(), tmp_path).model
    assert np.allclose(model.quality(), expit(model.ability * np.e))


def test_one_class_is_certain(tmp_path):
    labels = np.array([[1, 1], [1, 0], [0, 0]])
    told = fit(labels, Glad(), tmp_path).model.posteriors(answers_of(labels))
    assert told[:2].tolist() == [[1.0], [1.0]]
    assert np.isnan(told[2]).all()
