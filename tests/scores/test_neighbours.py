"""Neighbours of rows against all distances, in NumPy and scikit-learn."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from dsm_dask.cli import dsm
from dsm_dask.dataset.version import open_dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import BadRows, SchemaError, UnknownColumn, UsageError
from dsm_dask.scores.neighbours import cells as neighbour_cells
from dsm_dask.scores.neighbours import files as neighbour_files
from dsm_dask.scores.neighbours import neighbours
from dsm_dask.scores.neighbours import search as neighbour_search
from dsm_dask.scores.neighbours.class_share import ClassShare
from dsm_dask.scores.neighbours.neighbours import Neighbours
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.table import ROW_ID, read_all

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def clustered(rows, dimension, clusters, spread=0.5, seed=1):
    """Unit vectors around some directions, and which of them each belongs to."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(clusters, dimension))
    home = random.integers(0, clusters, rows)
    found = unit(centres[home] + spread * random.normal(size=(rows, dimension)))
    return found.astype(np.float32), home


def write(folder, vectors, labels, count=1, **options):
    """The same rows over this many files."""
    folder.mkdir(parents=True, exist_ok=True)
    if not isinstance(vectors, pa.Array):
        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    table = pa.table({"v": vectors, "y": pa.array(labels)})
    edges = np.linspace(0, table.num_rows, count + 1).astype(int)
    for number in range(count):
        piece = table.slice(edges[number], edges[number + 1] - edges[number])
        pq.write_table(piece, folder / f"{number:03}.parquet", **options)
    return open_parquet(str(folder))


def scored(table, engine, folder, **options):
    """The columns, and what they were made from."""
    scorer = Neighbours.of(table, "v", **{"label": "y", **options})
    quantities = scorer.prepare(table, engine, str(folder))
    batches = [scorer.apply(batch, quantities) for batch in read_all(table, scorer.columns)]
    assert all(batch.schema == scorer.schema for batch in batches)
    return pa.Table.from_batches(batches, scorer.schema), quantities


def nearest(vectors, k):
    """Distances and places of the k nearest others of each row, by scikit-learn."""
    model = NearestNeighbors(n_neighbors=k + 1, metric="cosine", algorithm="brute")
    far, places = model.fit(vectors.astype(np.float64)).kneighbors()
    return far[:, :k], places[:, :k]


