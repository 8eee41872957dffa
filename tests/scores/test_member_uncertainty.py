"""Uncertainty of ensembles that give several labels, or label tokens: the formulas in NumPy, and
what follows from them."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

_HELPERS = str(Path(__file__).parents[1] / "faults")
if _HELPERS not in sys.path:
    sys.path.append(_HELPERS)

from dsm_trials import parquet

import dsm_dask
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.engine import Engine
from dsm_dask.errors import BadRows, SchemaError, UsageError
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.scores.uncertainty import multilabel_ensembles
from dsm_dask.scores.uncertainty.ensembles import MEASURES, EnsembleUncertainty
from dsm_dask.scores.uncertainty.multilabel import MultilabelUncertainty
from dsm_dask.scores.uncertainty.multilabel_ensembles import MultilabelEnsembleUncertainty
from dsm_dask.scores.uncertainty.token_ensembles import TokenEnsembleUncertainty
from dsm_dask.scores.uncertainty.tokens import AGGREGATES, TokenUncertainty

TOLERANCE = 5e-7
"""Scores are float32."""


def source(size, columns=("p",), **options):
    return Probabilities(tuple(columns), tuple(f"c{i}" for i in range(size)), **options)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def rows_of(values):
    return pa.record_batch({"p": [None if one is None else list(one) for one in values]})


# Several labels -----------------------------------------------------------------------------------

CHANCE = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))


@st.composite
def independent(draw):
    """float64 of shape (rows, members, classes), each from 0 to 1."""
    shape = tuple(draw(st.integers(1, 5)) for _ in range(3))
    return draw(hnp.arrays(np.float64, shape, elements=CHANCE))


def binary(p):
    return (scipy.special.entr(p) + scipy.special.entr(1 - p)) / np.log(2)


def several(values, **options):
    scorer = MultilabelEnsembleUncertainty(source(values.shape[2], multilabel=True), **options)
    return scorer.apply(rows_of(values.tolist()), {})


@given(independent())
def test_several_labels_of_an_ensemble_are_measured_by_their_formulas(values):
    found = several(values)
    mean = values.mean(axis=1)
    whole, each = binary(mean), binary(values).mean(axis=1)
    apart = np.clip(whole - each, 0, 1)
    votes = (values >= 0.5).mean(axis=1)
    close(found["uncertainty_entropy"], whole.mean(axis=1))
    close(found["uncertainty_entropy_max"], whole.max(axis=1))
    close(found["uncertainty_expected_entropy"], each.mean(axis=1))
    close(found["uncertainty_mutual_information"], apart.mean(axis=1))
    close(found["uncertainty_mutual_information_max"], apart.max(axis=1))
    close(found["uncertainty_variation_ratio"], np.minimum(votes, 1 - votes).mean(axis=1))
    told = found["predicted_labels"].to_pylist()
    for row, labels in zip(mean, told, strict=True):
        sure = np.abs(row - 0.5) > 1e-9  # 0.1 + 0.9 may be below one
        held = {f"c{i}" for i in np.flatnonzero(sure & (row > 0.5))}
        open_to_doubt = {f"c{i}" for i in np.flatnonzero(~sure)}
        assert held <= set(labels) <= held | open_to_doubt


@given(independent())
def test_one_member_is_no_ensemble(values):
    single = values[:, 0]
    alone = MultilabelUncertainty(source(values.shape[2], multilabel=True))
    expected = alone.apply(rows_of(single.tolist()), {})
    for copies in (1, 3):
        found = several(np.repeat(values[:, :1], copies, axis=1))
        close(found["uncertainty_entropy"], expected["uncertainty_entropy"])
        close(found["uncertainty_entropy_max"], expected["uncertainty_entropy_max"])
        close(found["uncertainty_mutual_information"], 0)
        assert set(found["uncertainty_variation_ratio"].to_pylist()) == {0.0}
        if copies == 1:
            assert found["predicted_labels"].equals(expected["predicted_labels"])


@given(independent(), st.randoms(use_true_random=False))
def test_neither_members_nor_layouts_matter(values, random):
    order = list(range(values.shape[1]))
    random.shuffle(order)
    expected, other = several(values), several(values[:, order])
    for name in multilabel_ensembles.MEASURES:
        close(expected[f"uncertainty_{name}"], other[f"uncertainty_{name}"])
    rows, members, classes = values.shape
    flat = pa.record_batch({"p": values.reshape(rows, -1).tolist()})
    scorer = MultilabelEnsembleUncertainty(source(classes, multilabel=True), members)
    assert scorer.apply(flat, {}).equals(expected)
    if members > 1:
        names = [f"m{i}" for i in range(members)]
        batch = pa.record_batch({name: values[:, i].tolist() for i, name in enumerate(names)})
        apart = MultilabelEnsembleUncertainty(source(classes, names, multilabel=True))
        assert apart.apply(batch, {}).equals(expected)


# Tokens -------------------------------------------------------------------------------------------


@st.composite
def texts(draw):
    """Rows of arrays of shape (members, tokens, classes); all sums are one."""
    members, classes = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        shape = (members, draw(st.integers(1, 5)), classes)
        weights = draw(hnp.arrays(np.float64, shape, elements=CHANCE))
        weights[..., draw(st.integers(0, classes - 1))] += 0.01
        rows.append(weights / weights.sum(axis=2, keepdims=True))
    return rows


def tokens(rows, how="mean", members=0):
    scorer = TokenEnsembleUncertainty(source(rows[0].shape[2]), members, how)
    return scorer.apply(rows_of([row.tolist() for row in rows]), {})


@pytest.mark.parametrize("how", AGGREGATES)
@settings(max_examples=25)
@given(rows=texts())
def test_tokens_of_an_ensemble_are_measured_and_aggregated(how, rows):
    """Each token is a row of a plain ensemble; rows are aggregated by NumPy."""
    found = tokens(rows, how)
    classes = rows[0].shape[2]
    apart = [
        EnsembleUncertainty(source(classes)).apply(rows_of(row.swapaxes(0, 1).tolist()), {})
        for row in rows
    ]
    for name in MEASURES:
        expected = [getattr(np, how)(one[f"uncertainty_{name}"].to_numpy()) for one in apart]
        close(found[f"uncertainty_{name}"], expected)
    best = [row.mean(axis=0).max(axis=1) for row in rows]
    close(found["uncertainty_sequence"], [1 - np.prod(one) for one in best])
    normalised = [1 - np.prod(one) ** (1 / len(one)) for one in best]
    np.testing.assert_allclose(found["uncertainty_sequence_normalised"], normalised, atol=1e-6)
    for one, place in zip(best, found["weakest_token"].to_pylist(), strict=True):
        assert one[place] == pytest.approx(one.min(), abs=1e-6)


@given(texts())
def test_one_member_of_tokens_is_no_ensemble(rows):
    expected = TokenUncertainty(source(rows[0].shape[2])).apply(
        rows_of([row[0].tolist() for row in rows]), {}
    )
    for copies in (1, 3):
        found = tokens([np.repeat(row[:1], copies, axis=0) for row in rows])
        close(found["uncertainty_mutual_information"], 0)
        for name in ("entropy", "sequence"):
            close(found[f"uncertainty_{name}"], expected[f"uncertainty_{name}"])


@given(texts())
def test_tokens_in_any_layout_are_measured_alike(rows):
    expected = tokens(rows)
    members, _, classes = rows[0].shape
    assert tokens(rows, members=members).equals(expected)
    after = pa.record_batch({"p": [row.reshape(-1, classes).tolist() for row in rows]})
    scorer = TokenEnsembleUncertainty(source(classes), members)
    assert scorer.apply(after, {}).equals(expected)
    if members > 1:
        names = [f"m{i}" for i in range(members)]
        batch = pa.record_batch(
            {name: [row[i].tolist() for row in rows] for i, name in enumerate(names)}
        )
        apart = TokenEnsembleUncertainty(source(classes, names))
        assert apart.apply(batch, {}).equals(expected)


def test_members_and_padding_that_are_null_are_left_out():
    one, other = [[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.75], [1.0, 0.0]]
    padded = [[None, *one], None, [None, *other]]
    scorer = TokenEnsembleUncertainty(source(2))
    [found] = scorer.apply(rows_of([padded]), {}).to_pylist()
    [plain] = scorer.apply(rows_of([[one, other]]), {}).to_pylist()
    assert (found.pop("weakest_token"), plain.pop("weakest_token")) == (1, 0)
    assert found == plain
    torn = rows_of([[[None, *one[1:]], other]])  # one member has nothing to say of the first token
    [found] = scorer.apply(torn, {}).to_pylist()
    assert found["uncertainty_mutual_information"] == pytest.approx(
        tokens([np.array([one[1:], other[1:]])])["uncertainty_mutual_information"][0].as_py() / 2
    )


@pytest.mark.parametrize("empty", [None, [], [None], [[], []], [[None], [None]]])
@pytest.mark.parametrize("kind", [TokenEnsembleUncertainty, MultilabelEnsembleUncertainty])
def test_rows_without_a_prediction_have_null_and_move_nothing(kind, empty):
    several_labels = kind is MultilabelEnsembleUncertainty
    if several_labels and empty and empty[0] is not None:
        empty = [None, None]
    row = [[0.5, 0.5]] if several_labels else [[[0.5, 0.5]]]
    scorer = kind(source(2, multilabel=several_labels))
    both = scorer.apply(rows_of([row, empty, row]), {})
    assert both.schema == scorer.schema
    alone = scorer.apply(rows_of([row]), {}).to_pylist()
    assert both.to_pylist() == [*alone, dict.fromkeys(scorer.schema.names), *alone]
    none = scorer.apply(rows_of([row]).slice(0, 0), {})
    assert (none.num_rows, none.schema) == (0, scorer.schema)
    assert scorer.prepare(None, None, "") == {}


@pytest.mark.parametrize(
    ("columns", "members", "error", "says"),
    [
        ({"p": [[[[0.5, 0.5]], [[0.5, 0.5], [0.9, 0.9]]]]}, 0, BadRows, "not sum to one .* row 0 "),
        ({"p": [[[[0.5, 0.5]]], [[[0.5, 0.5]], [[0.5, 0.5]] * 2]]}, 0, BadRows, "1 and 2 .*row 1 "),
        ({"p": [[[[0.5, 0.5]]] * 2, [[[0.5, 0.5]]]]}, 2, BadRows, "1 vectors .* row 1 "),
        ({"p": [[[0.5, 0.5]] * 3]}, 2, BadRows, "3 vectors .* 2 members: row 0 "),
        ({"p": [[[0.5, 0.5]]], "q": [[[0.5, 0.5]] * 2]}, 0, BadRows, "1 and 2 tokens.* row 0 "),
        ({"p": [[[0.5, 0.5]]], "q": [0.5]}, 0, SchemaError, "list of lists"),
    ],
)
def test_what_is_no_ensemble_of_tokens_is_named(columns, members, error, says):
    scorer = TokenEnsembleUncertainty(source(2, tuple(columns)), members)
    with pytest.raises(error, match=says):
        scorer.apply(pa.record_batch(columns), {})


@pytest.mark.parametrize(
    "build",
    [
        lambda: MultilabelEnsembleUncertainty(source(2)),
        lambda: MultilabelEnsembleUncertainty(source(2, multilabel=True), members=-1),
        lambda: TokenEnsembleUncertainty(source(2, multilabel=True)),
        lambda: TokenEnsembleUncertainty(source(2), members=-1),
        lambda: TokenEnsembleUncertainty(source(2), aggregate="median"),
    ],
)
def test_scorers_that_make_no_sense(build):
    with pytest.raises(UsageError):
        build()


def test_parameters_tell_scorers_apart():
    scorers = [
        MultilabelUncertainty(source(2, multilabel=True)),
        MultilabelEnsembleUncertainty(source(2, multilabel=True)),
        MultilabelEnsembleUncertainty(source(2, multilabel=True), 3),
        TokenUncertainty(source(2)),
        *(TokenEnsembleUncertainty(source(2), 0, how) for how in AGGREGATES),
        TokenEnsembleUncertainty(source(2), 3),
        EnsembleUncertainty(source(2)),
    ]
    assert len({repr(scorer.parameters) for scorer in scorers}) == len(scorers)
    assert all(dataclasses.is_dataclass(one) for one in scorers)


# The verb -----------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(3)
LABELS = RANDOM.random((6, 4, 3))
TOKENS = RANDOM.dirichlet(np.ones(3), (6, 4, 5))


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    parquet(
        folder / "1.parquet",
        {
            "nested": LABELS.tolist(), "flat": LABELS.reshape(6, -1).tolist(),
            "one": LABELS[:, 0].tolist(), "two": LABELS[:, 1].tolist(),
            "deep": TOKENS.tolist(), "after": TOKENS.reshape(6, 20, 3).tolist(),
            "a": TOKENS[:, 0].tolist(), "b": TOKENS[:, 1].tolist(),
            "tags": [["0"]] * 6,
        },
    )  # fmt: skip
    uri = str(folder / "ds")
    with Engine(workers=0) as engine:
        create(uri, str(folder / "1.parquet"), engine=engine)
    return uri


MULTI = {"kind": "multilabel"}
TOKEN = {"kind": "tokens"}


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({**MULTI, "probs": "nested"}, LABELS),
        ({**MULTI, "probs": "flat", "members": 4}, LABELS),
        ({**MULTI, "probs": ["one", "two"]}, LABELS[:, :2]),
        ({**MULTI, "probs": "one"}, None),
        ({**TOKEN, "probs": "deep"}, TOKENS),
        ({**TOKEN, "probs": "after", "members": 4}, TOKENS),
        ({**TOKEN, "probs": ["a", "b"]}, TOKENS[:, :2]),
        ({**TOKEN, "probs": "a"}, None),
    ],
    ids=range(8),
)
def test_the_verb_knows_an_ensemble_by_its_lists(ds, options, values):
    with Engine(workers=0) as engine:
        made = dsm_dask.score(ds, engine=engine, prefix="x_", replace=True, **options)
    assert made.committed
    names = {column.name for column in made.columns}
    assert ("x_uncertainty_mutual_information" in names) == (values is not None)
    found = open_dataset(ds).to_table(["x_uncertainty_entropy"]).column(0).to_numpy()
    if values is None:
        return
    if options["kind"] == "multilabel":
        close(found, binary(values.mean(axis=1)).mean(axis=1))
    else:
        mean = values.mean(axis=1)
        close(found, (scipy.special.entr(mean).sum(axis=2) / np.log(3)).mean(axis=1))


def test_labels_are_not_held_against_ensembles(ds):
    with Engine(workers=0) as engine, pytest.raises(UsageError, match="members of an ensemble"):
        dsm_dask.score(ds, engine=engine, probs="nested", label="tags", classes="012", **MULTI)
