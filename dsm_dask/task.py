"""What runs on a worker: one call for a few partitions, its answer as bytes. No Dask in here."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

from dsm_dask import codec, storage
from dsm_dask.errors import AccessDenied, DsmError, PartitionFailed, StoreUnreachable
from dsm_dask.fold import Fold, Product, merge_all
from dsm_dask.states import StateStore, fold_partition
from dsm_dask.storage import IO
from dsm_dask.table import Partition

OnError = Literal["fail", "skip"]

TASK_BYTES = 32 << 20
"""A task takes neighbouring partitions up to this many stored bytes."""

TASK_PARTITIONS = 64
"""... and up to this many."""

LEAST_TASKS = 16
"""Small tables are cut into this many tasks, so that all workers have something to do."""


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A partition left out because of ``on_error="skip"``."""

    partition: str
    cause: str

    def to_dict(self) -> dict[str, str]:
        return dataclasses.asdict(self)


def tasks(partitions: Sequence[Partition]) -> list[tuple[Partition, ...]]:
    """Neighbouring partitions in groups of about a second's work each.

    The grouping depends on the table alone, never on the cluster, and so does the shape of the
    tree in which states are merged.
    """
    total = sum(partition.size for partition in partitions)
    limit = min(TASK_BYTES, max(1, total // LEAST_TASKS))
    groups: list[list[Partition]] = []
    filled = 0
    for partition in partitions:
        full = not groups or filled + partition.size > limit or len(groups[-1]) >= TASK_PARTITIONS
        if full:
            groups.append([])
            filled = 0
        groups[-1].append(partition)
        filled += partition.size
    return [tuple(group) for group in groups]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a task gives back, as bytes, so that what reaches the client can be counted."""

    results: tuple[Any, ...]
    io: IO
    skipped: tuple[Skipped, ...] = ()

    def dump(self) -> bytes:
        return pickle.dumps(self, protocol=5)

    @staticmethod
    def load(payload: bytes) -> Answer:
        return pickle.loads(payload)  # type: ignore[no-any-return]  # noqa: S301 - our own worker's


@dataclasses.dataclass(frozen=True)
class MapTask:
    """Apply a function to a few items; give their results as bytes."""

    function: Callable[[Any], Any]
    items: tuple[Any, ...]
    options: storage.Options
    on_error: OnError = "fail"

    def __call__(self) -> bytes:
        results: list[Any] = []
        skipped: list[Skipped] = []
        with _worker(self.options) as moved:
            for item in self.items:
                with _failures(item, self.on_error, skipped):
                    results.append(self.function(item))
        return Answer(tuple(results), moved(), tuple(skipped)).dump()


class OverPartitions(Protocol):
    """A fold over partitions: ``observe`` gives the state of one, from its label and the states
    that some Folds left of it; ``init``, ``merge`` and ``finish`` are as those of a Fold."""

    def init(self) -> Any: ...

    def observe(self, label: str, states: Sequence[Any]) -> Any: ...

    def merge(self, left: Any, right: Any) -> Any: ...

    def finish(self, state: Any) -> Any: ...


@dataclasses.dataclass(frozen=True)
class FoldTask:
    """The merged state of a few partitions, as bytes; and that of a fold over partitions, which
    sees the states of each."""

    folds: tuple[Fold[Any, Any], ...]
    items: tuple[Partition, ...]
    cache: StateStore | None
    options: storage.Options
    on_error: OnError
    over: OverPartitions | None = None

    def __call__(self) -> bytes:
        found: list[Any] = []
        seen: list[Any] = []
        skipped: list[Skipped] = []
        with _worker(self.options) as moved:
            for partition in self.items:
                with _failures(partition, self.on_error, skipped):
                    states = fold_partition(self.folds, partition, self.cache)
                    if self.over is not None:
                        seen.append(self.over.observe(partition.label, states))
                    found.append(states)
        results = _merged(self.folds, self.over, found, seen)
        return Answer(results, moved(), tuple(skipped)).dump()


@dataclasses.dataclass(frozen=True)
class MergeTask:
    """Merge the answers of neighbouring tasks, in their order."""

    folds: tuple[Fold[Any, Any], ...]
    over: OverPartitions | None = None

    def __call__(self, *payloads: bytes) -> bytes:
        answers = [Answer.load(payload) for payload in payloads]
        states, seen = zip(*(map(codec.decode, answer.results) for answer in answers), strict=True)
        io = sum((answer.io for answer in answers), IO())
        skipped = tuple(one for answer in answers for one in answer.skipped)
        return Answer(_merged(self.folds, self.over, states, seen), io, skipped).dump()


@dataclasses.dataclass(frozen=True)
class FinishTask:
    """Turn the merged answer, or none at all, into the finished result."""

    folds: tuple[Fold[Any, Any], ...]
    over: OverPartitions | None = None

    def __call__(self, *payloads: bytes) -> bytes:
        if payloads:
            (answer,) = (Answer.load(payload) for payload in payloads)
        else:
            answer = Answer(_merged(self.folds, self.over, (), ()), IO())
        state, seen = map(codec.decode, answer.results)
        partitions = None if self.over is None else self.over.finish(seen)
        results = (Product(self.folds).finish(state), partitions)
        return dataclasses.replace(answer, results=results).dump()


def _merged(
    folds: tuple[Fold[Any, Any], ...],
    over: OverPartitions | None,
    states: Sequence[Any],
    seen: Sequence[Any],
) -> tuple[bytes, bytes]:
    """Both states, as bytes."""
    whole = None if over is None else merge_all(over, seen)
    return codec.encode(merge_all(Product(folds), states)), codec.encode(whole)


@contextlib.contextmanager
def _worker(options: storage.Options) -> Iterator[Callable[[], IO]]:
    with storage.using(options), storage.counting(apart=True) as moved:
        yield moved


@contextlib.contextmanager
def _failures(item: Any, on_error: OnError, skipped: list[Skipped]) -> Iterator[None]:
    label = str(getattr(item, "label", None) or item)
    try:
        yield
    except (AccessDenied, StoreUnreachable):
        raise  # these are not about the partition
    except Exception as error:
        if on_error == "skip":
            skipped.append(Skipped(label, f"{type(error).__name__}: {error}"))
        elif isinstance(error, DsmError):
            raise
        else:
            raise PartitionFailed(
                f"{label} failed: {type(error).__name__}: {error}.", where=label
            ) from error
