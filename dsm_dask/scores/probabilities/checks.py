"""Are these probabilities? A fast pass over all rows, and a closer look at those that are not."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from dsm_dask.errors import BadRows, SchemaError
from dsm_dask.scores.probabilities import class_values
from dsm_dask.scores.probabilities.class_values import Bools, Matrix, Naming
from dsm_dask.scores.row_names import named

if TYPE_CHECKING:
    from dsm_dask.scores.probabilities.probabilities import Probabilities

SUSPICIOUS = 10
"""So many rows of logits that all sum to one are no coincidence."""


def checked(source: Probabilities, batch: pa.RecordBatch) -> tuple[Matrix, Bools]:
    """See :meth:`Probabilities.read`."""
    values, nulls = class_values.read(batch, source.columns)
    return of_matrix(source, values, nulls, functools.partial(named, batch)), nulls


def of_matrix(source: Probabilities, values: Matrix, nulls: Bools, naming: Naming) -> Matrix:
    """The probabilities of vectors that were read already; see :meth:`Probabilities.read`."""
    values = _for_classes(source, values, nulls)
    if source.kind == "logits":
        values = _from_logits(source, values, nulls, naming)
    else:
        values = _distributions(source, values, nulls, naming)
    values.flags.writeable = False  # always, so that loops are compiled for one kind of array
    return values


def _for_classes(source: Probabilities, values: Matrix, nulls: Bools) -> Matrix:
    """``values``, once there is one for each class."""
    count = len(source.classes)
    if values.shape[1] == count:
        return values
    if nulls.all():  # lists of any length that are all null, say
        return np.zeros((len(values), count), values.dtype)
    if values.shape[1] == 1 and count == 2 and not source.multilabel:
        other = 0 if source.kind == "logits" else 1 - values
        return np.ascontiguousarray(np.column_stack([np.broadcast_to(other, values.shape), values]))
    raise SchemaError(
        f"There are {values.shape[1]} probabilities a row in {_columns(source)} and {count} "
        f"classes: {_listed(source)}.",
        valid="A probability for each class, in the order of --classes.",
    )


def _from_logits(source: Probabilities, values: Matrix, nulls: Bools, naming: Naming) -> Matrix:
    from dsm_dask.scores.probabilities import kernels

    found = np.empty_like(values)
    rows = len(values) - int(nulls.sum())
    if source.multilabel:
        bad = kernels.sigmoid(values, nulls, source.temperature, found)
        already = kernels.count_outside(values, nulls) == 0
    else:
        bad = kernels.softmax(values, nulls, source.temperature, found)
        already = kernels.count_bad(values, nulls, source.tolerance) == 0
    if already and rows >= SUSPICIOUS:
        raise BadRows(
            f"What {_columns(source)} holds are probabilities already, not logits.",
            valid="Leave out --logits.",
        )
    if bad:
        finite = ~np.isnan(values).any(axis=1)
        if not source.multilabel:
            finite &= (values < np.inf).all(axis=1) & (values > -np.inf).any(axis=1)
        raise BadRows(
            f"Logits of {_columns(source)} are NaN or infinite: "
            f"{_shown(naming, values, ~finite & ~nulls)}.",
            valid="Finite numbers; minus infinity for a class that is ruled out.",
        )
    return found


def _distributions(source: Probabilities, values: Matrix, nulls: Bools, naming: Naming) -> Matrix:
    from dsm_dask.scores.probabilities import kernels

    if source.renormalise:
        found = np.empty_like(values)
        if kernels.renormalise(values, nulls, found):
            raise _complaint(source, values, nulls, naming)
        return found
    if source.multilabel:
        bad = kernels.count_outside(values, nulls)
    else:
        bad = kernels.count_bad(values, nulls, source.tolerance)
    if bad:
        raise _complaint(source, values, nulls, naming)
    return values


@dataclasses.dataclass(frozen=True)
class _Look:
    """What a closer look at the rows of a batch shows; a bool for each."""

    undefined: Bools
    infinite: Bools
    negative: Bools
    above: Bools
    off: Bools
    """The sum is not one."""


def _look(values: Matrix, nulls: Bools, tolerance: float) -> _Look:
    undefined = np.isnan(values).any(axis=1) & ~nulls
    infinite = np.isinf(values).any(axis=1) & ~nulls & ~undefined
    finite = ~(nulls | undefined | infinite)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = values.sum(axis=1, dtype=np.float64)
    return _Look(
        undefined,
        infinite,
        (values < 0).any(axis=1) & finite,
        (values > 1).any(axis=1) & finite,
        finite & ~(np.abs(sums - 1) <= tolerance),
    )


def _complaint(source: Probabilities, values: Matrix, nulls: Bools, naming: Naming) -> BadRows:
    look = _look(values, nulls, source.tolerance)
    where = _columns(source)
    if _like_logits(look, nulls, source):
        rows = look.negative if look.negative.any() else look.above
        return BadRows(
            f"What {where} holds look like logits, not probabilities: "
            f"{_shown(naming, values, rows)}.",
            valid="--logits makes probabilities of them.",
        )
    for rows, what in (
        (look.undefined, "NaN"), (look.infinite, "infinite"), (look.negative, "negative"),
    ):  # fmt: skip
        if rows.any():
            return BadRows(
                f"Probabilities of {where} are {what}: {_shown(naming, values, rows)}.",
                valid="Numbers from 0 to 1, or null for the whole row.",
            )
    if source.multilabel:
        return BadRows(
            f"Probabilities of {where} are above 1: {_shown(naming, values, look.above)}.",
            valid="Numbers from 0 to 1; --logits for what a model gives before its sigmoid.",
        )
    zero = (values == 0).all(axis=1) & ~nulls
    if source.renormalise:
        return BadRows(
            f"Rows of zeros have no sum to divide by in {where}: {_shown(naming, values, zero)}.",
            valid="A positive number in every row, or null for the whole row.",
        )
    return BadRows(
        f"Probabilities of {where} do not sum to one within {source.tolerance:g}: "
        f"{_shown(naming, values, look.off)}.",
        valid="--renormalise divides each row by its sum; --logits takes what a model gives before "
        "its softmax; --kind multilabel takes a probability of its own for each class.",
    )


def _like_logits(look: _Look, nulls: Bools, source: Probabilities) -> bool:
    """Logits are of either sign, of no sum, and so in most rows; what is merely damaged is so in a
    few."""
    rows = int((~nulls).sum())
    outside = look.negative | look.above
    wrong = outside if source.multilabel else outside & look.off
    return bool(look.negative.any() and 2 * int(wrong.sum()) > rows)


def _shown(naming: Naming, values: Matrix, rows: Bools) -> str:
    """The names of rows, and what the first of them holds."""
    positions = np.flatnonzero(rows)
    first = values[positions[0]]
    numbers = ", ".join(f"{number:.4g}" for number in first[:6].tolist())
    rest = ", ..." if len(first) > 6 else ""
    with np.errstate(invalid="ignore", over="ignore"):
        total = first.sum(dtype=np.float64)
    return f"{naming(positions)}; the first is ({numbers}{rest}), of sum {total:.6g}"


def _columns(source: Probabilities) -> str:
    shown = ", ".join(map(repr, source.columns[:4]))
    return shown + (", ..." if len(source.columns) > 4 else "")


def _listed(source: Probabilities) -> str:
    shown = ", ".join(map(repr, source.classes[:8]))
    return shown + (", ..." if len(source.classes) > 8 else "")
