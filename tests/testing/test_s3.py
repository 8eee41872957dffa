"""The S3 server for tests is a real one, keeps to itself, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from dsm_dask.errors import MissingExtra, NotFound, StoreUnreachable
from dsm_dask.testing import s3 as module
from dsm_dask.testing.s3 import LOOPBACK, S3Server, free_ports, server_program

pytestmark = pytest.mark.s3


def processes_of(server_folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(server_folder) in word for word in process.cmdline()):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def sockets_of(ports: dict[str, int]) -> list[Path]:
    return [path for path in module._leftovers(ports.values()) if path.exists()]


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def test_objects_come_back_whole(s3: S3Server, bucket: str) -> None:
    content = os.urandom(9_000_000)  # more than one of the server's chunks
    assert s3.request("PUT", f"/{bucket}/a b/ü=1.bin", content).status == 200
    assert s3.request("GET", f"/{bucket}/a b/ü=1.bin").body == content
    part = s3.request("GET", f"/{bucket}/a b/ü=1.bin", headers={"Range": "bytes=4194300-4194309"})
    assert (part.status, part.body) == (206, content[4194300:4194310])
    assert s3.request("GET", f"/{bucket}/none").status == 404


def test_conditional_put_has_one_winner(s3: S3Server, bucket: str) -> None:
    def put(number: int) -> int:
        content = str(number).encode()
        return s3.request("PUT", f"/{bucket}/lock", content, {"If-None-Match": "*"}).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(put, range(16)))
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409, 412}
    winner = str(statuses.index(200)).encode()
    assert s3.request("GET", f"/{bucket}/lock").body == winner


def test_the_environment_reaches_s3fs(s3: S3Server, bucket: str) -> None:
    code = (
        "import s3fs, sys; fs = s3fs.S3FileSystem(); fs.pipe(sys.argv[1], b'hello');"
        "print(fs.cat(sys.argv[1]).decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"{bucket}/hello"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "hello"


def test_two_servers_side_by_side_share_nothing(s3: S3Server) -> None:
    with S3Server() as other:
        assert other.endpoint != s3.endpoint
        other.make_bucket("only-here")
        assert b"only-here" in other.request("GET", "/").body
        assert b"only-here" not in s3.request("GET", "/").body
        impostor = S3Server(access_key=s3.access_key, secret_key=s3.secret_key)
        impostor._ports = other._ports  # the keys of one at the door of the other
        assert impostor.request("GET", "/").status == 403
    assert s3.request("GET", "/").status == 200


def test_wrong_credentials_are_refused(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "secret_key", "wrong")
    assert s3.request("GET", "/").status == 403


def test_nothing_is_left_after_stop_and_it_starts_again() -> None:
    server = S3Server()
    for _ in range(2):
        server.start()
        folder, ports = server._workplace, server._ports
        assert folder is not None
        assert server.running
        assert server.start() is server  # no second one
        assert len(processes_of(folder)) == 2  # the keeper and the server
        server.stop()
        assert not server.running
        assert processes_of(folder) == []
        assert not folder.exists()
        assert sockets_of(ports) == []
        with socket.socket() as probe:
            probe.bind((LOOPBACK, ports["s3"]))
    server.stop()
    with pytest.raises(StoreUnreachable, match="start"):
        _ = server.endpoint


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL, None])
def test_it_ends_with_its_owner(ending: signal.Signals | None) -> None:
    code = (
        "import sys; from dsm_dask.testing.s3 import S3Server; server = S3Server().start();"
        "print(server._workplace, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    assert len(processes_of(folder)) == 2
    if ending is not None:
        owner.send_signal(ending)
    owner.communicate("", timeout=20)  # with no signal, it ends without a word of stop()
    assert wait_until(lambda: not processes_of(folder) and not folder.exists())


def test_stop_does_not_wait_for_a_forked_child_that_holds_the_pipe() -> None:
    server = S3Server().start()
    assert server._keeper is not None
    assert server._keeper.stdin is not None
    held = os.dup(server._keeper.stdin.fileno())
    try:
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 5
    finally:
        os.close(held)


def test_a_folder_that_is_given_is_kept(tmp_path: Path) -> None:
    with S3Server(directory=tmp_path / "data", access_key="dev", secret_key="dev") as server:
        server.make_bucket("lake")
        assert server.request("PUT", "/lake/key", b"value" * 10_000).status == 200
    with S3Server(directory=tmp_path / "data", access_key="dev", secret_key="dev") as server:
        assert server.request("GET", "/lake/key").body == b"value" * 10_000


def test_a_server_that_died_is_noticed_and_can_be_started_again() -> None:
    with S3Server() as server:
        assert server._workplace is not None
        for pid in processes_of(server._workplace):
            if psutil.Process(pid).name() == "weed":
                os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: not server.running)
        with pytest.raises(StoreUnreachable, match="did not answer GET"):
            server.request("GET", "/")
        server.start()
        assert server.request("GET", "/").status == 200


def test_a_port_that_is_taken_meanwhile_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, free_ports(1)[0]))
        taken.listen()
        choices = [[taken.getsockname()[1], *free_ports(3)], free_ports(4)]
        monkeypatch.setattr(module, "free_ports", lambda count: choices.pop(0))
        with S3Server() as server:
            assert choices == []
            assert server.request("GET", "/").status == 200


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(S3Server, "_options", lambda *_: ["-no.such.option"])
    server = S3Server()
    with pytest.raises(StoreUnreachable, match=r"ended while it started.*\n.*no\.such\.option"):
        server.start()
    assert not server.running
    assert server._workplace is None


def test_waiting_for_it_has_an_end() -> None:
    server = S3Server(start_seconds=0.1)
    with pytest.raises(StoreUnreachable, match=r"within 0\.1 s"):
        server.start()
    assert server._keeper is None


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(MissingExtra, match=r"pip install 'dsm-dask\[demo\]'"):
        server_program()


def test_a_bucket_name_that_is_refused(s3: S3Server) -> None:
    with pytest.raises(NotFound, match="3 to 63"):
        s3.make_bucket("x")


def test_a_bucket_twice_and_none(s3: S3Server, bucket: str) -> None:
    assert s3.make_bucket(bucket) == f"s3://{bucket}"
    s3.remove_bucket("never-made")


def test_the_environment_is_put_back(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "intranet")
    before = dict(os.environ)
    with contextlib.suppress(ZeroDivisionError), s3.in_environment():
        assert "AWS_PROFILE" not in os.environ
        assert os.environ["AWS_REGION"] == "us-east-1"
        assert os.environ["no_proxy"] == "intranet,127.0.0.1"
        assert set(s3.environment()) <= set(os.environ)
        _ = 1 / 0
    assert dict(os.environ) == before


def test_keys_show_in_no_repr_and_in_no_command_line(s3: S3Server) -> None:
    assert s3.secret_key not in repr(s3)
    assert s3._workplace is not None
    for pid in processes_of(s3._workplace):
        assert s3.secret_key not in " ".join(psutil.Process(pid).cmdline())
