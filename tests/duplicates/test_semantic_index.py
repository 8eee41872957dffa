"""What semantic deduplication keeps beside a dataset: of what use it is, and that it never tells
other clusters than all cosines do, in NumPy."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import dsm, flip, objects, parquet, scratch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from dsm_dask import storage
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.naming import restore
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates import kmeans
from dsm_dask.duplicates.alike import dedup_alike
from dsm_dask.duplicates.embeddings import FunctionMap
from dsm_dask.duplicates.indexes import indexes, remove_indexes, verify_indexes
from dsm_dask.duplicates.semantic import Semantic
from dsm_dask.table import ROW_ID

THRESHOLD = 0.99995
NEAR = Semantic("v", THRESHOLD)


@pytest.fixture(autouse=True)
def small_cells(monkeypatch):
    """Cells where there are few rows. In the plane they have two neighbours: no pair is missed."""
    monkeypatch.setattr(kmeans, "SMALLEST", 64)


def directions(rows: int, seed: int, copies: int = 0) -> np.ndarray:
    """In the plane, a good part of them near to another one."""
    random = np.random.default_rng(seed)
    angles = random.uniform(0, 2 * np.pi, rows)
    found = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found[rows - copies :] = found[:copies]
    return found


def file(uri, vectors, first: int = 0) -> str:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 2)
    return parquet(uri, {"v": lists, "n": np.arange(first, first + len(vectors))})


def truth(vectors) -> list[set[int]]:
    """Clusters by all cosines."""
    exact = vectors.astype(np.float64)
    exact = (exact / np.linalg.norm(exact, axis=1, keepdims=True)).astype(np.float32)
    exact = exact.astype(np.float64)
    near = coo_matrix(np.triu(exact @ exact.T >= THRESHOLD, 1))
    label = connected_components(near, directed=False)[1]
    sizes = np.bincount(label)
    return [set(np.flatnonzero(label == one)) for one in np.flatnonzero(sizes > 1)]


def rows_of(ds) -> tuple[np.ndarray, np.ndarray]:
    """Row ids and vectors of a version."""
    table = open_dataset(ds).to_table(["v", ROW_ID])
    vectors = np.array(table["v"].combine_chunks().flatten()).reshape(-1, 2)
    return table[ROW_ID].to_numpy(), vectors


def clusters_of(ds, engine, out, semantic=NEAR, **options):
    """What is found, and the clusters as sets of row ids."""
    import pyarrow.parquet as pq

    found = dedup_alike(open_dataset(ds), semantic, engine=engine, out=str(out), **options)
    listed = {}
    for row in pq.read_table(out).to_pylist():
        listed.setdefault((row["against"], row["cluster"]), set()).add(row["row_id"])
    return found, listed


def check(ds, engine, out, semantic=NEAR):
    """The clusters are those of all cosines; what is found."""
    found, listed = clusters_of(ds, engine, out, semantic)
    ids, vectors = rows_of(ds)
    want = {frozenset(ids[list(group)].tolist()) for group in truth(vectors)}
    assert {frozenset(group) for group in listed.values()} == want
    assert (found.rows, found.duplicates) == (len(ids), sum(map(len, want)) - len(want))
    assert not scratch(ds)
    return found


@pytest.fixture
def ds(tmp_path, engine) -> str:
    for number in range(3):
        file(tmp_path / f"raw/{number}.parquet", directions(300, number, 20), 300 * number)
    create(str(tmp_path / "ds"), str(tmp_path / "raw"), engine=engine)
    return str(tmp_path / "ds")


def more(ds, tmp_path, engine, seed: int = 9, rows: int = 60) -> None:
    vectors = directions(rows, seed)
    vectors[:20] = rows_of(ds)[1][100:120]
    first = int(rows_of(ds)[0].max()) + 1
    append(ds, file(tmp_path / f"more/{seed}.parquet", vectors, first), engine=engine)


def test_an_append_deals_only_what_is_new(ds, tmp_path, engine):
    first = check(ds, engine, tmp_path / "a")
    assert (first.index.files, first.index.hashed, first.index.compared) == (1, 1, 900)
    more(ds, tmp_path, engine)
    found = check(ds, engine, tmp_path / "b")
    assert (found.index.files, found.index.hashed, found.index.compared) == (2, 1, 60)
    again = check(ds, engine, tmp_path / "c")
    assert (again.index.hashed, again.index.compared) == (0, 0)
    assert (again.sizes, again.similarities) == (found.sizes, found.similarities)
    assert dataclasses.astuple(again.index)[2] >= 960 * 8


def test_after_the_duplicates_were_dropped(ds, tmp_path, engine):
    """The flow of every week: what is left of a cluster is one row, and its pairs are known."""
    found = dedup_alike(open_dataset(ds), NEAR, engine=engine, drop=True)
    assert found.duplicates >= 60
    assert check(ds, engine, tmp_path / "a").duplicates == 0
    for seed in (5, 6):
        more(ds, tmp_path, engine, seed, 40)
        found = check(ds, engine, tmp_path / f"b{seed}")
        assert (found.index.hashed, found.index.compared) == (1, 40)
        assert found.duplicates >= 20
        dedup_alike(open_dataset(ds), NEAR, engine=engine, drop=True)
    assert check(ds, engine, tmp_path / "c").index.compared == 0


def test_a_first_of_copies_that_is_gone_hands_over(tmp_path, engine):
    """The copy that is left has the vector now."""
    vectors = directions(200, 1)
    vectors[100] = vectors[0]
    create(str(tmp_path / "ds"), file(tmp_path / "raw.parquet", vectors), engine=engine)
    ds = str(tmp_path / "ds")
    check(ds, engine, tmp_path / "a")
    drop(ds, "n = 0", engine=engine)
    append(ds, file(tmp_path / "more.parquet", vectors[:1], 200), engine=engine)
    _, listed = clusters_of(ds, engine, tmp_path / "b")
    assert {100, 200} <= set.union(*listed.values())
    check(ds, engine, tmp_path / "c")


def test_a_cluster_that_lost_some_of_its_rows_is_not_taken_for_known(tmp_path, engine):
    """Two rows may have been connected through one that is gone, or be near to each other."""
    angles = np.array([*np.linspace(1, 6, 200), 0, 0.004, 0.008, 0.5, 0.509, 0.518])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    create(str(tmp_path / "ds"), file(tmp_path / "raw.parquet", vectors), engine=engine)
    ds = str(tmp_path / "ds")
    assert check(ds, engine, tmp_path / "a").duplicates == 4
    drop(ds, "n in (201, 204)", engine=engine)
    found = check(ds, engine, tmp_path / "b")
    assert (found.duplicates, found.index.compared) == (1, 204)


def test_rows_that_come_back_are_compared(ds, tmp_path, engine):
    """With what was appended while they were gone, too."""
    check(ds, engine, tmp_path / "a")
    dedup_alike(open_dataset(ds), NEAR, engine=engine, drop=True)
    more(ds, tmp_path, engine)
    check(ds, engine, tmp_path / "b")
    for number, version in enumerate((1, 3, 2)):
        restore(ds, str(version))
        check(ds, engine, tmp_path / f"c{number}")


def test_rows_that_were_gone_before_the_index_was_made_come_back(ds, tmp_path, engine):
    drop(ds, "n < 50", engine=engine)
    check(ds, engine, tmp_path / "a")
    restore(ds, "1")
    assert check(ds, engine, tmp_path / "b").index.compared == 900


@settings(
    max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_happens_the_clusters_are_those_of_all_cosines(tmp_path_factory, engine, data):
    place = tmp_path_factory.mktemp("history")
    ds = str(place / "ds")
    create(ds, file(place / "raw.parquet", directions(300, data.draw(st.integers(0, 99)), 10)),
           engine=engine)  # fmt: skip
    steps = st.sampled_from(["append", "append", "drop", "dedup", "restore", "check"])
    for number, step in enumerate(data.draw(st.lists(steps, min_size=3, max_size=6))):
        if step == "append":
            more(ds, place, engine, 1000 + number, data.draw(st.sampled_from([25, 60, 200])))
        elif step == "drop":
            low = data.draw(st.integers(0, 300))
            drop(ds, f"n >= {low} and n < {low + data.draw(st.integers(1, 30))}", engine=engine)
        elif step == "dedup":
            dedup_alike(open_dataset(ds), NEAR, engine=engine, drop=True)
        elif step == "restore":
            restore(ds, str(data.draw(st.integers(1, open_dataset(ds).version))))
        else:
            check(ds, engine, place / f"out{number}")
    check(ds, engine, place / "out")
    assert check(ds, engine, place / "again").index.compared == 0


@pytest.mark.parametrize("data_first", [True, False])
def test_against_uses_the_index_of_the_larger(ds, tmp_path, engine, data_first):
    check(ds, engine, tmp_path / "a")
    vectors = directions(100, 77)
    vectors[:30] = rows_of(ds)[1][:30]
    other = str(tmp_path / "other")
    create(other, file(tmp_path / "other.parquet", vectors), engine=engine)
    one, two = (ds, other) if data_first else (other, ds)
    before = objects(tmp_path)
    found = dedup_alike(
        open_dataset(one), NEAR, engine=engine, against=[open_dataset(two)], out=f"{tmp_path}/out"
    )
    assert (found.index.files, found.index.hashed, found.index.compared) == (2, 1, 100)
    kept = {uri: told for uri, told in objects(tmp_path).items() if "/out/" not in uri}
    assert kept == before
    whole = np.concatenate([rows_of(one)[1], rows_of(two)[1]])
    first = len(rows_of(one)[1])
    groups = [group for group in truth(whole) if min(group) < first]
    assert found.clusters == len(groups)
    assert found.against[0].rows == sum(
        sum(row < first for row in group) for group in groups if max(group) >= first
    )


def test_many_new_rows_or_another_threshold_begin_anew(ds, tmp_path, engine):
    check(ds, engine, tmp_path / "a")
    other = dedup_alike(open_dataset(ds), Semantic("v", 0.9), engine=engine)
    assert other.index.compared == 900
    assert len(indexes(open_dataset(ds))) == 2
    more(ds, tmp_path, engine, rows=400)
    found = check(ds, engine, tmp_path / "b")
    assert (found.index.hashed, found.index.compared) == (2, 1300)
    remove_indexes(open_dataset(ds))
    anew = check(ds, engine, tmp_path / "c")
    assert (anew.sizes, anew.similarities) == (found.sizes, found.similarities)


def test_vectors_made_on_the_way_are_made_once(ds, tmp_path, engine):
    made = []

    def vectors(values):
        made.append(len(values))
        return values

    semantic = Semantic("v", THRESHOLD, FunctionMap("v", vectors, 2))
    check(ds, engine, tmp_path / "a", semantic)
    made.clear()
    more(ds, tmp_path, engine)
    check(ds, engine, tmp_path / "b", semantic)
    assert sum(made) == 60


def test_a_dry_run_keeps_nothing(ds, tmp_path, engine):
    before = objects(ds)
    found = dedup_alike(open_dataset(ds), NEAR, engine=engine, dry_run=True)
    assert found.index is None
    assert objects(ds) == before
    check(ds, engine, tmp_path / "a")
    before = objects(ds)
    found = dedup_alike(open_dataset(ds), NEAR, engine=engine, dry_run=True)
    assert found.index.compared == 0
    assert objects(ds) == before


@pytest.mark.parametrize("kind", [".homes", ".pairs", "centres.dsm", "homes.dsm", ".gone"])
@pytest.mark.parametrize("how", ["flipped", "removed"])
def test_what_is_damaged_is_not_used(ds, tmp_path, engine, kind, how):
    dedup_alike(open_dataset(ds), NEAR, engine=engine, drop=kind == ".gone")
    check(ds, engine, tmp_path / "a")
    more(ds, tmp_path, engine, rows=40)
    there = objects(f"{ds}/_dsm/index").items()
    uri = max((size, uri) for uri, (size, _) in there if uri.endswith(kind))[1]
    if how == "flipped":
        flip(uri, storage.info(uri).size // 2 + 3)
    else:
        (tmp_path / uri).unlink()
    (checked,) = verify_indexes(open_dataset(ds), engine=engine)
    assert list(checked.damaged) == ([uri] if (kind, how) != ("homes.dsm", "removed") else [])
    check(ds, engine, tmp_path / "b")
    (checked,) = verify_indexes(open_dataset(ds), engine=engine)
    assert (checked.damaged, checked.files > 6) == ((), True)
    assert check(ds, engine, tmp_path / "c").index.compared == 0


def test_every_bit_of_a_home_file_is_guarded(ds, tmp_path, engine):
    from dsm_dask.duplicates.home_files import is_whole

    check(ds, engine, tmp_path / "a")
    uri = next(uri for uri in objects(f"{ds}/_dsm/index") if uri.endswith(".homes"))
    assert is_whole(uri)
    size = storage.info(uri).size
    for position in np.random.default_rng(1).choice(size, 150, replace=False).tolist():
        flip(uri, position)
        assert not is_whole(uri), position
        flip(uri, position)
    assert is_whole(uri)


def test_on_the_command_line(ds, tmp_path):
    args = ("dedup", ds, "--on", "v", "--method", "semantic", "--threshold", THRESHOLD, "--json")
    assert dsm(*args).json["index"]["compared"] == 900
    (told,) = dsm("index", "ls", ds, "--json").json["indexes"]
    assert told["about"] == {"method": "semantic", "on": "v", "threshold": THRESHOLD, "embed": None}
    assert told["files"] == 1
    assert "semantic" in dsm("index", "ls", ds).out
    assert dsm("index", "verify", ds).code == 0
    assert dsm(*args).json["index"]["compared"] == 0
    assert dsm("index", "rm", ds).code == 0
    assert dsm(*args).json["index"]["compared"] == 900


@pytest.mark.s3
def test_on_s3(tmp_path, engine, bucket):
    ds = f"s3://{bucket}/ds"
    for number in range(2):
        file(f"s3://{bucket}/raw/{number}.parquet", directions(300, number, 20), 300 * number)
    create(ds, f"s3://{bucket}/raw", engine=engine)
    check(ds, engine, tmp_path / "a")
    append(ds, file(f"s3://{bucket}/more.parquet", directions(50, 5), 600), engine=engine)
    assert check(ds, engine, tmp_path / "b").index.hashed == 1
