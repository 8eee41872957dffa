"""The way to a Dask cluster: an address, the client in use, or a cluster of this machine's size.

Address, TLS and everything else of Dask's own configuration (YAML files and ``DASK_...`` variables)
are honoured, since Dask's client reads them. What the cluster runs is compared with what runs here
before any work is sent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dsm_dask.errors import ClusterError, NotFound, UsageError
from dsm_dask.versions import PACKAGES, differences, refuse
from dsm_dask.worker_watch import (
    ClusterWarning,
    WorkerWatch,
    no_worker,
    patience,
    waiting_for_one,
)

ALLOCATION = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Environment of the workers of a local cluster: one allocator, which keeps some of what is freed.
Dask's own has glibc give every freed array back to the system, so that every new one is paid for in
page faults: a quarter of a profile's time (``benchmarks/profile.py``), more where chunks are large.
32 MB is the most that glibc takes from its heap."""

PROFILED = False
"""Whether Dask looks at the stacks of a local cluster's workers, a hundred times a second. What it
keeps of them takes 30 MB of each after a few seconds of imports, and more by the hour."""

TICK = "500ms"
"""How often each process of a local cluster measures how late its event loop is. Every 20 ms, as
Dask's own do, take 4 % of a processor for two workers that have nothing to do."""

DRIVER = "dsm-driver"
"""A worker resource: where a worker offers it (``dask worker --resources dsm-driver=8``), drivers
of submitted jobs run there, say on machines that are not taken away at short notice."""

LOST_WORKERS = 3
"""A task that was running when this many workers died is given up."""


