"""Agreement of annotators: laws of the Folds, and numbers against plain formulas, published
examples and scikit-learn."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from dsm_dask import codec
from dsm_dask.fold import merge_all, run, update_all
from dsm_dask.scores.annotators import krippendorff
from dsm_dask.scores.annotators.agreement import Agreement
from dsm_dask.scores.annotators.answer_files import Listed, as_batch
from dsm_dask.scores.annotators.answers import Wide
from dsm_dask.scores.annotators.bootstrap import drawn, estimate, groups_for
from dsm_dask.scores.annotators.calibration import LearnTemperature
from dsm_dask.scores.annotators.cohen import CohenKappa, fits
from dsm_dask.scores.annotators.company import Company
from dsm_dask.scores.annotators.consensus_counts import CountConsensus
from dsm_dask.scores.annotators.crowdlab import LearnWeights
from dsm_dask.scores.annotators.dawid_skene import DawidSkene
from dsm_dask.scores.annotators.expectation import Expected
from dsm_dask.scores.annotators.glad import Glad
from dsm_dask.scores.annotators.krippendorff import alpha
from dsm_dask.scores.annotators.mace import Mace
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.table import ROW_ID
from dsm_dask.testing.folds import check_laws

QUICK = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))

# Krippendorff, "Computing Krippendorff's alpha-reliability", 2011: four observers, twelve units
FOUR = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
).T

# Fleiss, "Measuring nominal scale agreement among many raters", 1971, in the small form that
# textbooks print: ten subjects, fourteen raters, five categories
FOURTEEN = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


def batch_of(labels, first=0):
    """A column for each annotator; zero is no answer."""
    columns = {
        f"a{j}": pa.array(column, pa.int64(), mask=column == 0)
        for j, column in enumerate(np.asarray(labels).T)
    }
    ids = pa.array(range(first, first + len(labels)), pa.uint64())
    return pa.record_batch({**columns, ROW_ID: ids})


def wide(labels, classes=None):
    found = classes or sorted(set(np.asarray(labels).ravel().tolist()) - {0})
    return Wide(tuple(f"a{j}" for j in range(np.asarray(labels).shape[1])), tuple(found))


def agreement(labels, **options):
    source = wide(labels)
    values = tuple(float(one) for one in source.classes)
    return run(Agreement(source, values, **options), [batch_of(labels)])


@st.composite
def cuts(draw):
    """Batches of one table of answers of three annotators to items, some without."""
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
    batches, first = [], 0
    for size in sizes:
        rows = draw(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=size, max_size=size))
        found = batch_of(np.array(rows, np.int64).reshape(-1, 3), first)
        share = draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))
        model = [[s / 10, 0.1, 0.9 - s / 10] for s in share]
        found = found.append_column("p", pa.array(model, pa.list_(pa.float64())))
        batches.append(found)
        first += size
    return batches


SOURCE = Wide(("a0", "a1", "a2"), (1, 2, 3))
FOLDS = [
    Agreement(SOURCE, (1.0, 2.0, 3.0)),
    CohenKappa(SOURCE),
    CohenKappa(SOURCE, "quadratic"),
    Company(SOURCE),
    CountConsensus(SOURCE),
    Expected(DawidSkene(), SOURCE, 40),
    Expected(Mace(), SOURCE, 40),
    Expected(Glad(), SOURCE, 40),
]
MODEL = Probabilities(("p",), (1, 2, 3))


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: type(fold).__name__)
@settings(QUICK, max_examples=5)
@given(cut=cuts())
def test_laws(fold, cut):
    check_laws(_Plain(fold), cut)


class _Plain:
    """A Fold with results that compare: as the bytes of the codec."""

    def __init__(self, fold):
        self.fold = fold

    def __getattr__(self, name):
        return getattr(self.fold, name)

    def finish(self, state):
        return codec.encode(self.fold.finish(state))


@pytest.mark.parametrize("kind", [LearnWeights, LearnTemperature])
@QUICK
@given(cut=cuts())
def test_laws_with_a_model(kind, cut):
    fold = kind(SOURCE, MODEL)
    states = [update_all(fold, [one]) for one in cut]
    whole = update_all(fold, cut)
    assert codec.encode(merge_all(fold, states)) == codec.encode(whole)
    assert codec.encode(fold.merge(fold.init(), whole)) == codec.encode(whole)
    again = codec.decode(codec.encode(whole))
    assert codec.encode(fold.update(again, cut[0])) == codec.encode(fold.update(whole, cut[0]))


@pytest.mark.parametrize("fold", FOLDS, ids=lambda fold: type(fold).__name__)
def test_states_do_not_grow(fold):
    random = np.random.default_rng(0)
    few, many = (batch_of(random.integers(0, 4, (rows, 3))) for rows in (100, 50_000))
    sizes = [len(codec.encode(update_all(fold, [batch]))) for batch in (few, many)]
    assert sizes[1] <= 1.01 * sizes[0] < 64 * 1024


@QUICK
@given(cut=cuts())
def test_lists_of_answers_say_the_same(cut):
    listed = [as_batch(SOURCE.read(batch))[1:] for batch in cut]
    rest = [batch[1:] for batch in cut]
    for fold in (Agreement(SOURCE), CohenKappa(SOURCE)):
        assert run(fold, rest) == run(type(fold)(Listed(3, 3)), listed)


# ---------------------------------------------------------------------------------------------
# Krippendorff


def test_the_example_of_krippendorff():
    found = agreement(FOUR)
    assert round(found.alpha_nominal.value, 3) == 0.743
    assert round(found.alpha_ordinal.value, 3) == 0.815
    assert round(found.alpha_interval.value, 3) == 0.849
    assert (found.items, found.shared, found.answers) == (12, 11, 41)


def alpha_of_pairs(labels, level):
    """Straight from the definition: pairs within items against pairs of all answers."""
    items = [[v for v in row if v] for row in labels]
    items = [row for row in items if len(row) > 1]
    answers = [v for row in items for v in row]
    count = {v: answers.count(v) for v in set(answers)}

    def squared(c, k):
        if level == "nominal":
            return int(c != k)
        if level == "interval":
            return (c - k) ** 2
        between = sum(n for v, n in count.items() if min(c, k) <= v <= max(c, k))
        return (between - Fraction(count[c] + count[k], 2)) ** 2

    within = sum(
        Fraction(sum(squared(a, b) for a, b in itertools.permutations(row, 2)), len(row) - 1)
        for row in items
    )
    anywhere = sum(squared(a, b) for a, b in itertools.permutations(answers, 2))
    if not anywhere:
        return None
    return float(1 - within / len(answers) * Fraction(len(answers) * (len(answers) - 1), anywhere))


@QUICK
@given(rows=st.lists(st.tuples(*[st.sampled_from([0, 1, 2, 5])] * 4), min_size=1, max_size=15))
def test_alpha_is_its_definition(rows):
    labels = np.array(rows)
    if not labels.any():
        return
    found = agreement(labels)
    for level in ("nominal", "ordinal", "interval"):
        told, expected = getattr(found, f"alpha_{level}").value, alpha_of_pairs(rows, level)
        assert told is None if expected is None else math.isclose(told, expected, abs_tol=1e-9)


def test_texts_of_numbers_are_in_the_order_of_the_numbers():
    random = np.random.default_rng(5)
    ann = random.integers(1, 13, 60)
    bob = np.clip(ann + random.integers(-1, 2, 60), 1, 12)
    told = []
    for kind in (pa.int64(), pa.string()):
        columns = {name: pa.array(own).cast(kind) for name, own in (("a", ann), ("b", bob))}
        classes = tuple(sorted({one for c in columns.values() for one in c.to_pylist()}))
        source = Wide(("a", "b"), classes)  # texts by code point: "10" stands before "2"
        values = krippendorff.numbers_of(classes)
        told.append(run(Agreement(source, values), [pa.record_batch(columns)]))
    for level in ("nominal", "ordinal", "interval"):
        one, other = (getattr(found, f"alpha_{level}").value for found in told)
        assert math.isclose(one, other)


def test_texts_have_no_order_unless_it_is_given():
    batch = pa.record_batch({"a": ["low", "high", "mid"], "b": ["low", "mid", "mid"]})
    source = Wide(("a", "b"), ("low", "mid", "high"))
    plain, ordered = run(Agreement(source), [batch]), run(Agreement(source, ordered=True), [batch])
    assert plain.alpha_ordinal is None
    assert plain.alpha_interval is None
    coincidences = np.array([[2, 0, 0], [0, 2, 1], [0, 1, 0]])
    assert math.isclose(ordered.alpha_ordinal.value, float(alpha(coincidences, "ordinal")))


# ---------------------------------------------------------------------------------------------
# Fleiss, percent


def expanded(counts):
    rows = [[c + 1 for c, times in enumerate(row) for _ in range(times)] for row in counts]
    return np.array(rows)


def test_the_example_of_fleiss():
    found = agreement(expanded(FOURTEEN))
    assert round(found.percent.value, 3) == 0.378
    assert round(found.fleiss.value, 3) == 0.210


def test_fleiss_of_items_with_different_numbers_of_answers():
    # irrCAC, which follows Gwet's handbook, gives 0.76117 and 0.81818 for this
    found = agreement(FOUR)
    assert round(found.fleiss.value, 5) == 0.76117
    assert round(found.percent.value, 5) == 0.81818


@QUICK
@given(rows=st.lists(st.tuples(*[st.integers(0, 3)] * 5), min_size=1, max_size=15))
def test_fleiss_is_its_formula(rows):
    items = [[v for v in row if v] for row in rows]
    items = [row for row in items if row]
    if not items:
        return
    shared = [row for row in items if len(row) > 1]
    found = agreement(np.array(rows))
    if not shared:
        assert found.percent.value is found.fleiss.value is None
        return
    same = [
        Fraction(sum(a == b for a, b in itertools.permutations(row, 2)), len(row) * (len(row) - 1))
        for row in shared
    ]
    percent = sum(same) / len(shared)
    chance = sum(
        (sum(Fraction(row.count(k), len(row)) for row in items) / len(items)) ** 2
        for k in (1, 2, 3)
    )
    assert math.isclose(found.percent.value, percent, abs_tol=1e-9)
    if chance == 1:
        assert found.fleiss.value is None
    else:
        expected = float((percent - chance) / (1 - chance))
        assert math.isclose(found.fleiss.value, expected, abs_tol=1e-8)


# ---------------------------------------------------------------------------------------------
# Cohen


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
def test_kappa_is_that_of_scikit_learn(weights):
    random = np.random.default_rng(3)
    labels = random.integers(0, 5, (300, 4))
    labels[:, 1] = np.where(random.random(300) < 0.7, labels[:, 0], labels[:, 1])
    found = run(CohenKappa(wide(labels), weights), [batch_of(labels)])
    told = []
    for pair in found.pairs:
        both = labels[:, [pair.left, pair.right]]
        both = both[(both > 0).all(axis=1)]
        expected = cohen_kappa_score(
            *both.T, labels=[1, 2, 3, 4], weights=None if weights == "none" else weights
        )
        told.append(expected)
        assert pair.items == len(both)
        assert math.isclose(pair.kappa.value, expected, abs_tol=1e-12)
        assert pair.kappa.low < expected < pair.kappa.high
    assert len(found.pairs) == 6
    assert math.isclose(found.mean.value, np.mean(told), abs_tol=1e-12)


def test_kappa_of_pairs_without_items_or_without_variety():
    labels = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 2]])
    found = run(CohenKappa(wide(labels)), [batch_of(labels)])
    assert [(p.left, p.right, p.items) for p in found.pairs] == [(0, 1, 2)]
    assert found.pairs[0].kappa.value is None
    assert found.mean.value is None


def test_pairs_are_compared_when_they_are_few():
    assert fits(Listed(50, 10))
    assert not fits(Listed(51, 10))
    assert not fits(Listed(40, 50))


# ---------------------------------------------------------------------------------------------
# Intervals


def test_intervals_are_those_of_a_bootstrap_of_items():
    random = np.random.default_rng(11)
    truth = random.integers(1, 4, 2000)
    labels = np.where(
        random.random((2000, 3)) < 0.7, truth[:, None], random.integers(1, 4, (2000, 3))
    )
    found = agreement(labels)
    same = (labels[:, [0, 0, 1]] == labels[:, [1, 2, 2]]).mean(axis=1)
    drawn_items = random.integers(0, 2000, (1000, 2000))
    low, high = np.quantile(same[drawn_items].mean(axis=1), [0.025, 0.975])
    width = found.percent.high - found.percent.low
    assert math.isclose(found.percent.value, same.mean(), abs_tol=1e-9)
    assert 0.75 < width / (high - low) < 1.33


def test_intervals_are_the_same_every_time_and_for_every_cut():
    random = np.random.default_rng(1)
    labels = random.integers(0, 4, (500, 3))
    whole, fold = batch_of(labels), Agreement(wide(labels))
    parts = [update_all(fold, [whole[i : i + 37]]) for i in range(0, 500, 37)]
    assert fold.finish(merge_all(fold, parts)) == run(fold, [whole])


def test_one_item_has_no_interval():
    found = agreement(np.array([[1, 1, 2]]))
    assert math.isclose(found.percent.value, 1 / 3)
    assert found.percent.low is None


def test_draws_take_only_groups_with_items():
    weights = drawn(np.array([3, 0, 2]))
    assert weights[0].tolist() == [1, 1, 1]
    assert (weights[1:, 1] == 0).all()
    assert (weights[1:].sum(axis=1) == 2).all()
    nothing = estimate(weights, lambda w: np.full(len(w), np.nan))
    assert nothing.value is None


def test_many_classes_have_no_groups():
    assert groups_for(500 * 500) == 1
    labels = np.arange(1, 601).reshape(-1, 2)
    found = agreement(np.concatenate([labels, labels[:, [0, 0]]]))
    assert found.alpha_nominal.low is None
    assert math.isclose(found.percent.value, 0.5)


def test_all_agree():
    one, two = agreement(np.full((5, 3), 2)), agreement(np.array([[1, 1], [2, 2]]))
    assert one.percent.value == 1
    assert one.fleiss.value is one.alpha_nominal.value is None
    assert two.fleiss.value == two.alpha_nominal.value == 1


def test_one_annotator_tells_nothing():
    found = agreement(np.array([[1], [2], [1]]))
    assert found.percent.value is found.alpha_nominal.value is None
    assert (found.items, found.shared, found.unanswered) == (3, 0, 0)
    assert run(CohenKappa(wide(np.array([[1], [2]]))), [batch_of([[1], [2]])]).pairs == ()
