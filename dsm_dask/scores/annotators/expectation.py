"""Expectation-maximisation over answers: passes over files of them until nothing changes.

An iteration is a Fold: the state is what the maximisation needs, a table for each annotator; the
posteriors of items are made from the model of the iteration before, used, and forgotten. Counts are
sums of integers, so that the model is the same bits however the answers were cut. Up to
:data:`IN_ONE_TASK` answers one worker does all iterations in memory; the numbers are the same.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec, storage
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.scores.annotators.answer_files import AnswerFile, AnswerFiles, Listed
from dsm_dask.scores.annotators.answers import Answers, ReadsAnswers
from dsm_dask.scores.stored_model import load, store

Floats = npt.NDArray[np.float64]

ITERATIONS = 100
TOLERANCE_AN_ANSWER = 1e-5
"""When the objective, per answer, grows by less, the iterations end."""

IN_ONE_TASK = 8_000_000
"""Answers that one worker iterates over in memory: about 150 MB."""

MOST_CELLS = 1 << 22
"""Numbers in the counts of an iteration."""


@codec.state("scores.expected", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
    """Expected counts, in units of 2^-bits, and a term of the objective, in units of 2^(6-bits)."""

    tables: tuple[npt.NDArray[np.int64], ...]
    objective: int = 0


class Model(Protocol):
    """What is known of the annotators. A codec state; may be kept and applied to other items."""

    def posteriors(self, answers: Answers) -> Floats:
        """The probability of each class, of shape (items, classes); NaN for items without an
        answer."""
        ...

    def quality(self) -> Floats:
        """How good each annotator is, from 0 to 1."""
        ...


class Method(Protocol):
    """A frozen dataclass and codec state; checks its settings by :func:`check_iterations`."""

    @property
    def iterations(self) -> int: ...

    @property
    def tolerance(self) -> float: ...

    def shapes(self, annotators: int, classes: int) -> tuple[tuple[int, ...], ...]:
        """Of the tables of :class:`Counts`."""
        ...

    def start(self, annotators: int, classes: int) -> Any:
        """What the iterations start from: a codec state that :meth:`add` takes for a model."""
        ...

    def add(self, counts: Counts, answers: Answers, model: Any, bits: int) -> int:
        """Add the expected counts of some answers, given the model, to the tables; gives what to
        add to the objective."""
        ...

    def maximised(self, counts: Counts, bits: int, before: Any) -> Model:
        """The model that makes these counts likeliest, or likelier than the one that they are
        expected ``before``."""
        ...

    def objective(self, counts: Counts, bits: int, before: Any, maximised: Any) -> float:
        """What grows from iteration to iteration."""
        ...


def check_iterations(iterations: int, tolerance: float) -> None:
    """Raise UsageError for settings with which nothing would be iterated, or never end.

    >>> check_iterations(1, 0.0)
    """
    if iterations < 1 or not 0 <= tolerance < math.inf:
        raise UsageError(
            f"{iterations} iterations to a tolerance of {tolerance} are none.",
            valid="One iteration or more, and a tolerance of 0 or more.",
        )


@dataclasses.dataclass(frozen=True)
class Expected:
    """The Fold of one iteration. ``model`` is the URI of the one before; None: it is the first."""

    method: Method
    source: ReadsAnswers
    bits: int
    model: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return self.source.columns

    def init(self) -> Counts:
        shapes = self.method.shapes(self.source.annotators, self.source.labels)
        return Counts(tuple(np.zeros(shape, np.int64) for shape in shapes))

    def update(self, state: Counts, batch: pa.RecordBatch) -> Counts:
        own = Counts(tuple(np.array(table) for table in state.tables))  # a stored one is read-only
        model = self.first() if self.model is None else load(self.model)
        gained = self.method.add(own, self.source.read(batch), model, self.bits)
        return Counts(own.tables, state.objective + gained)

    def first(self) -> Any:
        return self.method.start(self.source.annotators, self.source.labels)

    def merge(self, left: Counts, right: Counts) -> Counts:
        tables = tuple(a + b for a, b in zip(left.tables, right.tables, strict=True))
        return Counts(tables, left.objective + right.objective)

    def finish(self, state: Counts) -> Counts:
        return state


@codec.state("scores.fitted", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """``model`` is the one that gave the last posteriors; ``objective`` is per answer."""

    model: Any
    iterations: int
    converged: bool
    objective: float


def fitted(
    files: AnswerFiles,
    method: Method,
    source: Listed,
    engine: Engine,
    *,
    in_one_task: int = IN_ONE_TASK,
) -> Fitted:
    """Iterate until the objective, per answer, grows by less than the tolerance, or the iterations
    are used up.

    Raises UsageError when nobody answered, or when there are too many annotators and classes.
    """
    cells = sum(map(math.prod, method.shapes(source.annotators, source.labels)))
    if cells > MOST_CELLS:
        raise UsageError(
            f"{source.annotators:,} annotators and {source.labels:,} classes are too many for "
            f"this: {cells:,} numbers to learn.",
            valid=f"Up to {MOST_CELLS:,}; mace and glad need fewer, majority none.",
        )
    bits = 62 - max(files.answers, 1).bit_length()
    if files.answers <= in_one_task:
        task = _InMemory(method, source, bits)
        (found,) = engine.map(task, [files.files], label="Fitting")
        return codec.decode(found)  # type: ignore[no-any-return]

    numbers = itertools.count()
    empty = Expected(method, source, bits)

    def expect(model: Any) -> Counts:
        uri = store(model, storage.join(files.uri, f"model-{next(numbers):05d}"))
        fold = dataclasses.replace(empty, model=uri)
        return engine.fold(files, fold, cache=False, label="Iterating").result  # type: ignore[no-any-return]

    return _iterated(empty, expect, files.answers)


@dataclasses.dataclass(frozen=True)
class _InMemory:
    method: Method
    source: Listed
    bits: int

    def __call__(self, files: Sequence[AnswerFile]) -> bytes:
        parts = [file.load() for file in files]
        empty = Expected(self.method, self.source, self.bits)

        def expect(model: Any) -> Counts:
            counts = empty.init()
            gained = sum(self.method.add(counts, part, model, self.bits) for part in parts)
            return Counts(counts.tables, gained)

        answers = sum(file.answers for file in files)
        return codec.encode(_iterated(empty, expect, answers))


def _iterated(fold: Expected, expect: Callable[[Any], Counts], answers: int) -> Fitted:
    method, bits, first = fold.method, fold.bits, fold.first()
    model: Any = method.maximised(expect(first), bits, first)
    objective = -math.inf
    for iteration in itertools.count(1):
        counts = expect(model)
        following = method.maximised(counts, bits, model)
        before = objective
        objective = method.objective(counts, bits, model, following) / max(answers, 1)
        converged = objective - before < method.tolerance
        if converged or iteration >= method.iterations:
            return Fitted(model, iteration, converged, objective)
        model = following
    raise AssertionError
