"""Drop: the rows that SQL would choose, for kilobytes, with no data object touched."""

import numpy as np
import pyarrow as pa
import pytest
from dsm_trials import Doubled, objects, parquet, rows, sql
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsm_dask.dataset.columns import add_columns
from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.history import log
from dsm_dask.dataset.naming import branch
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.errors import InvalidExpression, UnknownColumn, UnknownVersion, UsageError

BOTH = pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])

CONDITIONS = [
    "n < 2",
    "n < 2 and s = 'a'",
    "n < 2 or s is null",
    "not (n < 2 or s is null)",
    "n is not null and n <> 3",
    "n in (1, 2, 5)",
    "n not in (1, 2)",
    "s not in ('a', 'b')",
    "n between 1 and 3",
    "not n between 1 and 3",
    "s like 'a%'",
    "s ilike 'A_'",
    "s not like '%b%'",
    "length(s) > 1",
    "lower(s) = 'ab' or upper(s) = 'A'",
    "abs(n) = 2",
    "n + 1 > m",
    "n * m = 4",
    "-n > m",
    "n > 1.5",
    "f <= 0",
    "f = 0.5 or f is null",
    "d >= '1970-01-03'",
    "d = date '1970-01-02'",
    "b",
    "not b",
    "b is not true",
    "b and n > 0",
    '"odd name" = 2',
    "n / 2 = 1.5",
    "s in ('a', null)",
    "n = null",
    "n < 99999999999999999999",
    "key >= 0",
    "false",
    "null",
]


def many(seed: int, size: int) -> pa.Table:
    random = np.random.default_rng(seed)

    def some(values: list) -> list:
        return [values[i] for i in random.integers(0, len(values), size)]

    return pa.table(
        {
            "key": np.arange(size),
            "n": pa.array(some([None, *range(-5, 6)]), pa.int32()),
            "m": pa.array(some([None, *range(-5, 6)]), pa.int64()),
            "f": pa.array(some([None, 0.0, -0.0, 0.5, -3.0, float("inf")]), pa.float64()),
            "s": pa.array(some([None, "", "a", "A", "ab", "b%", "naïve"]), pa.string()),
            "d": pa.array(some([None, 0, 1, 2, 3]), pa.int32()).cast(pa.date32()),
            "b": pa.array(some([None, True, False]), pa.bool_()),
            "odd name": pa.array(some([1, 2, 3]), pa.int8()),
        }
    )


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """One linked, one copied, both over several files, row groups and fragments."""
    from dsm_trials import inline

    folder, table = tmp_path_factory.mktemp("where"), many(1, 600)
    for index in range(3):
        parquet(folder / f"raw/{index}.parquet", table.slice(index * 200, 200), row_group_size=60)
    with inline() as engine:
        for copy in (False, True):
            create(str(folder / f"ds{copy}"), str(folder / "raw"), engine=engine, copy=copy)
            # earlier deletions, so that rows and their offsets differ
            drop(str(folder / f"ds{copy}"), "key = 0 or key = 250", engine=engine)
    return folder, table


@pytest.mark.parametrize("where", CONDITIONS)
def test_as_duckdb_does(datasets, where):
    from dsm_trials import inline

    folder, table = datasets
    query = f"select key from t where key not in (0, 250) and not coalesce(({where}), false)"
    want = sorted(row[0] for row in sql(query, t=table))
    for copy in (False, True):
        ds = str(folder / f"ds{copy}")
        name = f"b{CONDITIONS.index(where)}"
        branch(f"{ds}@2", name)  # each condition on version 2
        with inline() as engine:
            made = drop(f"{ds}@{name}", where, engine=engine)
        assert [row["key"] for row in open_dataset(f"{ds}@{name}").to_table().to_pylist()] == want
        assert made.rows == len(want)
        assert made.changed == {"dropped": 598 - len(want)}
        assert made.committed == (len(want) < 598)


@BOTH
def test_kilobytes_and_no_data_object_changes(place, engine, copy):
    noise = np.random.default_rng(1).random(200_000)
    for index in range(2):
        half = noise[index * 100_000 : (index + 1) * 100_000]
        parquet(f"{place}/raw/{index}.parquet", {"n": np.arange(100_000), "x": half})
    create(f"{place}/ds", f"{place}/raw", engine=engine, copy=copy)
    before = objects(place)
    drop(f"{place}/ds", "n < 1000", engine=engine)
    after = objects(place)
    hint = f"{place}/ds/_versions/latest_version_hint.json"  # Lance's; 13 bytes, not on S3
    assert all(after.get(uri) == before[uri] for uri in before if uri != hint)
    new = {uri: size for uri, (size, _) in after.items() if uri not in before}
    assert all("/data/" not in uri for uri in new)
    assert 0 < sum(new.values()) < 20_000
    info, *_ = log(f"{place}/ds").versions
    assert info.bytes_written == sum(new.values())  # the log tells the truth
    assert open_dataset(f"{place}/ds").rows == 198_000
    assert open_dataset(f"{place}/ds@1").rows == 200_000


