"""Fields inside structs, lists and maps, as columns of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays
from dsm_dask.fold import Fold, Product
from dsm_dask.stats import values
from dsm_dask.stats.vectors import is_vector

DEPTH = 4
"""Steps into a column, at most."""
PATHS = 64
"""Paths in a column, at most."""
INNER = "value"
"""What the Folds of :class:`At` call the column that they see."""

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class At:
    """Folds over what lies at a path in a column. The state is the tuple of theirs.

    A path is the name of a column and then steps: ``.name`` is a field of a struct, null where the
    struct is; ``[]`` are the items of a list, all in a row; ``{}.key`` and ``{}.value`` are the
    keys and values of a map. Null lists and maps have no items.

    >>> from dsm_dask.fold import run
    >>> from dsm_dask.stats.count import Count
    >>> batch = pa.record_batch({"s": [{"tags": ["a", None]}, None, {"tags": ["b"]}]})
    >>> (found,) = run(At(("s", ".tags", "[]"), (Count(INNER),)), [batch])
    >>> found.count, found.nulls
    (3, 1)
    """

    takes_encoded = True

    path: Path
    folds: tuple[Fold[Any, Any], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.path[0],)

    def init(self) -> tuple[Any, ...]:
        return Product(self.folds).init()

    def update(self, state: tuple[Any, ...], batch: pa.RecordBatch) -> tuple[Any, ...]:
        array = batch.column(self.path[0])
        for step in self.path[1:]:
            array = _into(array, step)
        return Product(self.folds).update(state, pa.record_batch({INNER: array}))

    def merge(self, left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        return Product(self.folds).merge(left, right)

    def seal(self, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return Product(self.folds).seal(state)

    def finish(self, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return Product(self.folds).finish(state)


def paths(field: pa.Field) -> tuple[dict[Path, pa.DataType], int]:
    """The type at each path into a column, and how many more there are than are followed: below
    :data:`DEPTH` steps (fields below those are not counted), or past :data:`PATHS` paths.

    Vectors (fixed-size lists of floats) are not taken apart.

    >>> found, left_out = paths(pa.field("s", pa.struct({"a": pa.list_(pa.int8())})))
    >>> {"".join(path): str(dtype) for path, dtype in found.items()}, left_out
    ({'s.a': 'list<item: int8>', 's.a[]': 'int8'}, 0)
    """
    found: dict[Path, pa.DataType] = {}
    left_out = 0
    for path, dtype in _walk((field.name,), field.type):
        if path in found or len(path) > DEPTH + 1 or len(found) >= PATHS:
            left_out += 1
        else:
            found[path] = dtype
    return found, left_out


def shown(path: Path, taken: frozenset[str] | set[str]) -> str:
    """What to call a path where ``taken`` are the names of other columns and paths.

    >>> shown(("a", ".b"), {"a"}), shown(("a", ".b"), {"a", "a.b"})
    ('a.b', '"a".b')
    """
    root, steps = path[0], "".join(path[1:])
    while root + steps in taken:
        root = f'"{root}"'
    return root + steps


def _walk(path: Path, dtype: pa.DataType) -> Iterator[tuple[Path, pa.DataType]]:
    """Paths below one, parents first."""
    if len(path) > DEPTH + 1:
        return
    for step, inner in _steps(arrays.plain_type(dtype)):
        yield (*path, step), inner
        yield from _walk((*path, step), inner)


def _steps(dtype: pa.DataType) -> list[tuple[str, pa.DataType]]:
    if pa.types.is_struct(dtype):
        fields = [dtype.field(i) for i in range(dtype.num_fields)]
        return [(f".{field.name}", field.type) for field in fields]
    if pa.types.is_map(dtype):
        return [("{}.key", dtype.key_type), ("{}.value", dtype.item_type)]
    if values.is_list(dtype) and not is_vector(dtype):
        return [("[]", dtype.value_type)]
    return []


def _into(array: pa.Array, step: str) -> pa.Array:
    array = arrays.plain(array)
    dtype = array.type
    if step == "[]":
        return array.flatten()
    if pa.types.is_map(dtype):
        pairs = array.cast(pa.list_(pa.struct([dtype.key_field, dtype.item_field]))).flatten()
        return pc.struct_field(pairs, [0 if step == "{}.key" else 1])
    names = [dtype.field(i).name for i in range(dtype.num_fields)]
    return pc.struct_field(array, [names.index(step[1:])])
