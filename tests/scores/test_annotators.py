"""Several annotators: consensus columns beside the data, long tables of answers, and bad input."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import dsm

from dsm_dask import codec
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.engine import Engine
from dsm_dask.errors import BadRows, SchemaError, UnknownColumn, UsageError
from dsm_dask.scores.annotators.annotators import Asked, describe
from dsm_dask.scores.annotators.consensus import Consensus, Disagreement, kind_of
from dsm_dask.scores.annotators.score_answers import score_answers
from dsm_dask.scores.probabilities.probabilities import Probabilities
from dsm_dask.scores.score import score
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import read_all

CLASSES = ("cat", "cow", "dog")
THREE = ("ann", "bob", "eve")
METHODS = ("majority", "dawid-skene", "mace")


@pytest.fixture(scope="module")
def engine():
    with Engine(workers=0) as found:
        yield found


def planted(items=400, seed=0, missing=0.3):
    """Labels of three annotators as texts, None where there is no answer, and the truth."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, items)
    right = random.random((items, 3)) < [0.5, 0.8, 0.9]
    labels = np.where(right, truth[:, None], random.integers(0, 3, (items, 3)))
    names = np.array(CLASSES, object)[labels]
    names[random.random(labels.shape) < missing] = None
    return names, truth


def wide(names, **more):
    columns = {name: pa.array(names[:, i], pa.string()) for i, name in enumerate(THREE)}
    return pa.table({"id": pa.array(range(len(names))), **columns, **more})


def long(names, kind=str):
    rows = [
        (kind(i), THREE[j], names[i, j])
        for j, i in itertools.product(range(3), range(len(names)))
        if names[i, j] is not None
    ]
    return pa.table(list(map(list, zip(*rows, strict=True))), names=["item", "who", "says"])


def write(table, folder, files=1, rows=10**6):
    folder.mkdir(exist_ok=True)
    for i, part in enumerate(np.array_split(np.arange(len(table)), files)):
        some = table.slice(part[0] if len(part) else 0, len(part))
        pq.write_table(some, folder / f"part-{i:03d}.parquet", row_group_size=rows)
    return open_parquet(str(folder))


def scored(table, scorer, engine, folder):
    """The columns of a scorer, and its quantities."""
    quantities = scorer.prepare(table, engine, str(folder))
    batches = [scorer.apply(batch, quantities) for batch in read_all(table, list(scorer.columns))]
    return pa.Table.from_batches(batches, scorer.schema), quantities


def answered(table, engine, **options):
    return score_answers(table, ("item", "who", "says"), engine=engine, **options)


def items_of(out):
    return {row["item"]: row for row in pq.read_table(f"{out}/items").to_pylist()}


# ---------------------------------------------------------------------------------------------
# A column for each annotator


@pytest.mark.parametrize("method", METHODS)
def test_the_same_columns_however_the_table_is_cut(method, engine, tmp_path):
    names, truth = planted()
    found = []
    for files, rows in ((1, 1000), (3, 50), (7, 11)):
        table = write(wide(names), tmp_path / f"{files}", files, rows)
        columns, told = scored(table, Consensus(THREE, method), engine, tmp_path / f"w{files}")
        found.append((columns, codec.encode(sorted(told.items()))))
    assert all(one == found[0] for one in found)
    labels = found[0][0]["consensus_label"].to_pylist()
    known = [i for i, one in enumerate(labels) if one is not None]
    assert known == [i for i in range(len(names)) if any(names[i])]
    assert np.mean([labels[i] == CLASSES[truth[i]] for i in known]) > 0.8


def test_majority_and_disagreement_of_every_row(engine, tmp_path):
    names, _ = planted(100, 1)
    table = write(wide(names), tmp_path / "t")
    columns, told = scored(table, Consensus(THREE), engine, tmp_path)
    split, _ = scored(table, Disagreement(THREE), engine, tmp_path)
    assert told == {}
    for row, label, sure, differ in zip(
        names, *(c.to_pylist() for c in columns.columns), split.column(0).to_pylist(), strict=True
    ):
        given = [one for one in row if one is not None]
        pairs = list(itertools.combinations(given, 2))
        if not given:
            assert label is sure is None
        else:
            most = max(map(given.count, given))
            assert label == min(one for one in given if given.count(one) == most)
            assert math.isclose(sure, most / len(given), rel_tol=1e-6)
        if not pairs:
            assert differ is None
        else:
            assert math.isclose(differ, sum(a != b for a, b in pairs) / len(pairs), rel_tol=1e-6)


