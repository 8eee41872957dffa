"""Survivors are DuckDB's ``min(rowid) GROUP BY``, whatever the types, files and workers."""

import dataclasses
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dsm_trials import flip, objects, parquet, sql
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dsm_dask import storage
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import diff
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.duplicates import exact, keys
from dsm_dask.duplicates.exact import dedup_exact
from dsm_dask.errors import UnknownColumn, UsageError
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.testing.arrow import TYPES, arrow_arrays
from dsm_dask.validation.keys import find_repeats

BOTH = pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])


def cut(folder, table: pa.Table, files: int, group: int = 1000) -> str:
    """The same rows over this many files."""
    edges = np.linspace(0, table.num_rows, files + 1).astype(int)
    for index in range(files):
        piece = table.slice(edges[index], edges[index + 1] - edges[index])
        parquet(f"{folder}/{index:03}.parquet", piece, row_group_size=group)
    return str(folder)


def survivors(dataset) -> list[int]:
    return dataset.to_table(["_rowid"])["_rowid"].to_pylist()


def by_duckdb(table: pa.Table, on: list[str]) -> list[int]:
    """Grouping NULL with NULL and NaN with NaN, as SQL does, and -0.0 with 0.0."""
    numbered = table.append_column("rid", pa.array(np.arange(table.num_rows)))
    names = ", ".join(f'"{name}"' for name in on)
    return sorted(row[0] for row in sql(f"select min(rid) from t group by {names}", t=numbered))


def sample(rows: int, seed: int = 1) -> pa.Table:
    random = np.random.default_rng(seed)

    def some(values: list) -> list:
        return [values[i] for i in random.integers(0, len(values), rows)]

    return pa.table(
        {
            "n": pa.array(some([None, 0, 1, -1, 2**62]), pa.int64()),
            "u": pa.array(some([None, 0, 1, 2**64 - 1]), pa.uint64()),
            "f": pa.array(
                some([None, 0.0, -0.0, math.nan, -math.nan, math.inf, 1.5]), pa.float64()
            ),
            "s": pa.array(some([None, "", "a", "A", "naïve", "a\x00b"]), pa.string()),
            "kind": pa.array(some([None, "red", "blue"])).dictionary_encode(),
            "items": pa.array(
                some([None, [], [1], [1, None], [None], [1, 2]]), pa.list_(pa.int32())
            ),
            "deep": pa.array(
                some([None, {"x": 1, "y": None}, {"x": 1, "y": "a"}, {"x": None, "y": None}]),
                pa.struct({"x": pa.int64(), "y": pa.string()}),
            ),
            "t": pa.array(some([None, 0, 1]), pa.timestamp("us", "UTC")),
            "b": pa.array(some([None, True, False]), pa.bool_()),
            "none": pa.nulls(rows),
            "key": random.integers(0, rows // 2, rows),
        }
    )


ON = [
    *[[name] for name in ("n", "u", "f", "s", "kind", "items", "deep", "t", "b", "key")],
    *[["n", "f"], ["f", "n"], ["s", "kind", "items"], ["key", "b"], ["n", "u", "f", "s", "b"]],
]


@pytest.mark.parametrize("on", ON, ids="-".join)
def test_as_duckdb_groups(tmp_path, engine, on):
    table = sample(500)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", table, 4, group=37), engine=engine)
    want = by_duckdb(table, on)
    found = dedup_exact(open_dataset(ds), on, engine=engine, drop=True)
    assert survivors(open_dataset(ds)) == want
    assert (found.rows, found.kept, found.duplicates) == (500, len(want), 500 - len(want))
    names = ", ".join(on)
    ((clusters,),) = sql(
        f"select count(*) from (select 1 from t group by {names} having count(*) > 1)", t=table
    )
    assert found.clusters == clusters
    assert (found.version, found.committed) == (2, True)
    sizes = sql(f"select count(*) c from t group by {names} having c > 1 order by c desc", t=table)
    assert [cluster.size for cluster in found.largest] == [row[0] for row in sizes[:10]]
    assert all(cluster.survivor in want for cluster in found.largest)


def test_all_null(tmp_path, engine):
    """Null equals null: one row stays."""
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", sample(100), 3), engine=engine)
    found = dedup_exact(open_dataset(ds), "none", engine=engine, drop=True)
    assert (found.clusters, found.duplicates, survivors(open_dataset(ds))) == (1, 99, [0])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_columns_of_every_type(tmp_path_factory, engine, data):
    """Against grouping in Python by values that compare as the types say."""
    left_out = {"month_day_nano_interval", "timestamp[s]"}
    left_out |= {"string_view", "binary_view"}  # see test_views
    kinds = [kind for kind in TYPES if str(kind) not in left_out]
    picked = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=2))
    size = data.draw(st.integers(1, 40))
    columns = [data.draw(arrow_arrays(kind, min_size=size, max_size=size)) for kind in picked]
    table = pa.table(columns, names=[f"c{i}" for i in range(len(columns))])
    try:
        table.to_pylist()
    except (OverflowError, ValueError):  # see test_times_beyond_pythons
        assume(False)
    folder = tmp_path_factory.mktemp("any")
    files = data.draw(st.integers(1, min(4, size)))
    raw = cut(folder / "raw", table, files, group=7)
    stored = pq.read_table(raw)
    found = dedup_exact(
        open_parquet(raw), table.column_names, engine=engine, out=str(folder / "out")
    )
    first: dict[str, int] = {}
    want = {}
    for row, key in enumerate(zip(*(map(_key, _plain(c)) for c in stored.columns), strict=True)):
        if first.setdefault(repr(key), row) != row:
            want[row] = first[repr(key)]
    assert found.duplicates == len(want)
    assert decisions(folder / "out") == want


