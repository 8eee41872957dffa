"""Drift between two tables, or between a saved reference and a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from dsm_dask import storage
from dsm_dask.dataset.version import open_data
from dsm_dask.errors import NotFound, UsageError
from dsm_dask.fold import Fold
from dsm_dask.monitoring import methods
from dsm_dask.monitoring.comparison import SHARE, Comparison, compare, wanted
from dsm_dask.monitoring.importance import check_score, importance
from dsm_dask.sources.parquet import SUFFIXES
from dsm_dask.stats.covariance import Covariance
from dsm_dask.stats.random_features import RandomFeatures
from dsm_dask.stats.sketches import Sketches, load, sketch
from dsm_dask.stats.vector_sample import VectorSample
from dsm_dask.stats.vectors import is_vector
from dsm_dask.table import Table

EMBEDDING_FOLDS: dict[type[Any], str] = {
    Covariance: "covariance",
    RandomFeatures: "features",
    VectorSample: "vectors",
}
"""The states of embeddings that drift needs, and their names among the sketches of a column."""

_START = b"dsm"


class Engine(Protocol):
    """Whatever merges the states of a table, and counts what was moved."""

    def states(self, table: Table, folds: Sequence[Fold[Any, Any]]) -> tuple[Any, ...]: ...

    def mark(self) -> Any: ...


def drift(
    reference: Table | Sketches,
    current: Table | Sketches,
    columns: Sequence[str] | None = None,
    *,
    engine: Engine,
    method: str | None = None,
    threshold: float | None = None,
    share: float = SHARE,
    score: str | None = None,
) -> Comparison:
    """How far ``current`` moved from ``reference``; see
    :func:`~dsm_dask.monitoring.comparison.compare` for the options.

    States kept beside a dataset are used; what is missing is read once. ``score`` names a column of
    numbers, as a model's scores or errors, whose change is attributed to the columns that drifted
    (:mod:`dsm_dask.monitoring.importance`); that takes a second scan of both sides.
    """
    methods.check(method, threshold)  # before any row is read
    mark = engine.mark()
    sides = reference, current
    names = wanted([_columns(side) for side in sides], columns)
    if score is not None:
        _check_score(sides, score)
    sketches = [sketch_for_drift(side, _present(side, names), engine=engine) for side in sides]
    found = compare(
        sketches[0], sketches[1], columns, method=method, threshold=threshold, share=share
    )
    if score is not None and not (isinstance(reference, Sketches) or isinstance(current, Sketches)):
        made = importance(reference, current, found, sketches, score, engine=engine)
        found = dataclasses.replace(found, importance=made)
    titles = [getattr(side, "name", side.uri) for side in sides]  # a dataset says its version
    return dataclasses.replace(
        found, reference=titles[0], current=titles[1], io=mark.io, skipped=mark.skipped
    )


def _check_score(sides: Sequence[Table | Sketches], score: str) -> None:
    for side in sides:
        if isinstance(side, Sketches):
            raise UsageError(
                "A saved reference has no rows to attribute a change of scores to.",
                where=side.uri,
                valid="Give datasets or files, or leave out --score.",
            )
        check_score(side, score)


def sketch_for_drift(
    side: Table | Sketches, columns: Sequence[str] | None = None, *, engine: Engine
) -> Sketches:
    """The sketches of a table with the states of its embeddings: what to save as a reference.
    Sketches are narrowed to the columns."""
    if isinstance(side, Sketches):
        kept = side.columns if columns is None else {n: side.columns[n] for n in columns}
        return dataclasses.replace(side, columns=kept)
    made = sketch(side, columns, engine=engine)
    vectors = [name for name in made.columns if is_vector(made.schema.field(name).type)]
    folds = [kind(name) for name in vectors for kind in EMBEDDING_FOLDS]
    if not folds:
        return made
    found = {name: dict(states) for name, states in made.columns.items()}
    for fold, state in zip(folds, engine.states(side, folds), strict=True):
        found[fold.column][EMBEDDING_FOLDS[type(fold)]] = state
    return dataclasses.replace(made, columns=found)


def open_rows(data: Any, map_: Any = map) -> Table:
    """A table; raises UsageError for saved sketches, which have no rows."""
    if isinstance(data, Sketches) or (isinstance(data, str) and _is_saved(data)):
        raise UsageError(
            "Saved sketches have no rows to group.",
            where=data if isinstance(data, str) else data.uri,
            valid="Give datasets or files.",
        )
    return open_data(data, map_)  # type: ignore[no-any-return]


def open_side(data: Any, map_: Any = map) -> Table | Sketches:
    """A dataset, a table over files, or sketches that were saved, whichever ``data`` names.

    Raises StateVersion for sketches that this software does not read.
    """
    if isinstance(data, Sketches):
        return data
    if isinstance(data, str) and _is_saved(data):
        return load(data)
    return open_data(data, map_)  # type: ignore[no-any-return]


def _is_saved(uri: str) -> bool:
    """Saved sketches are one file that begins with the three letters of every state, whatever it
    is called."""
    if uri.lower().endswith(SUFFIXES):
        return False
    try:
        found = storage.info(uri)
    except NotFound:  # a folder, a glob, a dataset at a version; whoever opens it knows better
        return False
    if uri.endswith(".dsm"):
        return found.size is not None
    if found.size < len(_START):
        return False
    (start,) = storage.read_ranges(found.uri, [(0, len(_START))])
    return bytes(start) == _START


def _columns(side: Table | Sketches) -> Sequence[str]:
    return list(side.columns) if isinstance(side, Sketches) else side.schema.names


def _present(side: Table | Sketches, names: Sequence[str]) -> list[str]:
    known = set(_columns(side))
    return [name for name in names if name in known]
