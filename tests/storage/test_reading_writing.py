"""Bytes come back as they were put; conditional creation has one winner."""

from __future__ import annotations

import errno
import os
import random
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsm_dask import storage
from dsm_dask.errors import CannotWrite, NotFound, SourceChanged
from dsm_dask.testing.s3 import S3Server

SIZE = 2 * storage.PART + 12_345
CONTENT = random.Random(0).randbytes(SIZE)


@pytest.fixture(scope="module", params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def large(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URI of an object of several parts."""
    uri = str(tmp_path_factory.mktemp("large") / "object")
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        uri = f"{server.make_bucket(f'test-{secrets.token_hex(6)}')}/object"
    storage.write(uri, CONTENT)
    yield uri
    if request.param == "s3":
        server.remove_bucket(uri.split("/")[2])


ENDS = st.integers(0, SIZE) | st.sampled_from(
    [0, 1, storage.PART - 1, storage.PART, storage.PART + 1, 2 * storage.PART, SIZE - 1, SIZE]
)
RANGES = st.lists(
    st.tuples(ENDS, st.integers(0, 3_000) | st.just(storage.PART + 1)), max_size=8
).map(lambda found: [(start, min(start + length, SIZE)) for start, length in found])


@settings(max_examples=20)
@given(ranges=RANGES)
@example(ranges=[(0, SIZE)])
@example(ranges=[(0, 10), (10, 20), (20, 30)])  # adjacent
@example(ranges=[(5, 50), (0, 30), (5, 50), (7, 7)])  # overlapping, repeated, empty, any order
@example(ranges=[])
@example(ranges=[(SIZE, SIZE)])
def test_ranges_are_slices_of_the_object(large: str, ranges: list[tuple[int, int]]) -> None:
    with storage.counting() as moved:
        views = storage.read_ranges(large, ranges)
    assert [bytes(view) for view in views] == [CONTENT[start:stop] for start, stop in ranges]
    assert moved().bytes_read == sum(stop - start for start, stop in ranges)
    assert moved().bytes_written == 0


def test_the_whole(large: str) -> None:
    assert storage.read(large) == CONTENT
    assert storage.info(large).size == SIZE


@pytest.mark.parametrize(
    "span", [(SIZE - 5, SIZE + 5), (SIZE + 5, SIZE + 9), (SIZE - storage.PART, SIZE + 1)]
)
def test_a_range_beyond_the_end_fails_at_once(large: str, span: tuple[int, int]) -> None:
    with pytest.raises(SourceChanged) as caught:
        storage.read_ranges(large, [(0, 3), span])
    assert large in str(caught.value)


def test_an_object_that_is_overwritten_is_noticed(place: str) -> None:
    uri = storage.join(place, "a")
    storage.write(uri, b"before")
    etag = storage.info(uri).etag
    assert bytes(storage.read_ranges(uri, [(1, 3)], etag)[0]) == b"ef"
    storage.write(uri, b"after!")
    with pytest.raises(SourceChanged, match="no longer the file") as caught:
        storage.read_ranges(uri, [(1, 3)], etag)
    assert uri in str(caught.value)
    assert bytes(storage.read_ranges(uri, [(0, 5)])[0]) == b"after"


def test_an_object_that_is_deleted_is_noticed(place: str) -> None:
    uri = storage.join(place, "a")
    storage.write(uri, b"before")
    etag = storage.info(uri).etag
    storage.delete(uri)
    with pytest.raises(SourceChanged, match="is gone") as caught:
        storage.read_ranges(uri, [(1, 3)], etag)
    assert uri in str(caught.value)


@pytest.mark.parametrize("name", ["none", "folder", "folder/a/b"])
def test_reading_what_is_not_there(place: str, name: str) -> None:
    storage.write(storage.join(place, "folder/a"), b"x")
    uri = storage.join(place, name)
    with pytest.raises(NotFound, match="There is no such") as caught:
        storage.read(uri)
    assert uri in str(caught.value)
    with pytest.raises(NotFound) as caught:
        storage.read_ranges(uri, [(0, 1)])
    assert uri in str(caught.value)


@given(content=st.binary(max_size=300))
@settings(max_examples=15)
def test_what_is_written_is_read(large: str, content: bytes) -> None:
    uri = large + "-small"
    storage.write(uri, content)
    assert storage.read(uri) == content


@pytest.mark.parametrize("name", ["a b.txt", "ü=1/x%20y+z", "#?&.bin", "日本/語"])
def test_odd_names(place: str, name: str) -> None:
    uri = storage.join(place, name)
    storage.write(uri, b"12345")
    assert storage.read(uri) == b"12345"
    assert bytes(storage.read_ranges(uri, [(1, 3)], storage.info(uri).etag)[0]) == b"23"
    assert [item.uri for item in storage.listing(place)] == [uri]


def test_write_replaces_whole_and_delete_is_idempotent(place: str) -> None:
    uri = storage.join(place, "deep/down/a")
    storage.write(uri, b"a long first content")
    storage.write(uri, b"short")
    assert storage.read(uri) == b"short"
    assert [item.uri for item in storage.listing(place)] == [uri]  # nothing staged is left
    storage.delete(uri)
    storage.delete(uri)
    assert not storage.exists(uri)


def test_delete_folder(place: str) -> None:
    for name in ("d/a", "d/b/c", "d/.h", "d2/a"):
        storage.write(storage.join(place, name), b"x")
    storage.delete_folder(storage.join(place, "d"))
    assert [item.uri for item in storage.listing(place)] == [storage.join(place, "d2/a")]
    storage.delete_folder(storage.join(place, "none"))


def test_create_has_one_winner_of_sixteen(place: str) -> None:
    for turn in range(4 if place.startswith("/") else 1):  # the server's lock waits for seconds
        uri = storage.join(place, f"race/{turn}")
        start = threading.Barrier(16)

        def attempt(
            number: int, uri: str = uri, start: threading.Barrier = start
        ) -> tuple[int, bool]:
            start.wait()
            return number, storage.create(uri, f"by {number}".encode())

        with ThreadPoolExecutor(16) as pool:
            outcomes = list(pool.map(attempt, range(16)))
        (winner,) = [number for number, won in outcomes if won]
        assert storage.read(uri) == f"by {winner}".encode()
        assert [item.uri for item in storage.listing(storage.parent(uri))][turn:] == [uri]


def test_create_never_replaces(place: str) -> None:
    uri = storage.join(place, "a")
    assert storage.create(uri, b"first")
    assert not storage.create(uri, b"second")
    assert storage.read(uri) == b"first"
    storage.delete(uri)
    assert storage.create(uri, b"second")


def test_create_says_when_a_file_system_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    with pytest.raises(CannotWrite, match="no hard links"):
        storage.create(str(tmp_path / "a"), b"x")
    assert list(tmp_path.iterdir()) == []


def test_relative_and_file_urls_are_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write("x/a", b"1")
    assert storage.read(f"file://{tmp_path}/x/a") == b"1"
    assert storage.info("x/a").uri == os.path.join(tmp_path, "x", "a")
    assert [item.uri for item in storage.find("x/*")] == [str(tmp_path / "x" / "a")]
