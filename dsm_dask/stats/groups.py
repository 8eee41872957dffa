"""Statistics of each group of rows, in the same scan."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays, codec
from dsm_dask.errors import SchemaError
from dsm_dask.fold import Fold, Product
from dsm_dask.hashing import U64, hash_rows
from dsm_dask.stats import values
from dsm_dask.stats.distinct import Distinct
from dsm_dask.stats.windows import Windows, check_time

CAP = 100
"""Groups kept, unless said otherwise."""
LIMIT = 256
"""Longest text shown as a group's value, in characters (bytes of a binary column)."""
WAITING_ROWS = 1 << 19
WAITING_BYTES = 32 << 20
WAITING_BATCHES = 1024

Int64 = npt.NDArray[np.int64]
_NULL = np.uint64(0)
_SIGN = np.uint64(1 << 63)
_SEEN = Distinct("key")


@codec.state("stats.grouped", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class GroupedState:
    """``keys``: of the groups kept, ascending; ``counts``: their rows; ``values``: of the column
    (None for windows); ``states``: of the inner Fold; ``rows``: all of them, other groups included;
    ``seen``: a sketch of the number of groups; ``waiting``: rows not looked at yet, as arrays."""

    rows: int
    keys: U64
    counts: Int64
    values: pa.Array | None
    states: tuple[tuple[Any, ...], ...]
    seen: Any
    waiting: tuple[tuple[pa.Array, ...], ...] = ()


@dataclasses.dataclass(frozen=True)
class Group:
    """``value``: of the column (None for null), or a :class:`~dsm_dask.stats.windows.Window`;
    ``results``: of each inner Fold, or its states; ``key`` tells groups of a table apart."""

    value: Any
    rows: int
    results: tuple[Any, ...]
    key: int


@dataclasses.dataclass(frozen=True)
class Groups:
    """Windows in order of time, other groups with the most rows first; null comes last among
    windows. ``left_out_groups`` is an estimate unless ``left_out_exact``."""

    groups: tuple[Group, ...]
    left_out_groups: int
    left_out_exact: bool
    left_out_rows: int


@dataclasses.dataclass(frozen=True)
class Grouped:
    """A product of Folds for each value of the column ``by``, or for each ``window`` of time (see
    :class:`~dsm_dask.stats.windows.Windows`). Null is a group of its own, and so is NaN.

    At most ``cap`` groups are kept, and null; the rest is counted. Which ones does not depend on
    the cut: the latest windows; the values with the smallest 64-bit hash
    (:func:`dsm_dask.hashing.hash_rows`), which is a random choice; or those whose hashes
    :func:`group_keys` gave as ``only``. The smallest of a whole are among the smallest of each of
    its parts (a bottom-k sample of groups: Cohen and Kaplan, "Summarizing data using bottom-k
    sketches", PODC 2007), so the statistics of a group that is kept are of all its rows.

    Updating 100 groups with a few rows each would cost more than the rows do, so up to 524,288
    rows or 32 MB wait inside the state, and are then sorted by group at once. A state takes that,
    and ``cap`` times those of ``fold``.

    Raises :class:`~dsm_dask.errors.SchemaError` when ``by`` is a list, struct or map, or no time
    though there is a ``window``.

    >>> from dsm_dask.fold import run
    >>> from dsm_dask.stats.count import Count
    >>> batch = pa.record_batch({"lang": ["en", "de", "en"], "x": [1, 2, None]})
    >>> found = run(Grouped("lang", Product((Count("x"),))), [batch])
    >>> [(group.value, group.rows, group.results[0].nulls) for group in found.groups]
    [('en', 2, 1), ('de', 1, 0)]
    """

    by: str
    fold: Product
    cap: int = CAP
    window: str | None = None
    only: tuple[int, ...] | None = None
    finished: bool = True
    """Whether the results are those of the inner Folds, or their states."""

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.by, *self.fold.columns)))

    def init(self) -> GroupedState:
        nothing = np.empty(0, np.uint64), np.empty(0, np.int64)
        return GroupedState(0, *nothing, None, (), _SEEN.init())

    def update(self, state: GroupedState, batch: pa.RecordBatch) -> GroupedState:
        check_groups(batch.schema.field(self.by), self.window)
        piece = tuple(arrays.plain(batch.column(name)) for name in self.columns)
        state = dataclasses.replace(state, waiting=(*state.waiting, piece))
        return self._flush(state, owned=True) if _is_full(state.waiting) else state

    def merge(self, left: GroupedState, right: GroupedState) -> GroupedState:
        if _is_empty(left) or _is_empty(right):
            return right if _is_empty(left) else left
        keys = self._kept(left.keys, right.keys)
        states = []
        for key in keys:
            sides = [s.states[i] for s in (left, right) if (i := _slot(s.keys, key)) is not None]
            states.append(self.fold.merge(*sides) if len(sides) == 2 else sides[0])
        merged = GroupedState(
            left.rows + right.rows,
            keys,
            _spread(left.keys, left.counts, keys) + _spread(right.keys, right.counts, keys),
            _values_of(keys, (left.keys, right.keys), (left.values, right.values)),
            tuple(states),
            _SEEN.merge(left.seen, right.seen),
            (*left.waiting, *right.waiting),
        )
        return self._flush(merged, owned=False) if _is_full(merged.waiting) else merged

    def finish(self, state: GroupedState) -> Groups:
        state = self._flush(state, owned=False)
        shown = self._values(state)
        found = [
            Group(value, int(count), self.fold.finish(inner) if self.finished else inner, int(key))
            for value, count, inner, key in zip(
                shown, state.counts, state.states, state.keys, strict=True
            )
        ]
        # windows were kept latest first, and null before all others
        order = np.argsort(-state.counts, kind="stable") if self.window is None else None
        ordered = found[::-1] if order is None else [found[i] for i in order]
        seen = _SEEN.finish(state.seen)
        rows = state.rows - int(state.counts.sum())
        left = min(max(seen.count - len(found), 1 if rows else 0), rows)
        return Groups(tuple(ordered), left if rows else 0, seen.exact or not rows, rows)

    def same(self, left: Groups, right: Groups, rows: pa.RecordBatch) -> bool:
        """Each group's results as near as the inner Folds say, everything else equal."""
        plain = {name: arrays.plain(rows.column(name)) for name in self.columns}
        keys, slots, entries = _keys(_groupable(plain[self.by], self.window), self.window)
        rows = pa.record_batch(plain)
        members = {
            _shown(self._value(key, entry)): rows.take(pa.array(np.flatnonzero(slots == i)))
            for i, (key, entry) in enumerate(zip(keys, _short(entries), strict=True))
        }
        counted = [(g.left_out_rows, [(_shown(x.value), x.rows) for x in g.groups])
                   for g in (left, right)]  # fmt: skip
        return counted[0] == counted[1] and all(
            _alike(fold, a, b, members[_shown(one.value)])
            for one, other in zip(left.groups, right.groups, strict=True)
            for fold, a, b in zip(self.fold.folds, one.results, other.results, strict=True)
        )

    def _values(self, state: GroupedState) -> list[Any]:
        found = [state.values[i] if state.values is not None else None
                 for i in range(len(state.keys))]  # fmt: skip
        return [self._value(k, v) for k, v in zip(state.keys, found, strict=True)]

    def _value(self, key: np.uint64, value: pa.Scalar | None) -> Any:
        if key == _NULL or (value is None and self.window is None):
            return None
        if self.window is not None:
            return Windows.parse(self.window).window(_number(key))
        return values.to_python(value)

    def _kept(self, *keys: U64) -> U64:
        every = np.unique(np.concatenate(keys))
        if self.only is not None:
            return every[np.isin(every, np.array(self.only, np.uint64))]
        return every[: self.cap + int(len(every) > 0 and every[0] == _NULL)]

    def _flush(self, state: GroupedState, owned: bool) -> GroupedState:
        """Look at the rows that wait. ``owned``: the inner states may be reused."""
        for piece in _joined(state.waiting):
            state = self._take_in(state, piece, owned)
        return dataclasses.replace(state, waiting=())

    def _take_in(self, state: GroupedState, piece: Sequence[pa.Array], owned: bool) -> GroupedState:
        column = _groupable(piece[0], self.window)
        found, slots, entries = _keys(column, self.window)
        keys = self._kept(state.keys, found)
        # rows of groups left out go last, where no group reaches
        places = np.searchsorted(keys, found)
        places[~np.isin(found, keys)] = len(keys)
        rows = places.astype(np.uint16 if len(keys) < 1 << 16 else np.int64)[slots]
        counts = np.bincount(rows, minlength=len(keys) + 1)[:-1]
        old = {int(key): inner for key, inner in zip(state.keys, state.states, strict=True)}
        states = [old.get(int(key)) for key in keys]
        for slot, rows_of_group in self._pieces(piece, rows, counts):
            states[slot] = self._grown(states[slot], rows_of_group, owned)
        seen = pa.record_batch([pa.array(found)], names=["key"])
        shown = None if self.window is not None else _short(entries)
        return GroupedState(
            state.rows + len(column),
            keys,
            _spread(state.keys, state.counts, keys) + counts,
            _values_of(keys, (state.keys, found), (state.values, shown)),
            tuple(inner for inner in states if inner is not None),
            _SEEN.update(state.seen, seen),
        )

    def _pieces(
        self, piece: Sequence[pa.Array], rows: npt.NDArray[Any], counts: Int64
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of each group that has any."""
        batch = pa.RecordBatch.from_arrays(list(piece), names=list(self.columns))
        if len(rows) and (rows[1:] < rows[:-1]).any():
            order = np.argsort(rows, kind="stable")[: counts.sum()]
            batch = batch.take(pa.array(order))
        starts = np.cumsum(counts) - counts
        for slot in np.flatnonzero(counts):
            yield int(slot), batch.slice(int(starts[slot]), int(counts[slot]))

    def _grown(
        self, inner: tuple[Any, ...] | None, rows: pa.RecordBatch, owned: bool
    ) -> tuple[Any, ...]:
        if inner is None or owned:
            return self.fold.update(self.fold.init() if inner is None else inner, rows)
        return self.fold.merge(inner, self.fold.update(self.fold.init(), rows))


def check_groups(field: pa.Field, window: str | None) -> None:
    """Raise unless rows can be grouped by a column: :class:`~dsm_dask.errors.SchemaError` for its
    type, :class:`~dsm_dask.errors.UsageError` for the window."""
    if window is not None:
        Windows.parse(window)
        check_time(field.type, field.name)
    elif values.kind_of(field.type) in {"list", "struct", "union", "other"}:
        raise SchemaError(
            f"Rows cannot be grouped by column {field.name!r} of type {field.type}.",
            valid="Choose a column of booleans, numbers, decimals, dates, times, texts or bytes.",
        )


def group_keys(array: pa.Array) -> tuple[int, ...]:
    """What :class:`Grouped` takes as ``only``: which groups these values are.

    >>> group_keys(pa.array([1, None]))[1]
    0
    """
    hashes, slots, _ = _keys(_groupable(arrays.plain(array), None), None)
    return tuple(hashes[slots].tolist())


def _groupable(column: pa.Array, window: str | None) -> pa.Array:
    """Values that tell groups apart: numbers of windows, and no negative zero."""
    if window is not None:
        missing = column.is_null().to_numpy(zero_copy_only=False)
        return pa.array(Windows.parse(window).number(column), mask=missing)
    if pa.types.is_floating(column.type):
        return pc.add(column, pa.scalar(0, column.type))
    return column


def _keys(column: pa.Array, window: str | None) -> tuple[U64, npt.NDArray[np.intp], pa.Array]:
    """The keys of a column's groups, ascending; the group of each row; the value of each group."""
    encoded = column.dictionary_encode()
    entries, slots = encoded.dictionary, arrays.fixed_width(encoded.indices)
    if pa.types.is_null(column.type):
        entries = entries[:0]  # null itself
    if window is not None:
        latest_first = ~(arrays.fixed_width(entries).view(np.uint64) ^ _SIGN)
        keys = np.maximum(latest_first, np.uint64(1))
    else:
        keys = np.maximum(hash_rows([entries])[:, 0], np.uint64(1))
    valid = arrays.validity(encoded.indices)
    if valid is not None:
        slots = np.where(valid, slots, len(keys))
        keys = np.append(keys, _NULL)
        entries = pa.concat_arrays([entries, pa.nulls(1, entries.type)])
    found, firsts, places = np.unique(keys, return_index=True, return_inverse=True)
    return found, places[slots], entries.take(pa.array(firsts))


def _number(key: np.uint64) -> int:
    """The window that has a key."""
    return 2**63 - 1 - int(key)


def _spread(keys: U64, counts: Int64, wanted: U64) -> Int64:
    """Counts by key as counts of the ``wanted`` keys."""
    found = np.zeros(len(wanted), np.int64)
    kept = np.isin(keys, wanted)
    found[np.searchsorted(wanted, keys[kept])] = counts[kept]
    return found


def _values_of(
    wanted: U64, keys: Sequence[U64], shown: Sequence[pa.Array | None]
) -> pa.Array | None:
    """The value of each wanted key, found on either side."""
    sides = [(k, v) for k, v in zip(keys, shown, strict=True) if v is not None]
    if not sides:
        return None
    known, firsts = np.unique(np.concatenate([k for k, _ in sides]), return_index=True)
    slots = firsts[np.searchsorted(known, wanted)]
    return pa.concat_arrays([v for _, v in sides]).take(pa.array(slots))


def _joined(waiting: Sequence[tuple[pa.Array, ...]]) -> list[tuple[pa.Array, ...]]:
    if not waiting:
        return []
    try:
        return [tuple(pa.concat_arrays(parts) for parts in zip(*waiting, strict=True))]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return list(waiting)  # such as lists of dictionaries that differ


def _is_full(waiting: Sequence[tuple[pa.Array, ...]]) -> bool:
    rows = sum(len(piece[0]) for piece in waiting)
    if rows >= WAITING_ROWS or len(waiting) >= WAITING_BATCHES:
        return True
    size: int = sum(array.nbytes for piece in waiting for array in piece)
    return size >= WAITING_BYTES


def _is_empty(state: GroupedState) -> bool:
    return not state.rows and not state.waiting


def _slot(keys: U64, key: np.uint64) -> int | None:
    slot = int(np.searchsorted(keys, key))
    return slot if slot < len(keys) and keys[slot] == key else None


def _short(found: pa.Array) -> pa.Array:
    kind = values.kind_of(found.type)
    if kind == "string":
        short = pc.utf8_replace_slice(found, LIMIT, 2**31 - 1, "…")
        return pc.if_else(pc.greater(pc.utf8_length(found), LIMIT), short, found)
    if kind == "binary" and not pa.types.is_fixed_size_binary(found.type):
        return pc.binary_slice(found, 0, LIMIT)
    if kind == "binary" and found.type.byte_width > LIMIT:
        return pc.binary_slice(found.cast(pa.binary()), 0, LIMIT)
    return found


def _shown(value: Any) -> str:
    """For comparison: NaN equals NaN, and 1 is not 1.0."""
    if dataclasses.is_dataclass(value):
        fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
        return f"{type(value).__name__}({', '.join(map(_shown, fields))})"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_shown, value))})"
    return f"{type(value).__name__} {values.to_json(value)!r}"


def _alike(fold: Fold[Any, Any], left: Any, right: Any, rows: pa.RecordBatch) -> bool:
    tolerant = getattr(fold, "same", None)
    if tolerant is not None:
        return bool(tolerant(left, right, rows))
    return _shown(left) == _shown(right)
