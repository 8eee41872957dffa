"""The engine: how work is cut into tasks, and what comes back. Where it runs is in
:mod:`dsm_dask.runner`.

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
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dsm_dask import codec, storage
from dsm_dask.errors import (
    StateVersion,
)
from dsm_dask.fold import Fold, Product
from dsm_dask.progress import Progress, Silent, Step
from dsm_dask.runner import Branch, Cluster, Inline
from dsm_dask.states import Kept, StateStore, aligned, keeping
from dsm_dask.storage import IO
from dsm_dask.table import Partition, Table, check_columns
from dsm_dask.task import (
    Answer,
    FinishTask,
    FoldTask,
    JointTask,
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


@dataclasses.dataclass(frozen=True)
class Folded:
    """What a fold gave: the finished result, what was moved, what was skipped, and the result of
    the fold over partitions."""

    result: Any
    io: IO
    skipped: tuple[Skipped, ...] = ()
    partitions: Any = None


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
        """Each once, however many scans left it out."""
        return tuple(dict.fromkeys(self.engine.skipped[self._skipped :]))


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
        self._runner: Inline | Cluster = (
            Inline() if workers == 0 and scheduler is None else Cluster(scheduler, workers)
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

    @property
    def is_leaving(self) -> bool:
        """Whether this is a worker that is about to end: what it began goes on elsewhere."""
        return self._runner.is_leaving

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

    def over_states(
        self,
        function: Callable[..., R],
        sides: Sequence[tuple[Table, Sequence[Fold[Any, Any]]]],
        *,
        label: str = "Reading",
    ) -> R:
        """``function`` of the merged states of several tables, a tuple for each, computed on a
        worker: of all states only its result, which should be small, crosses the network.
        """
        for table, folds in sides:
            check_columns(table, [column for fold in folds for column in fold.columns])
        todo = [_Side.of(table, Scan(tuple(folds))) for table, folds in sides]
        finishes = [FinishTask(side.scan, self.options) for side in todo]
        joint = JointTask(function, tuple(finishes), (1,) * len(todo), self.options)
        known = [side.keep for side in todo if side.keep is not None and side.keep.is_known()]
        found: list[R]
        if len(known) == len(todo):
            with contextlib.suppress(StateVersion):  # it went away
                found = self._received(joint(*(LoadTask(k, self.options)() for k in known)))
                return found[0]
        parts = [self._branches(side, whole=side.keep in known) for side in todo]
        joint = JointTask(
            function,
            tuple(
                self._keeping(finish, side, branches)
                for finish, side, branches in zip(finishes, todo, parts, strict=True)
            ),
            tuple(len(branches) for branches in parts),
            self.options,
        )
        found = self._reduced([one for branches in parts for one in branches], joint, label)
        return found[0]

    def _scanned(
        self, table: Table, scan: Scan, label: str, cache: bool = True, unfinished: bool = False
    ) -> list[Any]:
        side = _Side.of(table, scan, cache)
        finish = FinishTask(scan, self.options, unfinished=unfinished)
        if side.keep is not None:
            with contextlib.suppress(StateVersion):  # not kept
                return self._received(finish(LoadTask(side.keep, self.options)()))
        branches = self._branches(side)
        return self._reduced(branches, self._keeping(finish, side, branches), label)

    def _reduced(
        self, branches: Sequence[Branch], finish: FinishTask | JointTask, label: str
    ) -> list[Any]:
        calls = [call for branch in branches for call in branch.calls]
        with Step(self.progress, label, sum(len(call.items) for call in calls)) as progress:
            return self._received(
                self._runner.reduce(
                    branches, finish, lambda i: progress.advance(len(calls[i].items))
                )
            )

    @staticmethod
    def _keeping(finish: FinishTask, side: _Side, branches: Sequence[Branch]) -> FinishTask:
        """It keeps what it merges of several branches; of a single one, that did."""
        return dataclasses.replace(finish, keep=side.keep) if len(branches) > 1 else finish

    def _branches(self, side: _Side, whole: bool = False) -> list[Branch]:
        """The calls for each aligned run of partitions; one that loads it, when it is known, or
        for the ``whole``, when that is."""
        size = group_size(side.partitions)
        runs = [side.partitions[run.start : run.stop] for run in aligned(len(side.partitions))]
        if whole and side.keep is not None:
            return [self._loading(side, side.partitions, side.keep)]
        found = []
        for run in runs:
            kept = side.keep if len(runs) == 1 else None
            if side.store and 1 < len(run) < len(side.partitions):  # of a single one, its own are
                kept = keeping(side.store, side.scan.members, run)
            if kept is not None and kept is not side.keep and kept.is_known():
                found.append(self._loading(side, run, kept))
                continue
            groups = [tuple(run[i : i + size]) for i in range(0, len(run), size)]
            own = kept if len(groups) == 1 else None
            calls = tuple(self._folding(side, group, own) for group in groups)
            found.append(Branch(calls, MergeTask(side.scan, self.options, kept)))
        return found

    def _loading(self, side: _Side, run: Sequence[Partition], kept: Kept) -> Branch:
        again = self._folding(side, tuple(run), kept)
        return Branch((LoadTask(kept, self.options, again),), None)

    def _folding(self, side: _Side, group: tuple[Partition, ...], kept: Kept | None) -> FoldTask:
        return FoldTask(side.scan, group, side.store, self.options, self.on_error, kept)

    def _received(self, payload: bytes) -> list[Any]:
        self.client_bytes += len(payload)
        answer = Answer.load(payload)
        self.io += answer.io
        self.skipped.extend(answer.skipped)
        return list(answer.results)


@dataclasses.dataclass(frozen=True)
class _Side:
    """A table and what is computed of it; where states are kept, if they are."""

    scan: Scan
    partitions: Sequence[Partition]
    store: StateStore | None
    keep: Kept | None

    @staticmethod
    def of(table: Table, scan: Scan, cache: bool = True) -> _Side:
        partitions = table.partitions()
        store: StateStore | None = getattr(table, "states", None) if cache else None
        keep = keeping(store, scan.members, partitions) if store and partitions else None
        return _Side(scan, partitions, store, keep)
