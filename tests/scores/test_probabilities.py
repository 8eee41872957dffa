"""Probabilities: any layout reads alike, and what is no distribution is said, never scored."""

import decimal
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from dsm_dask import codec
from dsm_dask.engine import Engine
from dsm_dask.errors import BadRows, SchemaError, UsageError
from dsm_dask.scores import labels
from dsm_dask.scores.labels import LearnClasses, codes, from_codes
from dsm_dask.scores.probabilities.probabilities import Probabilities, default_classes
from dsm_dask.sources.parquet import as_table
from dsm_dask.table import ROW_ID
from dsm_dask.testing.folds import batches, check_bounded, check_laws

NAMES = ("ant", "bee", "cow", "dog", "elk")


@st.composite
def rows_of_eighths(draw):
    """Distributions that every type holds exactly, some null; (rows or None, classes)."""
    size = draw(st.integers(2, 5))
    row = st.lists(st.integers(0, 7), min_size=size - 1, max_size=size - 1).map(_cut)
    return draw(st.lists(st.none() | row, min_size=1, max_size=12)), size


def _cut(places):
    """Eighths that sum to one, from where the unit is cut."""
    ends = [0, *sorted(places), 8]
    return [(b - a) / 8 for a, b in itertools.pairwise(ends)]


def in_lists(dtype):
    return lambda rows, size: pa.record_batch({"p": pa.array(rows, dtype(size))})


def in_columns(dtype):
    def build(rows, size):
        columns = [[None if row is None else row[j] for row in rows] for j in range(size)]
        return pa.record_batch({NAMES[j]: pa.array(columns[j], dtype) for j in range(size)})

    return build


def half_lists(rows, size):
    flat = np.array([row or [0] * size for row in rows], np.float16).reshape(-1)
    mask = pa.array([row is None for row in rows])
    return pa.record_batch(
        {"p": pa.FixedSizeListArray.from_arrays(pa.array(flat), size, mask=mask)}
    )


def decimal_lists(rows, size):
    exact = [row and [decimal.Decimal(p) for p in row] for row in rows]
    return pa.record_batch({"p": pa.array(exact, pa.list_(pa.decimal128(6, 4), size))})


def lists_over_rubbish(rows, size):
    """Null lists that have numbers under them, which Arrow allows."""
    values = pa.array([p for row in rows for p in row or [9.0] * size])
    ends = pa.array(np.arange(len(rows) + 1, dtype=np.int32) * size)
    mask = pa.array([row is None for row in rows])
    return pa.record_batch({"p": pa.ListArray.from_arrays(ends, values, mask=mask)})


LAYOUTS = {
    "fixed float32": in_lists(lambda size: pa.list_(pa.float32(), size)),
    "fixed float64": in_lists(lambda size: pa.list_(pa.float64(), size)),
    "fixed float16": half_lists,
    "fixed decimal": decimal_lists,
    "list": in_lists(lambda _: pa.list_(pa.float64())),
    "large list": in_lists(lambda _: pa.large_list(pa.float32())),
    "list over rubbish": lists_over_rubbish,
    "columns": in_columns(pa.float32()),
    "columns float64": in_columns(pa.float64()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@given(table=rows_of_eighths(), cut=st.integers(0, 3))
def test_every_layout_reads_alike(layout, table, cut):
    rows, size = table
    batch = LAYOUTS[layout](rows, size)[cut:]
    columns = tuple(batch.schema.names)
    values, nulls = Probabilities(columns, NAMES[:size]).read(batch)
    assert values.shape == (batch.num_rows, size)
    assert values.dtype in (np.float32, np.float64)
    assert values.flags.c_contiguous
    assert not values.flags.writeable
    found = [None if null else row for row, null in zip(values.tolist(), nulls, strict=True)]
    assert found == rows[cut:]


def test_a_fixed_size_list_of_floats_is_not_copied():
    flat = np.full(8, 0.5, np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat), 2)
    values, _ = Probabilities(("p",), (0, 1)).read(pa.record_batch({"p": column})[1:])
    assert np.shares_memory(values, flat)


def test_integers_and_one_column_for_two_classes():
    given = pa.record_batch({"p": pa.array([[1, 0], [0, 1]], pa.list_(pa.int8()))})
    assert Probabilities(("p",), (0, 1)).read(given)[0].tolist() == [[1, 0], [0, 1]]
    second = pa.record_batch({"p": [0.25, None]})
    values, nulls = Probabilities(("p",), ("no", "yes")).read(second)
    assert values[0].tolist() == [0.75, 0.25]
    assert nulls.tolist() == [False, True]
    logit = pa.record_batch({"p": [-3.0, 400.0]})
    values, _ = Probabilities(("p",), ("no", "yes"), "logits").read(logit)
    np.testing.assert_allclose(values[:, 1], scipy.special.expit([-3.0, 400.0]))


@given(
    st.lists(st.lists(st.floats(-1e30, 1e30), min_size=3, max_size=3), min_size=1, max_size=9),
    st.floats(0.01, 100),
)
def test_softmax_is_scipys_at_any_size(rows, temperature):
    batch = pa.record_batch({"z": pa.array(rows, pa.list_(pa.float64(), 3))})
    values, _ = Probabilities(("z",), NAMES[:3], "logits", temperature).read(batch)
    expected = scipy.special.softmax(np.array(rows) / temperature, axis=1)
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=9), st.floats(0.01, 100))
def test_sigmoids_are_scipys_at_any_size(numbers, temperature):
    batch = pa.record_batch({"z": pa.array([[z] for z in numbers])})
    source = Probabilities(("z",), ("wet",), "logits", temperature, multilabel=True)
    expected = scipy.special.expit(np.array(numbers) / temperature)
    np.testing.assert_allclose(source.read(batch)[0][:, 0], expected, rtol=1e-12)


