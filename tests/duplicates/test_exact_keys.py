"""Key files: what is kept of a partition is used again, and never when it is damaged."""

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import dsm, flip, objects, parquet, sql
from exact_rows import Given, GivenTable, by_duckdb, cut, decisions, sample, survivors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates import buckets, exact_groups, keys
from dsm_dask.duplicates.damage import DamagedFile
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.validation.keys import find_repeats


@pytest.mark.parametrize("half", [0, 1])
def test_all_of_a_hash_counts(tmp_path, engine, monkeypatch, half):
    """Half of it decides nothing: rows that agree in that alone are not equal."""
    lanes = keys.hash_lanes

    def half_alike(columns):
        found = list(lanes(columns))
        found[half] = np.full_like(found[half], 2**63 + 5)
        return tuple(found)

    monkeypatch.setattr(keys, "hash_lanes", half_alike)
    table = sample(1500, seed=4)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", table, 2), engine=engine)
    dedup_exact(open_dataset(ds), "key", engine=engine, drop=True)
    assert survivors(open_dataset(ds)) == by_duckdb(table, ["key"])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=5), distinct=st.integers(1, 400),
    seed=st.integers(0, 2**32), piece=st.sampled_from([1, 7, 512]), bits=st.integers(0, 6),
    decided=st.sampled_from([1, 100, 1 << 20]), together=st.sampled_from([1, 30, 1 << 18]),
)  # fmt: skip
def test_keys_and_buckets_of_any_size(
    tmp_path_factory, engine, sizes, distinct, seed, piece, bits, decided, together
):
    """Files with more and with fewer prefixes than there are buckets, row ids in any order."""
    random = np.random.default_rng(seed)
    values = random.integers(0, distinct, sum(sizes))
    rows = random.permutation(sum(sizes))
    edges = np.cumsum([0, *sizes])
    spans = [slice(*pair) for pair in pairwise(edges.tolist())]
    parts = tuple(Given(values[span], rows[span]) for span in spans)
    first: dict[int, int] = {}
    for value, row in sorted(zip(values.tolist(), rows.tolist(), strict=True), key=lambda p: p[1]):
        first.setdefault(value, row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "PIECE", piece)
        patch.setattr(exact_groups, "DECIDED", decided)
        patch.setattr(exact_groups, "PIECE", together)
        patch.setattr(buckets, "bucket_bits", lambda rows: bits)
        out = tmp_path_factory.mktemp("any") / "out"
        found = dedup_exact(GivenTable(parts), "x", engine=engine, out=str(out))
    pairs = zip(values.tolist(), rows.tolist(), strict=True)
    want = {row: first[value] for value, row in pairs if first[value] != row}
    assert decisions(out) == want
    counts = np.bincount(values, minlength=1)
    assert found.clusters == np.count_nonzero(counts > 1)
    largest = sorted(((-n, first[v]) for v, n in enumerate(counts.tolist()) if n > 1))[:10]
    assert [(-one.size, one.survivor) for one in found.largest] == largest
    told = {row: str(value) for value, row in first.items()}
    assert all(one.values == {"x": told[one.survivor]} for one in found.largest)


@pytest.mark.parametrize("share", [0.0, 0.003, 0.01, 0.02, 0.1, 0.4, 0.7, 0.9, 1.0])
def test_a_damaged_key_file_is_never_used(tmp_path, engine, share):
    """One bit anywhere: the file is made again, and the decisions are the same."""
    ds, table = str(tmp_path / "ds"), sample(3000, seed=9)
    create(ds, cut(tmp_path / "raw", table, 1), engine=engine)
    dedup_exact(open_dataset(ds), ["n", "s"], engine=engine, out=str(tmp_path / "before"))
    (uri,) = [uri for uri in objects(ds) if uri.endswith(".keys")]
    whole = Path(uri).read_bytes()
    flip(uri, int(share * (len(whole) - 1)))
    dedup_exact(open_dataset(ds), ["n", "s"], engine=engine, out=str(tmp_path / "after"))
    assert decisions(tmp_path / "after") == decisions(tmp_path / "before")
    assert len(decisions(tmp_path / "after")) > 100
    assert Path(uri).read_bytes() == whole


