"""The laws of a Fold, as one suite for every Fold of this package and for yours.

>>> from hypothesis import given
>>> from dsm_dask.stats.moments import Moments
>>> @given(batches({"x": pa.float64()}))
... def test_moments(cut):
...     check_laws(Moments("x"), cut)
>>> test_moments()
>>> check_bounded(Moments("x"), {"x": pa.float64()})

A Fold whose result is an estimate says how far two results for the same data may differ, with a
method ``same(left, right, rows) -> bool`` that is given the data as one record batch. Without it,
results have to be equal (NaN equals NaN).
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from dsm_dask import codec
from dsm_dask.fold import Fold, Product, merge_all, run, update_all
from dsm_dask.testing.arrow import arrow_arrays, unique_array

LIMIT = 256 * 1024
"""Most bytes that a state may take, unless the test says otherwise."""

_METHODS = ("columns", "init", "update", "merge", "finish")


def discover(package: str = "dsm_dask") -> list[type[Any]]:
    """Every Fold class defined in a package, by name.

    >>> [kind.__name__ for kind in discover("dsm_dask.stats")][:3]
    ['Correlation', 'Count', 'Covariance']
    """
    found = {kind for module in _modules(package) for kind in _folds_in(module)}
    return sorted(found, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


def _modules(package: str) -> Iterator[Any]:
    root = importlib.import_module(package)
    yield root
    for info in pkgutil.iter_modules(getattr(root, "__path__", ()), f"{package}."):
        if info.name.endswith(".__main__"):
            continue
        if info.ispkg:
            yield from _modules(info.name)
        else:
            yield importlib.import_module(info.name)


def _folds_in(module: Any) -> Iterator[type[Any]]:
    for _, kind in inspect.getmembers(module, inspect.isclass):
        own = kind.__module__ == module.__name__ and kind is not Product
        if own and dataclasses.is_dataclass(kind) and all(hasattr(kind, m) for m in _METHODS):
            yield kind


def batches(
    columns: Mapping[str, pa.DataType], *, max_rows: int = 40
) -> st.SearchStrategy[list[pa.RecordBatch]]:
    """One to four batches, some empty, some slices of longer ones."""

    @st.composite
    def build(draw: st.DrawFn) -> list[pa.RecordBatch]:
        sizes = draw(st.lists(st.integers(0, max_rows), min_size=1, max_size=4))
        return [
            pa.record_batch(
                {
                    name: draw(arrow_arrays(dtype, min_size=size, max_size=size))
                    for name, dtype in columns.items()
                }
            )
            for size in sizes
        ]

    return build()


def check_laws(fold: Fold[Any, Any], cut: Sequence[pa.RecordBatch]) -> None:
    """Assert every law that this cut of the data can show."""
    whole = _whole(cut)
    expected = run(fold, [whole])
    states = [update_all(fold, [batch]) for batch in cut]
    merged = merge_all(fold, states)

    def agrees(state: Any) -> bool:
        return same(fold, fold.finish(state), expected, whole)

    assert agrees(merged), "merging the states of a cut gives another result"
    assert agrees(update_all(fold, cut)), "going on batch by batch gives another result"
    assert agrees(_leaning(fold, states)), "merge is not associative"
    for row in {0, 1, whole.num_rows // 2}:
        parts = [update_all(fold, [piece]) for piece in (whole[:row], whole[row:])]
        assert agrees(fold.merge(*parts)), f"cutting at row {row} gives another result"
    check_identity(fold, merged)
    check_pure(fold, states)
    check_codec(fold, merged, whole)
    again = merge_all(fold, [update_all(fold, [batch]) for batch in cut])
    assert codec.encode(again) == codec.encode(merged), "the same data gives other bytes"
    for encoded in _encoded(whole):
        assert same(fold, run(fold, [encoded]), expected, whole), "dictionaries change the result"


def check_identity(fold: Fold[Any, Any], state: Any) -> None:
    """``init()`` merged from either side changes nothing."""
    for both in (fold.merge(fold.init(), state), fold.merge(state, fold.init())):
        assert canonical(fold.finish(both)) == canonical(fold.finish(state)), "init is no identity"


def check_pure(fold: Fold[Any, Any], states: Sequence[Any]) -> None:
    """``merge`` and ``finish`` leave their arguments as they are."""
    before = [codec.encode(state) for state in states]
    for left in states:
        for right in states:
            fold.finish(fold.merge(left, right))
    assert [codec.encode(state) for state in states] == before, "merge changed its arguments"


def check_codec(fold: Fold[Any, Any], state: Any, more: pa.RecordBatch) -> None:
    """A state that was stored is as good as new: the same result, the same bytes, and it goes on
    taking batches and merging."""
    data = codec.encode(state)
    stored = codec.decode(data)
    assert codec.encode(stored) == data, "the codec changes the state"
    assert canonical(fold.finish(stored)) == canonical(fold.finish(state))
    expected = codec.encode(fold.merge(state, state))
    assert codec.encode(fold.merge(stored, stored)) == expected, "a stored state merges otherwise"
    on = fold.update(codec.decode(data), more)
    off = fold.update(codec.decode(data), more)
    assert codec.encode(on) == codec.encode(off), "a stored state goes on otherwise"


def check_bounded(
    fold: Fold[Any, Any],
    columns: Mapping[str, pa.DataType],
    *,
    rows: int = 200_000,
    limit: int = LIMIT,
) -> None:
    """The state of many different values takes no more than ``limit`` bytes, nor does it grow when
    merged with itself."""
    batch = pa.record_batch({name: unique_array(dtype, rows) for name, dtype in columns.items()})
    pieces = [batch[start : start + rows // 4] for start in range(0, rows, rows // 4)]
    state = update_all(fold, pieces)
    for grown in (state, fold.merge(state, state)):
        size = len(codec.encode(grown))
        assert size <= limit, f"{size:,} bytes of state, more than {limit:,}"


def same(fold: Fold[Any, Any], left: Any, right: Any, rows: pa.RecordBatch) -> bool:
    """Equal, or as near as the Fold says that results for the same rows have to be."""
    tolerant = getattr(fold, "same", None)
    if tolerant is not None:
        return bool(tolerant(left, right, rows))
    return bool(canonical(left) == canonical(right))


def canonical(value: Any) -> Any:
    """Something that compares equal for equal results, NaN and arrays included.

    >>> canonical(float("nan")) == canonical(float("nan"))
    True
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return type(value).__name__, [canonical(getattr(value, f.name)) for f in fields]
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, canonical(value.tolist())
    if isinstance(value, (pa.Array, pa.Scalar)):
        return codec.encode(value)
    return "NaN" if isinstance(value, float) and value != value else value


def _whole(cut: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    table = pa.Table.from_batches(cut).combine_chunks().unify_dictionaries()
    found = table.to_batches()
    return found[0] if found else cut[0]


def _leaning(fold: Fold[Any, Any], states: Sequence[Any]) -> Any:
    """From the right, one by one: the other extreme of a balanced tree."""
    total = fold.init()
    for state in reversed(states):
        total = fold.merge(state, total)
    return total


def _encoded(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for name in batch.schema.names:
        column = batch.column(name)
        try:
            codes = column.dictionary_encode()
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            continue  # nested columns have no dictionaries
        columns = {n: batch.column(n) for n in batch.schema.names}
        yield pa.record_batch({**columns, name: codes})
