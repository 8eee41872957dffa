"""Uncertainty: the formulas of the literature, in NumPy and SciPy, and what follows from them."""

import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsm_dask.errors import BadRows, SchemaError, UsageError
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.scores.uncertainty.classes import MEASURES, Uncertainty
from dsm_dask.scores.uncertainty.ensembles import EnsembleUncertainty
from dsm_dask.scores.uncertainty.multilabel import MultilabelUncertainty
from dsm_dask.scores.uncertainty.regression import RegressionUncertainty
from dsm_dask.scores.uncertainty.tokens import AGGREGATES, TokenUncertainty

TOLERANCE = 3e-7
"""Scores are float32."""


FEW, SEVERAL = st.integers(1, 8), st.integers(2, 12)


@st.composite
def distributions(draw, rows=FEW, classes=SEVERAL):
    """float64 of shape (rows, classes): even, sure, or anything between."""
    shape = (draw(rows), draw(classes))
    weights = draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1).map(lambda w: w**8)))
    weights[np.arange(shape[0]), draw(hnp.arrays(np.int64, shape[0])) % shape[1]] += 0.01
    return weights / weights.sum(axis=1, keepdims=True)


def source(size, **options):
    return Probabilities(("p",), tuple(f"c{i}" for i in range(size)), **options)


def lists(values):
    return pa.record_batch({"p": list(values.tolist())})


def uncertainty(values, **options):
    found = Uncertainty(source(values.shape[1], **options)).apply(lists(values), {})
    return {
        name: np.array(found[f"uncertainty_{name}"].to_pylist(), np.float64) for name in MEASURES
    }


def entropy(values):
    return scipy.special.entr(values).sum(axis=-1) / math.log(values.shape[-1])


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


@given(distributions())
def test_measures_are_their_formulas(values):
    found = uncertainty(values)
    ranked = np.sort(values, axis=1)[:, ::-1]
    close(found["least_confidence"], 1 - ranked[:, 0])
    close(found["margin"], 1 - (ranked[:, 0] - ranked[:, 1]))
    close(found["ratio"], ranked[:, 1] / ranked[:, 0])
    close(found["entropy"], entropy(values))


@pytest.mark.parametrize("size", [2, 3, 10, 1000, 5000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_measures_of_many_classes(size, dtype):
    values = np.random.default_rng(size).dirichlet(np.full(size, 0.3), 50).astype(dtype)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), size)
    found = Uncertainty(source(size)).apply(pa.record_batch({"p": column}), {})
    wide = values.astype(np.float64)
    close(found["uncertainty_entropy"].to_numpy(), entropy(wide))
    close(found["predicted_probability"].to_numpy(), wide.max(axis=1))
    assert found["predicted_label"].to_pylist() == [f"c{i}" for i in values.argmax(axis=1)]


@given(distributions())
def test_measures_keep_to_their_bounds(values):
    found = uncertainty(values)
    size = values.shape[1]
    for measure in found.values():
        assert (measure >= 0).all()
        assert (measure <= 1).all()
    assert (found["least_confidence"] <= 1 - 1 / size + TOLERANCE).all()
    even = uncertainty(np.full((1, size), 1 / size))
    sure = uncertainty(np.eye(size))
    close([even[name][0] for name in MEASURES], [1 - 1 / size, 1, 1, 1])
    for name in MEASURES:
        assert (sure[name] == 0).all()
        assert (found[name] <= even[name] + TOLERANCE).all()


@given(distributions(), st.randoms(use_true_random=False))
def test_the_order_of_classes_does_not_matter(values, random):
    order = list(range(values.shape[1]))
    random.shuffle(order)
    one, other = uncertainty(values), uncertainty(values[:, order])
    for name in MEASURES:
        close(one[name], other[name])


@given(distributions(), st.floats(0, 1))
def test_a_row_nearer_to_even_is_less_sure(values, share):
    size = values.shape[1]
    before, after = uncertainty(values), uncertainty(values * (1 - share) + share / size)
    for name in MEASURES:
        assert (after[name] >= before[name] - TOLERANCE).all(), name


@given(st.lists(st.floats(0.56, 1), min_size=20, max_size=60), st.booleans())
def test_an_even_row_comes_out_on_top(sure, first):
    """(0.52, 0.48) among rows that the model is surer of, whichever class is first."""
    even = (0.52, 0.48) if first else (0.48, 0.52)
    values = np.array([even, *[(p, 1 - p) for p in sure]])
    for name, measure in uncertainty(values).items():
        assert measure.argmax() == 0, name


