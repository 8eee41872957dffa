"""Bytes and requests are what went over the wire: a proxy in between counts too."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor

import pytest

from dsm_dask import storage
from dsm_dask.storage import IO
from dsm_dask.testing.fault_proxy import FaultProxy


@pytest.mark.s3
def test_what_is_counted_is_what_went_over_the_wire(proxy: FaultProxy, bucket: str) -> None:
    uri = f"s3://{bucket}/a"
    content = bytes(2 * storage.PART + 10)
    ranges = [(0, 100), (50, 60), (5, 5), (7, 2 * storage.PART + 10)]
    with storage.counting() as moved:
        storage.write(uri, content)
        assert storage.create(f"s3://{bucket}/b", b"12345")
        storage.read_ranges(uri, ranges)
        storage.delete(uri)
    assert moved() == IO(
        bytes_read=sum(entry.sent for entry in proxy.log if entry.method == "GET"),
        bytes_written=sum(entry.received for entry in proxy.log),
        requests=proxy.requests(),
    )
    assert moved().bytes_read == sum(stop - start for start, stop in ranges)


@pytest.mark.s3
def test_repeated_requests_are_counted_but_bytes_once(proxy: FaultProxy, bucket: str) -> None:
    uri = f"s3://{bucket}/a"
    storage.write(uri, bytes(1000))
    proxy.log.clear()
    proxy.fail("slow_down", 3)
    with storage.counting() as moved:
        storage.read_ranges(uri, [(0, 10), (500, 700)])
    assert moved().bytes_read == 210
    assert moved().requests == proxy.requests("GET") == 5


@pytest.mark.s3
@pytest.mark.parametrize("operation", ["read", "info", "find", "glob", "delete_folder"])
def test_every_request_is_counted(proxy: FaultProxy, bucket: str, operation: str) -> None:
    uri = f"s3://{bucket}/d/a"
    for number in range(3):
        storage.write(f"{uri}{number}", b"x")
    proxy.log.clear()
    with storage.counting() as moved:
        if operation == "glob":
            storage.find(f"s3://{bucket}/d/*")
        elif operation == "delete_folder":
            storage.delete_folder(f"s3://{bucket}/d")
        else:
            getattr(storage, operation)(f"{uri}1")
    assert moved().requests == proxy.requests()


def test_local_reads_and_writes(place: str) -> None:
    uri = storage.join(place, "a")
    with storage.counting() as moved:
        storage.write(uri, b"123456")
        storage.read(uri)
        storage.read_ranges(uri, [(0, 2), (1, 5)])
    assert (moved().bytes_read, moved().bytes_written) == (6 + 2 + 4, 6)
    assert moved().requests >= 4


def test_threads_count_when_they_copy_the_context(place: str) -> None:
    uri = storage.join(place, "a")
    storage.write(uri, bytes(100))
    with storage.counting() as moved, ThreadPoolExecutor(8) as pool:
        tasks = [
            pool.submit(contextvars.copy_context().run, storage.read_ranges, uri, [(0, number)])
            for number in range(1, 65)
        ]
        stray = pool.submit(storage.read_ranges, uri, [(0, 100)])  # no context: not counted
        for task in (*tasks, stray):
            task.result()
    assert moved() == IO(bytes_read=sum(range(1, 65)), requests=64)


def test_counts_nest(place: str) -> None:
    uri = storage.join(place, "a")
    storage.write(uri, bytes(100))
    with storage.counting() as outer:
        storage.read_ranges(uri, [(0, 1)])
        with storage.counting() as inner:
            storage.read_ranges(uri, [(0, 10)])
        with storage.counting(apart=True) as apart:
            storage.read_ranges(uri, [(0, 50)])
        storage.read_ranges(uri, [(0, 2)])
    assert inner() == IO(10, 0, 1)
    assert apart() == IO(50, 0, 1)
    assert outer() == IO(13, 0, 3)
    storage.read_ranges(uri, [(0, 2)])
    assert outer() == IO(13, 0, 3)


def test_what_failed_code_moved_is_counted(place: str) -> None:
    uri = storage.join(place, "a")
    storage.write(uri, bytes(100))

    def fails() -> None:
        with storage.counting():
            storage.read_ranges(uri, [(0, 10)])
            raise KeyError

    with storage.counting() as outer, pytest.raises(KeyError):
        fails()
    assert outer().bytes_read == 10
