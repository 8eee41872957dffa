"""States kept beside a dataset: nothing is read twice."""

import numpy as np
import pytest
from dsm_trials import objects, parquet

from dsm_dask.dataset.drop import drop
from dsm_dask.dataset.version import open_dataset
from dsm_dask.dataset.write import append, create
from dsm_dask.engine import Engine
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.stats.count import Count
from dsm_dask.stats.profile import profile
from dsm_dask.stats.quantiles import Quantiles

ROWS = 60_000


def source(place, name: str, seed: int) -> str:
    noise = np.random.default_rng(seed)
    data = {"a": noise.random(ROWS), "b": noise.integers(0, 1 << 60, ROWS), "c": noise.random(ROWS)}
    return parquet(f"{place}/raw/{name}.parquet", data, row_group_size=20_000)


def sizes(place) -> dict[str, int]:
    return open_parquet(f"{place}/raw").column_sizes()


def scan(dataset: str, columns: list[str]) -> tuple[dict, int]:
    """A profile, and the bytes that it read; the states themselves are some kilobytes."""
    with Engine(workers=0) as engine:
        found = profile(open_dataset(dataset), columns, engine=engine).to_dict()
        return _figures(found), engine.io.bytes_read


def fresh(dataset: str, columns: list[str]) -> dict:
    with Engine(workers=0) as engine:
        return _figures(profile(_Uncached(open_dataset(dataset)), columns, engine=engine).to_dict())


def _figures(found: dict) -> dict:
    return {name: value for name, value in found.items() if name != "io"}


class _Uncached:
    """A dataset without its states."""

    def __init__(self, dataset) -> None:
        self.uri, self.schema, self.rows = dataset.uri, dataset.schema, dataset.rows
        self.partitions, self.column_sizes = dataset.partitions, dataset.column_sizes


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
def test_a_second_time_reads_no_source(tmp_path, copy):
    source(tmp_path, "1", 1)
    ds = str(tmp_path / "ds")
    with Engine(workers=0) as engine:
        create(ds, str(tmp_path / "raw"), engine=engine, copy=copy)
    first, cost = scan(ds, ["a"])
    column = sizes(tmp_path)["a"]
    assert column * 0.8 < cost < column * 1.3  # just that column
    written = objects(ds)
    again, cost = scan(ds, ["a"])
    assert again == first == fresh(ds, ["a"])
    assert objects(ds) == written
    states = sum(size for uri, (size, _) in written.items() if "/_dsm/states/" in uri)
    assert cost <= states < column / 2


def test_another_column_reads_that_column(tmp_path):
    source(tmp_path, "1", 1)
    ds = str(tmp_path / "ds")
    with Engine(workers=0) as engine:
        create(ds, str(tmp_path / "raw"), engine=engine)
    scan(ds, ["a"])
    _, both = scan(ds, ["a", "b"])
    column = sizes(tmp_path)["b"]
    states = sum(size for uri, (size, _) in objects(ds).items() if "/_dsm/states/" in uri)
    assert column * 0.9 < both < column * 1.2 + states
    found, none = scan(ds, ["b"])
    assert none <= states
    assert found == fresh(ds, ["b"])


def test_after_an_append_only_the_new_rows(tmp_path):
    source(tmp_path, "1", 1)
    source(tmp_path, "2", 2)
    ds = str(tmp_path / "ds")
    with Engine(workers=0) as engine:
        create(ds, str(tmp_path / "raw"), engine=engine)
        scan(ds, ["a"])
        new = source(tmp_path, "3", 3)
        append(ds, str(tmp_path / "raw"), engine=engine)
    found, cost = scan(ds, ["a"])
    column = open_parquet(new).column_sizes()["a"]
    states = sum(size for uri, (size, _) in objects(ds).items() if "/_dsm/states/" in uri)
    assert column * 0.9 < cost < column * 1.2 + states
    assert found == fresh(ds, ["a"])
    assert found["rows"] == 3 * ROWS


def test_after_a_drop_only_partitions_that_lost_rows(tmp_path):
    for name in "123456":
        source(tmp_path, name, int(name))
    ds = str(tmp_path / "ds")
    with Engine(workers=0) as engine:
        create(ds, str(tmp_path / "raw"), engine=engine)
        parts = open_dataset(ds).partitions()
        assert len(parts) >= 6
        scan(ds, ["a"])
        value = float(next(iter(parts[-1].read(["a"]))).column(0)[5].as_py())
        drop(ds, f"a = {value!r}", engine=engine)
    found, cost = scan(ds, ["a"])
    states = sum(size for uri, (size, _) in objects(ds).items() if "/_dsm/states/" in uri)
    assert cost < sizes(tmp_path)["a"] / 4 + states
    assert found == fresh(ds, ["a"])
    assert found["rows"] == 6 * ROWS - 1


def test_damaged_states_are_computed_again(tmp_path):
    from pathlib import Path

    source(tmp_path, "1", 1)
    ds = str(tmp_path / "ds")
    with Engine(workers=0) as engine:
        create(ds, str(tmp_path / "raw"), engine=engine)
    first, _ = scan(ds, ["a"])
    states = [Path(uri) for uri in objects(ds) if "/_dsm/states/" in uri]
    assert states
    for content in (b"", b"garbage", states[0].read_bytes()[:-20]):
        for path in states:
            path.write_bytes(content)
        assert scan(ds, ["a"])[0] == first


@pytest.mark.cluster
@pytest.mark.slow
def test_states_written_by_workers_serve_this_process_and_back(tmp_path, cluster):
    source(tmp_path, "1", 1)
    ds = str(tmp_path / "ds")
    create(ds, str(tmp_path / "raw"), engine=cluster)
    there = _figures(profile(open_dataset(ds), ["a"], engine=cluster).to_dict())
    here, cost = scan(ds, ["a"])
    assert here == there == fresh(ds, ["a"])
    assert cost < sizes(tmp_path)["a"] / 2


def test_states_of_other_scans_are_not_read(tmp_path):
    source(tmp_path, "1", 1)
    ds = str(tmp_path / "ds")
    with Engine(workers=0) as engine:
        create(ds, str(tmp_path / "raw"), engine=engine)
        table = open_dataset(ds)
        for column in "abc":
            engine.states(table, [Quantiles(column)])
        kept = sum(size for uri, (size, _) in objects(ds).items() if "/_dsm/states/" in uri)
        before = engine.io.bytes_read
        engine.states(table, [Count("a")])
        read = engine.io.bytes_read - before
    assert read - sizes(tmp_path)["a"] < kept / 10