@dataclasses.dataclass(frozen=True)
class Connection:
    """A client, and what ends with it."""

    client: Any
    cluster: Any = None
    """The local cluster that was started for it."""
    borrowed: bool = False
    """Somebody else closes the client."""

    address: str | None = None
    """The scheduler's, unless the cluster is this machine's."""

    @functools.cached_property
    def watch(self) -> WorkerWatch:
        return WorkerWatch(self.client, self.address)

    def close(self) -> None:
        self.watch.stop()
        with _without_tracebacks():
            for part in (None if self.borrowed else self.client, self.cluster):
                if part is not None:
                    # What was asked for is done; processes that are slow to go end with this one.
                    with contextlib.suppress(TimeoutError):
                        part.close(timeout=10)


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
    """A client that is closed while its scheduler is away logs one; the error tells it better."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def is_remote(address: str | None) -> bool:
    """Whether an address is given, or configured."""
    import dask

    return bool(address or dask.config.get("scheduler-address", None))


def client_in_use(workers: int | None) -> Any:
    """The client that :func:`connect` takes when there is no address; None for a new cluster."""
    return _client_of_task() or (_current_client() if workers is None else None)


def connect(address: str | None, workers: int | None) -> Connection:
    """In a task of a worker, to its scheduler; else to ``address``, to the one that is configured,
    to the client in use here (unless ``workers`` are asked for), or to a new local cluster.

    Raises ClusterError when there is no answer, VersionMismatch when other software runs there.
    """
    import dask

    if address is None and (client := _client_of_task()):
        return _borrowed(client)
    address = address or dask.config.get("scheduler-address", None)
    if address:  # a variable that is empty gives none
        return _to(address)
    if workers is None and (client := _current_client()):
        return _borrowed(client)
    try:
        with contextlib.ExitStack() as undo:
            cluster = _local_cluster(workers)
            undo.callback(cluster.close, timeout=10)
            made = Connection(_client(cluster), cluster)
            undo.pop_all()
            return made
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        raise _not_started(error) from error


def _to(address: str) -> Connection:
    try:
        client = _client(address)
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
        raise _unreachable(address, error) from error  # the last two: TLS that is not set up
    try:
        _check_versions(client, address)
    except BaseException:
        client.close(timeout=10)
        raise
    return Connection(client, address=address)


def _borrowed(client: Any) -> Connection:
    """Of the one in a task of a worker, and of one that somebody made."""
    return Connection(client, borrowed=True, address=client.scheduler.address)


def address_in(scheduler_file: str) -> str:
    """The address that ``dask scheduler --scheduler-file`` wrote. Raises NotFound, UsageError."""
    try:
        return str(json.loads(Path(scheduler_file).read_text())["address"])
    except OSError as error:
        raise NotFound(
            f"The scheduler file {scheduler_file} cannot be read: {error.strerror}.",
            where=scheduler_file,
            valid="The scheduler writes it when it has started, on a disk that both see.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{scheduler_file} is not a scheduler file.",
            where=scheduler_file,
            valid="Give the file of `dask scheduler --scheduler-file FILE`.",
        ) from error


def _client(address: Any) -> Any:
    import dask
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    patience = dask.config.get("distributed.comm.timeouts.connect")
    with warnings.catch_warnings():  # what matters is told by `_check_versions`
        warnings.simplefilter("ignore", VersionMismatchWarning)
        return Client(address, timeout="15s" if patience == "30s" else patience)


def _check_versions(client: Any, address: str) -> None:
    """Before any work is sent; a cluster that has no worker yet is asked for one first."""
    from distributed import wait

    if not client.nthreads():
        limit = patience()
        warnings.warn(waiting_for_one(address, limit), ClusterWarning, stacklevel=4)
        try:
            wait(client.submit(os.getpid, pure=False), timeout=limit)
        except TimeoutError:
            raise no_worker(address, limit) from None
    names = [name for name in PACKAGES if name != "python"]
    found = client.get_versions(packages=names)
    workers = {name: one["packages"] for name, one in found["workers"].items() if one}
    scheduler = found["scheduler"]["packages"]
    told = differences(found["client"]["packages"], scheduler, workers)
    refuse(told, address)
    for one in told:
        warnings.warn(f"{address}: {one}; this should do no harm.", ClusterWarning, stacklevel=4)


def _unreachable(address: str | None, error: Exception) -> ClusterError:
    what = str(error).rstrip(".") or type(error).__name__
    valid = "Check --scheduler and DASK_SCHEDULER_ADDRESS, or leave both out to use this machine."
    if str(address).startswith("tls:") or "ncryption" in what:
        valid = (
            "For TLS, give tls://HOST:PORT and set distributed.comm.tls in Dask's configuration: "
            "ca-file, client.cert and client.key (docs/cluster.md)."
        )
    return ClusterError(
        f"The Dask scheduler at {address or 'this machine'} cannot be reached: {what}.", valid=valid
    )


def _not_started(error: Exception) -> ClusterError:
    return ClusterError(
        f"A cluster of this machine cannot be started: {str(error).rstrip('.')}.",
        valid='A script has its work below `if __name__ == "__main__":`, for worker processes '
        "import it. --workers 0, or Engine(workers=0), does without them.",
    )


def is_leaving() -> bool:
    """Inside a task, whether its worker is about to end: retired, or told to stop."""
    from distributed import get_worker

    try:
        return get_worker().status.name not in ("running", "paused", "init")
    except ValueError:
        return False


def _client_of_task() -> Any:
    """Inside a task, the client of its worker: it has the worker's address and TLS settings."""
    from distributed import get_client, get_worker

    try:
        get_worker()
    except ValueError:
        return None
    return get_client()


def _current_client() -> Any:
    """The client that the user has made, as in a notebook, if there is one."""
    from distributed import Client

    try:
        return Client.current()
    except ValueError:
        return None


def _local_cluster(workers: int | None) -> Any:
    import dask
    from dask.system import CPU_COUNT  # as many as this process may use: a container has limits
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": LOST_WORKERS - 1,
        "distributed.worker.profile.enabled": PROFILED,
        "distributed.admin.tick.interval": TICK,
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ", {}),
            **ALLOCATION,
        },
    }
    with warnings.catch_warnings(), dask.config.set(settings):
        warnings.simplefilter("ignore")  # a busy dashboard port is no news
        return LocalCluster(
            n_workers=workers or CPU_COUNT,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )


def offered(dask_scheduler: Any) -> list[str]:
    """Resources that some worker offers now: the scheduler keeps the names of others, too."""
    return [name for name, workers in dask_scheduler.resources.items() if workers]


@dataclasses.dataclass(frozen=True)
class Detached:
    """A call that does not occupy a thread of its worker."""

    call: Callable[[], Any]

    def __call__(self) -> Any:
        from distributed import secede

        secede()
        return self.call()