def test_a_check_of_keys_does_not_use_damaged_files(tmp_path, engine):
    ds, table = str(tmp_path / "ds"), sample(3000, seed=9)
    create(ds, cut(tmp_path / "raw", table, 2), engine=engine)
    want = find_repeats(open_dataset(ds), ["n", "s"], 5, engine=engine)
    assert want.count > 100
    for uri in [uri for uri in objects(ds) if uri.endswith(".keys")]:
        flip(uri, -2000)
    assert find_repeats(open_dataset(ds), ["n", "s"], 5, engine=engine) == want


def test_after_an_append_only_new_partitions_are_hashed(tmp_path):
    from dsm_dask.engine import Engine

    random = np.random.default_rng(1)

    def source(name: str) -> None:
        data = {"x": random.integers(0, 1 << 20, 100_000), "pad": random.random(100_000)}
        parquet(tmp_path / f"raw/{name}.parquet", data)

    def kept() -> dict[str, tuple[int, str]]:
        return {uri: what for uri, what in objects(ds).items() if uri.endswith(".keys")}

    ds = str(tmp_path / "ds")
    for name in "12":
        source(name)
    with Engine(workers=0) as engine:
        create(ds, str(tmp_path / "raw"), engine=engine)
        dedup_exact(open_dataset(ds), "x", engine=engine)
    first = kept()
    assert first
    with Engine(workers=0) as engine:
        dedup_exact(open_dataset(ds), "x", engine=engine)
        assert engine.io.bytes_written == 0
    assert kept() == first
    source("3")
    with Engine(workers=0) as engine:
        append(ds, str(tmp_path / "raw"), engine=engine)
    with Engine(workers=0) as engine:
        found = dedup_exact(open_dataset(ds), "x", engine=engine)
        after = kept()
        assert {uri: after[uri] for uri in first} == first
        new = set(after) - set(first)
        assert new
        assert engine.io.bytes_written == sum(after[uri][0] for uri in new)
    table = pq.read_table(tmp_path / "raw")
    ((want,),) = sql("select count(*) - count(distinct x) from t", t=table)
    assert found.duplicates == want


def test_a_damaged_key_file_is_written_again(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", sample(300), 2), engine=engine)
    want = dedup_exact(open_dataset(ds), "key", engine=engine)
    for uri in objects(ds):
        if uri.endswith(".keys"):
            content = Path(uri).read_bytes()
            for damage in (b"", b"x" * 10, content[:-5], b"z" + content[1:]):
                Path(uri).write_bytes(damage)
                assert dedup_exact(open_dataset(ds), "key", engine=engine) == want


@pytest.mark.slow
def test_one_value_two_hundred_thousand_times(tmp_path, engine):
    """Costs a record a partition, not a record a row, in the grouping."""
    values = np.arange(250_000)
    values[10_000:210_000] = 7
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", pa.table({"x": values}), 5, group=50_000), engine=engine)
    found = dedup_exact(open_dataset(ds), "x", engine=engine, drop=True)
    assert (found.clusters, found.duplicates) == (1, 200_000)
    assert found.largest[0].size == 200_001
    assert found.largest[0].survivor == 7
    assert found.largest[0].values == {"x": "7"}
    assert survivors(open_dataset(ds)) == [*range(10_000), *range(210_000, 250_000)]


def forbidden(columns):
    raise AssertionError("a row was hashed again")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.integers(0, 12), min_size=2, max_size=60), files=st.integers(1, 3),
    drops=st.lists(st.sets(st.integers(0, 59), min_size=1), min_size=1, max_size=3),
)  # fmt: skip
def test_after_any_drops_nothing_is_hashed_again(tmp_path_factory, engine, values, files, drops):
    """At every version, the first of the rows that are left survives. (A file that has no row left
    is another partition.)"""
    folder = tmp_path_factory.mktemp("any")
    ds, size = str(folder / "ds"), len(values)
    table = pa.table({"x": values, "k": np.arange(size)})
    create(ds, cut(folder / "raw", table, min(files, size), group=7), engine=engine)
    dedup_exact(open_dataset(ds), "x", engine=engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "hash_lanes", forbidden)
        gone: set[int] = set()
        for number, some in enumerate(drops):
            more = {row for row in some if row < size} - gone
            edges = np.linspace(0, size, min(files, size) + 1).astype(int).tolist()
            if not more or any(gone | more >= set(range(*pair)) for pair in pairwise(edges)):
                continue
            gone |= more
            drop(ds, f"k in ({', '.join(map(str, more))})", engine=engine)
            first: dict[int, int] = {}
            left = [row for row in range(size) if row not in gone]
            for row in left:
                first.setdefault(values[row], row)
            out = folder / f"out{number}"
            found = dedup_exact(open_dataset(ds), "x", engine=engine, out=str(out))
            assert (found.rows, found.clusters) == (len(left), sum(
                1 for value in first if sum(values[row] == value for row in left) > 1
            ))  # fmt: skip
            repeats = {row: first[values[row]] for row in left if first[values[row]] != row}
            assert decisions(out) == repeats


