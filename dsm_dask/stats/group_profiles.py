"""A profile of each group of rows: of each value of a column, or each window of time."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.errors import UsageError
from dsm_dask.fold import Fold, Product
from dsm_dask.stats import values
from dsm_dask.stats.groups import CAP, Group, Grouped, Groups, check_groups, group_keys
from dsm_dask.stats.profile import Profile, folds_for
from dsm_dask.stats.top_values import TopValues
from dsm_dask.stats.windows import Window
from dsm_dask.table import Table, check_columns

MOST = 10_000
"""More groups than this are refused."""
STATE_BYTES = 128 << 20
COLUMN_BYTES = 192 << 10
"""What the statistics of one column of one group take at most, roughly."""
_ROW_BYTES = 64


class Engine(Protocol):
    """Whatever runs Folds over a table."""

    def fold(self, table: Table, fold: Fold[Any, Any], *, cache: bool) -> Any: ...

    def states(self, table: Table, folds: Sequence[Fold[Any, Any]]) -> tuple[Any, ...]: ...


@dataclasses.dataclass(frozen=True)
class GroupedProfile:
    """``groups``: value (or window) and profile of each; see
    :class:`~dsm_dask.stats.groups.Groups` for their order and for what was left out."""

    rows: int
    by: str
    window: str | None
    groups: tuple[tuple[Any, Profile], ...]
    left_out_groups: int
    left_out_exact: bool
    left_out_rows: int
    io: Any = None
    skipped: Any = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe, as :meth:`dsm_dask.stats.profile.Profile.to_dict` is."""
        shown: dict[str, Any] = {
            "rows": self.rows,
            "by": self.by,
            "window": self.window,
            "groups": [
                {**group_name(value, self.window), **profile.to_dict()}
                for value, profile in self.groups
            ],
            "left_out": {
                "groups": self.left_out_groups,
                "exact": self.left_out_exact,
                "rows": self.left_out_rows,
            },
        }
        if self.io is not None:
            shown["io"] = self.io.to_dict()
        if self.skipped is not None:
            shown["skipped"] = [one.to_dict() for one in self.skipped]
        return shown


def group_name(value: Any, window: str | None) -> dict[str, Any]:
    """What JSON calls a group: ``start`` and ``end`` of a window, null for rows without a time;
    otherwise its ``value``.

    >>> group_name(None, "1d"), group_name("en", None)
    ({'start': None, 'end': None}, {'value': 'en'})
    """
    if window is None:
        return {"value": values.to_json(value)}
    span = value or Window(None, None)
    return {"start": values.to_json(span.start), "end": values.to_json(span.end)}


def profile_by(
    table: Table,
    by: str,
    columns: Sequence[str] | None = None,
    window: str | None = None,
    *,
    cap: int = CAP,
    only: Sequence[Any] | None = None,
    engine: Engine,
) -> GroupedProfile:
    """The statistics of some or all other columns for each value of ``by``, or each ``window``.

    At most ``cap`` groups are kept and the rest is counted; see
    :class:`~dsm_dask.stats.groups.Grouped`. They are the values given as ``only`` (None among
    them is null), the latest windows, or, for datasets, the largest groups that the most frequent
    values of ``by`` tell of (known after a profile; found by a scan of that column otherwise), and
    null. For other tables, where there are more than ``cap``: a random choice, always the same.

    One scan; several, each of other columns, where the states of all would take more than 128 MB.
    The states are not kept beside a dataset: they may be larger than it.

    Raises :class:`~dsm_dask.errors.UnknownColumn`, :class:`~dsm_dask.errors.SchemaError` for a
    type without groups, and :class:`~dsm_dask.errors.UsageError` for ``window`` or ``cap``.
    """
    names = [name for name in table.schema.names if name != by] if columns is None else columns
    names = list(dict.fromkeys(names))
    check_columns(table, [by, *names])
    check_groups(table.schema.field(by), window)
    cap = cap if only is None else max(1, len(only))
    check_cap(cap)
    keys = _wanted(table, by, window, cap, only, engine)
    chosen = column_groups(names, cap, table.rows)
    grouped = Grouped(by, Product(()), cap, window, keys)
    found = list(scans(table, chosen, _folds, grouped, engine))
    first = found[0].groups
    return GroupedProfile(
        rows=sum(group.rows for group in first.groups) + first.left_out_rows,
        by=by,
        window=window,
        groups=tuple((group.value, _profile(table.schema, group, found)) for group in first.groups),
        left_out_groups=first.left_out_groups,
        left_out_exact=first.left_out_exact,
        left_out_rows=first.left_out_rows,
        io=functools.reduce(operator.add, (scan.io for scan in found)),
        skipped=tuple(dict.fromkeys(one for scan in found for one in scan.skipped)),
    )