@BOTH
def test_everything(tmp_path, engine, copy):
    ds, table = str(tmp_path / "ds"), {"a": [1, 2, 3]}
    create(ds, parquet(tmp_path / "1.parquet", table), engine=engine, copy=copy)
    made = drop(ds, "a > 0", engine=engine)
    assert (made.version, made.rows, made.changed) == (2, 0, {"dropped": 3})
    empty = open_dataset(ds)
    assert (empty.rows, empty.to_table().num_rows, len(empty.partitions())) == (0, 0, 0)
    append(ds, parquet(tmp_path / "2.parquet", {"a": [4]}), engine=engine)
    assert open_dataset(ds).to_table().to_pydict() == {"a": [4]}
    assert open_dataset(f"{ds}@1").to_table().to_pydict() == table


def test_an_emptied_dataset_keeps_its_columns(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1, 2, 3]}), engine=engine)
    drop(ds, "true", engine=engine)
    assert open_dataset(ds).schema == pa.schema({"a": pa.int64()})


@BOTH
def test_nothing_commits_nothing(place, engine, copy):
    ds = f"{place}/ds"
    create(ds, parquet(f"{place}/1.parquet", {"a": [1, 2]}), engine=engine, copy=copy)
    before = objects(place)
    made = drop(ds, "a > 5", engine=engine)
    assert (made.committed, made.version, made.rows, made.changed) == (False, 1, 2, {"dropped": 0})
    assert objects(place) == before


@BOTH
def test_dry_run_counts_and_writes_nothing(place, engine, copy):
    ds = f"{place}/ds"
    create(ds, parquet(f"{place}/1.parquet", {"a": [1, 2, 3]}), engine=engine, copy=copy)
    before = objects(place)
    made = drop(ds, "a > 1", engine=engine, dry_run=True)
    assert (made.committed, made.version, made.rows, made.changed) == (False, 1, 1, {"dropped": 2})
    assert objects(place) == before


def test_the_same_drop_on_the_same_version_is_found_again(tmp_path, engine):
    """What a job does when it is run again, though others went on meanwhile."""
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1, 2]}), engine=engine)
    base = open_dataset(ds)
    first = drop(base, "a = 1", engine=engine)
    append(ds, parquet(tmp_path / "2.parquet", {"a": [1, 3]}), engine=engine)
    before = objects(ds)
    again = drop(base, "a = 1", engine=engine)
    assert (again.version, again.committed, again.changed) == (2, False, first.changed)
    assert first.changed == {"dropped": 1}
    assert objects(ds) == before


def test_an_older_version_is_not_written_to(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1, 2]}), engine=engine)
    append(ds, parquet(tmp_path / "2.parquet", {"a": [1, 3]}), engine=engine)
    before = objects(ds)
    with pytest.raises(UsageError, match="version 2"):
        drop(f"{ds}@1", "a = 1", engine=engine)
    assert objects(ds) == before
    assert drop(f"{ds}@2", "a = 1", engine=engine).changed == {"dropped": 2}


def test_on_a_computed_column(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1, 2, 3]}), engine=engine)
    drop(ds, "a = 1", engine=engine)
    add_columns(ds, Doubled(), engine=engine)
    drop(ds, "doubled = 4 and a = 2", engine=engine)
    assert rows(open_dataset(ds)) == {2: {"a": 3, "doubled": 6}}


@pytest.mark.parametrize(
    ("where", "kind", "says"),
    [
        ("lable = 1", UnknownColumn, "'label'"),
        ("label = 'x'", InvalidExpression, "label"),
        ("label +", InvalidExpression, r"label \+"),
        ("label + 1", InvalidExpression, "condition"),
        ("", InvalidExpression, "condition"),
        ("label = (select 1)", InvalidExpression, "known"),
        ("label = 1; drop table x", InvalidExpression, "drop table"),
        ("pg_sleep(5) = 1", InvalidExpression, "known"),
    ],
)
def test_bad_conditions(tmp_path, engine, where, kind, says):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"label": [1, 2]}), engine=engine)
    before = objects(ds)
    with pytest.raises(kind, match=says):
        drop(ds, where, engine=engine)
    assert objects(ds) == before


def test_a_version_that_is_not_there(tmp_path, engine):
    ds = str(tmp_path / "ds")
    create(ds, parquet(tmp_path / "1.parquet", {"a": [1]}), engine=engine)
    for name in ("7", "cleen", "cleen:1", "main:7"):
        with pytest.raises(UnknownVersion, match=name):
            drop(f"{ds}@{name}", "a = 1", engine=engine)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    rounds=st.lists(st.sets(st.integers(0, 159), max_size=60), min_size=1, max_size=3),
    copy=st.booleans(),
)
def test_any_rows_in_any_order(tmp_path_factory, engine, sizes, rounds, copy):
    """Deletions on deletions, over files of any sizes."""
    folder = tmp_path_factory.mktemp("drops")
    first, alive = 0, set(range(sum(sizes)))
    for index, size in enumerate(sizes):
        numbers = np.arange(first, first + size)
        parquet(folder / f"raw/{index}.parquet", {"a": numbers}, row_group_size=11)
        first += size
    ds = str(folder / "ds")
    create(ds, str(folder / "raw"), engine=engine, copy=copy)
    version = 1
    for gone in rounds:
        made = drop(ds, f"a in ({', '.join(map(str, sorted(gone | {-1})))})", engine=engine)
        version += bool(gone & alive)
        assert (made.version, made.changed["dropped"]) == (version, len(gone & alive))
        alive -= gone
        table = open_dataset(ds).to_table(["a", "_rowid"])
        assert table["a"].to_pylist() == table["_rowid"].to_pylist() == sorted(alive)
