"""Throttling, resets, cut-off answers and lost acknowledgements, on real sockets."""

from __future__ import annotations

import time
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsm_dask import storage
from dsm_dask.errors import AccessDenied, DsmError, NotFound, SourceChanged, StoreUnreachable
from dsm_dask.storage import Options
from dsm_dask.testing.fault_proxy import Fault, FaultProxy
from dsm_dask.testing.s3 import S3Server, free_ports

pytestmark = pytest.mark.s3

CONTENT = bytes(range(256)) * 40
TRANSIENT: list[Fault] = ["slow_down", "too_many", "internal_error", "reset", "truncate"]


@pytest.fixture
def uri(proxy: FaultProxy, bucket: str) -> str:
    found = f"s3://{bucket}/d/a"
    storage.write(found, CONTENT)
    proxy.heal()
    return found


@pytest.mark.parametrize(
    ("fault", "operation"),
    [(fault, operation) for fault in TRANSIENT for operation in ("read", "read_ranges", "listing")]
    + [("slow_down", "info"), ("reset", "info"), ("internal_error", "find")],
)
def test_reading_outlives_transient_faults(
    proxy: FaultProxy, uri: str, fault: Fault, operation: str
) -> None:
    proxy.fail(fault, 2, method="GET" if fault == "truncate" else "")
    if operation == "read":
        assert storage.read(uri) == CONTENT
    elif operation == "read_ranges":
        parts = storage.read_ranges(uri, [(0, 10), (100, 200)], storage.info(uri).etag)
        assert [bytes(part) for part in parts] == [CONTENT[:10], CONTENT[100:200]]
    elif operation == "info":
        assert storage.info(uri).size == len(CONTENT)
    elif operation == "find":
        assert [item.uri for item in storage.find(storage.parent(uri))] == [uri]
    else:
        assert [item.uri for item in storage.listing(storage.parent(uri))] == [uri]
    assert sum(entry.fault == fault for entry in proxy.log) == 2


@pytest.mark.parametrize("fault", ["slow_down", "reset"])
def test_a_glob_is_whole_or_an_error(
    proxy: FaultProxy, uri: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be listed is not taken for an empty one."""
    root = storage.parent(storage.parent(uri))
    for name in ("d/b", "e/a", "f/a"):
        storage.write(f"{root}/{name}", b"x")
    patterns = [f"{root}/*/a", f"{root}/**/a", f"{root}/[def]/a*", f"{root}/d/?"]
    proxy.heal()
    wanted = [[item.uri for item in storage.find(pattern)] for pattern in patterns]
    assert wanted[0] == wanted[1] == wanted[2] == [f"{root}/{name}/a" for name in "def"]
    for seed, pattern, found in zip(range(8), patterns * 2, wanted * 2, strict=True):
        proxy.fail_at_random(0.4, fault, seed=seed)
        assert [item.uri for item in storage.find(pattern)] == found
    proxy.heal()
    monkeypatch.setenv("DSM_RETRY_SECONDS", "0.2")
    for pattern in patterns:
        proxy.fail(fault, 10**6, method="GET", part="list-type")
        with pytest.raises(StoreUnreachable):
            storage.find(pattern)


@pytest.mark.parametrize("fault", ["slow_down", "internal_error", "reset", "drop_ack"])
def test_writing_outlives_transient_faults(proxy: FaultProxy, uri: str, fault: Fault) -> None:
    proxy.fail(fault, 2, method="PUT")
    storage.write(uri, b"new")
    assert storage.read(uri) == b"new"
    proxy.fail(fault, 1, method="DELETE")
    storage.delete(uri)
    assert not storage.exists(uri)


def test_only_what_failed_is_fetched_again(proxy: FaultProxy, uri: str) -> None:
    proxy.fail("truncate", 2, method="GET")
    ranges = [(start, start + 10) for start in range(0, 200, 10)]
    assert b"".join(storage.read_ranges(uri, ranges)) == CONTENT[:200]
    assert proxy.requests("GET") == 20 + 2


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize("operation", ["read", "read_ranges", "create"])
def test_faults_beyond_the_budget_fail_cleanly(
    proxy: FaultProxy, uri: str, fault: Fault, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if operation == "create" and fault == "truncate":
        fault = "drop_ack"  # its answer has no body to cut off
        proxy.fail("internal_error", 10**6, method="GET")
    monkeypatch.setenv("DSM_RETRY_SECONDS", "0.3")
    proxy.fail(fault, 10**6)
    started = time.monotonic()
    with pytest.raises(StoreUnreachable) as caught:
        run(operation, uri)
    assert 0.3 <= time.monotonic() - started < 5
    assert uri in str(caught.value)
    assert proxy.endpoint in str(caught.value)
    assert caught.value.exit_code == 3
    assert proxy.requests() >= 2


def test_a_store_that_resets_has_the_whole_budget(
    proxy: FaultProxy, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only refused connections are given up early."""
    monkeypatch.setattr("dsm_dask.storage.retry.CONNECT_SECONDS", 0.2)
    monkeypatch.setenv("DSM_RETRY_SECONDS", "0.8")
    proxy.fail("reset", 10**6)
    started = time.monotonic()
    with pytest.raises(StoreUnreachable):
        storage.read(uri)
    assert time.monotonic() - started >= 0.8


def test_a_lost_acknowledgement_of_create_is_settled_by_content(
    proxy: FaultProxy, uri: str
) -> None:
    proxy.fail("drop_ack", 1, method="PUT")
    assert storage.create(uri + "2", b"mine") is True
    assert [entry.status for entry in proxy.log if entry.method == "PUT"] == [200, 412]
    proxy.fail("drop_ack", 1, method="PUT")
    assert storage.create(uri + "2", b"other") is False
    assert storage.read(uri + "2") == b"mine"


def test_what_is_final_is_not_tried_again(proxy: FaultProxy, uri: str) -> None:
    with pytest.raises(NotFound):
        storage.read_ranges(uri + "none", [(0, 1)])
    with pytest.raises(SourceChanged):
        storage.read_ranges(uri, [(0, 1)], etag="other")
    with pytest.raises(SourceChanged):
        storage.read_ranges(uri, [(0, len(CONTENT) + 1)])
    assert proxy.requests() == 3


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32))
def test_a_flaky_network_never_gives_wrong_bytes(
    shared_proxy: FaultProxy, s3: S3Server, seed: int
) -> None:
    s3.make_bucket("flaky")
    with storage.using(Options(endpoint_url=shared_proxy.endpoint)):
        storage.write("s3://flaky/a", CONTENT)
        shared_proxy.fail_at_random(0.3, "slow_down", "reset", "truncate", "drop_ack", seed=seed)
        try:
            ranges = [(start, start + 97) for start in range(0, 8_000, 1000)]
            views = storage.read_ranges("s3://flaky/a", ranges)
            storage.write("s3://flaky/b", CONTENT[:50])
            assert storage.read("s3://flaky/b") == CONTENT[:50]
        finally:
            shared_proxy.heal()
    assert [bytes(view) for view in views] == [CONTENT[start:stop] for start, stop in ranges]


