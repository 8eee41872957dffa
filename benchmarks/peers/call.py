"""Runs a peer's script, and keeps what it says of itself."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PATIENCE = 900
"""Seconds after which a peer is given up."""


class Unavailable(Exception):
    """A peer that could not be measured here; the message says why."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """One run: its seconds, the peak memory in bytes of its processes, and what it found."""

    seconds: float
    peak: int
    found: dict[str, Any]


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--peer-python NAME=PATH``."""
    parser.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="run this peer (as duckdb, whylogs, evidently) with another Python; see peers/",
    )


def pythons(options: Sequence[str]) -> dict[str, str]:
    """The Python of each peer that has one of its own."""
    found = dict(option.partition("=")[::2] for option in options)
    for name, path in found.items():
        if not Path(path).exists():
            raise SystemExit(f"--peer-python {name}={path}: there is no such program")
    return found


def call(script: str, task: dict[str, Any], python: str | None = None) -> Answer:
    """Run ``peers/SCRIPT.py`` on a task.

    Raises Unavailable if the peer is not installed, or fails.
    """
    command = [python or sys.executable, str(FOLDER / f"{script}.py"), json.dumps(task)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"not done after {PATIENCE} s") from None
    if done.returncode:
        complaint = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"failed: {complaint[:300]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    if "unavailable" in answer:
        raise Unavailable(f"not installed here: {answer['unavailable']}")
    return Answer(**answer)