def truth(vectors, labels, k):
    """All columns, written plainly. For data without two neighbours at one distance."""
    far, places = nearest(vectors, k)
    mean = far.mean(axis=1)
    # the lower median, as the scale is
    scale = np.sort(mean)[(len(mean) + 1) // 2 - 1]
    rows = []
    for row in range(len(vectors)):
        weights, said = {}, [labels[place] for place in places[row]]
        for label, distance in zip(said, far[row], strict=True):
            if label is not None:
                weight = np.exp(-distance / far[row][-1])
                weights[label] = weights.get(label, 0) + weight
        known = [label for label in said if label is not None]
        ranked = [*sorted(weights.values(), reverse=True), 0, 0]
        rows.append(
            {
                "outlier_score": 1 - 2 ** (-mean[row] / scale),
                "neighbour_label": max(sorted(weights), key=weights.get) if weights else None,
                "neighbour_agreement": known.count(labels[row]) / len(known)
                if known and labels[row] is not None
                else None,
                "neighbour_margin": (ranked[0] - ranked[1]) / sum(ranked) if known else None,
            }
        )
    return rows


def check_rows(found, expected):
    for name in expected[0]:
        told = found.column(name).to_pylist()
        wanted = [row[name] for row in expected]
        if name == "neighbour_label":
            assert told == wanted
        else:
            assert [one is None for one in told] == [one is None for one in wanted]
            some = [(a, b) for a, b in zip(told, wanted, strict=True) if b is not None]
            # the scale is within 0.2 % of the median
            near = 2e-3 if name == "outlier_score" else 1e-5
            np.testing.assert_allclose(*np.array(some).T, atol=near)


# ---------------------------------------------------------------------------------------------
# Exact


@pytest.mark.parametrize(("k", "kind"), [(1, str), (5, str), (10, int)])
def test_all_columns_are_those_of_brute_force(tmp_path, engine, k, kind):
    vectors, home = clustered(400, 12, 8, 0.9)
    labels = [None if row % 11 == 0 else kind(home[row] % 3) for row in range(400)]
    table = write(tmp_path / "a", vectors, labels, 3)
    found, quantities = scored(table, engine, tmp_path / "w", neighbours=k)
    check_rows(found, truth(vectors, labels, k))
    assert quantities["rows"] == 400
    assert found.schema.field("neighbour_label").type == (
        pa.string() if kind is str else pa.int64()
    )


@FEW
@given(data=st.data())
def test_any_small_table(tmp_path_factory, data):
    """Equal vectors, nulls, zeros, more neighbours than rows: against distances one by one."""
    component = st.sampled_from([0.0, 1.0, 2.0, -1.0])
    row = st.one_of(st.none(), st.lists(component, min_size=2, max_size=2))
    rows = data.draw(st.lists(row, min_size=1, max_size=25))
    labels = data.draw(
        st.lists(st.sampled_from(["a", "b", None]), min_size=len(rows), max_size=len(rows))
    )
    k = data.draw(st.integers(1, 6))
    folder = tmp_path_factory.mktemp("small")
    labels = pa.array(labels, pa.string())
    table = write(folder / "a", pa.array(rows, pa.list_(pa.float32())), labels)
    with Engine(workers=0) as engine:
        found, quantities = scored(table, engine, folder / "w", neighbours=k)
    have = [i for i, one in enumerate(rows) if one is not None and any(one)]
    assert quantities["rows"] == len(have)
    assert sum(quantities["left_out"].values()) == len(rows) - len(have)
    units = {i: unit(np.array([rows[i]]))[0] for i in have}
    means = {}
    for i in have:
        far = sorted(1 - units[i] @ units[j] for j in have if j != i)[:k]
        means[i] = np.mean(far) if far else None
    known = sorted(mean for mean in means.values() if mean is not None)
    told = found.column("outlier_score").to_pylist()
    assert [i for i, one in enumerate(told) if one is not None] == [
        i for i in have if means[i] is not None
    ]
    if known:
        scale = known[(len(known) + 1) // 2 - 1]
        assert abs((quantities["scale"] or 0) - scale) <= 0.002 * scale + 1e-6
        for i in have:
            expected = 1 - 2 ** (-means[i] / scale) if scale > 1e-6 else float(means[i] > 1e-6)
            assert told[i] == pytest.approx(expected, abs=3e-3)


def test_copies_are_neighbours_of_each_other_and_a_row_is_none_of_its_own(tmp_path, engine):
    vectors = np.array([[1, 0]] * 4 + [[0, 1]] * 3 + [[-1, 0]], np.float32)
    labels = list("aaabbbcc")
    table = write(tmp_path / "a", vectors, labels, 2)
    found, _ = scored(table, engine, tmp_path / "w", neighbours=2)
    assert found.column("neighbour_label").to_pylist() == list("aaaabbbb")
    # of equals the first: row 3 sees rows 0 and 1, row 4 rows 5 and 6, row 7 rows 4 and 5
    assert found.column("neighbour_agreement").to_pylist() == [1, 1, 1, 0, 0.5, 0.5, 0, 0]
    assert found.column("outlier_score").to_pylist() == [0] * 7 + [1]


# ---------------------------------------------------------------------------------------------
# By cells


@pytest.fixture
def by_cells(monkeypatch):
    """As if the table were large."""
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 0)


@pytest.mark.parametrize(("clusters", "spread", "least"), [(60, 0.5, 0.98), (20, 1.0, 0.95)])
def test_most_neighbours_are_found_by_cells(tmp_path, engine, by_cells, clusters, spread, least):
    vectors, _ = clustered(6000, 32, clusters, spread)
    labels = [str(row) for row in range(6000)]  # names each neighbour
    table = write(tmp_path / "a", vectors, labels)
    found, quantities = scored(table, engine, tmp_path / "w", neighbours=1)
    far, places = nearest(vectors, 1)
    told = np.array(found.column("neighbour_label").to_pylist()).astype(int)
    hits = (told == places[:, 0]).mean()
    assert hits >= least, hits
    # what is found is never nearer than the nearest
    rows = np.arange(6000, dtype=np.uint64)
    distance = neighbour_files.found_of(quantities["_found"], rows)["distance"]
    assert (distance >= far[:, 0] - 1e-6).all()
    assert (np.abs(distance - far[:, 0]) < 1e-6).mean() >= least


def test_without_guests_far_fewer_are_found(tmp_path, engine, by_cells, monkeypatch):
    """What the guests are for."""
    vectors, _ = clustered(6000, 32, 20, 1.0)
    table = write(tmp_path / "a", vectors, [str(row) for row in range(6000)])
    monkeypatch.setattr(neighbour_cells, "FARTHER", -1.0)
    found, _ = scored(table, engine, tmp_path / "w", neighbours=1)
    told = np.array(found.column("neighbour_label").to_pylist()).astype(int)
    assert (told == nearest(vectors, 1)[1][:, 0]).mean() < 0.7


@pytest.mark.parametrize("exact", [True, False])
def test_results_do_not_depend_on_the_cut(tmp_path, engine, monkeypatch, exact):
    vectors, home = clustered(3000, 16, 30, 0.8)
    vectors[100:200] = vectors[0]  # a crowd of copies
    vectors[::50] = vectors[1::50]
    if not exact:
        monkeypatch.setattr(neighbours, "EXACT_ROWS", 0)
    labels = (home % 4).tolist()
    one, first = scored(write(tmp_path / "one", vectors, labels), engine, tmp_path / "w")
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))
    monkeypatch.setattr(neighbour_cells, "FILE_BYTES", 1 << 12)
    monkeypatch.setattr("dsm_dask.duplicates.cell_files.IN_MEMORY", 1 << 14)
    monkeypatch.setattr("dsm_dask.duplicates.cells.TASK_BYTES", 1 << 14)
    monkeypatch.setattr(neighbour_files, "SHARE", 100)
    table = write(tmp_path / "many", vectors, labels, 5, row_group_size=130)
    many, second = scored(table, engine, tmp_path / "w")
    assert len(table.partitions()) > 20
    assert first["scale"] == second["scale"]
    assert one.equals(many)


