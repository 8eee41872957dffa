"""Sketches: the merged states of a table, from which profiles, checks and drift come."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from dsm_dask import codec, storage
from dsm_dask.errors import StateVersion
from dsm_dask.fold import Fold
from dsm_dask.stats.profile import FOLDS, Profile, folds_for
from dsm_dask.table import Table, check_columns


class Engine(Protocol):
    """Whatever merges the states of a table."""

    def states(self, table: Table, folds: Sequence[Fold[Any, Any]]) -> tuple[Any, ...]: ...


@codec.state("stats.sketches", 1)
@dataclasses.dataclass(frozen=True, eq=False)
class Sketches:
    """What is known of a table without its rows.

    ``columns[name][kind]`` is a state; kinds are the values of
    :data:`dsm_dask.stats.profile.FOLDS`. Bounded by the number of columns, whatever the rows.
    """

    uri: str
    ipc_schema: bytes
    rows: int
    columns: Mapping[str, Mapping[str, Any]]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the table, in the order of its columns."""
        return pa.ipc.read_schema(pa.py_buffer(self.ipc_schema))

    def holding(
        self,
        folds: Sequence[Fold[Any, Any]],
        states: Sequence[Any],
        kinds: Mapping[type[Any], str] = FOLDS,
    ) -> Sketches:
        """These with the states that Folds of one column each left, named by ``kinds``."""
        found = {name: dict(known) for name, known in self.columns.items()}
        for fold, state in zip(folds, states, strict=True):
            found[fold.columns[0]][kinds[type(fold)]] = state
        return dataclasses.replace(self, columns=found)

    def profile(self) -> Profile:
        """The profile that a scan of the table would give."""
        folds = sketch_folds(self.schema, list(self.columns))
        results = [fold.finish(self.columns[fold.columns[0]][FOLDS[type(fold)]]) for fold in folds]
        return Profile.from_results(self.schema, folds, results, rows=self.rows)

    def save(self, uri: str) -> int:
        """Write to a file, to compare with later; its size in bytes."""
        data = codec.encode(self)
        storage.write(uri, data)
        return len(data)


def sketch(table: Table, columns: Sequence[str] | None = None, *, engine: Engine) -> Sketches:
    """The states of some or all columns of a table: from those kept beside a dataset where there
    are any, by one scan otherwise."""
    made = outline(table, columns)
    folds = sketch_folds(table.schema, list(made.columns))
    return made.holding(folds, engine.states(table, folds))


def outline(table: Table, columns: Sequence[str] | None = None) -> Sketches:
    """Sketches of some or all columns of a table, without any states yet."""
    names = list(dict.fromkeys(table.schema.names if columns is None else columns))
    check_columns(table, names)
    ipc_schema = table.schema.remove_metadata().serialize().to_pybytes()
    return Sketches(table.uri, ipc_schema, table.rows, {name: {} for name in names})


def sketch_folds(schema: pa.Schema, names: Sequence[str]) -> list[Fold[Any, Any]]:
    """The Folds whose states are the sketches of these columns."""
    every = [fold for name in names for fold in folds_for(schema.field(name))]
    return [fold for fold in every if type(fold) in FOLDS]


def load(uri: str) -> Sketches:
    """Sketches that :meth:`Sketches.save` wrote.

    Raises :class:`~dsm_dask.errors.StateVersion` for any other file, or one whose states this
    software does not read.
    """
    try:
        found = codec.decode(storage.read(uri))
    except StateVersion as error:
        raise StateVersion(error.what, where=uri, valid="Save the profile again.") from error
    if not isinstance(found, Sketches):
        raise StateVersion("This file holds no sketches.", where=uri)
    return found