@dataclasses.dataclass(frozen=True)
class Scan:
    """The groups of a table, with the results of ``folds`` over some ``columns``."""

    columns: Sequence[str]
    folds: Sequence[Fold[Any, Any]]
    groups: Groups
    io: Any
    skipped: Sequence[Any]

    @functools.cached_property
    def results(self) -> dict[int, tuple[Any, ...]]:
        """Of each group, by its key."""
        return {group.key: group.results for group in self.groups.groups}


def scans(
    table: Table,
    columns: Sequence[Sequence[str]],
    folds_of: Callable[[pa.Schema, Sequence[str]], Sequence[Fold[Any, Any]]],
    grouped: Grouped,
    engine: Engine,
) -> Iterator[Scan]:
    """One scan for each of the lists of columns, as ``grouped`` says but with their folds. The
    states are not kept beside a dataset."""
    for chosen in columns:
        folds = tuple(folds_of(table.schema, chosen))
        fold = dataclasses.replace(grouped, fold=Product(folds))
        folded = engine.fold(table, fold, cache=False)
        yield Scan(chosen, folds, folded.result, folded.io, folded.skipped)


def _folds(schema: pa.Schema, names: Sequence[str]) -> list[Fold[Any, Any]]:
    return [fold for name in names for fold in folds_for(schema.field(name))]


def check_cap(cap: int) -> None:
    """Raise :class:`~dsm_dask.errors.UsageError` for a number of groups that makes no sense."""
    if not 1 <= cap <= MOST:
        raise UsageError(f"{cap:,} groups cannot be kept.", valid=f"Keep 1 to {MOST:,} groups.")


def column_groups(names: Sequence[str], cap: int, rows: int) -> list[list[str]]:
    """Columns to scan together, so that the states of ``cap`` groups take at most 128 MB (those of
    a single column may take more, with more than 682 groups).

    >>> [len(part) for part in column_groups(["x"] * 12, 100, 10**8)]
    [6, 6]
    """
    each = max(1, min(cap * COLUMN_BYTES, rows * _ROW_BYTES))
    size = max(1, STATE_BYTES // each)
    starts = range(0, max(1, len(names)), size)
    return [list(names[start : start + size]) for start in starts]


def _profile(schema: pa.Schema, group: Group, found: Sequence[Scan]) -> Profile:
    """Of all columns; a partition skipped for some of them may have held a group's only rows."""
    known = [scan for scan in found if group.key in scan.results]
    folds = [fold for scan in known for fold in scan.folds]
    results = [result for scan in known for result in scan.results[group.key]]
    return Profile.from_results(schema, folds, results, rows=group.rows)


def _wanted(
    table: Table,
    by: str,
    window: str | None,
    cap: int,
    only: Sequence[Any] | None,
    engine: Engine,
) -> tuple[int, ...] | None:
    """Keys of the groups to keep, where the caller or the most frequent values say which."""
    dtype = table.schema.field(by).type
    if only is not None:
        if window is not None:
            raise UsageError("Single groups can be chosen by value, not by window.")
        return group_keys(_typed(only, arrays.plain_type(dtype), by))
    if window is not None or not hasattr(table, "states") or not TopValues.accepts(dtype):
        return None
    (state,) = engine.states(table, [TopValues(by)])
    if not state.error and len(state.counts) <= cap:
        return None  # all of them
    order = np.argsort(-state.counts, kind="stable")[:cap]
    return (0, *state.hashes[order, 0].tolist())


def _typed(only: Sequence[Any], dtype: pa.DataType, by: str) -> pa.Array:
    """Values, or texts of them, as a column of the type of ``by``."""
    try:
        texts = all(value is None or isinstance(value, str) for value in only)
        given = pa.array(only, pa.string()) if texts else pa.array(only, dtype)
        return given.cast(dtype)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as e:
        raise UsageError(
            f"Column {by!r} of type {dtype} has no such groups: {e}.",
            valid="Give values as the column has them.",
        ) from e
