"""Probabilities of classes, as a model gave them for each row: read from columns and checked.

They are read in any layout (see ``class_values``), and made from logits when
they are that. A row that is no distribution is an error that names it, never a score.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays, codec
from dsm_dask.errors import UsageError
from dsm_dask.scores.probabilities import class_values
from dsm_dask.scores.probabilities.class_values import Bools, Matrix
from dsm_dask.table import Table, check_columns

Kind = Literal["probabilities", "logits"]
Class = str | int

TOLERANCE = 1e-3
"""How far from one the sum of a row may be: twice what half floats lose (each is off by 2^-11 of
itself at most, and so is their sum), and far less than a class that was left out."""


class ClassProbabilities(Protocol):
    """Where the probabilities of a batch come from. A frozen, picklable dataclass."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that :meth:`read` looks at."""
        ...

    @property
    def classes(self) -> tuple[Class, ...]:
        """In the order of the numbers of a row."""
        ...

    @property
    def multilabel(self) -> bool:
        """Has each class a probability of its own, or do they sum to one?"""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the probabilities depend on besides the columns' values, as in JSON."""
        ...

    def read(self, batch: pa.RecordBatch) -> tuple[Matrix, Bools]:
        """float32 or float64 of shape (rows, classes), C-contiguous and read-only; and which rows
        are null, where the numbers mean nothing."""
        ...


@codec.state("scores.probabilities", 1)
@dataclasses.dataclass(frozen=True)
class Probabilities:
    """Probabilities in columns: a column of lists, or one column for each class; for two classes
    also a single column, the probability (or the logit) of the second.

    ``kind="logits"`` makes probabilities by softmax(z / ``temperature``), of ``multilabel`` ones by
    1 / (1 + exp(-z / ``temperature``)) for each class: a temperature above 1 makes a model less
    sure of itself (Guo et al., "On calibration of modern neural networks", ICML 2017).
    ``renormalise`` divides rows by their sums, whatever these are.
    ``multilabel`` rows have a probability of its own for each class, and no sum to keep to.

    May be a field of a Fold. Raises UsageError for settings that make no sense.

    >>> column = pa.array([[0.2, 0.8], None], pa.list_(pa.float32(), 2))
    >>> found, nulls = Probabilities(("p",), ("cat", "dog")).read(pa.record_batch({"p": column}))
    >>> found.dtype.name, found.shape, nulls.tolist()
    ('float32', (2, 2), [False, True])
    """

    columns: tuple[str, ...]
    classes: tuple[Class, ...]
    kind: Kind = "probabilities"
    temperature: float = 1.0
    renormalise: bool = False
    tolerance: float = TOLERANCE
    multilabel: bool = False

    def __post_init__(self) -> None:
        if not self.columns:
            raise UsageError("No column of probabilities is named.", valid=class_values.LAYOUTS)
        if len(set(self.classes)) < len(self.classes):
            raise UsageError(f"Some class is named twice: {_listed(self.classes)}.")
        if len(self.classes) < (1 if self.multilabel else 2):
            raise UsageError(
                f"There is nothing to choose among {len(self.classes)} classes.",
                valid="Two classes or more.",
            )
        if self.kind not in ("probabilities", "logits"):
            raise UsageError(f"{self.kind!r} is unknown.", valid="probabilities or logits.")
        if not 0 < self.temperature < float("inf"):
            raise UsageError(
                f"A temperature of {self.temperature} is none.", valid="A number above 0."
            )
        if self.temperature != 1 and self.kind != "logits":
            raise UsageError(
                "A temperature is for logits; probabilities have had theirs.", valid="--logits."
            )
        if self.renormalise and (self.kind == "logits" or self.multilabel):
            what = "Logits" if self.kind == "logits" else "Probabilities of several labels"
            raise UsageError(f"{what} need not sum to one.", valid="Leave out --renormalise.")
        if not 0 <= self.tolerance < 1:
            raise UsageError(f"A tolerance of {self.tolerance} is none.", valid="From 0 to 1.")

    @property
    def parameters(self) -> dict[str, Any]:
        given = dataclasses.asdict(self)
        return {**given, "columns": list(self.columns), "classes": list(self.classes)}

    def read(self, batch: pa.RecordBatch) -> tuple[Matrix, Bools]:
        """float32 or float64 of shape (rows, classes), C-contiguous and read-only; and which rows
        are null, where the numbers mean nothing. Of a fixed-size list of floats nothing is copied.

        Raises SchemaError when the columns hold no numbers or not one for each class; BadRows when
        rows do not sum to one within ``tolerance``, or hold a number that is NaN, infinite,
        negative or above one, and when what was said to be probabilities looks like logits or the
        other way round. Both give the valid ways.
        """
        from dsm_dask.scores.probabilities.checks import checked

        return checked(self, batch)


def default_classes(table: Table, columns: tuple[str, ...], members: int = 1) -> tuple[Class, ...]:
    """Names for classes that have none: of several columns what is left of their names without
    the beginning that all share (up to a ``_``, ``.`` or ``-``); of lists, and of lists of lists,
    the numbers 0, 1, 2, ...; of one column of single numbers 0 and 1.

    ``members`` is how many vectors a list of numbers holds, one after the other. Of lists that may
    be of any length the first batch that has one is read, in this process.

    Raises UsageError when there is no such list, or its length is no multiple of ``members``.

    >>> shared_beginning(("prob_cat", "prob_dog"))
    'prob_'
    """
    check_columns(table, columns)
    kind = arrays.plain_type(table.schema.field(columns[0]).type)
    if not pa.types.is_nested(kind):
        skipped = len(shared_beginning(columns))
        return tuple(column[skipped:] for column in columns) if len(columns) > 1 else (0, 1)
    size = _list_size(table, columns[0], kind)
    if class_values.is_list(arrays.plain_type(kind.value_type)):
        return tuple(range(size))  # of each vector by itself
    if size % members:
        raise UsageError(
            f"{size} numbers are not {members} vectors of one length.",
            where=table.uri,
            valid="--members is how many vectors of probabilities a row has.",
        )
    return tuple(range(size // members))


def _list_size(table: Table, column: str, kind: pa.DataType) -> int:
    """The length of the innermost lists of a column."""
    while pa.types.is_nested(kind) and pa.types.is_nested(kind.value_type):
        kind = kind.value_type
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for partition in table.partitions():
        for batch in partition.read((column,)):
            lists = arrays.plain(batch.column(0))
            while class_values.is_list(lists.type.value_type):
                lists = lists.flatten()
            lengths = pc.list_value_length(lists).drop_null()
            if len(lengths):
                return int(lengths[0].as_py())
    raise UsageError(
        f"How many classes there are is not known: the column {column!r} holds nothing.",
        where=table.uri,
        valid="--classes names them.",
    )


def shared_beginning(names: tuple[str, ...]) -> str:
    """What several names begin with, up to a separator; of none of them all."""
    shared = 0
    for i, letters in enumerate(zip(*names, strict=False)):
        if len(set(letters)) > 1:
            break
        if letters[0] in "_.-" and min(map(len, names)) > i + 1:
            shared = i + 1
    return names[0][:shared]


def _listed(classes: tuple[Class, ...], most: int = 10) -> str:
    shown = ", ".join(map(repr, classes[:most]))
    return shown + (f", ... ({len(classes)} in all)" if len(classes) > most else "")
