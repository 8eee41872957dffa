"""What runs on a worker: one call for a few partitions, its answer as bytes. No Dask in here."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import pyarrow as pa

from dsm_dask import codec, heap, storage
from dsm_dask.errors import (
    AccessDenied,
    BadRows,
    DsmError,
    PartitionFailed,
    StateVersion,
    StoreUnreachable,
)
from dsm_dask.fold import Fold, merge_all
from dsm_dask.states import Kept, StateStore, fold_partition
from dsm_dask.storage import IO
from dsm_dask.table import Partition
from dsm_dask.versions import refuse_other, software

OnError = Literal["fail", "skip"]

TASK_BYTES = 32 << 20
"""A task takes neighbouring partitions of about this many stored bytes, at most."""

TASK_PARTITIONS = 64
"""... and up to this many."""

LEAST_TASKS = 16
"""Small tables are cut into this many tasks, so that all workers have something to do."""


MOST_TASKS = 1 << 16
"""Tables of terabytes take larger tasks instead of more: a scheduler, which is one process, spends
some milliseconds on each."""


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A partition left out because of ``on_error="skip"``."""

    partition: str
    cause: str

    def to_dict(self) -> dict[str, str]:
        return dataclasses.asdict(self)


def tasks(partitions: Sequence[Partition]) -> list[tuple[Partition, ...]]:
    """Neighbouring partitions in groups of about a second's work each: 2^k of them, k the same for
    all, so that states are merged as one binary tree however large the groups are.
    """
    size = group_size(partitions)
    return [tuple(partitions[i : i + size]) for i in range(0, len(partitions), size)]