@pytest.mark.parametrize("operation", ["read", "read_ranges", "find", "create", "info"])
def test_wrong_credentials(
    s3: S3Server, bucket: str, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "an0ther-secret-that-is-wrong"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    started = time.monotonic()
    # A store that this process has not opened before: it must read the environment anew.
    with FaultProxy(s3.endpoint) as proxy, storage.using(Options(endpoint_url=proxy.endpoint)):
        with pytest.raises(AccessDenied) as caught:
            run(operation, f"s3://{bucket}/a")
        requests = proxy.requests()
    assert time.monotonic() - started < 10
    assert requests <= 2
    for text in (str(caught.value), *traceback.format_exception(caught.value)):
        assert secret not in text
        assert s3.secret_key not in text
    assert f"s3://{bucket}/a" in str(caught.value)
    assert "AWS_ACCESS_KEY_ID" in str(caught.value)


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("operation", ["read", "read_ranges", "find", "create", "info"])
def test_endpoint_down(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsm_dask.storage.retry.CONNECT_SECONDS", 0.2)
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}"
    started = time.monotonic()
    with storage.using(Options(endpoint_url=endpoint)), pytest.raises(StoreUnreachable) as caught:
        run(operation, "s3://lake/a")
    assert time.monotonic() - started < 5
    assert endpoint in str(caught.value)
    assert "AWS_ENDPOINT_URL" in str(caught.value)
    assert caught.value.exit_code == 3


def test_the_store_comes_back(s3: S3Server, bucket: str) -> None:
    """A connection refused for a moment is not the end of a job."""
    import threading

    storage.write(f"s3://{bucket}/a", b"1")
    proxy = FaultProxy(s3.endpoint)
    endpoint = proxy.endpoint
    proxy._server.server_close()

    with storage.using(Options(endpoint_url=endpoint)):
        later: list[FaultProxy] = []

        def open_again() -> None:
            time.sleep(0.7)
            later.append(FaultProxy(s3.endpoint, port=int(endpoint.rpartition(":")[2])).__enter__())

        thread = threading.Thread(target=open_again)
        thread.start()
        try:
            assert storage.read(f"s3://{bucket}/a") == b"1"
        finally:
            thread.join()
            later[0].__exit__(None, None, None)


def run(operation: str, uri: str) -> None:
    try:
        if operation == "read_ranges":
            storage.read_ranges(uri, [(0, 1), (3, 4)])
        elif operation == "create":
            storage.create(uri, b"x")
        else:
            getattr(storage, operation)(uri)
    except DsmError:
        raise
    except Exception as error:  # an error of a library, not one for people
        raise AssertionError(f"{operation} raised {error!r}") from error