@given(distributions(), st.integers(0, 8))
def test_scores_are_the_same_to_the_last_bit_however_batches_are_cut(values, cut):
    batch, scorer = lists(values), Uncertainty(source(values.shape[1]))
    parts = [scorer.apply(batch[:cut], {}), scorer.apply(batch[cut:], {})]
    whole = pa.Table.from_batches([scorer.apply(batch, {})])
    assert pa.Table.from_batches(parts).combine_chunks().equals(whole)


def test_known_values():
    found = uncertainty(np.array([[0.52, 0.48]]))
    expected = {"least_confidence": 0.48, "margin": 0.96, "ratio": 0.48 / 0.52, "entropy": 0.998846}
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, abs=1e-6)


def test_the_first_of_equal_classes_is_predicted():
    found = Uncertainty(source(3)).apply(lists(np.array([[0.25, 0.375, 0.375]])), {})
    assert found["predicted_label"].to_pylist() == ["c1"]


def test_integer_classes_stay_integers():
    scorer = Uncertainty(Probabilities(("p",), (7, 3)))
    found = scorer.apply(lists(np.array([[0.25, 0.75]])), {})
    assert found.schema == scorer.schema
    assert found["predicted_label"].to_pylist() == [3]


NULLS = [
    (Uncertainty(source(2)), [[0.5, 0.5], None]),
    (EnsembleUncertainty(source(2)), [[[0.5, 0.5]], None]),
    (EnsembleUncertainty(source(2)), [[[0.5, 0.5]], []]),
    (EnsembleUncertainty(source(2)), [[[0.5, 0.5]], [None]]),
    (TokenUncertainty(source(2)), [[[0.5, 0.5]], None]),
    (TokenUncertainty(source(2)), [[[0.5, 0.5]], []]),
    (MultilabelUncertainty(source(2, multilabel=True)), [[0.5, 0.5], None]),
    (RegressionUncertainty(("p",), "variance"), [0.5, None]),
    (RegressionUncertainty(("p",), "members"), [[0.5, 1.0], None]),
]


@pytest.mark.parametrize(("scorer", "column"), NULLS)
def test_rows_without_a_prediction_have_null_and_move_nothing(scorer, column):
    both = scorer.apply(pa.record_batch({"p": column}), {})
    alone = scorer.apply(pa.record_batch({"p": column[:1]}), {})
    assert both.schema == scorer.schema
    assert both.slice(0, 1).to_pylist() == alone.to_pylist()
    assert all(value is None for value in both.to_pylist()[1].values())
    none = scorer.apply(pa.record_batch({"p": pa.array(column)}).slice(0, 0), {})
    assert (none.num_rows, none.schema) == (0, scorer.schema)
    assert scorer.prepare(None, None, "") == {}


def test_parameters_tell_scorers_apart():
    scorers = [
        Uncertainty(source(2)),
        Uncertainty(source(2, kind="logits", temperature=2.0)),
        Uncertainty(source(2, renormalise=True)),
        EnsembleUncertainty(source(2)),
        EnsembleUncertainty(source(2), members=3),
        *(TokenUncertainty(source(2), one) for one in AGGREGATES),
        MultilabelUncertainty(source(2, multilabel=True)),
        RegressionUncertainty(("p",), "variance"),
        RegressionUncertainty(("p",), "members"),
    ]
    assert len({repr(scorer.parameters) for scorer in scorers}) == len(scorers)


# Ensembles ----------------------------------------------------------------------------------------


@st.composite
def ensembles(draw):
    """float64 of shape (rows, members, classes)."""
    rows, members, classes = (
        draw(st.integers(1, 5)),
        draw(st.integers(1, 5)),
        draw(st.integers(2, 5)),
    )
    flat = draw(distributions(st.just(rows * members), st.just(classes)))
    return flat.reshape(rows, members, classes)


def ensemble(values, **options):
    scorer = EnsembleUncertainty(source(values.shape[2]), **options)
    return scorer.apply(lists(values), {})


@given(ensembles())
def test_ensembles_are_measured_by_their_formulas(values):
    found = ensemble(values)
    whole, expected = entropy(values.mean(axis=1)), entropy(values).mean(axis=1)
    close(found["uncertainty_entropy"], whole)
    close(found["uncertainty_expected_entropy"], expected)
    close(found["uncertainty_mutual_information"], np.clip(whole - expected, 0, 1))
    votes = values.argmax(axis=2)
    most = [np.bincount(row).max() / len(row) for row in votes]
    close(found["uncertainty_variation_ratio"], 1 - np.array(most))
    close(found["predicted_probability"], values.mean(axis=1).max(axis=1))


@given(ensembles())
def test_members_that_agree_share_no_information(values):
    same = np.repeat(values[:, :1], 3, axis=1)
    found = ensemble(same)
    close(found["uncertainty_mutual_information"], 0)
    assert set(found["uncertainty_variation_ratio"].to_pylist()) == {0.0}
    close(found["uncertainty_entropy"], uncertainty(values[:, 0])["entropy"])


