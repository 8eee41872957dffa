"""Where work runs: this process, a local cluster, or a cluster somewhere. The only door to Dask.

Three verbs: :meth:`Engine.map` applies a function to small descriptions, :meth:`Engine.fold`
computes a Fold over a table, :meth:`Engine.map_partitions` applies a function to partitions. All
three keep a bounded window of futures, put several small partitions into a task, give results in
partition order whatever finished first, name the partition that failed, and count what was moved.

States stay on the workers and are merged there in a tree of fixed shape, so that the client gets
one state whatever the size of the data, and the numbers do not depend on who finished first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from dsm_dask import codec, storage
from dsm_dask.errors import (
    ClusterError,
    DsmError,
    MissingExtra,
    PartitionFailed,
    StateVersion,
)
from dsm_dask.fold import Fold, Product
from dsm_dask.progress import Progress, Silent, Step
from dsm_dask.states import Kept, StateStore, aligned, keeping
from dsm_dask.storage import IO
from dsm_dask.table import ROW_ID, Partition, Table, check_columns
from dsm_dask.task import (
    Answer,
    FinishTask,
    FoldTask,
    LoadTask,
    MapTask,
    MergeTask,
    OnError,
    OverPartitions,
    Scan,
    Skipped,
    group_size,
    tasks,
)

T = TypeVar("T")
R = TypeVar("R")

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
class Folded:
    """What a fold gave: the finished result, what was moved, what was skipped, and the result of
    the fold over partitions."""

    result: Any
    io: IO
    skipped: tuple[Skipped, ...] = ()
    partitions: Any = None


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


@dataclasses.dataclass(frozen=True)
class Mark:
    """What an engine has moved and skipped since :meth:`Engine.mark`."""

    engine: Engine
    _io: IO
    _skipped: int

    @property
    def io(self) -> IO:
        return self.engine.io - self._io

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        return tuple(self.engine.skipped[self._skipped :])


class Engine:
    """Runs work on Dask, or in this process when ``workers`` is 0.

    ``scheduler`` is an address; without one, ``DASK_SCHEDULER_ADDRESS`` (or Dask's own
    configuration), else the :class:`distributed.Client` in use here (unless ``workers`` is given),
    else a local cluster of ``workers`` processes (this machine's cores). The cluster is started
    when the first work comes. Use it as a context manager.

    >>> with Engine(workers=0) as engine:
    ...     engine.map(len, ["a", "bcd"])
    [1, 3]
    """

    def __init__(
        self,
        scheduler: str | None = None,
        workers: int | None = None,
        *,
        options: storage.Options | None = None,
        progress: Progress | None = None,
        on_error: OnError = "fail",
    ) -> None:
        self.progress = progress or Silent()
        self.on_error: OnError = on_error
        self.options = options or storage.current_options()
        self.io = IO()
        self.client_bytes = 0
        self.skipped: list[Skipped] = []
        self._runner: _Inline | _Cluster = (
            _Inline() if workers == 0 and scheduler is None else _Cluster(scheduler, workers)
        )

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the cluster, if this engine started it."""
        self._runner.close()

    @property
    def is_local(self) -> bool:
        """Whether every worker runs on this machine and sees its files."""
        return self._runner.is_local

    def start(self) -> None:
        """Connect now rather than when the first work comes."""
        self._runner.start()

    def mark(self) -> Mark:
        """Remember the counters now, to tell later what one verb moved and skipped."""
        return Mark(self, self.io, len(self.skipped))

    def map(
        self, function: Callable[[Any], R], items: Sequence[Any], *, label: str = "Working"
    ) -> list[R]:
        """``function`` of every item, in order.

        Items and results cross the network, so both should be small. The first error is raised;
        what was not started yet is cancelled.
        """
        calls = [MapTask(function, (item,), self.options) for item in items]
        found: list[R] = []
        with Step(self.progress, label, len(items)) as progress:
            for payload in self._runner.run(calls, lambda _: progress.advance(1)):
                found.extend(self._received(payload))
        return found

    def map_partitions(
        self,
        function: Callable[[Any], R],
        partitions: Sequence[Partition],
        *,
        label: str = "Working",
    ) -> list[R]:
        """``function`` of every partition, in order; several small ones go into one task.

        With ``on_error="skip"`` a partition that fails is left out and listed in ``skipped``.
        """
        groups = tasks(partitions)
        calls = [MapTask(function, group, self.options, self.on_error) for group in groups]
        found: list[R] = []
        with Step(self.progress, label, len(partitions)) as progress:
            done = self._runner.run(calls, lambda i: progress.advance(len(groups[i])))
            for payload in done:
                found.extend(self._received(payload))
        return found

    def fold(
        self,
        table: Table,
        fold: Fold[Any, Any],
        *,
        label: str = "Reading",
        cache: bool = True,
        over_partitions: OverPartitions | None = None,
    ) -> Folded:
        """The result of ``fold`` over every row of ``table``, in one scan.

        The state is finished on a worker too, so that only the result crosses the network.
        A table that has a ``states`` attribute (a dataset has) keeps the state of each partition
        there; partitions whose states are known are not read again.

        ``over_partitions`` sees the label of each partition and the states that the members of
        ``fold`` left of it; its result is ``partitions`` of what is returned.
        """
        check_columns(table, fold.columns)
        members = fold.folds if isinstance(fold, Product) else (fold,)
        mark = self.mark()
        finished = self._scanned(table, Scan(members, over_partitions), label, cache)
        partitions = None if over_partitions is None else finished.pop()
        result = tuple(finished) if isinstance(fold, Product) else finished[0]
        return Folded(result, mark.io, mark.skipped, partitions)

    def states(
        self, table: Table, folds: Sequence[Fold[Any, Any]], *, label: str = "Reading"
    ) -> tuple[Any, ...]:
        """The merged states of several Folds over a table, in this process: for those who go on
        computing with them. From what :meth:`fold` kept beside a dataset, where it did."""
        for fold in folds:
            check_columns(table, fold.columns)
        (encoded,) = self._scanned(table, Scan(tuple(folds)), label, unfinished=True)
        return tuple(codec.decode(encoded))

    def _scanned(
        self, table: Table, scan: Scan, label: str, cache: bool = True, unfinished: bool = False
    ) -> list[Any]:
        partitions = table.partitions()
        store: StateStore | None = getattr(table, "states", None) if cache else None
        keep = keeping(store, scan.members, partitions) if store and partitions else None
        finish = FinishTask(scan, self.options, unfinished=unfinished)
        if keep is not None:
            with contextlib.suppress(StateVersion):  # not kept
                return self._received(finish(LoadTask(keep, self.options)()))
        branches = self._branches(partitions, scan, store, keep)
        if len(branches) > 1:
            finish = dataclasses.replace(finish, keep=keep)
        calls = [call for branch in branches for call in branch.calls]
        with Step(self.progress, label, sum(len(call.items) for call in calls)) as progress:
            return self._received(
                self._runner.reduce(
                    branches, finish, lambda i: progress.advance(len(calls[i].items))
                )
            )

    def _branches(
        self,
        partitions: Sequence[Partition],
        scan: Scan,
        store: StateStore | None,
        keep: Kept | None,
    ) -> list[Branch]:
        """The calls for each aligned run of partitions; one that loads it, when it is known."""
        size = group_size(partitions)
        runs = [partitions[run.start : run.stop] for run in aligned(len(partitions))]
        found = []
        for run in runs:
            kept = keep if len(runs) == 1 else None
            if store and 1 < len(run) < len(partitions):  # of a single one, its own are kept
                kept = keeping(store, scan.members, run)
            if kept is not None and kept is not keep and kept.is_known():
                again = FoldTask(scan, tuple(run), store, self.options, self.on_error, kept)
                found.append(Branch((LoadTask(kept, self.options, again),), None))
                continue
            groups = [tuple(run[i : i + size]) for i in range(0, len(run), size)]
            own = kept if len(groups) == 1 else None
            calls = [
                FoldTask(scan, group, store, self.options, self.on_error, own) for group in groups
            ]
            found.append(Branch(tuple(calls), MergeTask(scan, self.options, kept)))
        return found

    def _received(self, payload: bytes) -> list[Any]:
        self.client_bytes += len(payload)
        answer = Answer.load(payload)
        self.io += answer.io
        self.skipped.extend(answer.skipped)
        return list(answer.results)


# ---------------------------------------------------------------------------------------------
# Runners


class _Inline:
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


class _Cluster:
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


def dask_dataframe(table: Table, columns: Sequence[str] | None = None) -> Any:
    """A Dask DataFrame over a table, a partition for a partition, with Arrow-backed types.

    Needs ``pip install 'dsm-dask[dataframe]'``; raises MissingExtra without it.
    """
    names = list(table.schema.names) if columns is None else list(columns)
    check_columns(table, names)
    try:
        import dask.dataframe as dd
        import pandas as pd
    except ImportError as error:
        raise MissingExtra(
            "A Dask DataFrame needs pandas and dask[dataframe].",
            valid="pip install 'dsm-dask[dataframe]'",
        ) from error
    frame = _Frame(tuple(names), table.schema, storage.current_options())
    meta = frame.schema.empty_table().to_pandas(types_mapper=pd.ArrowDtype)
    return dd.from_map(frame, table.partitions(), meta=meta)


@dataclasses.dataclass(frozen=True)
class _Frame:
    """A partition as a pandas DataFrame."""

    columns: tuple[str, ...]
    table_schema: Any
    options: storage.Options

    @property
    def schema(self) -> Any:
        import pyarrow as pa

        kinds = [
            (n, pa.uint64() if n == ROW_ID else self.table_schema.field(n).type)
            for n in self.columns
        ]
        return pa.schema(kinds)

    def __call__(self, partition: Partition) -> Any:
        import pandas as pd
        import pyarrow as pa

        with storage.using(self.options):
            batches = [batch.cast(self.schema) for batch in partition.read(self.columns)]
        return pa.Table.from_batches(batches, self.schema).to_pandas(types_mapper=pd.ArrowDtype)