def test_a_class_may_be_ruled_out_by_a_logit_of_minus_infinity():
    batch = pa.record_batch({"z": [[1.0, -np.inf, 1.0]]})
    values, _ = Probabilities(("z",), NAMES[:3], "logits").read(batch)
    assert values.tolist() == [[0.5, 0.0, 0.5]]


@given(rows_of_eighths(), st.floats(1e-3, 1e3))
def test_renormalising_undoes_any_factor(table, factor):
    rows, size = table
    scaled = [row and [p * factor for p in row] for row in rows]
    batch = in_lists(lambda size: pa.list_(pa.float64(), size))(scaled, size)
    values, nulls = Probabilities(("p",), NAMES[:size], renormalise=True).read(batch)
    for row, value, null in zip(rows, values, nulls, strict=True):
        assert null == (row is None)
        if row is not None:
            np.testing.assert_allclose(value, row, rtol=1e-12)


NAN, INF = float("nan"), float("inf")
GOOD = [0.5, 0.5]
BAD = [
    ("too large a sum", [GOOD, [0.6, 0.5]], {}, "do not sum to one .* row 1 .*renormalise"),
    ("too small a sum", [GOOD, [0.4, 0.5]], {}, "of sum 0.9.*--logits"),
    ("just past the tolerance", [[0.5, 0.5011]], {}, "within 0.001"),
    ("NaN", [GOOD, [NAN, 0.5]], {}, "NaN: row 1"),
    ("infinite", [[INF, 0.5], GOOD], {}, "infinite: row 0"),
    ("negative", [GOOD, GOOD, [-0.1, 1.1]], {}, "negative: row 2"),
    ("part of a row null", [GOOD, [None, 1.0]], {}, "null and others are not in 'p': row 1"),
    ("percentages", [[40.0, 60.0]], {}, "renormalise"),
    ("logits", [[2.5, -1.0], [-3.0, 0.5], [0.1, 0.2]], {}, "look like logits.*--logits"),
    ("logits for each class", [[2.5, -1.0], [-3.0, 0.5]], {"multilabel": True}, "--logits"),
    ("likelier than likely", [GOOD, [1.5, 0.0]], {"multilabel": True}, "above 1: row 1"),
    ("nothing to divide by", [[0.0, 0.0]], {"renormalise": True}, "zeros"),
    ("negative, renormalised", [[-1.0, 3.0], GOOD], {"renormalise": True}, "negative"),
    ("NaN, renormalised", [[NAN, 3.0]], {"renormalise": True}, "NaN"),
    ("NaN among logits", [[1.0, 2.0], [NAN, 3.0]], {"kind": "logits"}, "NaN or infinite: row 1"),
    ("an infinite logit", [[INF, 3.0]], {"kind": "logits"}, "NaN or infinite"),
    ("no class left", [[-INF, -INF]], {"kind": "logits"}, "NaN or infinite"),
    ("no logits at all", [GOOD] * 10, {"kind": "logits"}, "probabilities already.*--logits"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "options", "says"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
@pytest.mark.parametrize("dtype", [pa.list_(pa.float32(), 2), pa.list_(pa.float64())])
def test_what_is_no_distribution_is_named(rows, options, says, dtype):
    batch = pa.record_batch({"p": pa.array(rows, dtype)})
    with pytest.raises(BadRows, match=says):
        Probabilities(("p",), ("a", "b"), **options).read(batch)


@pytest.mark.parametrize("bad", [[NAN, 0.0], [0.9, 0.9], [-4.0, 5.0]])
def test_what_lies_under_nulls_is_not_looked_at(bad):
    flat, mask = pa.array([0.5, 0.5, *bad]), pa.array([False, True])
    batch = pa.record_batch({"p": pa.FixedSizeListArray.from_arrays(flat, 2, mask=mask)})
    for options in ({}, {"kind": "logits"}, {"renormalise": True}, {"multilabel": True}):
        _, nulls = Probabilities(("p",), ("a", "b"), **options).read(batch)
        assert nulls.tolist() == [False, True]


def test_within_the_tolerance_rows_stay_as_they_are():
    batch = pa.record_batch({"p": [[0.5, 0.5009], [0.5, 0.4991]]})
    values, _ = Probabilities(("p",), ("a", "b")).read(batch)
    assert values.tolist() == [[0.5, 0.5009], [0.5, 0.4991]]
    with pytest.raises(BadRows):
        Probabilities(("p",), ("a", "b"), tolerance=1e-4).read(batch)


def test_half_floats_of_many_classes_are_within_the_tolerance():
    values = np.random.default_rng(0).dirichlet(np.ones(1000), 200).astype(np.float16)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 1000)
    found, _ = Probabilities(("p",), tuple(range(1000))).read(pa.record_batch({"p": column}))
    assert np.array_equal(found, values.astype(np.float32))


def test_rows_are_named_by_their_ids_where_these_are_known():
    ids = pa.array([70, 71, 72], pa.uint64())
    batch = pa.record_batch({"p": [GOOD, [0.1, 0.1], [2.0, 2.0]], ROW_ID: ids})
    with pytest.raises(BadRows, match="rows with the ids 71, 72; the first is"):
        Probabilities(("p",), ("a", "b")).read(batch)


def test_the_engine_says_in_which_partition_rows_are_bad(tmp_path):
    for name, p in (("good", GOOD), ("bad", [0.9, 0.9])):
        pq.write_table(pa.table({"p": [p]}), tmp_path / f"{name}.parquet")
    table, source = as_table(str(tmp_path / "*.parquet")), Probabilities(("p",), ("a", "b"))

    def read(partition):
        return [source.read(batch)[1].sum() for batch in partition.read(source.columns)]

    with (
        Engine(workers=0) as engine,
        pytest.raises(BadRows, match=r"bad\.parq.*row 0") as failed,
    ):
        engine.map_partitions(read, table.partitions())
    assert "good" not in str(failed.value)


@pytest.mark.parametrize(
    ("batch", "error", "says"),
    [
        ({"p": [[0.5, 0.5], [1.0]]}, BadRows, "not all of one length: most hold"),
        ({"p": pa.array([[], []], pa.list_(pa.float32()))}, BadRows, "0 numbers"),
        ({"p": [[0.2, 0.3, 0.5]]}, SchemaError, "3 probabilities a row in 'p' and 2 classes"),
        ({"p": [["a", "b"]]}, SchemaError, "string"),
        ({"p": ["a", "b"]}, SchemaError, "string"),
    ],
)
def test_columns_that_hold_no_numbers_for_the_classes(batch, error, says):
    with pytest.raises(error, match=says):
        Probabilities(("p",), ("a", "b")).read(pa.record_batch(batch))


@pytest.mark.parametrize("column", [pa.nulls(3), pa.nulls(3, pa.list_(pa.float32()))])
def test_a_column_of_nulls_has_null_rows(column):
    values, nulls = Probabilities(("p",), ("a", "b")).read(pa.record_batch({"p": column}))
    assert values.shape == (3, 2)
    assert nulls.all()


def test_no_rows_are_no_trouble():
    for dtype in (pa.list_(pa.float32(), 2), pa.list_(pa.float32()), pa.float32()):
        values, nulls = Probabilities(("p",), ("a", "b")).read(
            pa.record_batch({"p": pa.array([], dtype)})
        )
        assert values.shape == (0, 2)
        assert not len(nulls)


@pytest.mark.parametrize(
    "settings",
    [
        {"classes": ("a",)},
        {"classes": ("a", "a")},
        {"columns": ()},
        {"kind": "odds"},
        {"temperature": 2.0},
        {"temperature": 0.0, "kind": "logits"},
        {"temperature": NAN, "kind": "logits"},
        {"renormalise": True, "kind": "logits"},
        {"tolerance": -1.0},
    ],
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(UsageError):
        Probabilities(**{"columns": ("p",), "classes": ("a", "b"), **settings})


def test_they_may_be_stored_with_a_fold():
    source = Probabilities(("p",), ("a", 1), "logits", 2.0)
    assert codec.decode(codec.encode(source)) == source


@pytest.mark.parametrize(
    ("columns", "members", "classes"),
    [
        ({"p": pa.array([[1, 0, 0]], pa.list_(pa.float32(), 3))}, 1, (0, 1, 2)),
        ({"p": [None, [1.0, 0.0]]}, 1, (0, 1)),
        ({"p": [[], [[0.5, 0.5], [0.5, 0.5]]]}, 1, (0, 1)),
        ({"p": pa.array([[1, 0, 0, 1]], pa.list_(pa.float32(), 4))}, 2, (0, 1)),
        ({"prob_cat": [0.5], "prob_dog": [0.5]}, 1, ("cat", "dog")),
        ({"cat": [0.5], "cow": [0.5]}, 1, ("cat", "cow")),
        ({"p": [0.5]}, 1, (0, 1)),
    ],
)
def test_names_for_classes_without_one(tmp_path, columns, members, classes):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = as_table(str(tmp_path / "t.parquet"))
    assert default_classes(table, tuple(columns), members) == classes


def test_classes_cannot_be_counted_where_there_are_none(tmp_path):
    pq.write_table(pa.table({"p": pa.nulls(3, pa.list_(pa.float32()))}), tmp_path / "t.parquet")
    with pytest.raises(UsageError, match="How many classes"):
        default_classes(as_table(str(tmp_path / "t.parquet")), ("p",))


@given(st.lists(st.none() | st.sampled_from(NAMES), max_size=30), st.permutations(NAMES))
def test_labels_are_positions_in_any_order_of_classes(names, classes):
    expected = [-1 if name is None else classes.index(name) for name in names]
    for column in (
        pa.array(names, pa.string()),
        pa.array(names, pa.large_string()),
        pa.array(names, pa.string()).dictionary_encode(),
    ):
        found = codes(column, classes)
        assert found.dtype == np.int32
        assert found.tolist() == expected
        assert from_codes(found, classes).to_pylist() == names


@pytest.mark.parametrize(
    ("column", "classes", "expected"),
    [
        (pa.array([3, None, 7], pa.int16()), (7, 3), [1, -1, 0]),
        (pa.array([3, None, 7], pa.uint64()), ("3", "7"), [0, -1, 1]),
        (pa.array([1.0, NAN, None, 0.0]), (0, 1), [1, -1, -1, 0]),
        (pa.array([True, False, None]), (0, 1), [1, 0, -1]),
        (pa.array([True, False]), ("False", "True"), [1, 0]),
        (pa.array(["1", "0"]), (0, 1), [1, 0]),
        (pa.nulls(2), (0, 1), [-1, -1]),
        (pa.array([], pa.string()), ("a", "b"), []),
    ],
)
def test_labels_of_other_types(column, classes, expected):
    assert codes(column, classes).tolist() == expected


@pytest.mark.parametrize(
    ("column", "classes", "error", "says"),
    [
        (pa.array(["cat", None, "dgo"]), ("cat", "dog"), BadRows, "'dgo'.*row 2 .*mean 'dog'"),
        (pa.array([1, 2, 9]), (1, 2), BadRows, "label 9 .*row 2"),
        (pa.array([1, 2]), ("cat", "dog"), UsageError, "numbers, and the classes are not"),
        (pa.array([0.5]), (0, 1), BadRows, "no labels"),
        (pa.array([[0]]), (0, 1), SchemaError, "list"),
    ],
)
def test_labels_that_are_no_classes(column, classes, error, says):
    with pytest.raises(error, match=says):
        codes(column, classes)


@pytest.mark.parametrize("dtype", [pa.string(), pa.int16(), pa.bool_(), pa.list_(pa.string())])
@given(data=st.data())
def test_learning_classes_keeps_the_laws(dtype, data):
    check_laws(LearnClasses("y"), data.draw(batches({"y": dtype})))


@given(st.lists(st.none() | st.text(max_size=3)))
def test_classes_are_sorted_and_counted(names):
    found = LearnClasses("y")
    state = found.update(found.init(), pa.record_batch({"y": pa.array(names, pa.string())}))
    result = found.finish(state)
    assert list(result.classes) == sorted({name for name in names if name is not None})
    assert result.counts == tuple(names.count(one) for one in result.classes)
    assert result.nulls == names.count(None)


def test_a_column_with_too_many_values_holds_no_labels():
    check_bounded(LearnClasses("y"), {"y": pa.string()})
    fold = LearnClasses("y")
    batch = pa.record_batch({"y": [str(i) for i in range(labels.MOST)]})
    state = fold.update(fold.init(), batch)
    assert len(fold.finish(state).classes) == labels.MOST
    with pytest.raises(UsageError, match="10,000"):
        fold.finish(fold.update(state, pa.record_batch({"y": ["one more"]})))