def _plain(column: pa.ChunkedArray) -> list:
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
    return column.to_pylist()


def _key(value):
    """-0.0 as 0.0, NaN as itself."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return [(name, _key(item)) for name, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [_key(item) for item in value]
    return value


def decisions(folder) -> dict[int, int]:
    """Row id of each duplicate: row id of what it repeats. Every one once."""
    if not Path(folder).exists():
        return {}
    table = pq.read_table(folder)
    if table.num_rows:
        assert set(table["role"].to_pylist()) == {"duplicate"}
        assert set(table["reason"].to_pylist()) == {"exact"}
        assert set(table["similarity"].to_pylist()) == {1.0}
    found = dict(zip(table["row_id"].to_pylist(), table["cluster"].to_pylist(), strict=True))
    assert len(found) == table.num_rows
    return found


def test_ones_of_different_types_differ(tmp_path, engine):
    """1 and 1.0 differ by column type; integers of two widths do not."""
    narrow = parquet(tmp_path / "1.parquet", {"x": pa.array([1, 2], pa.int8())})
    wide = parquet(tmp_path / "2.parquet", {"x": pa.array([1, 3], pa.int64())})
    found = dedup_exact(open_parquet([narrow, wide]), "x", engine=engine)
    assert found.duplicates == 1
    pairs = pa.table({"n": [1, 1], "f": [1.0, 2.0], "s": ["1", "1"]})
    both = open_parquet(parquet(tmp_path / "3.parquet", pairs))
    assert dedup_exact(both, ["n", "f", "s"], engine=engine).duplicates == 0
    assert dedup_exact(both, ["n", "s"], engine=engine).duplicates == 1


@pytest.mark.cluster
def test_however_cut_and_whoever_works(tmp_path, engine, cluster, monkeypatch):
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))  # a row group each
    table = sample(4000, seed=7)
    want = by_duckdb(table, ["key", "b"])
    for files in (1, 2, 7, 64):
        raw = cut(tmp_path / f"raw{files}", table, files, group=4000)
        for name, used in (("0", engine), ("2", cluster)):
            ds = str(tmp_path / f"ds{files}-{name}")
            create(ds, raw, engine=used, copy=files == 7)
            assert len(open_dataset(ds).partitions()) == (1 if files == 7 else files)
            found = dedup_exact(open_dataset(ds), ["key", "b"], engine=used, drop=True)
            assert survivors(open_dataset(ds)) == want
            assert found.kept == len(want)


def test_many_partitions(tmp_path, engine, monkeypatch):
    """Partitions of a few rows each: the rows of a cluster lie far apart."""
    monkeypatch.setattr("dsm_dask.sources.parquet.PARTITION_BYTES", (1, 1))
    table = sample(640, seed=3)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", table, 8, group=10), engine=engine)
    assert len(open_dataset(ds).partitions()) == 64
    dedup_exact(open_dataset(ds), ["n", "s"], engine=engine, drop=True)
    assert survivors(open_dataset(ds)) == by_duckdb(table, ["n", "s"])


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
    decided=st.sampled_from([1, 100, 1 << 20]),
)  # fmt: skip
def test_keys_and_buckets_of_any_size(
    tmp_path_factory, engine, sizes, distinct, seed, piece, bits, decided
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
        patch.setattr(exact, "DECIDED", decided)
        patch.setattr(exact, "bucket_bits", lambda rows: bits)
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


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """A partition of these values, with these row ids."""

    x: np.ndarray
    ids: np.ndarray
    size = 1 << 20
    label = "given"

    @property
    def rows(self) -> int:
        return len(self.x)

    @property
    def fingerprint(self) -> str:
        return repr((self.x.tolist(), self.ids.tolist()))

    def values_fingerprint(self, columns) -> str:
        return ""

    def read(self, columns):
        arrays = {"x": pa.array(self.x), "_rowid": pa.array(self.ids, pa.uint64())}
        yield pa.record_batch([arrays[name] for name in columns], names=list(columns))


@dataclasses.dataclass(frozen=True, eq=False)
class GivenTable:
    parts: tuple[Given, ...]
    uri = "given"
    schema = pa.schema({"x": pa.int64()})

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    def partitions(self):
        return self.parts


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


@BOTH
def test_again_finds_nothing(tmp_path, engine, copy):
    table = sample(300)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", table, 3), engine=engine, copy=copy)
    first = dedup_exact(open_dataset(ds), "s", engine=engine, drop=True)
    assert first.duplicates > 200
    again = dedup_exact(open_dataset(ds), "s", engine=engine, drop=True)
    assert (again.duplicates, again.clusters, again.committed) == (0, 0, False)
    assert open_dataset(ds).version == 2
    # the same job on the version it ran on finds its own commit
    repeated = dedup_exact(open_dataset(f"{ds}@1"), "s", engine=engine, drop=True)
    assert (repeated.version, repeated.committed) == (2, False)
    assert (repeated.duplicates, repeated.clusters) == (first.duplicates, first.clusters)
    assert open_dataset(ds).version == 2
    found = diff(f"{ds}@1", ds)
    assert (found.added, found.removed) == (0, first.duplicates)


def test_after_other_drops_the_next_of_a_cluster_survives(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"s": list("abcabc"), "k": range(6)}), engine=engine)
    drop(ds, "k in (0, 4)", engine=engine)
    found = dedup_exact(open_dataset(ds), "s", engine=engine, drop=True)
    assert (found.rows, found.duplicates) == (4, 1)
    assert survivors(open_dataset(ds)) == [1, 2, 3]


@pytest.mark.parametrize("plain", [False, True], ids=["dataset", "files"])
def test_decisions(tmp_path, engine, plain):
    table = sample(800, seed=5)
    raw, out = cut(tmp_path / "raw", table, 5), tmp_path / "out"
    data = open_parquet(raw)
    if not plain:
        create(str(tmp_path / "ds"), raw, engine=engine)
        data = open_dataset(str(tmp_path / "ds"))
    found = dedup_exact(data, ["key"], engine=engine, out=str(out))
    listed = decisions(out)
    numbered = table.append_column("rid", pa.array(np.arange(800)))
    query = "select rid, min(rid) over (partition by key) m from t qualify rid <> m"
    assert listed == dict(sql(query, t=numbered))
    assert found.duplicates == len(listed)
    assert found.clusters == len(set(listed.values()))
    assert not [uri for uri in objects(tmp_path) if "_dsm-" in uri]  # no scratch left
    if not plain:
        assert open_dataset(str(tmp_path / "ds")).version == 1


def test_decisions_of_two_runs_do_not_mix(tmp_path, engine):
    data = open_parquet(cut(tmp_path / "raw", sample(300, seed=5), 2))
    dedup_exact(data, ["n"], engine=engine, out=str(tmp_path / "out"))
    before = objects(tmp_path)
    with pytest.raises(UsageError, match="not empty"):
        dedup_exact(data, ["key"], engine=engine, out=str(tmp_path / "out"))
    assert objects(tmp_path) == before


def test_dry_run_writes_no_version_and_no_decisions(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", sample(300), 2), engine=engine)
    found = dedup_exact(
        open_dataset(ds), "s", engine=engine, drop=True, out=str(tmp_path / "out"), dry_run=True
    )
    assert found.duplicates > 200
    assert not found.committed
    assert open_dataset(ds).version == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_decisions_of_more_than_a_megabyte(tmp_path, engine):
    """They are cut into parts like any other large file."""
    random = np.random.default_rng(1)
    table = pa.table({"x": random.integers(0, 300_000, 1_600_000)})
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", table, 4, group=1 << 20), engine=engine)
    found = dedup_exact(open_dataset(ds), "x", engine=engine, drop=True)
    assert max(size for uri, (size, _) in objects(ds).items() if "/decisions/" in uri) > 1 << 20
    assert survivors(open_dataset(ds)) == by_duckdb(table, ["x"])
    assert found.kept == open_dataset(ds).rows


def test_times_beyond_pythons(tmp_path, engine):
    """In databases, "for ever" is often the last time that there is."""
    never = pa.array([2**63 - 1, 0, 2**63 - 1], pa.int64()).view(pa.timestamp("us"))
    data = open_parquet(parquet(tmp_path / "1.parquet", {"until": never}))
    assert dedup_exact(data, "until", engine=engine).duplicates == 1


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view()], ids=str)
def test_views(tmp_path, engine, kind):
    ds = str(tmp_path / "ds")
    column = pa.array(["a", "b", "a", None]).cast(kind)
    create(ds, parquet(tmp_path / "1.parquet", {"x": column, "k": [0, 1, 2, 3]}), engine=engine)
    drop(ds, "k = 1", engine=engine)
    assert open_dataset(ds).to_table()["k"].to_pylist() == [0, 2, 3]
    dedup_exact(open_dataset(ds), "x", engine=engine, drop=True)
    assert survivors(open_dataset(ds)) == [0, 3]


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


@pytest.mark.s3
@pytest.mark.cluster
def test_on_s3_with_workers(bucket):
    from dsm_dask.engine import Engine

    with Engine(workers=2) as cluster:  # started when the server's address is in the environment
        check_on_s3(bucket, cluster)


def check_on_s3(bucket: str, cluster) -> None:
    table = sample(2000, seed=9)
    ds = f"s3://{bucket}/ds"
    create(ds, cut(f"s3://{bucket}/raw", table, 6), engine=cluster)
    found = dedup_exact(open_dataset(ds), ["key"], engine=cluster, drop=True)
    assert survivors(open_dataset(ds)) == by_duckdb(table, ["key"])
    out = f"s3://{bucket}/out"
    listed = dedup_exact(open_parquet(f"s3://{bucket}/raw"), ["key"], engine=cluster, out=out)
    assert listed.duplicates == found.duplicates
    assert not [uri for uri in objects(f"s3://{bucket}") if "_dsm-" in uri]


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


def test_a_column_named_twice(tmp_path, engine):
    raw = cut(tmp_path / "raw", sample(200), 2)
    found = dedup_exact(open_parquet(raw), ["n", "s", "n"], engine=engine)
    assert found == dedup_exact(open_parquet(raw), ["n", "s"], engine=engine)


def test_what_a_commit_refers_to_outlasts_a_power_failure(tmp_path, engine, monkeypatch):
    durable = {}
    write = storage.write

    def spy(uri, data, **how):
        durable[uri] = how.get("durable", True)
        write(uri, data, **how)

    monkeypatch.setattr(storage, "write", spy)
    ds = str(tmp_path / "ds")
    create(ds, cut(tmp_path / "raw", sample(200), 2), engine=engine)
    dedup_exact(open_dataset(ds), "key", engine=engine, drop=True)
    decided = [durable[uri] for uri in durable if "/decisions/" in uri]
    assert decided
    assert all(decided)


def test_what_cannot_be(tmp_path, engine):
    ds = str(tmp_path / "ds")
    raw = cut(tmp_path / "raw", sample(20), 1)
    create(ds, raw, engine=engine)
    with pytest.raises(UnknownColumn, match="'key'"):
        dedup_exact(open_dataset(ds), "kez", engine=engine)
    with pytest.raises(UsageError, match="column"):
        dedup_exact(open_dataset(ds), [], engine=engine)
    with pytest.raises(UsageError, match="plain files"):
        dedup_exact(open_parquet(raw), "key", engine=engine, drop=True)
    assert open_dataset(ds).version == 1


def test_no_rows(tmp_path, engine):
    raw = parquet(tmp_path / "empty.parquet", {"x": pa.array([], pa.int64())})
    found = dedup_exact(open_parquet(raw), "x", engine=engine, out=str(tmp_path / "out"))
    assert (found.rows, found.clusters, found.duplicates) == (0, 0, 0)
