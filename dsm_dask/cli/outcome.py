"""How every verb begins and ends: engine, progress, one JSON object or text, exit code."""

from __future__ import annotations

import _thread
import functools
import json
import os
import signal
import sys
import textwrap
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from dsm_dask import storage
from dsm_dask.connection import address_in
from dsm_dask.dataset.lance_calls import from_lance
from dsm_dask.engine import Engine
from dsm_dask.errors import DsmError, InternalError, Interrupted, UsageError
from dsm_dask.progress import Silent, for_terminal

DATA = click.argument("data")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
MESSAGE = click.option("--message", "-m", default="", help="What the version is for.")
TAG = click.option("--tag", "tag_name", help="Tag the new version.")
ON_ERROR = click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What to do about a partition that cannot be processed.",
)


class Outcome:
    """One call of a verb: what it runs on, and what it says."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.workers: int | None = options["workers"]
        self.as_json: bool = options["as_json"]
        self.quiet: bool = options["quiet"]
        self.debug: bool = options["debug"]
        self._options = options
        self.exit_code = 0
        self._engine: Engine | None = None

    @property
    def scheduler(self) -> str | None:
        """The address that was given, or that the scheduler's file holds."""
        address, file = self._options["scheduler"], self._options["scheduler_file"]
        if address and file:
            raise UsageError("Give --scheduler or --scheduler-file, not both.")
        if (address or file) and self.workers is not None:
            raise UsageError(
                "--workers is for a cluster of this machine; a scheduler has workers of its own.",
                valid="Give --workers or a scheduler, not both.",
            )
        return address_in(file) if file else address

    @functools.cached_property
    def engine(self) -> Engine:
        """Started when first used, closed by :func:`verb`."""
        on_error = self._options.get("on_error", "fail")
        silent = self.quiet or (self.as_json and not sys.stderr.isatty())
        self._engine = Engine(
            self.scheduler,
            self._options["workers"],
            options=storage.current_options(),
            progress=Silent() if silent else for_terminal(),
            on_error=on_error,
        )
        return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()

    @contextmanager
    def measured(self) -> Iterator[None]:
        with storage.counting() as driver:
            self._driver, self._began = driver, time.monotonic()
            yield

    def io(self) -> dict[str, Any]:
        """The ``io`` object: what workers and this process moved."""
        moved, client_bytes = self._driver(), 0
        if self._engine is not None:
            moved, client_bytes = moved + self._engine.io, self._engine.client_bytes
        seconds = round(time.monotonic() - self._began, 3)
        return {**moved.to_dict(), "client_bytes": client_bytes, "seconds": seconds}

    def say(self, result: dict[str, Any], text: Callable[[], str], exit_code: int = 0) -> None:
        """Print the result: as JSON, or as ``text()``."""
        left_out = () if self._engine is None else dict.fromkeys(self._engine.skipped)
        skipped = [one.to_dict() for one in left_out]  # once, however many scans left it out
        if skipped:
            result = {**result, "skipped": skipped}
            exit_code = exit_code or 3
        self.exit_code = exit_code
        if self.as_json:
            print(json.dumps({**result, "io": self.io()}, default=str))
            return
        if not self.quiet:
            print(text())
            for one in skipped:
                print(f"Skipped {one['partition']}: {one['cause']}", file=sys.stderr)


def verb(function: Callable[..., None]) -> click.Command:
    """A click command with the options that every verb takes, and errors told properly."""

    @functools.wraps(function)
    def run(**options: Any) -> None:
        common = (
            "as_json", "quiet", "debug", "scheduler", "scheduler_file", "workers", "endpoint_url",
            "region",
        )  # fmt: skip
        outcome = Outcome(options)
        rest = {name: value for name, value in options.items() if name not in common}
        rest.pop("on_error", None)

        def work() -> None:
            given = storage.Options(options["endpoint_url"], options["region"])
            with storage.using(given):
                function(outcome, **rest)

        code = _guarded(outcome, work)
        click.get_current_context().exit(code)

    name = function.__module__.rsplit(".", 1)[1]
    command = click.command(name, help=function.__doc__)(run)
    for option in _COMMON:
        command = option(command)  # after the verb's own
    return command


