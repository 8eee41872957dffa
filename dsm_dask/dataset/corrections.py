"""Corrections that people made: a key, the cells to change, and who changed them."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import arrays
from dsm_dask.dataset.annotation_tools.answers import SEVERAL, Several
from dsm_dask.dataset.annotation_tools.exports import WHO as EXPORTED
from dsm_dask.dataset.annotation_tools.exports import corrections_of, read_export
from dsm_dask.dataset.columns import COMPUTED
from dsm_dask.dataset.correction_files import read_rows
from dsm_dask.dataset.fitting import fit
from dsm_dask.dataset.version import Dataset
from dsm_dask.errors import BadRows, UnknownColumn, UsageError, nearest
from dsm_dask.table import ROW_ID

WHO = ("annotator", "who")
"""Columns of the file that name who made each correction, unless the dataset has such a column."""

AUTHOR = "_dsm_author"

_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Corrections:
    """``table``: the key, the columns to change with the dataset's types, and :data:`AUTHOR`."""

    uri: str
    on: str
    table: pa.Table
    left: int = 0
    """Tasks of an annotation tool that have no answer, or none that is settled."""
    numbered: bool = True
    """Are these all rows of the file, in its order? Of a form or an export they are not."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to change."""
        return tuple(name for name in self.table.column_names if name not in (self.on, AUTHOR))

    @property
    def keys(self) -> pa.Array:
        return arrays.plain(one_array(self.table.column(self.on)))

    def encode(self) -> bytes:
        """An Arrow IPC file, for the workers."""
        sink = io.BytesIO()
        with pa.ipc.new_file(sink, self.table.schema) as writer:
            writer.write_table(self.table)
        return sink.getvalue()

    @property
    def digest(self) -> str:
        return hashlib.blake2b(self.encode(), digest_size=16).hexdigest()

    def named(self, rows: Sequence[int] | npt.NDArray[Any]) -> str:
        """Some rows with their keys, for messages.

        >>> table = pa.table({"id": [7, 8], AUTHOR: ["ann", "ann"]})
        >>> Corrections("fixes.csv", "id", table).named([1])
        'row 2 (id 8)'
        """
        shown = [(int(row), self._key(int(row))) for row in rows[:_SHOWN]]
        more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
        if not self.numbered:
            return f"{', '.join(key for _, key in shown)}{more}"
        told = ", ".join(f"{row + 1} ({key})" for row, key in shown)
        return f"row{'s' if len(rows) > 1 else ''} {told}{more}"

    def _key(self, row: int) -> str:
        return f"{self.on} {self.table.column(self.on)[row].as_py()!r}"


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """The column of a table as one array, empty or not."""
    found = column.combine_chunks()
    return found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)


def read_corrections(
    uri: str,
    base: Dataset,
    on: str | None,
    who: str | None,
    tool: str | None = None,
    several: Several = "error",
) -> Corrections:
    """Read a file of corrections and hold it to the dataset; ``who`` made those that do not say.
    Exports of annotation tools are recognised, or said to be of a ``tool``; tasks that annotators
    answered differently are an error, unless ``several`` is ``last`` or ``skip``.

    Raises UnknownColumn, SchemaError or BadRows for columns that the dataset lacks or that are
    computed, values of another type, and keys that are null or come twice.
    """
    export, left, numbered = read_export(uri, tool), 0, False
    if several not in SEVERAL:
        raise UsageError(f"{several!r} is unknown.", valid=", ".join(SEVERAL) + ".")
    if export is not None:
        on, told, left = corrections_of(export, base.schema, on, several)
    elif on is None:
        raise UsageError("Which column is the key?", valid="--on COL, or --on _rowid.")
    else:
        rows = read_rows(uri)
        told = _filled_in(rows, on)
        numbered = told.num_rows == rows.num_rows
    key_type = _key_type(base, on)
    if on not in told.column_names:
        raise UnknownColumn(
            f"{uri} has no column {on!r}.", where=uri, valid=nearest(on, told.column_names)
        )
    author = _author_column(told, base, on) if export is None else EXPORTED
    changed = [name for name in told.column_names if name not in (on, author)]
    if not changed:
        raise UsageError(f"{uri} has no column to change besides {on!r}.", where=uri)
    for name in changed:
        _check_column(base, name, uri)
    types = {on: key_type, **{name: base.schema.field(name).type for name in changed}}
    keys = None if numbered else [f"{on} {key}" for key in told.column(on).to_pylist()]
    columns = {n: fit(one_array(told.column(n)), kind, n, uri, keys) for n, kind in types.items()}
    columns[AUTHOR] = _authors(told, author, who, uri)
    found = Corrections(uri, on, pa.table(columns), left, numbered)
    _check_keys(found)
    return found


