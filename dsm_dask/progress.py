"""How far a piece of work is: a live bar on a terminal, a line now and then otherwise."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Protocol


class Progress(Protocol):
    """Told by the engine what is going on."""

    def start(self, label: str, total: int) -> None: ...
    def advance(self, done: int) -> None: ...
    def stop(self) -> None: ...


class Silent:
    """Says nothing: the default in Python, and ``--quiet``."""

    def start(self, label: str, total: int) -> None: ...
    def advance(self, done: int) -> None: ...
    def stop(self) -> None: ...


class Lines:
    """A plain line when a step begins to take long, at most every few seconds, and at its end."""

    def __init__(self, every: float = 5.0) -> None:
        self._every = every

    def start(self, label: str, total: int) -> None:
        self._label, self._total, self._done = label, total, 0
        self._began = self._said = time.monotonic()

    def advance(self, done: int) -> None:
        self._done += done
        now = time.monotonic()
        if now - self._said >= self._every:
            self._said = now
            self._say(f"{self._done} of {self._total}")

    def stop(self) -> None:
        if self._said > self._began:
            self._say(f"done in {time.monotonic() - self._began:.0f} s")

    def _say(self, text: str) -> None:
        print(f"{self._label}: {text}", file=sys.stderr, flush=True)


class Bar:
    """A live bar on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = None

    def start(self, label: str, total: int) -> None:
        self._bar.start()
        self._task = self._bar.add_task(label, total=total)

    def advance(self, done: int) -> None:
        self._bar.advance(self._task, done)

    def stop(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._bar.stop()


class Step:
    """One labelled piece of work, ended whatever happens."""

    def __init__(self, progress: Progress, label: str, total: int) -> None:
        self._progress = progress
        progress.start(label, total)

    def __enter__(self) -> Progress:
        return self._progress

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


def for_terminal() -> Progress:
    """A bar when a person is watching, lines otherwise."""
    return Bar() if sys.stderr.isatty() else Lines()
