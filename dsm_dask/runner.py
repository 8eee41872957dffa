"""Where calls run: in this process, on a local cluster, or on a cluster somewhere.

The only door to Dask (with :mod:`dsm_dask.dataframe`). A runner takes calls that give bytes and
gives their answers in order, or merged on the workers in a tree of fixed shape. A bounded window of
futures is known to the scheduler.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dsm_dask.errors import ClusterError, DsmError, PartitionFailed
from dsm_dask.task import FinishTask, FoldTask, LoadTask, MergeTask

FAN_IN = 8
"""States merged by one task."""

WINDOW = 4
"""Tasks in flight for each worker thread."""

ALLOCATION = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Environment of the workers of a local cluster: one allocator, which keeps some of what is freed.
Dask's own has glibc give every freed array back to the system, so that every new one is paid for in
page faults: a quarter of a profile's time (``benchmarks/profile.py``)."""

LOST_WORKERS = 3
"""A task that was running when this many workers died is given up."""


@dataclasses.dataclass(frozen=True)
class Branch:
    """The calls over one aligned run of partitions, and how their answers are merged; the state of
    the whole run is kept."""

    calls: tuple[FoldTask | LoadTask, ...]
    merge: MergeTask | None

    def merging(self, count: int) -> MergeTask:
        """What merges one of ``count`` neighbouring answers; the last one keeps the result."""
        assert self.merge is not None, "a run that is kept needs no merging"
        return self.merge if count <= FAN_IN else dataclasses.replace(self.merge, keep=None)


class Inline:
    """In this process, one task after another."""

    is_local = True

    def start(self) -> None: ...

    def close(self) -> None: ...

    def run(
        self, calls: Sequence[Callable[[], bytes]], done: Callable[[int], None]
    ) -> Iterator[bytes]:
        for index, call in enumerate(calls):
            yield call()
            done(index)

    def reduce(
        self, branches: Sequence[Branch], finish: FinishTask, done: Callable[[int], None]
    ) -> bytes:
        calls = [call for branch in branches for call in branch.calls]
        payloads = self.run(calls, done)
        tops = []
        for branch in branches:
            level = [next(payloads) for _ in branch.calls]
            while len(level) > 1:
                merge = branch.merging(len(level))
                level = [merge(*level[i : i + FAN_IN]) for i in range(0, len(level), FAN_IN)]
            tops += level
        deque(payloads, 0)
        return finish(*tops)


