"""A folder in memory, and many ``dsm`` at once."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def quick_path() -> Iterator[Path]:
    """A folder in memory, where there is one: for tests that write and remove thousands of files,
    which a disk takes its time for."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="dsm-test-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def driver() -> Iterator[Callable[..., list[int]]]:
    """Runs some ``dsm`` at once, each in a process of its own: see ``forking_driver.py``."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("forking_driver.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None

    def runs(words: list[list[str]], **how: Any) -> list[int]:
        plain = {"env": dict(os.environ), "moment": "", "seconds": 0, "signal": 0}
        told = {"runs": words, **plain, **how}
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        found: list[int] = json.loads(process.stdout.readline())
        return found

    try:
        assert process.stdout.readline() == "ready\n"
        yield runs
    finally:
        process.kill()
        process.communicate()
