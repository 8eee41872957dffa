"""Pairs and clusters of embeddings against all cosines, in NumPy."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import dsm, parquet, scratch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

import dsm_dask
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import create
from dsm_dask.duplicates import kmeans, near_vectors
from dsm_dask.duplicates.alike import dedup_alike
from dsm_dask.duplicates.forest import Forest
from dsm_dask.duplicates.near_vectors import near_pairs
from dsm_dask.duplicates.rule import Rule
from dsm_dask.duplicates.semantic import Embedding, Semantic, semantic_pairs
from dsm_dask.duplicates.unit_vectors import LeftOut, unit_vectors
from dsm_dask.errors import SchemaError, UnknownColumn, UsageError
from dsm_dask.sources.parquet import open_parquet

UNLIMITED = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def planted(rows: int, dimension: int, seed: int = 1, copies: float = 0.1) -> np.ndarray:
    """A third of the rows are near to an earlier one, at cosines from 0.9 to 1; some are copies."""
    random = np.random.default_rng(seed)
    found = unit(random.normal(size=(rows, dimension)))
    for row in range(rows // 2, rows):
        source = found[random.integers(0, row)]
        noise = random.normal(size=dimension)
        noise = unit((noise - (noise @ source) * source)[None])[0]
        cosine = 1.0 if random.random() < copies else random.uniform(0.9, 1)
        found[row] = cosine * source + np.sqrt(1 - cosine**2) * noise
    return found[random.permutation(rows)].astype(np.float32)


def column(vectors, kind=None) -> pa.Array:
    kind = kind or pa.list_(pa.float32(), vectors.shape[1])
    rows = [None if row is None else list(row) for row in vectors]
    return pa.array(rows, kind)


def files(folder, vectors, count: int, **options) -> str:
    """The same rows over this many files."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({"v": vectors if isinstance(vectors, pa.Array) else column(vectors)})
    edges = np.linspace(0, table.num_rows, count + 1).astype(int)
    for number in range(count):
        piece = table.slice(edges[number], edges[number + 1] - edges[number])
        pq.write_table(piece, folder / f"{number:03}.parquet", **options)
    return str(folder)


def pairs_of(folder, raw, engine, threshold=0.95, tables=()):
    data = [open_parquet(raw), *map(open_parquet, tables)]
    found = semantic_pairs(data, Embedding("v"), threshold, str(folder), engine=engine)
    edges = [one.read() for one in found.edges]
    return found, np.unique(np.concatenate(edges)) if edges else np.empty((0, 3))


def true_pairs(vectors, threshold=0.95):
    exact = unit(vectors.astype(np.float64)).astype(np.float32).astype(np.float64)
    return np.argwhere(np.triu(exact @ exact.T >= threshold, 1))


def labels(left, right, rows):
    ones = np.ones(len(left))
    graph = coo_matrix((ones, (left.astype(int), right.astype(int))), (rows, rows))
    return connected_components(graph, directed=False)[1]


def same(one, other) -> bool:
    """Do two labellings group alike?"""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


# ---------------------------------------------------------------------------------------------
# Parts


@UNLIMITED
@given(data=st.data())
def test_a_forest_is_scipys(data):
    nodes = data.draw(st.integers(1, 12))
    ends = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)).filter(
        lambda pair: pair[0] < pair[1]
    )
    links = data.draw(st.dictionaries(ends, st.integers(1, 5), max_size=40)) if nodes > 1 else {}
    forest = Forest(nodes)
    for start in range(0, len(links), 7):
        some = list(links.items())[start : start + 7]
        left, right = np.array([pair for pair, _ in some]).T
        forest.add(left, right, np.array([float(weight) for _, weight in some]))
    left, right, weight = forest.links()
    told = zip(zip(left, right, strict=True), weight, strict=True)
    assert all(links[pair] == strength for pair, strength in told)
    ends = np.array(list(links) or np.empty((0, 2), int)).T
    least = [10 - weight for weight in links.values()]
    tree = minimum_spanning_tree(coo_matrix((least, ends), (nodes, nodes)))
    assert (10 - weight).sum() == tree.sum()
    assert same(labels(left, right, nodes), labels(*ends, nodes))


