"""Nobody waits for ever for workers that do not come, or do not go on.

Dask itself waits as long as it takes: for the first worker of a cluster, for another one when the
last has died, and for workers that are paused because their memory is full.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
import time
import warnings
from typing import Any

from dsm_dask.errors import ClusterError, UsageError

OURS = "dsm-"
"""What the keys of our tasks begin with."""

PAUSED_SECONDS = 60.0
"""Workers that have all been paused for so long will not go on by themselves."""

LOCAL_SECONDS = 60.0
"""Workers of a cluster of this machine that have been away for so long do not come back."""

TELL_SECONDS = 10.0
"""Without any worker, this is told after so long."""

LOOK_SECONDS = 5.0


class ClusterWarning(UserWarning):
    """Something about a cluster that a person should know, and that stops nothing."""


def patience() -> float:
    """``DSM_WORKER_SECONDS``, or 600: how long to wait for a worker of a cluster somewhere.

    Raises UsageError when it is no number of seconds.
    """
    try:
        given = float(os.environ.get("DSM_WORKER_SECONDS", "600"))
    except ValueError:
        given = -1.0
    if not given > 0:
        raise UsageError("DSM_WORKER_SECONDS must be a number of seconds, more than 0.")
    return given


def no_worker(address: str | None, seconds: float) -> ClusterError:
    """No worker came: of the scheduler at ``address``, or of a cluster of this machine."""
    if address is None:
        return ClusterError(
            f"All workers of this machine's cluster died and did not come back in {seconds:.0f} s.",
            valid="Run the same command again, with fewer --workers if memory is short: finished "
            "partitions are not repeated.",
        )
    return ClusterError(
        f"The scheduler at {address} has had no worker for {seconds:.0f} s.",
        where=address,
        valid=f"Start some (`dask worker {address}`), or wait longer with DSM_WORKER_SECONDS, and "
        "run the same command again: finished partitions are not repeated.",
    )


def waiting_for_one(address: str, limit: float) -> str:
    return f"{address} has no worker yet: waiting up to {limit:.0f} s for one (DSM_WORKER_SECONDS)."


@dataclasses.dataclass(frozen=True)
class _Crowd:
    workers: int
    paused: int


class WorkerWatch:
    """Ends the waiting for workers, and tells why: ``cause``. Then dsm's tasks are cancelled.

    ``address``: of the scheduler; None for a cluster of this machine, whose workers are started
    again at once when they die.
    """

    def __init__(self, client: Any, address: str | None) -> None:
        self.cause: ClusterError | None = None
        self._client = client
        self._address = address
        self._over = threading.Event()
        self._limit = LOCAL_SECONDS if address is None else patience()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def _look(self) -> None:
        paused, alone = _Since(), _Since()
        while not self._over.wait(min(LOOK_SECONDS, self._limit / 4)):
            try:
                crowd = _Crowd(*self._client.run_on_scheduler(_crowd))
                full = crowd.workers > 0 and crowd.workers == crowd.paused
                if paused.seconds(full) >= PAUSED_SECONDS:
                    self._give_up(self._paused(crowd.workers))
                without = alone.seconds(not crowd.workers and self._is_waiting())
                if without >= self._limit:
                    self._give_up(no_worker(self._address, self._limit))
                elif without >= TELL_SECONDS and alone.untold():
                    self._tell()
            except Exception:  # noqa: BLE001 - who waits hears that the scheduler is away
                paused, alone = _Since(), _Since()

    def _is_waiting(self) -> bool:
        known = dict(self._client.futures)
        return any(str(k).startswith(OURS) and f.status == "pending" for k, f in known.items())

    def _tell(self) -> None:
        where = self._address or "This machine's cluster"
        warnings.warn(
            f"{where} has lost all workers: waiting up to {self._limit:.0f} s for another.",
            ClusterWarning,
            stacklevel=2,
        )

    def _paused(self, workers: int) -> ClusterError:
        free, folder = min(self._client.run(_room).values())
        return ClusterError(
            f"All workers ({workers}) have been paused for {PAUSED_SECONDS:.0f} s: their memory is "
            f"full, and they cannot spill it to their disks; {folder} has {free >> 20:,} MB left.",
            where=folder,
            valid="Give workers more memory, or a --local-directory with more room, and run the "
            "same command again: finished partitions are not repeated.",
        )

    def _give_up(self, cause: ClusterError) -> None:
        from distributed import Future

        self.cause = cause
        ours = [key for key in list(self._client.futures) if str(key).startswith(OURS)]
        self._client.cancel([Future(key, self._client) for key in ours], force=True)


class _Since:
    """How long something has been so."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._told = False

    def seconds(self, holds: bool) -> float:
        if not holds:
            self._began, self._told = None, False
            return 0.0
        self._began = self._began or time.monotonic()
        return time.monotonic() - self._began

    def untold(self) -> bool:
        """True once, until it is no longer so."""
        told, self._told = self._told, True
        return not told


def _crowd(dask_scheduler: Any) -> tuple[int, int]:
    """Workers, and how many of them are paused: a few bytes, however many there are."""
    workers = dask_scheduler.workers.values()
    return len(workers), sum(one.status.name == "paused" for one in workers)


def _room(dask_worker: Any) -> tuple[int, str]:
    """Free bytes where a worker spills to."""
    folder = dask_worker.local_directory
    return shutil.disk_usage(folder).free, folder