def test_columns_of_a_dataset(engine, tmp_path):
    names, _ = planted(60, 2)
    write(wide(names[:40]), tmp_path / "one")
    write(wide(names[40:]), tmp_path / "two")
    uri = str(tmp_path / "ds")
    create(uri, str(tmp_path / "one"), engine=engine)
    scorers = [Consensus(THREE, "dawid-skene"), Disagreement(THREE)]
    made = score(uri, scorers, engine=engine)
    assert made.computed == {"consensus": 40, "disagreement": 40}
    append(uri, str(tmp_path / "two"), engine=engine)
    again = score(uri, scorers, engine=engine)
    assert again.computed == {"consensus": 60, "disagreement": 20}
    assert set(again.stale) == {"consensus_label", "consensus_confidence"}
    told = pa.Table.from_batches(read_all(open_dataset(uri)))
    whole, _ = scored(write(wide(names), tmp_path / "all"), scorers[0], engine, tmp_path / "w")
    assert told.column("consensus_label").to_pylist() == whole.column(0).to_pylist()
    assert told.schema.field("annotator_disagreement").type == pa.float32()


def test_the_majority_of_earlier_rows_is_never_stale(engine, tmp_path):
    names, _ = planted(30, 3)
    write(wide(names[:20]), tmp_path / "one")
    write(wide(names[20:]), tmp_path / "two")
    uri = str(tmp_path / "ds")
    create(uri, str(tmp_path / "one"), engine=engine)
    score(uri, [Consensus(THREE)], engine=engine)
    append(uri, str(tmp_path / "two"), engine=engine)
    again = score(uri, [Consensus(THREE)], engine=engine)
    assert again.computed == {"consensus": 10}
    assert again.stale == ()


def test_describe_tells_of_each_annotator(engine, tmp_path):
    names, _ = planted(500, 4)
    table = write(wide(names), tmp_path / "t", 3)
    scorer = Consensus(THREE, "dawid-skene")
    columns, told = scored(table, scorer, engine, tmp_path / "w")
    found = describe(
        table, scorer, told, engine=engine, work=str(tmp_path / "w"), asked=Asked("linear")
    )
    labels = columns["consensus_label"].to_pylist()
    for j, one in enumerate(found.annotators):
        mine = [i for i in range(500) if names[i, j] is not None]
        others = [
            names[i, j] == names[i, k]
            for i in mine
            for k in range(3)
            if k != j and names[i, k] is not None
        ]
        assert one.answers == len(mine)
        assert math.isclose(one.agreement, np.mean(others))
        assert math.isclose(one.with_consensus, np.mean([names[i, j] == labels[i] for i in mine]))
        assert np.allclose(np.sum(one.confusion, axis=1), 1)
    qualities = [one.quality for one in found.annotators]
    assert sorted(qualities) == qualities
    assert found.cohen.weights == "linear"
    assert found.consensus == tuple(labels.count(name) for name in CLASSES)
    first = found.disputed[0]
    assert first.disagreement == max(one.disagreement for one in found.disputed)
    assert first.label == labels[first.item]
    assert json.loads(json.dumps(found.to_dict()))["annotators"]["eve"]["answers"] > 0
    assert found.to_arrow().column("annotator").to_pylist() == list(THREE)


# ---------------------------------------------------------------------------------------------
# CROWDLAB


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
# Long tables