@pytest.mark.parametrize("crowded", [False, True])
@UNLIMITED
@given(data=st.data())
def test_pairs_of_a_cell(crowded, data):
    """All pairs of homes with homes and guests, in blocks of any size; nothing else."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = data.draw(st.integers(1, 60))
    centres = random.normal(size=(data.draw(st.integers(1, 6)), 3))
    vectors = centres[random.integers(0, len(centres), rows)] + random.normal(size=(rows, 3)) / 5
    vectors = unit(vectors).astype(np.float32)
    home = random.random(rows) < 0.7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_vectors, "BLOCK", data.draw(st.integers(1, 70)))
        patch.setattr(near_vectors, "CROWDED", 0 if crowded else 1000)
        left, right, cosine = near_pairs(vectors, home, 0.95)
    want = true_pairs(vectors)
    want = want[home[want].any(axis=1)]
    truth = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    assert set(zip(left, right, strict=True)) <= {tuple(pair) for pair in want}
    np.testing.assert_allclose(cosine, np.minimum(truth[left, right], 1), atol=1e-12)
    assert same(labels(left, right, rows), labels(*want.T, rows))
    fresh = ~home | (random.random(rows) < 0.3)
    old = want[~fresh[want].any(axis=1)]
    new = want[fresh[want].any(axis=1)]
    left2, right2, _ = near_pairs(vectors, home, 0.95, fresh)
    ends = np.concatenate([old, np.stack([left2, right2], axis=1)])
    assert {tuple(pair) for pair in ends.tolist()} <= {tuple(pair) for pair in want.tolist()}
    assert same(labels(*ends.T, rows), labels(*np.concatenate([old, new]).T, rows))
    if not crowded:  # the strongest link of every row is among them
        for row in np.unique(want):
            others = [a + b - row for a, b in want if row in (a, b)]
            mine = cosine[(left == row) | (right == row)]
            assert mine.max() == pytest.approx(truth[row, others].max(), abs=1e-12)


def test_cells_do_not_depend_on_the_batch():
    """Not on the rows around, their order, or how many are computed at once."""
    vectors = planted(3000, 24)
    centroids = kmeans.train(vectors, 50)
    cells, counted = kmeans.cells_of(vectors, centroids, 0.3)
    shuffled = np.random.default_rng(2).permutation(3000)
    for some in np.split(shuffled, [1, 10, 700, 2100]):
        again = kmeans.cells_of(vectors[some], centroids, 0.3)
        assert (again[0] == cells[some]).all()
        assert (again[1] == counted[some]).all()
    points = kmeans.rounded(vectors)
    scores = points.astype(np.int64) @ centroids.points.astype(np.int64).T
    assert (points @ centroids.points.T == scores).all()  # float32, and exact
    assert (cells[:, 0] == scores.argmax(axis=1)).all()
    assert centroids.shares.sum() == pytest.approx(1)


def test_no_border_cuts_a_pair_where_cells_have_few_neighbours():
    """In the plane a cell has two: whatever is near shares a cell."""
    angles = np.random.default_rng(3).uniform(0, 2 * np.pi, 4000)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    centroids = kmeans.train(vectors, 40)
    distance = 0.02
    cells, counted = kmeans.cells_of(vectors, centroids, distance)
    near = np.argwhere(np.triu(vectors @ vectors.T >= 1 - distance**2 / 2, 1))
    assert len(near) > 10_000
    assert (cells[near[:, 0], 0] != cells[near[:, 1], 0]).sum() > 50
    mine = np.where(counted, cells, -1)
    one, other = near.T
    left = (mine[one] == cells[other, :1]).any(axis=1)
    right = (mine[other] == cells[one, :1]).any(axis=1)
    assert (left | right).all()


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("fixed", [True, False])
def test_unit_vectors(kind, fixed):
    item = pa.type_for_alias(kind)
    rows = [[3, 4], None, [0, 0], [np.nan, 1], [1, None], [-np.inf, 1], [-0.0, 2], [1e4, 1e4]]
    made = pa.array(rows, pa.list_(pa.float32(), 2) if fixed else pa.list_(pa.float32()))
    made = made.cast(pa.list_(item, 2) if fixed else pa.large_list(item))
    ids = np.arange(8, dtype=np.uint64) + 10
    found = unit_vectors(made, ids, dimension=None, where="here")
    assert found.ids.tolist() == [10, 16, 17]
    assert found.left_out == LeftOut(null=1, zero=1, not_finite=3)
    half = 0.5**0.5
    np.testing.assert_allclose(found.vectors, [[0.6, 0.8], [0, 1], [half, half]], rtol=1e-6)
    cut = unit_vectors(made[5:], ids[5:], dimension=2, where="here")
    assert (cut.vectors == found.vectors[1:]).all()
    assert (cut.hashes == found.hashes[1:]).all()


def test_the_largest_and_smallest_numbers_have_a_direction():
    rows = [[1e300, 1e300], [5e-324, 5e-324], [-1e-310, 0]]
    made = pa.array(rows, pa.list_(pa.float64(), 2))
    found = unit_vectors(made, np.arange(3, dtype=np.uint64), dimension=2, where="here")
    np.testing.assert_allclose(found.vectors, [[0.5**0.5] * 2, [0.5**0.5] * 2, [-1, 0]], rtol=1e-6)
    assert (found.hashes[0] == found.hashes[1]).all()


# ---------------------------------------------------------------------------------------------
# Whole


def test_one_cell_finds_every_pair(tmp_path, engine):
    vectors = planted(1500, 16)
    found, edges = pairs_of(tmp_path / "run", files(tmp_path / "raw", vectors, 3), engine)
    want = true_pairs(vectors)
    assert found.cells == 1
    got = set(zip(edges["left"].tolist(), edges["right"].tolist(), strict=True))
    assert got <= {tuple(pair) for pair in want.tolist()}
    assert same(labels(edges["left"], edges["right"], 1500), labels(*want.T, 1500))


def test_many_cells_find_nearly_every_pair_and_no_other(tmp_path, engine):
    """At random directions, which fall on borders more than any."""
    vectors = planted(5000, 32)
    found, edges = pairs_of(tmp_path / "run", files(tmp_path / "raw", vectors, 3), engine)
    assert found.cells >= 90
    want = true_pairs(vectors)
    got = set(zip(edges["left"].tolist(), edges["right"].tolist(), strict=True))
    assert got <= {tuple(pair) for pair in want.tolist()}
    grouped = labels(edges["left"], edges["right"], 5000)
    assert (grouped[want[:, 0]] == grouped[want[:, 1]]).mean() > 0.99


def test_low_thresholds_say_what_may_be_missing(tmp_path, engine):
    """Not those that cells find nearly all pairs of, nor when there is one cell."""
    for rows, threshold, told in ((5000, 0.6, 1), (5000, 0.8, 0), (500, 0.6, 0)):
        raw = files(tmp_path / f"raw{rows}-{threshold}", planted(rows, 8), 1)
        found = dedup_alike(open_parquet(raw), Semantic("v", threshold), engine=engine)
        assert ["some of those near it may be missing" in n for n in found.notes] == [True] * told


@pytest.mark.parametrize("rows", [900, 5000])
def test_however_cut_the_pairs_are_the_same(tmp_path, engine, rows, small_partitions):
    vectors = planted(rows, 24)
    found = []
    for count in (1, 2, 7):
        raw = files(tmp_path / f"raw{count}", vectors, count, row_group_size=-(-rows // count))
        assert len(open_parquet(raw).partitions()) == count
        _, edges = pairs_of(tmp_path / f"run{count}", raw, engine)
        near = edges[edges["similarity"] < 1]
        found.append((near.tobytes(), labels(edges["left"], edges["right"], rows)))
    assert len(near) > rows // 20
    for near, grouped in found[1:]:
        assert near == found[0][0]
        assert same(grouped, found[0][1])


@pytest.mark.cluster
def test_whoever_works_the_pairs_are_the_same(tmp_path, engine, cluster):
    raw = files(tmp_path / "raw", planted(4200, 16), 4)
    _, here = pairs_of(tmp_path / "here", raw, engine)
    _, there = pairs_of(tmp_path / "there", raw, cluster)
    assert here.tobytes() == there.tobytes()


def test_large_cells_and_many_files(tmp_path, engine, monkeypatch):
    """Cells on disk, files in pieces, and a crowd: the same clusters."""
    vectors = planted(4500, 16)
    vectors[:1500] = unit(vectors[0] + np.random.default_rng(5).normal(size=(1500, 16)) / 60)
    raw = files(tmp_path / "raw", vectors, 2)
    _, want = pairs_of(tmp_path / "run", raw, engine)
    monkeypatch.setattr("dsm_dask.duplicates.cell_files.IN_MEMORY", 20_000)
    monkeypatch.setattr("dsm_dask.duplicates.dealing.FILE_BYTES", 100_000)
    monkeypatch.setattr("dsm_dask.duplicates.cells.TASK_BYTES", 50_000)
    _, got = pairs_of(tmp_path / "again", raw, engine)
    near = [edges[edges["similarity"] < 1].tobytes() for edges in (got, want)]
    assert near[0] == near[1]
    truth = labels(*true_pairs(vectors).T, 4500)
    grouped = labels(got["left"], got["right"], 4500)
    assert np.bincount(grouped).max() == np.bincount(truth).max() >= 1500


def test_a_vector_many_times_over(tmp_path, engine):
    """Costs a link for each copy, and is compared once."""
    vectors = planted(8000, 8, copies=0)
    vectors[1000:6000] = vectors[1000]
    _, edges = pairs_of(tmp_path / "run", files(tmp_path / "raw", vectors, 3), engine, 0.9999)
    copies = edges[edges["similarity"] == 1]
    grouped = labels(edges["left"], edges["right"], 8000)
    assert len(copies) == 4999
    assert len(set(grouped[1000:6000].tolist())) == 1


def test_against_another_table(tmp_path, engine):
    vectors = planted(400, 8)
    other = files(tmp_path / "other", vectors[:100], 2)
    _, edges = pairs_of(tmp_path / "run", files(tmp_path / "raw", vectors, 2), engine, 1.0, [other])
    ends = [edges[name] for name in ("left", "right")]
    rows = [np.where(end >> np.uint64(56), end % 2**32 + 400, end) for end in ends]
    across = (rows[0] < 400) & (rows[1] >= 400)
    got = labels(*rows, 500)
    assert across.sum() >= 90
    assert (got[:100] == got[400:]).all()


def test_rows_without_a_direction_are_counted_and_never_duplicates(tmp_path, engine):
    rows = [[0, 0], [0, 0], None, None, [np.nan, 1], [np.nan, 1], [np.inf, 0], [1, 2], [2, 4]]
    made = pa.array(rows, pa.list_(pa.float32(), 2))
    found, edges = pairs_of(tmp_path / "run", files(tmp_path / "raw", made, 2), engine)
    assert found.left_out.to_dict() == {"null": 2, "zero": 2, "not_finite": 3}
    assert edges.tolist() == [(7, 8, 1.0)]


def test_vectors_of_different_dimensions(tmp_path, engine, small_partitions):
    made = pa.array([[1.0, 2.0], [1.0], [1.0, 2.0], [1.0, 2.0, 3.0]], pa.list_(pa.float32()))
    raw = files(tmp_path / "raw", made, 1)
    with pytest.raises(SchemaError, match=r"dimensions: 2, .*: 1 \(1\), 3 \(3\)") as caught:
        pairs_of(tmp_path / "run", raw, engine)
    assert "000.parquet" in str(caught.value)
    raw = files(tmp_path / "two", pa.array([[1.0, 2.0], [1.0]], pa.list_(pa.float32())), 2)
    with pytest.raises(SchemaError, match=r"2 in .*000.parquet.*, 1 in .*001.parquet"):
        pairs_of(tmp_path / "run", raw, engine)
    many = [[1.0, float(i)] for i in range(5000)] + [[1.0]]
    raw = files(tmp_path / "many", pa.array(many, pa.list_(pa.float32())), 5)
    with pytest.raises(SchemaError, match=r"5000"):
        pairs_of(tmp_path / "run", raw, engine)


@pytest.mark.parametrize("rows", [[], [None] * 5000, [[0.0, 0.0]] * 5000], ids=len)
def test_nothing_to_compare(tmp_path, engine, rows):
    raw = files(tmp_path / "raw", pa.array(rows, pa.list_(pa.float32(), 2)), 1)
    found, edges = pairs_of(tmp_path / "run", raw, engine)
    assert (found.left_out.rows, len(edges)) == (len(rows), 0)


def test_what_cannot_be(tmp_path, engine):
    table = open_parquet(files(tmp_path / "raw", pa.array(["a", "b"]), 1))
    with pytest.raises(SchemaError, match="no embedding"):
        dedup_alike(table, Semantic("v"), engine=engine)
    with pytest.raises(UnknownColumn):
        dedup_alike(table, Semantic("w"), engine=engine)
    for threshold in (0, -1, 1.5, float("nan")):
        with pytest.raises(UsageError, match="threshold"):
            dedup_alike(table, Semantic("v", threshold), engine=engine)


# ---------------------------------------------------------------------------------------------
# The verb


def test_the_verb_drops_all_but_one_of_each_cluster(tmp_path, engine):
    vectors = planted(3000, 16)
    clusters = labels(*true_pairs(vectors).T, 3000)
    want = np.unique(clusters, return_index=True)[1]
    for count in (1, 4):
        ds = str(tmp_path / f"ds{count}")
        create(ds, files(tmp_path / f"raw{count}", vectors, count), engine=engine)
        found = dedup_alike(open_dataset(ds), Semantic("v"), engine=engine, drop=True)
        assert (found.rows, found.kept) == (3000, len(want))
        assert found.clusters == (np.bincount(clusters) > 1).sum()
        assert found.largest[0].size == np.bincount(clusters).max()
        kept = open_dataset(ds).to_table(["_rowid"])["_rowid"].to_pylist()
        assert kept == sorted(want.tolist())
        again = dedup_alike(open_dataset(f"{ds}@1"), Semantic("v"), engine=engine, drop=True)
        assert (again.version, again.committed) == (2, False)
        assert not scratch(ds)


def test_the_verb_against_another_table_and_by_score(tmp_path, engine):
    """Rows that are over there go; of others the one with the best score stays."""
    vectors = planted(300, 8, copies=1)
    score = np.random.default_rng(4).permutation(300)
    table = pa.table({"v": column(vectors[50:]), "score": score[50:], "t": ["x"] * 250})
    pq.write_table(table, tmp_path / "data.parquet")
    pq.write_table(pa.table({"v": column(vectors[:50])}), tmp_path / "test.parquet")
    data, test = (
        open_parquet(str(tmp_path / "data.parquet")),
        open_parquet(str(tmp_path / "test.parquet")),
    )
    found = dedup_alike(
        data, Semantic("v", 0.999), engine=engine, against=[test], rule=Rule(prefer="score"),
        out=str(tmp_path / "out"),
    )  # fmt: skip
    clusters = labels(*true_pairs(vectors, 0.999).T, 300)
    there = set(clusters[:50].tolist())
    mine = range(50, 300)
    best = {}
    for row in sorted(mine, key=lambda row: score[row]):
        best[clusters[row]] = row
    kept = {row for label, row in best.items() if label not in there}
    assert found.kept == len(kept)
    told = pq.read_table(tmp_path / "out").to_pylist()
    lost = {row["row_id"] + 50 for row in told if row["role"] == "duplicate"}
    assert lost == set(mine) - kept
    assert found.against[0].rows == sum(clusters[row] in there for row in mine)


@pytest.mark.s3
def test_the_verb_in_a_bucket(bucket, engine):
    vectors = planted(4200, 8)
    parquet(f"s3://{bucket}/raw/0.parquet", pa.table({"v": column(vectors)}))
    ds = f"s3://{bucket}/ds"
    create(ds, f"s3://{bucket}/raw", engine=engine)
    found = dedup_alike(open_dataset(ds), Semantic("v", 0.99), engine=engine, columns=True)
    written = open_dataset(ds).to_table(["_rowid", "duplicate_of", "duplicate_role"])
    roles = np.array(written["duplicate_role"].to_pylist())
    assert (roles == "duplicate").sum() == found.duplicates
    clusters = labels(*true_pairs(vectors, 0.99).T, 4200)
    assert found.duplicates >= 0.99 * (4200 - len(set(clusters.tolist())))
    assert not scratch(f"s3://{bucket}")


def test_from_the_command_line_and_python(tmp_path, engine):
    vectors = planted(200, 8)
    raw = files(tmp_path / "raw", vectors, 2)
    want = len(set(labels(*true_pairs(vectors, 0.93).T, 200).tolist()))
    arguments = ["dedup", raw, "--on", "v", "--method", "semantic", "--threshold", "0.93"]
    told = dsm(*arguments, "--json")
    assert (told.code, told.json["kept"]) == (0, want)
    found = dsm_dask.dedup(raw, "v", method="semantic", threshold=0.93, engine=engine)
    assert (found.kept, found.parameters["threshold"]) == (want, 0.93)
    shown = dsm(*arguments, "--show", 2)
    assert shown.code == 0, shown.err
    wrong = dsm(*arguments, "--shingle", "word:5")
    assert wrong.code == 2
    assert "shingle is not an option of method semantic" in wrong.err
    with pytest.raises(UsageError, match="distance is not an option"):
        dsm_dask.dedup(raw, "v", method="semantic", distance=3, engine=engine)
    with pytest.raises(UsageError, match="no method 'fuzzy'"):
        dsm_dask.dedup(raw, "v", method="fuzzy", engine=engine)


def test_texts_from_the_command_line_and_python(tmp_path, engine):
    words = [f"word{i}" for i in range(60)]
    rows = [" ".join(words), " ".join([*words[:59], "other"]), "something else", ""]
    pq.write_table(pa.table({"t": rows}), tmp_path / "t.parquet")
    raw = str(tmp_path / "t.parquet")
    arguments = ["dedup", raw, "--on", "t", "--method", "semantic", "--embed", "--dimension", "64"]
    told = dsm(*arguments, "--json")
    found = told.json
    assert (found["kept"], found["left_out"]["zero"]) == (3, 1)
    assert found["parameters"]["embed"]["dimension"] == 64

    def lengths(values):
        return [[len(value), 1] for value in values]

    by_length = dsm_dask.dedup(
        raw, "t", method="semantic", embed=lengths, dimension=2, threshold=0.9999, engine=engine
    )
    assert by_length.kept == 3
