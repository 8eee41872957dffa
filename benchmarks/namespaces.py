"""Hosts on one machine: network namespaces, each pair of them joined by a link of its own whose
bytes the kernel counts.

    with Hosts(["client", "store"]) as hosts:
        hosts.start("store", ["python", "-m", "http.server"])
        ...                                        # at hosts.address("store")
        before = hosts.counted()                   # (from, to) -> bytes

Linux only, and it takes the right to make namespaces (root, mostly): :func:`hindrance` tells.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, Self

import psutil

Counts = dict[tuple[str, str], int]
"""Bytes from one host to another, link headers included."""

_QUIET_SECONDS = 0.15
_STOP_SECONDS = 10


class Hosts:
    """Namespaces with an address each, and a link between any two."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._spaces = {name: f"dsm{os.getpid()}-{name}" for name in names}
        self._processes: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        try:
            for name in self.names:
                _ip("netns", "add", self._spaces[name])
                self._in(name, "link", "set", "lo", "up")
                self._in(name, "address", "add", f"{self.address(name)}/32", "dev", "lo")
            for one, other in itertools.combinations(self.names, 2):
                self._join(one, other)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for space in self._spaces.values():
            with contextlib.suppress(subprocess.CalledProcessError):  # not made yet
                _ip("netns", "delete", space)

    def address(self, name: str) -> str:
        """The IP address of a host, the same on all of its links."""
        return f"10.77.0.{self.names.index(name) + 1}"

    def start(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        stdout: int | IO[Any] | None = None,
        stdin: int | IO[Any] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a process on a host; it is stopped at the end at the latest."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self._spaces[name], *command],
            env={**os.environ, **(env or {})},
            stdout=stdout,
            stdin=stdin,
            text=True,
        )
        self._processes.append(process)
        return process

    def counted(self) -> Counts:
        """What has passed each link so far, once nothing but a few heartbeats passes any more."""
        seen = self._now()
        while True:
            time.sleep(_QUIET_SECONDS)
            now = self._now()
            if sum(now.values()) - sum(seen.values()) < 1 << 16:
                return now
            seen = now

    def processor_seconds(self, name: str) -> float:
        """Processor time of all processes that run on a host now."""
        total = 0.0
        for pid in _ip("netns", "pids", self._spaces[name]).split():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = psutil.Process(int(pid)).cpu_times()
                total += times.user + times.system
        return total

    def _now(self) -> Counts:
        found = {}
        for name in self.names:
            links = json.loads(self._in(name, "-s", "-j", "link", "show", "type", "veth"))
            for link in links:
                other = link["ifname"].removeprefix("to-")
                found[name, other] = int(link["stats64"]["tx"]["bytes"])
        return found

    def _join(self, one: str, other: str) -> None:
        ends = ((one, other), (other, one))
        _ip(
            "link", "add", f"to-{other}", "netns", self._spaces[one], "type", "veth",
            "peer", "name", f"to-{one}", "netns", self._spaces[other],
        )  # fmt: skip
        for here, there in ends:
            self._in(here, "link", "set", f"to-{there}", "up")
            self._in(
                here, "route", "add", f"{self.address(there)}/32", "dev", f"to-{there}",
                "src", self.address(here),
            )  # fmt: skip

    def _in(self, name: str, *words: str) -> str:
        return _ip("-n", self._spaces[name], *words)


def hindrance() -> str | None:
    """Why there can be no namespaces here; None when there can."""
    try:
        with Hosts(["a", "b"]) as hosts:
            hosts.counted()
    except FileNotFoundError:
        return "there is no command 'ip' here (on Debian: the package iproute2)"
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not allowed here: {error.stderr.strip()}"
    return None


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