@pytest.mark.parametrize("method", METHODS)
def test_a_long_table_says_what_the_wide_one_does(method, engine, tmp_path):
    names, _ = planted(300, 6)
    names = names[[any(row) for row in names]]
    columns, told = scored(
        write(wide(names), tmp_path / "wide"), Consensus(THREE, method), engine, tmp_path / "w"
    )
    results = []
    for files, rows in ((1, 1000), (5, 17)):
        out = str(tmp_path / f"out{files}")
        table = write(long(names), tmp_path / f"long{files}", files, rows)
        results.append(answered(table, engine, method=method, out=out))
        found = items_of(out)
        for i, label in enumerate(columns["consensus_label"].to_pylist()):
            row = found[str(i)]
            assert row["consensus_label"] == label
            sure = columns["consensus_confidence"][i].as_py()
            assert math.isclose(row["consensus_confidence"], sure, abs_tol=1e-6)
            assert row["answers"] == sum(one is not None for one in names[i])
        assert len(found) == len(names)
    one, other = (dataclasses.replace(found, out=None) for found in results)
    assert one == other
    if method != "majority":
        assert np.allclose(told["quality"], [a.quality for a in one.annotators])


def test_items_are_spread_over_several_tasks(engine, tmp_path, monkeypatch):
    from dsm_dask.scores.annotators import answer_table

    names, _ = planted(200, 8)
    table = write(long(names), tmp_path / "long", 4)
    whole = answered(table, engine, out=str(tmp_path / "a"))
    monkeypatch.setattr(answer_table, "ROWS", 50)
    monkeypatch.setattr(answer_table, "FLUSH", 60)
    cut = answered(table, engine, out=str(tmp_path / "b"))
    assert dataclasses.replace(cut, out=None) == dataclasses.replace(whole, out=None)
    assert items_of(tmp_path / "a") == items_of(tmp_path / "b")
    assert len(list((tmp_path / "b" / "items").iterdir())) > 5


def test_the_tables_of_a_long_one(engine, tmp_path):
    rows = {"item": [3, 1, 3, 1, 2], "who": ["x", "x", "y", "y", "x"], "says": [True] * 4 + [False]}
    table = write(pa.table(rows), tmp_path / "t")
    found = answered(table, engine, method="majority", out=str(tmp_path / "out"))
    items = pq.read_table(tmp_path / "out" / "items")
    assert items.schema.names == [
        "item", "consensus_label", "consensus_confidence", "annotator_disagreement", "answers"
    ]  # fmt: skip
    assert items.schema.field("item").type == pa.int64()
    assert items.schema.field("consensus_label").type == pa.bool_()
    assert sorted(items.to_pylist(), key=lambda row: row["item"])[1] == {
        "item": 2, "consensus_label": False, "consensus_confidence": 1.0,
        "annotator_disagreement": None, "answers": 1,
    }  # fmt: skip
    people = pq.read_table(tmp_path / "out" / "annotators").to_pylist()
    assert [(one["annotator"], one["answers"]) for one in people] == [("x", 3), ("y", 2)]
    assert found.agreement.percent.value == 1


def test_answers_that_are_given_again(engine, tmp_path):
    rows = {"item": ["a"] * 4 + ["b"], "who": ["x", "y", "x", "x", "x"],
            "says": ["cat", "cat", "dog", "dog", "cat"]}  # fmt: skip
    table = write(pa.table(rows), tmp_path / "t", 5)
    found = answered(table, engine, method="majority", out=str(tmp_path / "out"))
    assert (found.repeated, found.changed, found.agreement.answers) == (2, 1, 3)
    assert items_of(tmp_path / "out")["a"]["annotator_disagreement"] == 1
    assert any("changed later" in note for note in found.notes)
    with pytest.raises(BadRows, match="given again"):
        answered(table, engine, repeated="error")
    same = write(pa.table({**rows, "says": ["cat"] * 5}), tmp_path / "same")
    assert answered(same, engine, repeated="error").changed == 0


