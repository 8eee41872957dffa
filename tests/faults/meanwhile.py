"""Another writer, in the moment before a commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dsm_dask.dataset import commit as committing


def meanwhile(monkeypatch: pytest.MonkeyPatch, other: Callable[[], Any]) -> None:
    """Run ``other`` in the moment before the next commit, when all of its work is done."""
    ours, done = committing._write_checksums, []

    def first(*args: Any) -> Any:
        if not done:
            done.append(True)
            other()
        return ours(*args)

    monkeypatch.setattr(committing, "_write_checksums", first)