class Cluster:
    """On Dask: a scheduler given by address, or a cluster of this machine's size."""

    def __init__(self, scheduler: str | None, workers: int | None) -> None:
        self._address = scheduler
        self._workers = workers
        self._client: Any = None
        self._cluster: Any = None
        self._borrowed = False

    @property
    def is_local(self) -> bool:
        import dask

        configured = dask.config.get("scheduler-address", None)
        return self._address is None and not configured and not self._borrowed

    def start(self) -> None:
        if self._client is not None:
            return
        import dask
        from distributed import Client, LocalCluster

        address = self._address or dask.config.get("scheduler-address", None)
        if address is None and self._workers is None and (client := _current_client()):
            self._client, self._borrowed = client, True
            return
        try:
            if address is None:
                self._cluster = _local_cluster(LocalCluster, self._workers)
            self._client = Client(address or self._cluster, timeout="15s")
        except (OSError, TimeoutError, ValueError) as error:
            self.close()
            raise ClusterError(
                f"The Dask scheduler at {address or 'this machine'} cannot be reached: {error}.",
                valid="Check --scheduler and DASK_SCHEDULER_ADDRESS, or leave both out to use "
                "this machine.",
            ) from error

    def close(self) -> None:
        if self._borrowed:
            self._client = None
        for part in (self._client, self._cluster):
            if part is not None:
                part.close(timeout=10)
        self._client = self._cluster = None

    def run(
        self, calls: Sequence[Callable[[], bytes]], done: Callable[[int], None]
    ) -> Iterator[bytes]:
        """Payloads in order; at most a window of tasks is known to the scheduler."""
        ready: dict[int, bytes] = {}
        following = 0
        for index, future in self._window(calls, done):
            ready[index] = future.result()
            while following in ready:
                yield ready.pop(following)
                following += 1

    def reduce(
        self, branches: Sequence[Branch], finish: FinishTask, done: Callable[[int], None]
    ) -> bytes:
        """One payload: states are merged on workers, neighbours first, as they become ready."""
        calls = [call for branch in branches for call in branch.calls]
        places = [(b, i) for b, branch in enumerate(branches) for i in range(len(branch.calls))]
        ready: list[dict[int, Any]] = [{} for _ in branches]
        merged: list[dict[int, Any]] = [{} for _ in branches]
        for index, future in self._window(calls, done):
            number, place = places[index]
            ready[number][place] = future
            branch = branches[number]
            self._merge_ready(ready[number], merged[number], place // FAN_IN, branch)
        tops = [self._top(branch, nodes) for branch, nodes in zip(branches, merged, strict=True)]
        if not tops:
            return finish()
        last = self._client.submit(finish, *tops, pure=False)
        return self._result(last, finish)

    def _top(self, branch: Branch, nodes: dict[int, Any]) -> Any:
        while len(nodes) > 1:
            level, nodes = nodes, {}
            count = len(level)
            for group in range(-(-count // FAN_IN)):
                self._merge_ready(level, nodes, group, branch, count)
        return nodes[0]

    def _merge_ready(
        self,
        level: dict[int, Any],
        merged: dict[int, Any],
        group: int,
        branch: Branch,
        count: int | None = None,
    ) -> None:
        total = len(branch.calls) if count is None else count
        members = range(group * FAN_IN, min((group + 1) * FAN_IN, total))
        if not all(member in level for member in members):
            return
        inputs = [level.pop(member) for member in members]
        if total == 1:
            merged[group] = inputs[0]
            return
        merge = branch.merging(total)
        merged[group] = self._client.submit(merge, *inputs, pure=False, priority=1)

    def _result(self, future: Any, call: Any) -> bytes:
        from distributed import wait

        wait(future)
        if future.status != "finished":
            raise _failure(future, call)
        return future.result()  # type: ignore[no-any-return]

    def _window(
        self, calls: Sequence[Callable[[], bytes]], done: Callable[[int], None]
    ) -> Iterator[tuple[int, Any]]:
        """Each call's finished future, as they finish, with few of them under way at once."""
        from distributed import as_completed

        self.start()
        if not calls:
            return
        order: dict[Any, int] = {}
        upcoming = iter(enumerate(calls))
        finished = as_completed(loop=self._client.loop)

        def submit_next() -> None:
            for index, call in upcoming:
                future = self._client.submit(call, pure=False, key=_key(call, index))
                order[future] = index
                finished.add(future)
                return

        try:
            for _ in range(max(2, WINDOW * self._threads())):
                submit_next()
            for future in finished:
                index = order.pop(future)
                if future.status != "finished":
                    raise _failure(future, calls[index])
                submit_next()
                yield index, future
                done(index)
        finally:
            if order:
                self._client.cancel(list(order), force=True)

    def _threads(self) -> int:
        return sum(self._client.nthreads().values()) or 1


def _current_client() -> Any:
    """The client that the user has made, as in a notebook, if there is one."""
    from distributed import Client

    try:
        return Client.current()
    except ValueError:
        return None


def _key(call: Any, index: int) -> str:
    import uuid

    return f"dsm-{type(call).__name__.strip('_').lower()}-{uuid.uuid4().hex[:12]}-{index}"


def _failure(future: Any, call: Any) -> BaseException:
    error = future.exception() if future.status == "error" else None
    if isinstance(error, DsmError):
        return error
    labels = [str(getattr(item, "label", None) or item) for item in getattr(call, "items", ())]
    place = (labels[0] if labels else "merging") + (
        f" (or {len(labels) - 1} after it)" if len(labels) > 1 else ""
    )
    if error is None:
        return ClusterError(
            f"The cluster lost the task for {place}: the scheduler or all workers went away.",
            valid="Run the same command again: finished partitions are not repeated.",
        )
    if type(error).__name__ == "KilledWorker":
        return PartitionFailed(
            f"{place}: the worker died {LOST_WORKERS} times while it worked on this, probably out "
            "of memory.",
            where=labels[0] if labels else None,
            valid="Give workers more memory, or leave this file out.",
        )
    return PartitionFailed(f"{place} failed: {type(error).__name__}: {error}.", where=place)


def _local_cluster(kind: Any, workers: int | None) -> Any:
    import logging

    import dask

    settings = {
        "distributed.scheduler.allowed-failures": LOST_WORKERS - 1,
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ", {}),
            **ALLOCATION,
        },
    }
    with warnings.catch_warnings(), dask.config.set(settings):
        warnings.simplefilter("ignore")  # a busy dashboard port is no news
        return kind(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