def group_size(partitions: Sequence[Partition]) -> int:
    """How many partitions a task takes. Depends on the table alone, never on the cluster."""
    total = sum(partition.size for partition in partitions)
    limit = min(max(TASK_BYTES, total // MOST_TASKS), total // LEAST_TASKS)
    size = 1
    while 2 * size <= TASK_PARTITIONS and 2 * size * total <= limit * len(partitions):
        size *= 2
    return size


class _Pickler(pickle.Pickler):
    """Arrow pickles a scalar as the Python object of the same value, which loses nanoseconds and
    fails for years past 9999."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, pa.Scalar):
            return codec.decode, (codec.encode(value),)
        return NotImplemented


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a task gives back, as bytes, so that what reaches the client can be counted."""

    results: tuple[Any, ...]
    io: IO
    skipped: tuple[Skipped, ...] = ()
    made_by: str = dataclasses.field(default_factory=software)

    def dump(self) -> bytes:
        sink = io.BytesIO()
        _Pickler(sink, protocol=5).dump(self)
        data = sink.getvalue()
        if len(data) < _WORTH_PACKING:
            return data
        packed: bytes = _ZSTD.compress(data, asbytes=True)
        return _PACKED + len(data).to_bytes(8, "little") + packed

    @staticmethod
    def load(payload: bytes) -> Answer:
        """What a worker gave; raises VersionMismatch when that runs other software."""
        if payload[:1] == _PACKED:
            size = int.from_bytes(payload[1:9], "little")
            payload = _ZSTD.decompress(memoryview(payload)[9:], size, asbytes=True)
        found: Answer = pickle.loads(payload)  # noqa: S301 - our own worker's
        refuse_other(getattr(found, "made_by", ""))
        return found


_WORTH_PACKING = 16 << 10
"""States take less than half of their bytes when packed, in 4 ms a megabyte."""
_PACKED = b"z"  # no pickle begins so
_ZSTD = pa.Codec("zstd", compression_level=1)


@dataclasses.dataclass(frozen=True)
class MapTask:
    """Apply a function to a few items; give their results as bytes."""

    function: Callable[[Any], Any]
    items: tuple[Any, ...]
    options: storage.Options
    on_error: OnError = "fail"
    skipped: tuple[Skipped, ...] = ()
    """Items that were left out before."""

    def part(self, items: tuple[Any, ...], skipped: tuple[Skipped, ...] = ()) -> MapTask:
        """The same for some of the items."""
        return dataclasses.replace(self, items=items, skipped=skipped)

    def __call__(self) -> bytes:
        skipped = list(self.skipped)
        with _worker(self.options) as moved:
            results = _each(self.items, self.function, self.on_error, skipped)
        return Answer(tuple(results), moved(), tuple(skipped)).dump()


class OverPartitions(Protocol):
    """A fold over partitions: ``observe`` gives the state of one, from its label and the states
    that some Folds left of it; ``init``, ``merge`` and ``finish`` are as those of a Fold."""

    def init(self) -> Any: ...

    def observe(self, label: str, states: Sequence[Any]) -> Any: ...

    def merge(self, left: Any, right: Any) -> Any: ...

    def finish(self, state: Any) -> Any: ...


@dataclasses.dataclass(frozen=True)
class Scan:
    """What is computed in one scan: Folds over rows, and perhaps one over partitions, which sees
    the states of each."""

    folds: tuple[Fold[Any, Any], ...]
    over: OverPartitions | None = None

    @property
    def members(self) -> tuple[Any, ...]:
        """All that have a state."""
        return self.folds if self.over is None else (*self.folds, self.over)

    def observed(self, label: str, states: tuple[Any, ...]) -> tuple[Any, ...]:
        """The states of one partition, that of the fold over partitions included."""
        return states if self.over is None else (*states, self.over.observe(label, states))

    def merged(self, states: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
        """One state for each member."""
        return tuple(
            merge_all(member, [one[i] for one in states]) for i, member in enumerate(self.members)
        )

    def finished(self, states: Sequence[Any]) -> tuple[Any, ...]:
        """One result for each member."""
        return tuple(m.finish(s) for m, s in zip(self.members, states, strict=True))


@dataclasses.dataclass(frozen=True)
class FoldTask:
    """The merged states of a few partitions, as bytes."""

    scan: Scan
    items: tuple[Partition, ...]
    cache: StateStore | None
    options: storage.Options
    on_error: OnError
    keep: Kept | None = None
    skipped: tuple[Skipped, ...] = ()
    """Partitions that were left out before."""

    def part(self, items: tuple[Partition, ...], skipped: tuple[Skipped, ...] = ()) -> FoldTask:
        """The same for some of the partitions; what is merged of them is not kept."""
        return dataclasses.replace(self, items=items, skipped=skipped, keep=None)

    def __call__(self) -> bytes:
        skipped = list(self.skipped)
        with _worker(self.options) as moved:
            found = _each(self.items, self._fold, self.on_error, skipped)
            merged = _kept(self.scan.merged(found), None if skipped else self.keep)
        return Answer((codec.encode(merged),), moved(), tuple(skipped)).dump()

    def _fold(self, partition: Partition) -> tuple[Any, ...]:
        states = fold_partition(self.scan.folds, partition, self.cache)
        return self.scan.observed(partition.label, states)


@dataclasses.dataclass(frozen=True)
class LoadTask:
    """The states of a run of partitions that were kept, as bytes; found to be unreadable, they are
    computed again."""

    keep: Kept
    options: storage.Options
    otherwise: FoldTask | None = None

    @property
    def items(self) -> tuple[Partition, ...]:
        return () if self.otherwise is None else self.otherwise.items

    @property
    def on_error(self) -> OnError:
        return "fail" if self.otherwise is None else self.otherwise.on_error

    def part(self, items: tuple[Partition, ...], skipped: tuple[Skipped, ...] = ()) -> FoldTask:
        """Some of the partitions, computed again."""
        assert self.otherwise is not None, "what can only be loaded has no partitions"
        return self.otherwise.part(items, skipped)

    def __call__(self) -> bytes:
        with _worker(self.options) as moved:
            states = self.keep.load()
        if states is None:
            if self.otherwise is not None:
                return self.otherwise()
            raise StateVersion("Kept states went away while they were used: run again.")
        return Answer((codec.encode(states),), moved()).dump()


@dataclasses.dataclass(frozen=True)
class MergeTask:
    """Merge the answers of neighbouring tasks, in their order."""

    scan: Scan
    options: storage.Options
    keep: Kept | None = None

    def __call__(self, *payloads: bytes) -> bytes:
        answer, merged = self.joined(payloads)
        return dataclasses.replace(answer, results=(codec.encode(merged),)).dump()

    def joined(self, payloads: Sequence[bytes]) -> tuple[Answer, tuple[Any, ...]]:
        """The merged states, and an answer without them."""
        answers = [Answer.load(payload) for payload in payloads]
        skipped = tuple(one for answer in answers for one in answer.skipped)
        with _worker(self.options) as moved:
            states = [codec.decode(answer.results[0]) for answer in answers]
            merged = _kept(self.scan.merged(states), None if skipped else self.keep)
        total = sum((answer.io for answer in answers), moved())
        return Answer((), total, skipped), merged


@dataclasses.dataclass(frozen=True)
class FinishTask(MergeTask):
    """Merge the last answers and turn them into finished results; or, for those who go on computing
    with it, leave the state as it is."""

    unfinished: bool = False

    def __call__(self, *payloads: bytes) -> bytes:
        answer, states = self.joined(payloads)
        results = (codec.encode(states),) if self.unfinished else self.scan.finished(states)
        return dataclasses.replace(answer, results=results).dump()


@dataclasses.dataclass(frozen=True)
class JointTask:
    """``function`` of the merged states of several tables: of each, ``counts`` many answers."""

    function: Callable[..., Any]
    finishes: tuple[FinishTask, ...]
    counts: tuple[int, ...]
    options: storage.Options

    def __call__(self, *payloads: bytes) -> bytes:
        left, sides, total = list(payloads), [], IO()
        skipped: list[Skipped] = []
        for finish, count in zip(self.finishes, self.counts, strict=True):
            answer, states = finish.joined(left[:count])
            del left[:count]
            sides.append(states)
            total += answer.io
            skipped += answer.skipped
        with _worker(self.options) as moved:
            result = self.function(*sides)
        return Answer((result,), total + moved(), tuple(skipped)).dump()


def _kept(states: tuple[Any, ...], keep: Kept | None) -> tuple[Any, ...]:
    if keep is not None:
        keep.save(states)
    return states


@contextlib.contextmanager
def _worker(options: storage.Options) -> Iterator[Callable[[], IO]]:
    with storage.using(options), storage.counting(apart=True) as moved:
        yield moved
    heap.trim_now_and_then()


def _each(
    items: Sequence[Any], function: Callable[[Any], Any], on_error: OnError, skipped: list[Skipped]
) -> list[Any]:
    """``function`` of each item that it does not fail for. Of a partition that is made of several
    files or fragments only those that fail are skipped."""
    found = []
    for item in items:
        failed: list[Skipped] = []
        with _failures(item, on_error, failed):
            found.append(function(item))
        pieces = getattr(item, "pieces", ()) if failed else ()
        if len(pieces) > 1:
            found += _each(pieces, function, on_error, skipped)
        else:
            skipped += failed
    return found


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
            if isinstance(error, BadRows) and error.where is None:
                error.where = label
            raise
        else:
            raise PartitionFailed(
                f"{label} failed: {type(error).__name__}: {error}.", where=label
            ) from error
