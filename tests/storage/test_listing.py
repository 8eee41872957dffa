"""What a path, a folder or a glob names, alike on local disks and on S3."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dsm_dask import storage
from dsm_dask.errors import NotFound

Put = Callable[..., None]
TREE = ("d/a.parquet", "d/b.csv", "d/sub/c.parquet", "d/sub/deep/e.PARQUET", "d2/x.parquet", "top")


def found(place: str, pattern: str, suffixes: tuple[str, ...] = ()) -> list[str]:
    """Names below the place."""
    uris = [item.uri for item in storage.find(storage.join(place, pattern), suffixes)]
    assert all(uri.startswith(place + "/") for uri in uris)
    return [uri[len(place) + 1 :] for uri in uris]


def test_a_file_by_its_name(place: str, put: Put) -> None:
    put(*TREE)
    (item,) = storage.find(storage.join(place, "d/b.csv"), (".parquet",))
    assert item == storage.info(storage.join(place, "d/b.csv"))
    assert item.size == len(b"d/b.csv")


def test_a_folder_is_searched_at_any_depth(place: str, put: Put) -> None:
    put(*TREE)
    assert found(place, "d") == [
        "d/a.parquet",
        "d/b.csv",
        "d/sub/c.parquet",
        "d/sub/deep/e.PARQUET",
    ]
    assert found(place, "d/", (".parquet",)) == [
        "d/a.parquet", "d/sub/c.parquet", "d/sub/deep/e.PARQUET",
    ]  # fmt: skip


def test_a_folder_is_not_the_beginning_of_a_name(place: str, put: Put) -> None:
    put(*TREE)
    assert found(place, "d2") == ["d2/x.parquet"]
    with pytest.raises(NotFound):
        storage.find(storage.join(place, "d/su"))


def test_hidden_and_underscore_names_are_left_out_of_folders(place: str, put: Put) -> None:
    put("d/a.parquet", "d/_SUCCESS", "d/.crc.parquet", "d/_tmp/b.parquet", "d/.git/x/c.parquet")
    assert found(place, "d") == ["d/a.parquet"]
    put("_above/d/a.parquet")
    assert found(place, "_above/d") == ["_above/d/a.parquet"]
    assert len(storage.listing(storage.join(place, "d"))) == 5


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("d/*.parquet", ["d/a.parquet"]),
        ("d/*", ["d/a.parquet", "d/b.csv"]),
        ("*/*.parquet", ["d/a.parquet", "d2/x.parquet"]),
        ("d/**/*.parquet", ["d/a.parquet", "d/sub/c.parquet"]),
        ("**/x.parquet", ["d2/x.parquet"]),
        ("d/**", ["d/a.parquet", "d/b.csv", "d/sub/c.parquet", "d/sub/deep/e.PARQUET"]),
        ("d?/*.parquet", ["d2/x.parquet"]),
        ("d[0-9]/x.*", ["d2/x.parquet"]),
    ],
)
def test_globs(place: str, put: Put, pattern: str, names: list[str]) -> None:
    put(*TREE)
    assert found(place, pattern) == names


def test_a_star_does_not_match_hidden_files(place: str, put: Put) -> None:
    put("d/a.parquet", "d/.b.parquet", "d/.c/d.parquet", "d/_e.parquet", "d/_f/g.parquet")
    assert found(place, "d/*.parquet") == ["d/a.parquet"]
    assert found(place, "d/**/*.parquet") == ["d/a.parquet"]
    assert found(place, "d/_f/*.parquet") == ["d/_f/g.parquet"]


def test_a_name_may_look_like_a_glob(place: str, put: Put) -> None:
    put("d/a[1].parquet", "d/a1.parquet", "d/b*.parquet", "d/bc.parquet")
    assert found(place, "d/a[1].parquet") == ["d/a[1].parquet"]
    assert found(place, "d/b*.parquet") == ["d/b*.parquet"]
    assert found(place, "d/a*.parquet") == ["d/a1.parquet", "d/a[1].parquet"]


@pytest.mark.parametrize("name", ["d/*.orc", "none/**", "none", "d/a.parque", "none/a.parquet"])
def test_what_is_not_there_is_named(place: str, put: Put, name: str) -> None:
    put(*TREE)
    with pytest.raises(NotFound) as caught:
        storage.find(storage.join(place, name))
    assert storage.join(place, name) in str(caught.value)


def test_a_misspelt_name_is_told_its_neighbours(place: str, put: Put) -> None:
    put(*TREE)
    with pytest.raises(NotFound, match=r"Near it: .*d/a\.parquet"):
        storage.find(storage.join(place, "d/a.parque"))


def test_a_folder_without_such_files(place: str, put: Put) -> None:
    put("d/a.csv")
    with pytest.raises(NotFound, match=r"\.parquet"):
        storage.find(storage.join(place, "d"), (".parquet", ".pq"))


@pytest.mark.s3
@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("name", ["a.parquet", "*.parquet", ""])
def test_a_missing_bucket_is_named(name: str) -> None:
    with pytest.raises(NotFound, match="no-such-bucket"):
        storage.find(f"s3://no-such-bucket/{name}")


def test_info(place: str, put: Put) -> None:
    put("d/a.parquet", "d/b.parquet")
    first = storage.info(storage.join(place, "d/a.parquet"))
    assert first == storage.info(storage.join(place, "d/a.parquet"))
    assert first.etag != storage.info(storage.join(place, "d/b.parquet")).etag
    assert storage.exists(first.uri)
    storage.write(first.uri, b"d/x.parquet")  # as many bytes
    assert storage.info(first.uri).etag != first.etag


@pytest.mark.parametrize("name", ["none", "d", "d/a.parquet/b"])
def test_info_of_what_is_no_file(place: str, put: Put, name: str) -> None:
    put("d/a.parquet")
    uri = storage.join(place, name)
    assert not storage.exists(uri)
    with pytest.raises(NotFound, match="There is no such") as caught:
        storage.info(uri)
    assert uri in str(caught.value)


def test_listing_names_everything_in_order(place: str, put: Put) -> None:
    assert storage.listing(storage.join(place, "d")) == []
    put("d/b", "d/a", "d/_c/.d", "e")
    assert [item.uri for item in storage.listing(storage.join(place, "d"))] == [
        storage.join(place, "d", name) for name in ("_c/.d", "a", "b")
    ]
    assert storage.listing(storage.join(place, "none")) == []


def test_more_objects_than_one_listing_holds(place: str, put: Put) -> None:
    if place.startswith("/"):
        put(*(f"many/{number:04d}" for number in range(1_005)))
    else:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(put, (f"many/{number:04d}" for number in range(1_005))))
    names = [storage.name(item.uri) for item in storage.listing(storage.join(place, "many"))]
    assert names == [f"{number:04d}" for number in range(1_005)]
