"""The review queue: which rows people should look at first, and why.

The order is found by one bounded Fold over the columns of scores
(:mod:`dsm_dask.scores.review.top_rows`); what the rows hold is fetched for those at the top only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.dataset.corrections import is_key
from dsm_dask.dataset.version import Dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.scores import column_metadata
from dsm_dask.scores.review.measures import ScoreColumns, score_columns
from dsm_dask.scores.review.queue_export import ANNOTATOR
from dsm_dask.scores.review.queued import Queue, QueuedRow, plain_value
from dsm_dask.scores.review.reasons import reasons
from dsm_dask.scores.review.row_values import fetch
from dsm_dask.scores.review.tails import Distribution, distributions
from dsm_dask.scores.review.top_rows import Top, TopRows
from dsm_dask.table import Table, check_columns
from dsm_dask.where import Where

TOP = 100
MOST = 100_000
CUT = 20_000
"""Characters of a text that are fetched."""
SHOWN = 3
"""Columns shown, unless some are asked for."""
CLASS = "class"
SAID = ("consensus_label", "predicted_label", "neighbour_label")
"""Columns of what others than the label say."""


def issues(
    table: Table,
    *,
    engine: Engine,
    top: int = TOP,
    by: str | None = None,
    balance: str | None = None,
    where: str | None = None,
    label: str | None = None,
    key: str | None = None,
    show: Sequence[str] = (),
    prefix: str = "",
) -> Queue:
    """The ``top`` rows that people should look at, most suspicious first, with reasons.

    ``by`` is ``label_quality``, ``disagreement`` (of annotators), ``neighbours`` (labels unlike
    those of the nearest rows), or all of these that there are columns of: ``labels``, the default;
    ``uncertainty``, ``outlier``, or everything: ``combined``. How several are put together, see
    :class:`~dsm_dask.scores.review.top_rows.TopRows`.
    ``balance``: by turns from each value of a column; ``class`` is the label's. ``where``: only
    rows for which an SQL condition holds. ``label``: the column of labels, which scores of labels
    know of themselves. ``key``: a column that tells rows apart, ``id`` when there is one. ``show``:
    columns to look at, by default the largest texts or images. ``prefix``: that of the columns of
    scores.

    The same rows come in the same order however the table is cut, but for scores of several
    that differ by less than what is known of ranks (0.1 % of the rows) on large tables.

    Raises UnknownColumn, InvalidExpression, and UsageError when there are no scores to rank by.
    """
    if not 1 <= top <= MOST:
        raise UsageError(f"A queue of {top} rows is none.", valid=f"From 1 to {MOST:,}.")
    metadata = column_metadata.read(table) if isinstance(table, Dataset) else {}
    found = score_columns(table.schema, metadata, label, prefix)
    name, measures = found.by(by)
    balance = _balance(table, found, balance)
    if where is not None:
        Where(where).check(table.schema, table.uri)
    key = _key(table, key)
    shown = tuple(show) or _to_show(table, {*found.names, *metadata, found.label, key}, prefix)
    check_columns(table, [*shown, *([balance] if balance else [])])
    mark = engine.mark()
    known = distributions(table, found.measures, engine)
    spread = tuple(known[one.column] for one in measures)
    fold = TopRows(measures, top, balance, where, spread)
    first: Top = engine.fold(table, fold, label="Ranking rows", cache=False).result
    queued = _queued(table, first, found, known, name, key, shown, engine)
    kind = None if found.label is None else str(table.schema.field(found.label).type)
    return Queue(
        table.uri, table.rows, first.seen, name, queued, tuple(one.name for one in measures),
        table.ref if isinstance(table, Dataset) else None, balance, where, found.label, kind, key,
        ANNOTATOR not in table.schema.names, mark.skipped,
    )  # fmt: skip


def _balance(table: Table, found: ScoreColumns, balance: str | None) -> str | None:
    if balance != CLASS or CLASS in table.schema.names:
        return balance
    predicted = f"{found.prefix}predicted_label"
    chosen = found.label or (predicted if predicted in table.schema.names else None)
    if chosen is None:
        raise UsageError(
            "Which column holds the classes is not known.", valid="Name it: --balance COLUMN."
        )
    return chosen


def _key(table: Table, key: str | None) -> str | None:
    """The column that tells rows apart: the one that is asked for, or one called ``id``."""
    names = [key] if key else [name for name in table.schema.names if name.lower() == "id"]
    check_columns(table, names)
    fit = [n for n in names if is_key(arrays.plain_type(table.schema.field(n).type))]
    if key and not fit:
        raise UsageError(
            f"Column {key!r} is {table.schema.field(key).type}, which is no key.",
            valid="A column of integers or texts; without --key, _rowid.",
        )
    return fit[0] if fit else None


def _to_show(table: Table, taken: Set[str | None], prefix: str) -> tuple[str, ...]:
    """The columns of texts and binaries that take the most room, others where there are none."""
    types, scores = pa.types, (f"{prefix}uncertainty_", "_")
    kinds = {
        field.name: arrays.plain_type(field.type)
        for field in table.schema
        if field.name not in taken and not field.name.startswith(scores)
    }
    sizes = table.column_sizes()
    long = [
        name
        for name, kind in kinds.items()
        if types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    ]
    short = [name for name, kind in kinds.items() if arrays.is_fixed_width(kind)]
    ordered = sorted(long, key=lambda name: -sizes.get(name, 0)) + short
    return tuple(ordered[:SHOWN])


def _queued(
    table: Table,
    first: Top,
    found: ScoreColumns,
    known: Mapping[str, Distribution],
    by: str,
    key: str | None,
    shown: Sequence[str],
    engine: Engine,
) -> tuple[QueuedRow, ...]:
    own = [one for one in (found.label, key) if one is not None]
    asked = list(dict.fromkeys([*found.names, *own, *shown]))
    values = fetch(table, first.rows, asked, engine, CUT)
    kind = None if found.label is None else arrays.plain_type(table.schema.field(found.label).type)
    said = [found.prefix + name for name in SAID if found.prefix + name in found.names]
    labels = [*said, *([] if found.label is None else [found.label])]
    told = []
    for row, ranked in zip(first.rows.tolist(), first.ranked.tolist(), strict=True):
        here = values[row]
        plain = {name: plain_value(here[name]) for name in (*found.names, *own)}
        for name in labels:
            plain[name] = _as_label(plain[name], kind)
        told.append(
            QueuedRow(
                row,
                ranked,
                reasons(plain, _tails(plain, found, known), found, by),
                None if key is None else plain[key],
                None if found.label is None else plain[found.label],
                _suggested(plain, found),
                {name: plain[name] for name in found.names},
                {name: here[name] for name in shown},
            )
        )
    return tuple(told)


def _tails(
    values: Mapping[str, Any], found: ScoreColumns, known: Mapping[str, Distribution]
) -> dict[str, float]:
    told = {}
    for measure in found.measures:
        value = values[measure.column]
        if isinstance(value, float):
            tail = known[measure.column].tail(np.array([value]), measure.more)
            told[measure.name] = float(tail[0])
    return told


def _suggested(values: Mapping[str, Any], found: ScoreColumns) -> Any:
    """What others than the label say: the annotators together, the model, the neighbours; the
    first that differs from it."""
    label = None if found.label is None else values[found.label]
    for name in SAID:
        said = values.get(found.prefix + name)
        if said is not None and str(said) != str(label):
            return said
    return None


def _as_label(value: Any, kind: pa.DataType | None) -> Any:
    """A label, or what is said to be one, as the column of labels would have it: scores say 0 and 1
    of booleans, and whole numbers of floats.

    >>> _as_label(0, pa.bool_()), _as_label(2.0, pa.float64()), _as_label("a", pa.string())
    (False, 2, 'a')
    """
    if kind is not None and pa.types.is_boolean(kind):
        return {"0": False, "1": True}.get(str(value), value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    is_nan = value == "NaN" and kind is not None and pa.types.is_floating(kind)
    return None if is_nan else value