def test_rows_that_are_no_answers(engine, tmp_path):
    rows = {"item": ["a", "a", None, "b", "c"], "who": ["x", None, "x", "x", "y"],
            "says": ["cat", "dog", "cat", None, "dog"]}  # fmt: skip
    table = write(pa.table(rows), tmp_path / "t", 2)
    found = answered(table, engine, out=str(tmp_path / "out"))
    assert found.left_out == {"no who": 1, "no item": 1, "no says": 1}
    assert (found.agreement.items, found.agreement.unanswered) == (2, 1)
    items = items_of(tmp_path / "out")
    assert set(items) == {"a", "b", "c"}
    assert items["b"]["consensus_label"] is items["b"]["consensus_confidence"] is None
    assert items["b"]["answers"] == 0


def test_a_dry_run_writes_nothing(engine, tmp_path):
    names, _ = planted(20, 9)
    table = write(long(names), tmp_path / "t")
    answered(table, engine, out=str(tmp_path / "out"), dry_run=True)
    assert not (tmp_path / "out").exists()


def test_an_empty_long_table(engine, tmp_path):
    empty = pa.table({name: pa.array([], pa.string()) for name in ("item", "who", "says")})
    for method in METHODS:
        out = tmp_path / f"out-{method}"
        found = answered(write(empty, tmp_path / "t"), engine, method=method, out=str(out))
        assert found.annotators == found.classes == ()
        assert found.agreement.percent.value is None
        assert items_of(out) == {}


def test_long_tables_that_cannot_be(engine, tmp_path):
    table = write(long(planted(5)[0]), tmp_path / "t")
    with pytest.raises(UsageError, match="three columns"):
        score_answers(table, ("item", "who"), engine=engine)
    with pytest.raises(UnknownColumn):
        score_answers(table, ("item", "whom", "says"), engine=engine)
    with pytest.raises(UsageError, match="probabilities"):
        answered(table, engine, method="crowdlab")
    with pytest.raises(BadRows, match="none of the classes"):
        answered(table, engine, classes=("cat", "cow"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        answered(table, engine, out=str(tmp_path / "full"))


# ---------------------------------------------------------------------------------------------
# Bad input


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
        {"iterations": 0},
        {"method": "crowdlab", "probabilities": Probabilities(("p",), (0, 1)), "classes": (1, 0)},
        {"method": "crowdlab", "probabilities": Probabilities(("p",), (0, 1), multilabel=True)},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        Consensus(**{"annotators": ("a", "b"), **wrong})


# ---------------------------------------------------------------------------------------------
# The command line


def test_a_long_table_from_the_command_line(tmp_path):
    names, _ = planted(40, 2)
    write(long(names), tmp_path / "t")
    options = ["--answers", "item, who, says", "--out", str(tmp_path / "out")]
    said = dsm("score", str(tmp_path / "t"), *options, "--json")
    assert said.code == 0, said.err
    assert set(said.json["annotators"]) == set(THREE)
    assert said.json["agreement"]["alpha"]["nominal"]["value"] > 0
    assert len(items_of(tmp_path / "out")) == said.json["items"]
    again = dsm("score", str(tmp_path / "t"), *options[:2], "--consensus", "mace", "--dry-run")
    assert again.code == 0
    for word in ("Krippendorff's alpha, nominal", "eve", "like consensus", "disputed"):
        assert word in again.out


def test_what_goes_with_answers(tmp_path):
    write(long(planted(5)[0]), tmp_path / "t")
    for wrong in (
        ["--answers", "item,who,says", "--probs", "p"],
        ["--answers", "item,who,says", "--tag", "t"],
        ["--answers", "item,who"],
        ["--probs", "p", "--repeated", "last"],
    ):
        assert dsm("score", str(tmp_path / "t"), *wrong).code == 2


def test_agreement_is_told_with_the_columns(tmp_path):
    write(wide(planted(40)[0]), tmp_path / "t")
    assert dsm("create", tmp_path / "ds", tmp_path / "t").code == 0
    said = dsm("score", tmp_path / "ds", "--annotators", "ann,bob,eve")
    assert said.code == 0, said.err
    for word in ("Fleiss' kappa", "ann and bob", "consensus_confidence", "committed"):
        assert word in said.out
    one = dsm("score", tmp_path / "ds", "--annotators", "ann", "--prefix", "ann_")
    assert one.out.count("one annotator") == 1
