"""Answers: which annotator gave which label to which item, as arrays; and how they are read from a
table that has a column for each annotator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import codec
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.fold import Product
from dsm_dask.scores.labels import Class, LearnClasses, codes_of
from dsm_dask.table import ROW_ID, Table, check_columns

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

MOST_CLASSES = 1024
"""More are not the labels of people, and tables of classes by classes would not stay small."""

MOST_ANNOTATORS = 1 << 16

_CELLS = 1 << 16
"""Numbers in a block of posteriors: few enough to stay in the cache of a core."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """The answers to some items. ``starts`` (int64, items + 1) says where those of each item begin;
    ``annotators`` (int32, ascending within an item, each once) and ``labels`` (int16) are numbers
    from 0; ``keys`` (uint64) are names of the items that never change."""

    starts: Int64
    annotators: Int32
    labels: npt.NDArray[np.int16]
    keys: U64

    @property
    def items(self) -> int:
        return len(self.starts) - 1

    def blocks(self, classes: int) -> Iterator[tuple[slice, Answers]]:
        """The same in runs of items of which the posteriors are a small matrix."""
        step = max(1, _CELLS // classes)
        for first in range(0, self.items, step):
            items = slice(first, min(first + step, self.items))
            starts = self.starts[items.start : items.stop + 1]
            some = slice(int(starts[0]), int(starts[-1]))
            yield (
                items,
                Answers(
                    starts - starts[0], self.annotators[some], self.labels[some], self.keys[items]
                ),
            )


class ReadsAnswers(Protocol):
    """Where the answers of a batch come from. A frozen dataclass and codec state, hashable."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that :meth:`read` looks at."""
        ...

    @property
    def annotators(self) -> int:
        """How many there are."""
        ...

    @property
    def labels(self) -> int:
        """How many classes there are."""
        ...

    def read(self, batch: pa.RecordBatch) -> Answers:
        """An item for each row."""
        ...


@codec.state("scores.wide_answers", 1)
@dataclasses.dataclass(frozen=True)
class Wide:
    """A column for each annotator, null where there is no answer; an item is a row.

    >>> rows = {"ann": ["cat", None], "bob": ["dog", "dog"], ROW_ID: pa.array([7, 8], pa.uint64())}
    >>> found = Wide(("ann", "bob"), ("cat", "dog")).read(pa.record_batch(rows))
    >>> found.starts.tolist(), found.annotators.tolist(), found.labels.tolist()
    ([0, 2, 3], [0, 1, 1], [0, 1, 1])
    """

    names: tuple[str, ...]
    classes: tuple[Class, ...]

    def __post_init__(self) -> None:
        check_classes(self.classes)

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.names, ROW_ID)

    @property
    def annotators(self) -> int:
        return len(self.names)

    @property
    def labels(self) -> int:
        return len(self.classes)

    def read(self, batch: pa.RecordBatch) -> Answers:
        """Raises what :func:`dsm_dask.scores.labels.codes_of` does, for labels unknown."""
        from dsm_dask.scores.annotators import kernels as annotator_kernels

        found = np.empty((batch.num_rows, len(self.names)), np.int32)
        for j, name in enumerate(self.names):
            found[:, j] = codes_of(batch, name, self.classes)
        starts = np.empty(len(found) + 1, np.int64)
        count = int((found >= 0).sum())
        annotators, labels = np.empty(count, np.int32), np.empty(count, np.int16)
        annotator_kernels.listed(found, starts, annotators, labels)
        keys: Any = batch.column(ROW_ID).to_numpy() if ROW_ID in batch.schema.names else None
        if keys is None:
            keys = np.zeros(len(found), np.uint64)
        return Answers(starts, annotators, labels, keys)


def check_classes(classes: tuple[Class, ...]) -> None:
    """Raise UsageError when annotators cannot have chosen among these."""
    if len(set(map(str, classes))) < len(classes):
        raise UsageError("Some class is named twice.")
    if len(classes) > MOST_CLASSES:
        raise UsageError(
            f"{len(classes):,} different labels are too many to compare annotators by.",
            valid=f"Up to {MOST_CLASSES:,}: is a column of numbers or texts among them?",
        )


def classes_of(table: Table, columns: tuple[str, ...], engine: Engine) -> tuple[Class, ...]:
    """The labels that any of some columns has, numbers by value, texts by code point.

    Raises UnknownColumn, SchemaError when some columns hold texts and others numbers, UsageError
    when there are too many.
    """
    check_columns(table, columns)
    folds = Product(tuple(LearnClasses(column) for column in columns))
    found = engine.fold(table, folds, label="Learning classes").result
    kinds: dict[type[Any], str] = {}
    for column, one in zip(columns, found, strict=True):
        for label in one.classes[:1]:
            kinds.setdefault(type(label), column)
    if len(kinds) > 1:
        text, number = kinds[str], kinds[int]
        raise SchemaError(
            f"The labels of {text!r} are texts, those of {number!r} are numbers.",
            where=table.uri,
            valid="Labels of one kind; or --classes, with which '1' and 1 are the same.",
        )
    classes: tuple[Class, ...] = tuple(sorted({c for one in found for c in one.classes}))
    check_classes(classes)
    return classes
