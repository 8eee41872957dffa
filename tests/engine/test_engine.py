"""The same results wherever the work runs; order, merging, failures, what reaches the client."""

import dataclasses
import random
import time

import dask
import distributed
import numpy as np
import pytest
from dsm_trials import (
    Bits,
    Piece,
    Pieces,
    Stumble,
    Trail,
    label_of,
    parquet,
    pid,
    rows_of,
    square,
)

from dsm_dask import storage
from dsm_dask.engine import Engine
from dsm_dask.errors import (
    ClusterError,
    CorruptFile,
    NotFound,
    PartitionFailed,
    UnknownColumn,
)
from dsm_dask.fold import Product
from dsm_dask.sources.parquet import open_parquet
from dsm_dask.stats.profile import profile
from dsm_dask.task import group_size


def pieces(count: int, **options) -> Pieces:
    return Pieces(tuple(Piece(number, **options) for number in range(count)))


def test_results_come_in_order(engine):
    numbers = random.Random(1).sample(range(10_000), 300)
    assert engine.map(square, numbers) == [number * number for number in numbers]
    table = pieces(150)
    assert engine.map_partitions(label_of, table.partitions()) == [p.label for p in table.parts]
    assert engine.map(square, []) == []
    assert engine.map_partitions(label_of, []) == []


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 16, 63, 64, 65, 200])
def test_states_are_merged_in_partition_order(engine, count):
    assert engine.fold(pieces(count), Trail()).result == list(range(count))
    # many tasks, so that there is a tree to get wrong
    scattered = Pieces(tuple(Piece(number, size=1 << 30) for number in range(count)))
    assert engine.fold(scattered, Trail()).result == list(range(count))


def test_a_product_gives_a_tuple(engine):
    found = engine.fold(pieces(5), Product((Trail(), Trail()))).result
    assert found == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])


def test_unknown_columns_are_found_before_any_work(engine):
    with pytest.raises(UnknownColumn, match="'y'"):
        engine.fold(pieces(3), Trail("y"))


@pytest.mark.cluster
def test_two_processes_and_none_give_the_same_bits(cluster, tmp_path):
    """A profile of floats, for which the order of additions matters."""
    noise = np.random.default_rng(1)
    for index in range(20):
        data = {"f": noise.normal(size=500) * 10.0 ** noise.integers(-8, 8), "n": np.arange(500)}
        parquet(tmp_path / f"{index:02}.parquet", data, row_group_size=200)
    table = open_parquet(str(tmp_path))
    for fold in (Bits("f", "float64"), Bits("n", "int64")):
        with Engine(workers=0) as inline:
            here = inline.fold(table, fold)
        there = [cluster.fold(table, fold) for _ in range(3)]
        assert [found.result for found in there] == [here.result] * 3
        assert there[0].io == here.io
    with Engine(workers=0) as inline:
        one, other = profile(table, engine=inline), profile(table, engine=cluster)
        assert one.to_dict() == other.to_dict()


@pytest.mark.cluster
def test_work_is_done_elsewhere(cluster):
    import os

    found = set(cluster.map(pid, range(200)))
    assert os.getpid() not in found
    assert 1 <= len(found) <= 2


@pytest.mark.cluster
def test_one_state_reaches_the_client_whatever_the_number_of_partitions(cluster, tmp_path):
    """Of a bounded Fold, in a tree: 8 or 256 tasks make no difference."""
    from dsm_dask.stats.moments import Moments

    moved = []
    for count in (8, 32, 256):
        before = cluster.client_bytes
        cluster.fold(pieces(count, size=1 << 30), Moments("x"))
        moved.append(cluster.client_bytes - before)
    assert max(moved) < 1.2 * min(moved)
    assert max(moved) < 2000


@pytest.mark.parametrize("size", [1, 1 << 30], ids=["together", "apart"])
def test_a_partition_that_fails_is_named(engine, size):
    parts = [Piece(n, size=size, trouble="raise" if n == 11 else "") for n in range(30)]
    for work in (
        lambda: engine.fold(Pieces(tuple(parts)), Trail()),
        lambda: engine.map_partitions(rows_of, parts),
    ):
        with pytest.raises(PartitionFailed) as failure:
            work()
        assert "memory/file-11.parquet (row groups 11 to 11)" in str(failure.value)
        assert "the milk is sour" in str(failure.value)
        assert failure.value.exit_code == 3
    # the engine is none the worse for it
    assert engine.map(square, [3]) == [9]


def test_an_error_of_ours_comes_through_as_it_is(engine):
    with pytest.raises(CorruptFile, match="cannot be decoded"):
        engine.map_partitions(Stumble("file-2.", "corrupt"), pieces(5).partitions())
    with pytest.raises(NotFound, match="nowhere"):
        engine.map(storage.read, ["/nowhere/at/all"])