def _author_column(told: pa.Table, base: Dataset, on: str) -> str | None:
    taken = (*base.schema.names, on)
    return next((name for name in WHO if name in told.column_names and name not in taken), None)


REMARK = "#"
"""A file with columns of which the names begin so is a form."""


def _filled_in(told: pa.Table, on: str) -> pa.Table:
    """A form without its remarks, and without the rows in which nothing was filled in.

    >>> form = pa.table({"id": [1, 2], "label": ["cat", None], "#label": ["dog", "cat"]})
    >>> _filled_in(form, "id").to_pydict()
    {'id': [1], 'label': ['cat']}
    """
    names = [name for name in told.column_names if not name.startswith(REMARK)]
    if names == told.column_names:
        return told
    form = told.select(names)
    cells = [form.column(name).is_valid() for name in names if name not in (on, *WHO)]
    return form.filter(functools.reduce(pc.or_, cells)) if cells else form


def _key_type(base: Dataset, on: str) -> pa.DataType:
    if on == ROW_ID:
        return pa.uint64()
    if on not in base.schema.names:
        raise UnknownColumn(
            f"There is no column {on!r}.", where=base.name, valid=nearest(on, base.schema.names)
        )
    kind = arrays.plain_type(base.schema.field(on).type)
    if not is_key(kind):
        raise UsageError(
            f"Column {on!r} is {kind}, which is no key.",
            where=base.name,
            valid="A column of integers or texts, or _rowid.",
        )
    return kind


def is_key(kind: pa.DataType) -> bool:
    """Can values of a type tell rows apart?"""
    return not (pa.types.is_nested(kind) or pa.types.is_floating(kind))


def _check_column(base: Dataset, name: str, uri: str) -> None:
    if name not in base.schema.names:
        raise UnknownColumn(
            f"{uri} has a column {name!r}, which {base.name} has not.",
            where=uri,
            valid=f"{nearest(name, base.schema.names)} {' or '.join(WHO)} may say who corrected.",
        )
    if COMPUTED.encode() in (base.schema.field(name).metadata or {}):
        raise UsageError(
            f"Column {name!r} of {base.name} is computed: it says so, and by what.",
            where=uri,
            valid="Correct the columns that it is computed from, and score again.",
        )


def _authors(told: pa.Table, column: str | None, who: str | None, uri: str) -> pa.Array:
    default = who or _user()
    if column is None:
        return pa.array(np.full(told.num_rows, default, object), pa.string())
    named = fit(one_array(told.column(column)), pa.string(), column, uri)
    return pc.fill_null(named, default)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such user, as in some containers
        return "unknown"


def _check_keys(found: Corrections) -> None:
    keys = found.keys
    nulls = np.flatnonzero(keys.is_null().to_numpy(zero_copy_only=False))
    if len(nulls):
        raise BadRows(
            f"There is no {found.on} in {found.named(nulls)} of {found.uri}.", where=found.uri
        )
    first = pc.index_in(keys, keys.unique()).to_numpy()
    counts = np.bincount(first) if len(first) else np.empty(0, np.int64)
    twice = np.flatnonzero(counts[first] > 1)
    if len(twice):
        raise BadRows(
            f"The same {found.on} comes twice: {found.named(twice)} of {found.uri}.",
            where=found.uri,
            valid="One row for each key.",
        )


def check_matches(found: Corrections, matches: npt.NDArray[np.int64], dataset: str) -> None:
    """Raise BadRows unless every key is that of exactly one row of the dataset; ``matches`` is how
    many rows have it."""
    problems = {
        f"No row of {dataset} has the key of": matches == 0,
        f"Several rows of {dataset} have the key of": matches > 1,
    }
    for problem, rows in ((text, np.flatnonzero(mask)) for text, mask in problems.items()):
        if len(rows):
            raise BadRows(
                f"{problem} {found.named(rows)} of {found.uri}.",
                where=found.uri,
                valid="Nothing was written. `_rowid` is a key that every row has, and none shares.",
            )