def test_a_crowd_of_copies_costs_no_more_than_one(tmp_path, engine, by_cells, monkeypatch):
    """Of equal vectors a cell is given few; distances of each distinct one are taken once."""
    asked = []
    real = neighbour_search._candidates

    def counting(vectors, starts, queries, count):
        asked.append(len(queries) * len(starts))
        return real(vectors, starts, queries, count)

    monkeypatch.setattr(neighbour_search, "_candidates", counting)
    vectors = np.tile(np.eye(4, 8, dtype=np.float32), (2000, 1))
    found, _ = scored(write(tmp_path / "a", vectors, ["x"] * 8000), engine, tmp_path / "w")
    assert found.column("outlier_score").to_pylist() == [0.0] * 8000
    assert sum(asked) <= 16


@pytest.mark.cluster
def test_whoever_works_the_scores_are_the_same(tmp_path, scheduler, by_cells):
    """As columns of a dataset, from the command line, by two workers; then after an append."""
    vectors, home = clustered(5000, 16, 30, 0.6)
    labels = [f"c{number % 4}" for number in home]
    uris = []
    for name, who in (("0", ["--workers", "0"]), ("2", ["--scheduler", scheduler])):
        uri, raw = str(tmp_path / f"ds{name}"), tmp_path / f"raw{name}"
        write(raw / "a", vectors[:4900], labels[:4900], 3)
        write(raw / "b", vectors[4900:], labels[4900:])
        asked = ["score", uri, "--embedding", "v", "--label", "y", "--json"]
        for verb in (
            ["create", uri, str(raw / "a")],
            asked,
            ["append", uri, str(raw / "b")],
            asked,
        ):
            made = CliRunner().invoke(dsm, [*verb, *who])
            assert made.exit_code == 0, made.output
        told = json.loads(made.stdout)
        assert "outlier_score" in told["stale"]
        assert told["computed"]["neighbours"] == 5000
        uris.append(uri)
    names = Neighbours("v", "y").schema.names
    one, two = (open_dataset(uri).to_table(names) for uri in uris)
    assert one.equals(two)
    assert one["neighbour_label"].null_count == 0
    # nothing of what passed between workers is left
    assert not [path for uri in uris for path in Path(uri).rglob("neighbours-*")]


# ---------------------------------------------------------------------------------------------
# What they are good for


def test_flipped_labels_and_outliers_are_found(tmp_path, engine):
    from sklearn.datasets import load_digits
    from sklearn.metrics import average_precision_score, roc_auc_score

    digits = load_digits()
    random = np.random.default_rng(5)
    flipped = random.random(len(digits.target)) < 0.05
    labels = np.where(
        flipped, (digits.target + random.integers(1, 10, len(flipped))) % 10, digits.target
    )
    vectors = digits.data.copy()
    strange = np.arange(len(vectors)) < 40
    vectors[strange] = random.uniform(0, 16, (40, 64))
    table = write(tmp_path / "a", vectors, labels.tolist())
    found, _ = scored(table, engine, tmp_path / "w")
    rest = ~strange
    unlike = 1 - found.column("neighbour_agreement").to_numpy()
    assert average_precision_score(flipped[rest], unlike[rest]) > 0.85
    assert roc_auc_score(strange, found.column("outlier_score").to_numpy()) > 0.99
    said = found.column("neighbour_label").to_numpy()
    assert (said[rest] == digits.target[rest]).mean() > 0.97


