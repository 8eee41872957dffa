"""Where calls run: in this process, on a local cluster, or on a cluster somewhere.

The door to Dask (with :mod:`dsm_dask.connection` and :mod:`dsm_dask.dataframe`). A runner takes
calls that give bytes and gives their answers in order, or merged on the workers in a tree of fixed
shape. A bounded window of futures is known to the scheduler.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dsm_dask.connection import (
    DRIVER,
    LOST_WORKERS,
    Connection,
    Detached,
    client_in_use,
    connect,
    is_leaving,
    is_remote,
    offered,
)
from dsm_dask.errors import ClusterError, DsmError, PartitionFailed
from dsm_dask.task import FinishTask, FoldTask, JointTask, LoadTask, MergeTask, Skipped
from dsm_dask.worker_watch import OURS

FAN_IN = 8
"""States merged by one task."""

WINDOW = 4
"""Tasks in flight for each worker thread."""


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
    is_leaving = False

    def start(self) -> None: ...

    def close(self) -> None: ...

    def run(
        self, calls: Sequence[Callable[[], bytes]], done: Callable[[int], None]
    ) -> Iterator[bytes]:
        for index, call in enumerate(calls):
            yield call()
            done(index)

    def reduce(
        self,
        branches: Sequence[Branch],
        finish: FinishTask | JointTask,
        done: Callable[[int], None],
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
        self._connection: Connection | None = None

    @property
    def is_local(self) -> bool:
        if self._connection is None:  # it would be the client in use here, whatever that leads to
            borrowed = client_in_use(self._workers) is not None
        else:
            borrowed = self._connection.borrowed
        return not is_remote(self._address) and not borrowed

    @property
    def is_leaving(self) -> bool:
        return is_leaving()

    @property
    def _client(self) -> Any:
        self.start()
        assert self._connection is not None
        return self._connection.client

    def start(self) -> None:
        if self._connection is None:
            self._connection = connect(self._address, self._workers)
            self._watch = self._connection.watch

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def leave(self, call: Callable[[], Any], key: str) -> None:
        """Hand over a long-running call that goes on when this client has gone. On a worker it
        gives its thread back, and may use a :class:`Cluster` itself; when its worker dies it is
        called again on another one. It runs where workers offer the resource :data:`DRIVER`, if any
        do. (Of a cluster that ends with this process, so does the call.)"""
        from distributed import fire_and_forget

        known = self._client.run_on_scheduler(offered)
        wanted = {DRIVER: 1} if DRIVER in known else None
        future = self._client.submit(
            Detached(call), key=key, pure=False, resources=wanted, priority=10
        )
        for _ in range(300):  # graphs arrive with a delay, and what is not known is not kept
            if self._client.run_on_scheduler(_known, key=key):
                fire_and_forget(future)
                self._client.run_on_scheduler(_known, key=key)
                return
            time.sleep(0.1)
        raise ClusterError(
            f"The scheduler at {self._address} did not take the job.", valid="See its log."
        )

    def run(
        self, calls: Sequence[Callable[[], bytes]], done: Callable[[int], None]
    ) -> Iterator[bytes]:
        """Payloads in order; at most a window of tasks is known to the scheduler."""
        ready: dict[int, bytes] = {}
        following = 0
        for index, future in self._window(calls, done):
            ready[index] = self._result(future, calls[index])
            while following in ready:
                yield ready.pop(following)
                following += 1

    def reduce(
        self,
        branches: Sequence[Branch],
        finish: FinishTask | JointTask,
        done: Callable[[int], None],
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
        last = self._client.submit(finish, *tops, pure=False, key=_key(finish, 0))
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
        key = _key(merge, group)
        merged[group] = self._client.submit(merge, *inputs, pure=False, key=key, priority=1)

    def _result(self, future: Any, call: Any) -> bytes:
        self._wait(future)
        if _killed(future):  # it, or what it needs, was on workers that others killed
            with contextlib.suppress(KeyError):  # the scheduler went away
                future.retry()
            self._wait(future)
        self._check(future, call)
        return future.result()  # type: ignore[no-any-return]

    def _wait(self, future: Any) -> None:
        """Until it has ended, and is not computed again because its worker has died since."""
        from distributed import CancelledError, wait

        with contextlib.suppress(CancelledError):
            wait(future)
            while future.status in _AGAIN:
                wait(future)

    def _window(
        self, calls: Sequence[Callable[[], bytes]], done: Callable[[int], None]
    ) -> Iterator[tuple[int, Any]]:
        """Each call's finished future, as they finish, with few of them under way at once.

        When workers die, whatever was on them is suspect. Suspects are tried again alone, when all
        else that is under way has ended, so that nobody is blamed for a neighbour. A partition
        that kills workers even so is left out or, at the end, an error.
        """
        upcoming = deque(range(len(calls)))
        suspects: list[int] = []
        culprits: list[DsmError] = []
        width = self._width() if calls else 0
        while upcoming:
            width = max(width, self._width())
            for index, future in self._together(calls, upcoming, width, suspects):
                yield index, future
                done(index)
            while suspects:
                index = suspects.pop(0)
                future = self._alone(calls[index], index, culprits)
                if future is not None:
                    yield index, future
                    done(index)
        if culprits:
            raise culprits[0]

    def _together(
        self,
        calls: Sequence[Callable[[], bytes]],
        upcoming: deque[int],
        width: int,
        suspects: list[int],
    ) -> Iterator[tuple[int, Any]]:
        """Up to ``width`` calls at once, until all have ended, or there are suspects."""
        from distributed import as_completed

        order: dict[Any, int] = {}
        finished = as_completed(loop=self._client.loop)

        def watch(future: Any, index: int) -> None:
            order[future] = index
            finished.add(future)

        def submit_next(count: int) -> None:
            for _ in range(min(count, len(upcoming))):
                index = upcoming.popleft()
                watch(self._submit(calls[index], index), index)

        try:
            submit_next(width)
            for future in finished:
                index = order.pop(future)
                if future.status in _AGAIN:
                    watch(future, index)
                elif _killed(future):
                    suspects.append(index)
                elif future.status != "finished":
                    self._check(future, calls[index])
                else:
                    submit_next(0 if suspects else 1)
                    yield index, future
        finally:
            if order and self._connection is not None:
                with contextlib.suppress(OSError, RuntimeError):  # the scheduler went away
                    self._client.cancel(list(order), force=True)

    def _alone(self, call: Any, index: int, culprits: list[DsmError]) -> Any:
        """The future of a call, tried partition by partition with nothing else under way. None when
        one of them kills workers and is not to be skipped: then it is one of the culprits."""
        todo, good = deque(call.items), []
        blamed: list[tuple[Any, DsmError]] = []
        while todo:
            item = todo.popleft()
            one = call.part((item,))
            future = self._submit(one, index)
            self._wait(future)
            pieces = getattr(item, "pieces", ())
            if not _killed(future):
                self._check(future, one)
                good.append(item)
            elif len(pieces) > 1:
                todo.extendleft(reversed(pieces))
            else:
                blamed.append((item, _failure(future, one)))
        if blamed and call.on_error == "fail":
            culprits += [error for _, error in blamed]
            if len(culprits) >= LOST_WORKERS:
                raise culprits[0]
            return None
        if not blamed and len(call.items) == 1:
            return future
        if blamed:
            skipped = [Skipped(_label(item), str(error)) for item, error in blamed]
            call = call.part(tuple(good), tuple(skipped))
        future = self._submit(call, index)
        self._wait(future)
        self._check(future, call)
        return future

    def _check(self, future: Any, call: Any) -> None:
        """Raise the reason when a call has no result."""
        if future.status == "cancelled" and self._watch.cause is not None:
            raise self._watch.cause
        if future.status != "finished":
            raise _failure(future, call)

    def _submit(self, call: Any, index: int) -> Any:
        return self._client.submit(call, pure=False, key=_key(call, index))

    def _width(self) -> int:
        """How many calls may be under way."""
        threads: int = sum(self._client.nthreads().values())
        return max(2, WINDOW * threads)


def _known(key: str, dask_scheduler: Any) -> bool:
    return key in dask_scheduler.tasks


_AGAIN = ("pending", "lost")
"""The status of a future that is computed once more, because the worker that had it died."""


def _killed(future: Any) -> bool:
    """Whether too many workers died while they had it."""
    return future.status == "error" and type(future.exception()).__name__ == "KilledWorker"


def _label(item: Any) -> str:
    """What an item is called, for people: of several in one, the first.

    >>> _label("s3://lake/a.parquet"), _label(("a.parquet", "b.parquet"))
    ('s3://lake/a.parquet', 'a.parquet and 1 more')
    """
    if isinstance(item, tuple) and item:
        more = f" and {len(item) - 1:,} more" if len(item) > 1 else ""
        return f"{_label(item[0])}{more}"
    return str(getattr(item, "label", None) or getattr(item, "uri", None) or item)


def _key(call: Any, index: int) -> str:
    import uuid

    return f"{OURS}{type(call).__name__.strip('_').lower()}-{uuid.uuid4().hex[:12]}-{index}"


def _failure(future: Any, call: Any) -> DsmError:
    error = future.exception() if future.status == "error" else None
    if isinstance(error, DsmError):
        return error
    labels = [_label(item) for item in getattr(call, "items", ())]
    place = (labels[0] if labels else "merging") + (
        f" (or {len(labels) - 1} after it)" if len(labels) > 1 else ""
    )
    if error is None:
        return ClusterError(
            f"The cluster lost the task for {place}: the scheduler or all workers went away.",
            valid="Run the same command again: finished partitions are not repeated.",
        )
    if type(error).__name__ == "KilledWorker":
        times = error.args[-1] + 1
        return PartitionFailed(
            f"{place}: the worker died {times} times while it worked on this, probably out of "
            "memory.",
            where=labels[0] if labels else None,
            valid="Give workers more memory, or leave this file out.",
        )
    return PartitionFailed(f"{place} failed: {type(error).__name__}: {error}.", where=place)
