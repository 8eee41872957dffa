"""Fold: a bounded, mergeable state over batches. No Dask in here.

A profile, a drift sketch, a confusion matrix, a sample: each is a state that starts empty, takes
in record batches, merges with its like, and is turned into a result at the end. The laws, checked
for every Fold of the package by :mod:`dsm_dask.testing.folds`:

* ``merge`` is associative, never changes its arguments, and ``init()`` is its identity;
* cutting the data anywhere gives the same result (within the error that the Fold states);
* the state survives :mod:`dsm_dask.codec` unchanged, and its size is bounded.

A Fold that takes texts encoded as dictionaries just as well says so by a class attribute
``takes_encoded = True``, and may be given them so.

A Fold is a frozen dataclass: its class and its fields say everything about the computation, so
that :func:`fingerprint` may name cached states by them.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import pyarrow as pa

from dsm_dask import codec

S = TypeVar("S")
R_co = TypeVar("R_co", covariant=True)


@runtime_checkable
class Fold(Protocol[S, R_co]):
    """What a statistic has to offer to be computed on a cluster in one scan."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that :meth:`update` looks at; no others are read."""
        ...

    def init(self) -> S:
        """The state of no rows."""
        ...

    def update(self, state: S, batch: pa.RecordBatch) -> S:
        """The state after ``batch``. May reuse ``state``, which the caller gives up."""
        ...

    def merge(self, left: S, right: S) -> S:
        """The state of the rows of ``left`` followed by those of ``right``. Changes neither."""
        ...

    def finish(self, state: S) -> R_co:
        """The result of a state."""
        ...


@dataclasses.dataclass(frozen=True)
class Product:
    """Several Folds in one scan: the state is the tuple of their states.

    >>> from dsm_dask.stats.count import Count
    >>> batch = pa.record_batch({"x": [1, None, 3]})
    >>> both = Product((Count("x"), Count("x")))
    >>> [result.count for result in run(both, [batch])]
    [3, 3]
    """

    folds: tuple[Fold[Any, Any], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for fold in self.folds for column in fold.columns))

    def init(self) -> tuple[Any, ...]:
        return tuple(fold.init() for fold in self.folds)

    def update(self, state: tuple[Any, ...], batch: pa.RecordBatch) -> tuple[Any, ...]:
        return tuple(f.update(s, batch) for f, s in zip(self.folds, state, strict=True))

    def merge(self, left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(f.merge(a, b) for f, a, b in zip(self.folds, left, right, strict=True))

    def seal(self, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """The states as they are kept: a Fold may have a ``seal`` that makes one smaller once all
        rows of a partition are in it."""
        return tuple(sealed(f, s) for f, s in zip(self.folds, state, strict=True))

    def finish(self, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(f.finish(s) for f, s in zip(self.folds, state, strict=True))


def sealed(fold: Fold[S, Any], state: S) -> S:
    """What ``fold.seal`` makes of a state, where there is such a thing."""
    seal = getattr(fold, "seal", None)
    return state if seal is None else seal(state)


def update_all(fold: Fold[S, Any], batches: Iterable[pa.RecordBatch]) -> S:
    """The state of a stream of batches."""
    state = fold.init()
    for batch in batches:
        state = fold.update(state, batch)
    return state


class Merging(Protocol[S]):
    """What :func:`merge_all` needs of a Fold."""

    def init(self) -> S: ...

    def merge(self, left: S, right: S) -> S: ...


def merge_all(fold: Merging[S], states: Sequence[S]) -> S:
    """Merge states in the order given, as a balanced tree, so that errors grow with its depth."""
    level = list(states)
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [fold.merge(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0] if level else fold.init()


def run(fold: Fold[Any, R_co], batches: Iterable[pa.RecordBatch]) -> R_co:
    """The result of a Fold over batches, in this process."""
    return fold.finish(update_all(fold, batches))


def fingerprint(fold: Fold[Any, Any]) -> str:
    """A name for the computation: the class, the fields, and the format of the empty state.

    >>> from dsm_dask.stats.count import Count
    >>> fingerprint(Count("x")) == fingerprint(Count("x")) != fingerprint(Count("y"))
    True
    """
    return _fingerprint(fold)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=65536)
def _fingerprint(fold: Any) -> str:
    kind = type(fold)
    fields = {f.name: _named(getattr(fold, f.name)) for f in dataclasses.fields(fold)}
    empty = codec.encode(fold.init())
    text = codec.encode([kind.__module__, kind.__qualname__, fields, empty])
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _named(field: Any) -> Any:
    """A field of a Fold as plain data: Folds in it by their fingerprints."""
    if isinstance(field, tuple):
        return tuple(_named(item) for item in field)
    return fingerprint(field) if isinstance(field, Fold) else field