def test_ambiguous_clusters_and_boundaries_stand_out(tmp_path, engine):
    """A cluster with mixed labels has a high entropy; rows between two classes a small margin."""
    vectors, home = clustered(2000, 16, 10, 0.3)
    random = np.random.default_rng(2)
    labels = np.where(home == 3, random.integers(0, 2, 2000), home % 2)
    found, _ = scored(write(tmp_path / "a", vectors, labels.tolist()), engine, tmp_path / "w")
    entropy, margin = (found.column(n).to_numpy() for n in ("cluster_entropy", "neighbour_margin"))
    assert entropy[home == 3].mean() > 0.9 > 0.05 > entropy[home != 3].mean()
    assert margin[home == 3].mean() < 0.6 < 0.95 < margin[home != 3].mean()


def test_the_share_of_a_class(tmp_path, engine):
    table = write(tmp_path / "a", np.ones((5, 2), np.float32), ["a", "b", "a", None, "a"], 2)
    scorer = ClassShare("y")
    quantities = scorer.prepare(table, engine, str(tmp_path))
    found = [scorer.apply(batch, quantities) for batch in read_all(table, scorer.columns)]
    assert pa.Table.from_batches(found).column(0).to_pylist() == [0.75, 0.25, 0.75, None, 0.75]


# ---------------------------------------------------------------------------------------------
# Bad input


def test_what_cannot_be(tmp_path, engine):
    table = write(tmp_path / "a", np.ones((3, 2), np.float32), ["a", "b", None])
    for options, error, words in (
        ({"neighbours": 0}, UsageError, "0 neighbours"),
        ({"classes": ("a",)}, BadRows, "'b' of 'y' is none of the classes"),
        ({"whole_labels": True}, SchemaError, "neighbour_label"),
    ):
        with pytest.raises(error, match=words):
            Neighbours("v", "y", **options).prepare(table, engine, str(tmp_path / "w"))
    with pytest.raises(UnknownColumn):
        Neighbours.of(table, "nowhere")
    with pytest.raises(SchemaError, match="no embedding"):
        Neighbours("y").prepare(table, engine, str(tmp_path / "w"))


def test_dimensions_must_agree(tmp_path, engine):
    ragged = pa.array([[1.0, 2.0], [1.0, 2.0, 3.0]], pa.list_(pa.float32()))
    with pytest.raises(SchemaError, match="different dimensions"):
        scored(write(tmp_path / "a", ragged, ["a", "b"]), engine, tmp_path / "w")


def test_no_vectors_at_all(tmp_path, engine):
    none = pa.array([None, [0.0, 0.0]], pa.list_(pa.float32()))
    found, quantities = scored(write(tmp_path / "a", none, ["a", "b"]), engine, tmp_path / "w")
    assert all(found.column(name).null_count == 2 for name in found.schema.names)
    assert quantities["scale"] is None
    assert quantities["left_out"] == {"null": 1, "zero": 1, "not_finite": 0}


def test_vectors_of_texts_are_made_on_the_way(tmp_path, engine):
    from dsm_dask.duplicates.embeddings import HashedNgrams

    (tmp_path / "a").mkdir()
    texts = ["the cat sat on the mat", "the cat sat on a mat", "prices of oil fell today", None]
    pq.write_table(pa.table({"t": texts}), tmp_path / "a" / "0.parquet")
    table = open_parquet(str(tmp_path / "a"))
    scorer = Neighbours("t", neighbours=1, made_by=HashedNgrams("t"))
    quantities = scorer.prepare(table, engine, str(tmp_path / "w"))
    (batch,) = [scorer.apply(one, quantities) for one in read_all(table, [ROW_ID])]
    cat, same, oil, none = batch.column(0).to_pylist()
    assert cat == same < oil
    assert none is None


def test_a_row_far_from_all_others_has_neighbours(tmp_path, engine, by_cells):
    """It would be alone in a cell of its own."""
    vectors, _ = clustered(5000, 16, 20, 0.2)
    strange = np.arange(0, 5000, 500)
    vectors[strange] = unit(np.random.default_rng(3).normal(size=(10, 16)))
    table = write(tmp_path / "a", vectors, ["x"] * 5000)
    found, _ = scored(table, engine, tmp_path / "w", neighbours=3)
    score = found.column("outlier_score").to_numpy()
    assert found.column("outlier_score").null_count == 0
    assert set(np.argsort(-score)[:10]) == set(strange)
