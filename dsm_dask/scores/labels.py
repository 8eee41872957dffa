"""Labels of rows, as positions in a list of classes; and which classes a column has.

Labels are texts, integers or booleans (which count as 0 and 1); floats are taken for integers that
became floats because of nulls, so NaN is null. A class and a label are one when they read alike:
``"7"`` names the integer 7.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays, codec
from dsm_dask.errors import BadRows, SchemaError, UsageError
from dsm_dask.scores.row_names import named

Class = str | int
Codes = npt.NDArray[np.int32]
Naming = Callable[[npt.NDArray[np.int64]], str]
"""What to call the rows at some positions of a column."""

MOST = 10_000
"""Classes; a column with more different values holds no labels."""
MOST_BYTES = 1 << 20
"""Of the names of all classes."""

VALID = "Texts, integers or booleans."


def codes(
    column: pa.Array,
    classes: Sequence[Class],
    name: str = "label",
    naming: Naming | None = None,
) -> Codes:
    """int32 array: the position of each label in ``classes``; -1 where there is no label.

    Raises SchemaError when the column holds no labels, UsageError when its labels are numbers and
    the classes are not, BadRows for a label that is none of the classes, with rows as ``naming``
    calls them (:func:`codes_of` by their ids), or else by their places.

    >>> codes(pa.array(["dog", None, "cat"]), ("cat", "dog")).tolist()
    [1, -1, 0]
    >>> codes(pa.array([3, 7]), ("7", "3")).tolist()
    [1, 0]
    """
    naming = naming or functools.partial(named, pa.record_batch({name: column}))
    labels = normal(column, name, naming)
    if pa.types.is_null(labels.type):
        return np.full(len(labels), -1, np.int32)
    places = _as_they_are(labels, classes)
    if places is not None:
        return places
    encoded = labels.dictionary_encode()
    known = pc.index_in(encoded.dictionary, value_set=_as_labels(classes, labels.type, name))
    places = arrays.fixed_width(known.fill_null(-1)).astype(np.int32)
    found = np.full(len(labels), -1, np.int32)
    valid = arrays.validity(encoded)
    slots = arrays.fixed_width(encoded.indices)
    if len(places):
        found[:] = places[slots if valid is None else np.where(valid, slots, 0)]
    if valid is not None:
        found[~valid] = -1
    if known.null_count:
        strange = found < 0 if valid is None else (found < 0) & valid
        raise _unknown(labels, np.flatnonzero(strange), classes, name, naming)
    return found


def codes_of(batch: pa.RecordBatch, column: str, classes: Sequence[Class]) -> Codes:
    """:func:`codes` of a column of a batch; errors name rows by their ids, where it has them."""
    return codes(batch.column(column), classes, column, functools.partial(named, batch))


def _as_they_are(labels: pa.Array, classes: Sequence[Class]) -> Codes | None:
    """Labels that are positions already: of the classes 0, 1, 2, ..."""
    is_plain = pa.types.is_integer(labels.type) and not labels.null_count
    if not is_plain or tuple(classes) != tuple(range(len(classes))):
        return None
    numbers = arrays.fixed_width(labels)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(classes):
        return None
    return numbers.astype(np.int32)


def label_type(classes: Sequence[Class]) -> pa.DataType:
    """Of a column of these classes: int64 when all are integers, else string.

    >>> label_type((0, 1)), label_type(("a", 1))
    (DataType(int64), DataType(string))
    """
    return pa.int64() if all(isinstance(one, int) for one in classes) else pa.string()


def from_codes(places: npt.NDArray[np.integer[Any]], classes: Sequence[Class]) -> pa.Array:
    """The labels at some positions in ``classes``, of :func:`label_type`; null for -1: the inverse
    of :func:`codes`.

    >>> from_codes(np.array([1, -1]), ("cat", "dog")).to_pylist()
    ['dog', None]
    """
    kind = label_type(classes)
    names = pa.array(classes if pa.types.is_integer(kind) else map(str, classes), kind)
    none = places < 0
    return names.take(pa.array(places, mask=none) if none.any() else pa.array(places))


def normal(column: pa.Array, name: str = "label", naming: Naming | None = None) -> pa.Array:
    """Labels as large strings or int64 (an array of type null when the column is of that type).

    Raises SchemaError for other types, BadRows for numbers that are not whole.

    >>> normal(pa.array([1.0, float("nan"), 2.0])).to_pylist()
    [1, None, 2]
    """
    column, types = arrays.plain(column), pa.types
    kind = column.type
    if types.is_null(kind):
        return column
    if types.is_string(kind) or types.is_large_string(kind):
        return column.cast(pa.large_string())
    if types.is_boolean(kind):
        return column.cast(pa.int8()).cast(pa.int64())
    if types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    if types.is_integer(kind) or types.is_floating(kind):
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            naming = naming or functools.partial(named, pa.record_batch({name: column}))
            rows = f": {naming(_not_whole(column))}" if types.is_floating(kind) else ""
            raise BadRows(
                f"The column {name!r} holds numbers that are no labels{rows}.", valid=VALID
            ) from error
    raise SchemaError(f"The column {name!r} is of type {kind}, which no label is.", valid=VALID)


def _not_whole(column: pa.Array) -> npt.NDArray[np.int64]:
    values = column.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        wrong = (values != np.trunc(values)) | (np.abs(values) >= 2.0**63)
    return np.flatnonzero(wrong & ~np.isnan(values))


def _as_labels(classes: Sequence[Class], kind: pa.DataType, name: str) -> pa.Array:
    if pa.types.is_large_string(kind):
        return pa.array([str(one) for one in classes], kind)
    try:
        return pa.array([_number(one) for one in classes], kind)
    except ValueError as error:
        raise UsageError(
            f"The labels of {name!r} are numbers, and the classes are not: "
            f"{', '.join(map(repr, list(classes)[:8]))}.",
            valid="--classes names them as the labels do, in the order of the probabilities.",
        ) from error


def _number(one: Class) -> int:
    truth = {"false": 0, "true": 1}.get(str(one).lower())
    return int(one) if truth is None else truth


def _unknown(
    labels: pa.Array,
    positions: npt.NDArray[np.int64],
    classes: Sequence[Class],
    name: str,
    naming: Naming,
) -> BadRows:
    label = labels[int(positions[0])].as_py()
    names = [str(one) for one in classes]
    close = difflib.get_close_matches(str(label), names, n=1, cutoff=0.6)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    more = f", ... ({len(names)} in all)" if len(names) > 20 else ""
    same = np.array([str(labels[int(i)].as_py()) == str(label) for i in positions[:1000]])
    return BadRows(
        f"The label {label!r} of {name!r} is none of the classes: "
        f"{naming(positions[:1000][same])}.{guess}",
        valid=f"The classes are {', '.join(names[:20])}{more}. --classes names them.",
    )


@codec.state("scores.classes", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class ClassesState:
    """The different labels, sorted, and how many rows have each; ``labels`` is None until a batch
    with a label was seen, and from when there are too many."""

    labels: pa.Array | None = None
    counts: npt.NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    nulls: int = 0
    too_many: bool = False


@dataclasses.dataclass(frozen=True)
class Classes:
    """The labels of a column, numbers by value, texts by code point; how often each occurs; rows
    without one."""

    classes: tuple[Class, ...]
    counts: tuple[int, ...]
    nulls: int


@dataclasses.dataclass(frozen=True)
class LearnClasses:
    """Which labels a column has: the classes, when nobody names them. scikit-learn's order, too.

    A column of lists has several labels in a row; each is counted. Exact; ``finish`` raises
    UsageError when there are more than 10,000 different ones, or their names take more than 1 MB.

    >>> from dsm_dask.fold import run
    >>> run(LearnClasses("y"), [pa.record_batch({"y": ["dog", "cat", None, "dog"]})])
    Classes(classes=('cat', 'dog'), counts=(1, 2), nulls=1)
    """

    takes_encoded = True

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> ClassesState:
        return ClassesState()

    def update(self, state: ClassesState, batch: pa.RecordBatch) -> ClassesState:
        column = arrays.plain(batch.column(self.column))
        nulls = column.null_count
        if pa.types.is_nested(column.type) and hasattr(column, "flatten"):
            column = column.flatten()  # without what lies under nulls
            nulls += column.null_count
        labels = normal(column, self.column)
        if not pa.types.is_null(labels.type):
            nulls += labels.null_count - column.null_count  # NaN
        both = labels.drop_null().value_counts()
        if not len(both):
            return self.merge(state, ClassesState(nulls=nulls))
        values, counts = both.field("values"), arrays.fixed_width(both.field("counts"))
        return self.merge(state, _sorted(values, counts, nulls))

    def merge(self, left: ClassesState, right: ClassesState) -> ClassesState:
        nulls = left.nulls + right.nulls
        if left.too_many or right.too_many:
            return ClassesState(nulls=nulls, too_many=True)
        if left.labels is None or right.labels is None:
            known = right if left.labels is None else left
            return dataclasses.replace(known, nulls=nulls)
        values = pa.concat_arrays([left.labels, right.labels])
        encoded = values.dictionary_encode()
        sums = np.zeros(len(encoded.dictionary), np.int64)
        np.add.at(
            sums,
            arrays.fixed_width(encoded.indices),
            np.concatenate([left.counts, right.counts]),
        )
        return _sorted(encoded.dictionary, sums, nulls)

    def finish(self, state: ClassesState) -> Classes:
        if state.too_many:
            raise UsageError(
                f"The column {self.column!r} has more than {MOST:,} different values (or longer "
                "ones than names of classes are).",
                valid="A column of labels; or --classes.",
            )
        found = [] if state.labels is None else state.labels.to_pylist()
        return Classes(tuple(found), tuple(state.counts.tolist()), state.nulls)


def _sorted(labels: pa.Array, counts: npt.NDArray[np.int64], nulls: int) -> ClassesState:
    texts = pa.types.is_large_string(labels.type)
    size = (pc.sum(pc.binary_length(labels)).as_py() or 0) if texts else 0
    if len(labels) > MOST or size > MOST_BYTES:
        return ClassesState(nulls=nulls, too_many=True)
    order = pc.sort_indices(labels)
    return ClassesState(labels.take(order), counts[arrays.fixed_width(order)], nulls)