_COMMON = [
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    click.option("--scheduler", metavar="ADDR", help="Address of a Dask scheduler."),
    click.option("--scheduler-file", metavar="FILE", help="File in which a scheduler wrote it."),
    click.option(
        "--workers", type=click.IntRange(0), help="Local worker processes; 0: this process."
    ),
    click.option("--endpoint-url", metavar="URL", help="S3 endpoint (else AWS_ENDPOINT_URL)."),
    click.option("--region", metavar="NAME", help="S3 region (else AWS_REGION)."),
    click.option("--quiet", "-q", is_flag=True, help="No progress and no text."),
    click.option("--debug", is_flag=True, help="Show tracebacks."),
]


def _guarded(outcome: Outcome, work: Callable[[], None]) -> int:
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    with _stoppable() as stopped:
        try:
            with outcome.measured():
                try:
                    work()
                finally:
                    outcome.close()
        except BaseException as error:
            told = _told(error, stopped.is_set())
            if told is None:
                raise
            return _fail(told, outcome.as_json, outcome.debug)
    return outcome.exit_code


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """SIGTERM does what Ctrl-C does; tells whether either came. Libraries that called back just
    then make errors of their own of a KeyboardInterrupt."""
    stopped, again, first = threading.Event(), [], []

    def interrupt(_: int, frame: FrameType | None) -> None:
        stopped.set()
        first.append(time.monotonic())
        if not _must_go_on(frame, time.monotonic() - first[0]):
            raise KeyboardInterrupt
        again.append(threading.Timer(0.05, _thread.interrupt_main))
        again[-1].daemon = True
        again[-1].start()

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield stopped
    finally:
        for timer in again:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


_PATIENCE = 10.0
"""Seconds that a local cluster has to start or to stop before it is interrupted all the same."""


def _must_go_on(frame: FrameType | None, waited: float) -> bool:
    """Whether LLVM is at work: it calls back, where an exception is lost, or worse. Or a local
    cluster starts or stops: half of one leaves processes, and tracebacks at the end."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("llvmlite."):
            return True
        if module.startswith("distributed.deploy.") and waited < _PATIENCE:
            return True
        frame = frame.f_back
    return False


def _told(error: BaseException, stopped: bool) -> DsmError | None:
    """An error for people; None for what ends a process on purpose."""
    if stopped or isinstance(error, KeyboardInterrupt):
        return _stopped_early()
    if isinstance(error, DsmError):
        return error
    if isinstance(error, SystemExit | GeneratorExit):
        return None
    cause = from_lance(error) or InternalError(
        f"{type(error).__name__}: {str(error).rstrip('.')}.",
        valid="Run again with --debug for the traceback.",
    )
    cause.__cause__ = error
    return cause


def _stopped_early() -> Interrupted:
    return Interrupted(
        "Stopped before the end; nothing is half written.",
        valid="Run the same command again: finished partitions are not repeated.",
    )


def fail_stopped(as_json: bool) -> int:
    """Ctrl-C while no verb was at work."""
    return _fail(_stopped_early(), as_json, debug=False)


def _fail(error: DsmError, as_json: bool, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    if as_json:
        print(json.dumps({"error": error.to_dict()}))
    print(_wrapped(f"error: {error}"), file=sys.stderr)
    print(f"       (dsm explain {error.code})", file=sys.stderr)
    return error.exit_code


def _wrapped(told: str) -> str:
    """On a terminal in lines of its width, at blanks, so that paths stay whole; else as it is."""
    if not sys.stderr.isatty():
        return told
    width = max(40, os.get_terminal_size(sys.stderr.fileno()).columns)  # some tell none
    return textwrap.fill(
        told, width, subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False
    )


def fail_usage(error: click.ClickException, as_json: bool) -> int:
    """A mistake in the command line itself."""
    message = error.format_message()
    if as_json:
        body = {"code": "usage", "what": message, "where": None, "valid": None}
        print(json.dumps({"error": body}))
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        print(ctx.get_usage(), file=sys.stderr)
    print(_wrapped(f"error: {message}"), file=sys.stderr)
    return 2
