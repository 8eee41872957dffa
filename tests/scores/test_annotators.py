"""Several annotators: consensus columns beside the data, and what is told of each of them."""

import itertools
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from annotator_trials import CLASSES, METHODS, THREE, planted, scored, wide, write

from dsm_dask import codec
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.scores.annotators.annotators import describe
from dsm_dask.scores.annotators.asked import Asked
from dsm_dask.scores.annotators.consensus import Consensus, Disagreement
from dsm_dask.scores.score import score
from dsm_dask.table import read_all


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
