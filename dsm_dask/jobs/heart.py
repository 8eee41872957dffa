"""The sign of life of a driver: its record, written every few seconds by a thread of its own."""

from __future__ import annotations

import contextvars
import dataclasses
import os
import socket
import threading
import time
from typing import Any

from dsm_dask import storage
from dsm_dask.errors import CommitConflict, DsmError, Interrupted, UsageError
from dsm_dask.jobs.record import Record, Run, now
from dsm_dask.progress import Progress

LINES = 2000
"""Lines kept of the log of one attempt."""

QUIET = 30.0
"""Seconds between lines about the progress of one step."""


def seconds_between_beats() -> float:
    """``DSM_HEARTBEAT_SECONDS``, or 5."""
    try:
        given = float(os.environ.get("DSM_HEARTBEAT_SECONDS", "5"))
    except ValueError:
        given = 0.0
    if not 0 < given <= 3600:
        raise UsageError("DSM_HEARTBEAT_SECONDS must be a number of seconds, up to 3600.")
    return given


def claim(run: Run) -> int:
    """Become the driver of a run: the number of this attempt, which nobody else gets."""
    who = f"{driver_name()} {now()} {threading.get_ident()}".encode()
    number = run.attempts() + 1
    while not storage.create(run.place(f"attempt-{number:04d}"), who):
        number += 1
    return number


def driver_name() -> str:
    return f"{socket.gethostname()} {os.getpid()}"


class Heart:
    """Writes the record of an attempt until it is stopped, and hears when it should end.

    ``record`` is replaced by the driver with :meth:`tell`; what is written is always one whole
    record. A beat that fails (the store is away) is told in the log, and the next one is tried.
    """

    def __init__(self, run: Run, record: Record) -> None:
        self.run, self.record = run, record
        self._lines: list[str] = []
        self._written = 0
        self._began = time.monotonic()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._asked: DsmError | None = None
        context = contextvars.copy_context()  # options; what is counted is not the job's
        self._thread = threading.Thread(target=context.run, args=(self._beats,), daemon=True)

    def __enter__(self) -> Heart:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def tell(self, **changes: Any) -> None:
        """Change the record; it is written with the next beat."""
        with self._lock:
            self.record = dataclasses.replace(self.record, **changes)

    def say(self, line: str) -> None:
        """Add a line to the log."""
        with self._lock:
            self._lines.append(f"{now()} {line}")

    def heed(self) -> None:
        """Raise what the driver should end with, if it should."""
        if self._asked is not None:
            raise self._asked

    @property
    def is_overtaken(self) -> bool:
        return isinstance(self._asked, CommitConflict)

    def end(self, **changes: Any) -> None:
        """The last beat, in the thread of the driver; nothing when another driver took over."""
        self.__exit__()
        if not self.is_overtaken:
            self.tell(ended=now(), progress=None, **changes)
            self._write()

    def leave(self, error: DsmError) -> None:
        """The last beat of a driver whose worker goes away: it is called again on another one, or
        the run is lost. The error is told until then."""
        self.__exit__()
        if not self.is_overtaken:
            self.tell(error=error.to_dict(), progress=None)
            self._write()

    def _beats(self) -> None:
        with storage.counting(apart=True):
            while not self._over.wait(self.record.every):
                try:
                    self._listen()
                    if not self.is_overtaken:
                        self._write()
                except Exception as error:  # noqa: BLE001 - a heart that stops is taken for death
                    self.say(f"The record could not be written: {error}")

    def _listen(self) -> None:
        names = {storage.name(item.uri) for item in storage.listing(self.run.folder)}
        if f"attempt-{self.record.attempt + 1:04d}" in names:
            self._asked = CommitConflict(
                f"Another driver took over the run {self.run}.",
                valid="That one goes on with it; nothing is lost.",
            )
        elif self._asked is None and "cancel" in names:
            self.say("Cancelling")
            self._asked = Interrupted(
                f"The run {self.run} was cancelled; nothing is half written.",
                valid=f"`dsm jobs resume '{self.run}'` goes on where it stopped.",
            )

    def _write(self) -> None:
        with self._lock:
            self.tell(beat=now(), seconds=round(time.monotonic() - self._began, 3))
            record, lines = self.record, list(self._lines)
        if len(lines) > LINES:
            lines = [*lines[: LINES // 2], "...", *lines[-LINES // 2 :]]
        if len(self._lines) != self._written:
            text = "".join(line + "\n" for line in lines).encode()
            place = self.run.place(f"log-{record.attempt:04d}.txt")
            storage.write(place, text, durable=False)
            self._written = len(self._lines)
        record.save()


class Heard(Progress):
    """Tells a heart what the engine tells, and stops the engine's work when the heart was asked to
    end it."""

    def __init__(self, heart: Heart, outer: Progress) -> None:
        self._heart, self._outer = heart, outer
        self._label, self._done, self._total = "", 0, 0
        self._said = 0.0

    def start(self, label: str, total: int) -> None:
        self._heart.heed()
        self._label, self._done, self._total = label, 0, total
        self._said = time.monotonic()
        self._tell()
        self._outer.start(label, total)

    def advance(self, done: int) -> None:
        self._done += done
        self._tell()
        if time.monotonic() - self._said >= QUIET:
            self._said = time.monotonic()
            self._heart.say(f"{self._label}: {self._done} of {self._total}")
        self._outer.advance(done)
        self._heart.heed()

    def stop(self) -> None:
        self._outer.stop()

    def _tell(self) -> None:
        told = {"label": self._label, "done": self._done, "total": self._total}
        self._heart.tell(progress=told)