@given(ensembles(), st.randoms(use_true_random=False))
def test_the_order_of_members_does_not_matter(values, random):
    order = list(range(values.shape[1]))
    random.shuffle(order)
    one, other = ensemble(values), ensemble(values[:, order])
    for name in one.schema.names[:4]:
        close(one[name], other[name])


@given(ensembles())
def test_ensembles_in_any_layout_are_measured_alike(values):
    rows, members, classes = values.shape
    flat = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), members * classes)
    vector = pa.list_(pa.float64(), classes)
    layouts = [
        pa.record_batch({"p": flat}),
        pa.record_batch({"p": pa.array(values.tolist(), pa.list_(vector))}),
        pa.record_batch({"p": pa.array(values.tolist(), pa.list_(vector, members))}),
        pa.record_batch({"p": pa.array(values.reshape(rows, -1).tolist())}),
    ]
    expected = ensemble(values)
    scorer = EnsembleUncertainty(source(classes), members=members)
    for batch in layouts:
        assert scorer.apply(batch, {}).equals(expected)
    if members > 1:
        names = tuple(f"m{i}" for i in range(members))
        batch = pa.record_batch({name: values[:, i].tolist() for i, name in enumerate(names)})
        apart = EnsembleUncertainty(Probabilities(names, source(classes).classes))
        assert apart.apply(batch, {}).equals(expected)


def test_a_member_that_is_null_is_left_out():
    batch = pa.record_batch({"p": [[[0.75, 0.25], None, [0.25, 0.75]]]})
    without = pa.record_batch({"p": [[[0.75, 0.25], [0.25, 0.75]]]})
    scorer = EnsembleUncertainty(source(2))
    assert scorer.apply(batch, {}).equals(scorer.apply(without, {}))


def test_ensembles_of_logits():
    logits = np.random.default_rng(0).normal(0, 3, (6, 4, 3))
    scorer = EnsembleUncertainty(source(3, kind="logits", temperature=2.0))
    expected = ensemble(scipy.special.softmax(logits / 2, axis=2))
    for name in expected.schema.names[:4]:
        close(scorer.apply(lists(logits), {})[name], expected[name])


@pytest.mark.parametrize(
    ("columns", "members", "error", "says"),
    [
        ({"p": [[[0.5, 0.5]], [[0.5, 0.5], [0.9, 0.9]]]}, 0, BadRows, "not sum to one .*: row 1 "),
        ({"p": [[[0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]]}, 2, BadRows, "1 vectors .* row 0 "),
        ({"p": [[0.5, 0.5, 1.0]]}, 0, BadRows, "divide into vectors of 2 .* row 0 .*length 3"),
        ({"p": [[[0.5, 0.5], [1.0]]]}, 0, BadRows, "one length.* row 0 "),
        ({"p": [[0.5, 0.5], [None, 1.0]]}, 0, BadRows, "null and others are not.* row 1 "),
        ({"p": [0.5]}, 0, SchemaError, "list of lists"),
        ({"p": [[0.5, 0.5]], "q": [0.5]}, 0, SchemaError, "'q' holds no lists"),
        ({"p": [[0.5, 0.5]], "q": [[0.5, 0.5, 0.0]]}, 0, SchemaError, "different lengths"),
    ],
)
def test_what_is_no_ensemble_is_named(columns, members, error, says):
    scorer = EnsembleUncertainty(Probabilities(tuple(columns), ("a", "b")), members)
    with pytest.raises(error, match=says):
        scorer.apply(pa.record_batch(columns), {})


# Several labels -----------------------------------------------------------------------------------


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(0, 1)
    )
)
def test_several_labels_are_measured_by_their_formulas(values):
    scorer = MultilabelUncertainty(source(values.shape[1], multilabel=True))
    found = scorer.apply(lists(values), {})
    both = np.stack([values, 1 - values], axis=2)
    close(found["uncertainty_entropy"], entropy(both).mean(axis=1))
    close(found["uncertainty_entropy_max"], entropy(both).max(axis=1))
    close(found["uncertainty_margin"], 1 - np.abs(2 * values - 1).min(axis=1))
    expected = [[f"c{i}" for i in np.flatnonzero(row >= 0.5)] for row in values]
    assert found["predicted_labels"].to_pylist() == expected


# Numbers ------------------------------------------------------------------------------------------

numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(numbers, numbers).map(sorted), min_size=1, max_size=9))
def test_intervals_are_as_wide_as_they_are(bounds):
    low, high = zip(*bounds, strict=True)
    scorer = RegressionUncertainty(("low", "high"), "interval")
    found = scorer.apply(pa.record_batch({"low": low, "high": high}), {})
    assert found["uncertainty_interval"].to_pylist() == [b - a for a, b in bounds]


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=numbers))
def test_members_that_predict_numbers(values):
    expected = (values.var(axis=1), values.max(axis=1) - values.min(axis=1))
    names = tuple(f"m{i}" for i in range(values.shape[1]))
    apart = pa.record_batch({name: values[:, i] for i, name in enumerate(names)})
    for scorer, batch in (
        (RegressionUncertainty(("p",), "members"), lists(values)),
        (RegressionUncertainty(names, "members"), apart),
    ):
        found = scorer.apply(batch, {})
        np.testing.assert_array_equal(found["uncertainty_variance"], expected[0])
        np.testing.assert_array_equal(found["uncertainty_interval"], expected[1])


@pytest.mark.parametrize(
    ("columns", "method", "says"),
    [
        ({"v": [1.0, -1.0]}, "variance", "variances below zero: row 1 "),
        ({"v": [1.0, math.nan]}, "variance", "NaN or infinite: row 1 "),
        ({"a": [2.0], "b": [1.0]}, "interval", "upper bound below the lower: row 0 "),
        ({"p": [[1.0, math.inf]]}, "members", "NaN or infinite: row 0 "),
        ({"p": [[1.0, 2.0], [1.0]]}, "members", "one length"),
    ],
)
def test_what_is_no_uncertainty_of_a_number_is_named(columns, method, says):
    with pytest.raises(BadRows, match=says):
        RegressionUncertainty(tuple(columns), method).apply(pa.record_batch(columns), {})


# Tokens -------------------------------------------------------------------------------------------


@st.composite
def texts(draw):
    """Rows of 1 to 5 tokens: a list of arrays of shape (tokens, classes)."""
    classes = draw(st.integers(2, 4))
    return [
        draw(distributions(st.integers(1, 5), st.just(classes)))
        for _ in range(draw(st.integers(1, 4)))
    ]


@pytest.mark.parametrize("how", AGGREGATES)
@settings(max_examples=25)
@given(rows=texts())
def test_tokens_are_measured_and_aggregated(how, rows):
    batch = pa.record_batch({"p": [row.tolist() for row in rows]})
    found = TokenUncertainty(source(rows[0].shape[1]), how).apply(batch, {})
    for name in MEASURES:
        expected = [getattr(np, how)(uncertainty(row)[name]) for row in rows]
        close(found[f"uncertainty_{name}"], expected)
    best = [row.max(axis=1) for row in rows]
    close(found["uncertainty_sequence"], [1 - np.prod(one) for one in best])
    normalised = [1 - np.prod(one) ** (1 / len(one)) for one in best]
    np.testing.assert_allclose(found["uncertainty_sequence_normalised"], normalised, atol=1e-6)
    for one, place in zip(best, found["weakest_token"].to_pylist(), strict=True):
        assert one[place] == pytest.approx(one.min(), abs=1e-7)


def test_padding_is_left_out_and_positions_stay():
    scorer = TokenUncertainty(source(2), "mean")
    padded = pa.record_batch({"p": [[None, [0.75, 0.25], [0.5, 0.5], None]]})
    plain = pa.record_batch({"p": [[[0.75, 0.25], [0.5, 0.5]]]})
    [one], [other] = scorer.apply(padded, {}).to_pylist(), scorer.apply(plain, {}).to_pylist()
    assert one.pop("weakest_token") == 2
    assert other.pop("weakest_token") == 1
    assert one == other


def test_repeating_a_text_moves_the_sequence_but_not_what_is_normalised():
    text = [[0.9, 0.1], [0.6, 0.4]]
    scorer = TokenUncertainty(source(2))
    found = scorer.apply(pa.record_batch({"p": [text, text * 20]}), {})
    assert (
        found["uncertainty_sequence"][1].as_py() > 0.99 > found["uncertainty_sequence"][0].as_py()
    )
    close(*found["uncertainty_sequence_normalised"].to_pylist())


@pytest.mark.parametrize(
    "build",
    [
        lambda: Uncertainty(source(2, multilabel=True)),
        lambda: MultilabelUncertainty(source(2)),
        lambda: EnsembleUncertainty(source(2, multilabel=True)),
        lambda: EnsembleUncertainty(source(2), members=-1),
        lambda: TokenUncertainty(source(2, multilabel=True)),
        lambda: TokenUncertainty(source(2), "median"),
        lambda: RegressionUncertainty(("a",), "interval"),
        lambda: RegressionUncertainty((), "members"),
        lambda: RegressionUncertainty(("a",), "spread"),
    ],
)
def test_scorers_that_make_no_sense(build):
    with pytest.raises(UsageError):
        build()