def test_rows_that_came_back_have_keys_of_their_own(tmp_path, engine):
    """A file that was made after a drop does not know the rows of the version before."""
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"x": [1, 2, 1, 2], "k": range(4)}), engine=engine)
    drop(ds, "k = 0", engine=engine)
    dedup_exact(open_dataset(ds), "x", engine=engine, out=str(tmp_path / "after"))
    before = objects(ds)
    dedup_exact(open_dataset(f"{ds}@1"), "x", engine=engine, out=str(tmp_path / "before"))
    assert decisions(tmp_path / "after") == {3: 1}
    assert decisions(tmp_path / "before") == {2: 0, 3: 1}
    assert {uri: what for uri, what in objects(ds).items() if uri in before} == before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "hash_lanes", forbidden)
        for version in (1, 2):
            dedup_exact(open_dataset(f"{ds}@{version}"), "x", engine=engine)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_damaged_file_is_not_used_after_a_drop(tmp_path, engine, share):
    ds, table = str(tmp_path / "ds"), sample(3000, seed=9).append_column("k", [range(3000)])
    create(ds, cut(tmp_path / "raw", table, 1), engine=engine)
    dedup_exact(open_dataset(ds), ["n", "s"], engine=engine)
    (uri,) = [uri for uri in objects(ds) if uri.endswith(".keys")]
    drop(ds, "k < 100", engine=engine)
    flip(uri, int(share * Path(uri).stat().st_size))
    dedup_exact(open_dataset(ds), ["n", "s"], engine=engine, drop=True)
    left = table.slice(100).select(["n", "s"])
    assert survivors(open_dataset(ds)) == [row + 100 for row in by_duckdb(left, ["n", "s"])]


def test_a_file_that_another_run_replaced_is_not_taken_for_ones_own(tmp_path):
    """Its checksums are right, but it was made of other rows."""
    write = keys.WriteKeys(("x",), (str(tmp_path),))
    mine = write(Given(np.arange(9), np.arange(9)))
    assert len(mine.share(0, 0).firsts) == 9
    for other in (mine.made_of ^ 1, 0):
        with pytest.raises(DamagedFile):
            dataclasses.replace(mine, made_of=other).share(0, 0)


def test_keys_are_an_index_that_is_listed_verified_and_removed(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", sample(300), 2), engine=engine)
    dedup_exact(open_dataset(ds), "key", engine=engine)
    dedup_exact(open_dataset(ds), ["n", "s"], engine=engine)
    files = [uri for uri in objects(ds) if uri.endswith(".keys")]
    (told,) = dsm("index", "ls", ds, "--json").json["indexes"]
    assert (told["name"], told["files"], told["about"]) == (
        "exact",
        len(files),
        {"method": "exact"},
    )
    assert dsm("index", "verify", ds).code == 0
    flip(files[0], -9)
    said = dsm("index", "verify", ds, "exact", "--json")
    assert (said.code, said.json["indexes"][0]["damaged"]) == (1, [files[0]])
    assert dsm("index", "rm", ds, "exact").code == 0
    assert not [uri for uri in objects(ds) if uri.endswith(".keys")]
    assert dsm("index", "rm", ds, "exact").code == 2