def test_skip_goes_on_and_lists_what_was_left_out(engine):
    before, engine.skipped = engine.skipped, []
    engine.on_error = "skip"
    try:
        parts = [Piece(n, size=1 << 30, trouble="raise" if n in (3, 17) else "") for n in range(20)]
        folded = engine.fold(Pieces(tuple(parts)), Trail())
        assert folded.result == [n for n in range(20) if n not in (3, 17)]
        assert [skip.partition for skip in folded.skipped] == [parts[3].label, parts[17].label]
        assert "the milk is sour" in folded.skipped[0].cause
        assert engine.map_partitions(rows_of, parts) == [10] * 18
        assert len(engine.skipped) == 4
    finally:
        engine.on_error, engine.skipped = "fail", before


def test_a_fold_tells_only_what_it_skipped_itself():
    with Engine(workers=0, on_error="skip") as engine:
        engine.fold(Pieces((Piece(0, trouble="raise"),)), Trail())
        assert engine.fold(pieces(2), Trail()).skipped == ()


def test_skipping_everything_leaves_the_empty_state(engine):
    before, engine.skipped = engine.skipped, []
    engine.on_error = "skip"
    try:
        parts = tuple(Piece(n, trouble="raise") for n in range(20))
        assert engine.fold(Pieces(parts), Trail()).result == []
        assert len(engine.skipped) == 20
    finally:
        engine.on_error, engine.skipped = "fail", before


@pytest.mark.cluster
@pytest.mark.slow
def test_a_task_that_kills_its_worker_is_given_up_in_time(tmp_path):
    """Not retried for ever; the culprit is named; the engine can still be used."""
    parts = [Piece(n, size=1 << 30, trouble="kill" if n == 5 else "") for n in range(12)]
    with Engine(workers=2) as engine:
        engine.start()
        began = time.monotonic()
        with pytest.raises(PartitionFailed, match="worker died") as failure:
            engine.fold(Pieces(tuple(parts)), Trail())
        assert time.monotonic() - began < 45
        assert "file-5.parquet" in str(failure.value)
        assert failure.value.exit_code == 3
        assert engine.map(square, [3]) == [9]


@pytest.mark.cluster
@pytest.mark.slow
def test_a_worker_killed_once_makes_no_difference(tmp_path):
    marker = str(tmp_path / "killed")
    parts = [
        Piece(n, size=1 << 30, trouble="kill" if n == 20 else "", marker=marker if n == 20 else "")
        for n in range(40)
    ]
    with Engine(workers=2) as engine:
        found = engine.fold(Pieces(tuple(parts)), Trail())
        assert found.result == list(range(40))
        assert (tmp_path / "killed").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense://x"])
def test_an_unreachable_scheduler(address):
    began = time.monotonic()
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        Engine(address) as engine,
        pytest.raises(ClusterError, match="cannot be reached") as lost,
    ):
        engine.map(square, [1])
    assert time.monotonic() - began < 10
    assert address in str(lost.value)
    assert lost.value.exit_code == 3


@pytest.mark.parametrize(("configured", "waited"), [("30s", "15s"), ("3s", "3s")])
def test_patience_with_a_scheduler(configured, waited, monkeypatch):
    """Half of what Dask waits, unless its configuration was changed."""
    asked = []

    def client(address, timeout):
        asked.append((address, timeout))
        raise TimeoutError("no answer")

    monkeypatch.setattr(distributed, "Client", client)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": configured}),
        Engine("127.0.0.1:9") as engine,
        pytest.raises(ClusterError, match="cannot be reached: no answer"),
    ):
        engine.map(square, [1])
    assert asked == [("127.0.0.1:9", waited)]


def test_the_environment_names_the_scheduler(monkeypatch):
    with dask.config.set({"scheduler-address": "tcp://127.0.0.1:9"}):
        assert not Engine().is_local
        assert Engine(workers=0).is_local
    assert Engine(workers=1).is_local


@pytest.mark.cluster
def test_a_client_in_use_may_lead_elsewhere(cluster):
    """Also before it was used: what is put on this machine only would not be found there."""
    with cluster._runner._client.as_current():
        assert not Engine().is_local
        assert Engine(workers=1).is_local


@pytest.mark.cluster
def test_a_scheduler_given_by_address_is_used_and_left_running(cluster):
    address = cluster._runner._client.scheduler.address
    with Engine(address) as other:
        assert other.map(square, [2, 3]) == [4, 9]
        assert not other.is_local
    assert cluster.map(square, [4]) == [16]


@dataclasses.dataclass(frozen=True)
class Sized:
    size: int


@pytest.mark.parametrize(("count", "size"), [(10, 100), (100_000, 100), (16_000, 1 << 26)])
def test_tables_of_up_to_terabytes_have_tasks_of_a_second(count, size):
    group = group_size([Sized(size)] * count)
    assert group <= 64
    assert group * size <= max(32 << 20, size)


def test_tables_of_more_have_larger_tasks_not_more_of_them():
    group = group_size([Sized(1 << 26)] * 1_600_000)  # 100 TB
    assert 1_600_000 / group <= 2 * 65_536
    assert group & (group - 1) == 0  # states are merged in the same tree
