"""Drift between two tables, or between a saved reference and a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pyarrow as pa

from dsm_dask import codec, storage
from dsm_dask.dataset.version import open_data
from dsm_dask.errors import NotFound, UsageError
from dsm_dask.fold import Fold
from dsm_dask.monitoring import methods
from dsm_dask.monitoring.comparison import (
    SHARE,
    Comparison,
    compare,
    measure_columns,
    wanted,
)
from dsm_dask.monitoring.importance import Bins, check_score, importance, score_bins
from dsm_dask.monitoring.measure import Measured
from dsm_dask.sources.parquet import SUFFIXES
from dsm_dask.stats.covariance import Covariance
from dsm_dask.stats.profile import FOLDS
from dsm_dask.stats.random_features import RandomFeatures
from dsm_dask.stats.sketches import Sketches, load, outline, sketch_folds
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
    """Whatever merges the states of tables, and counts what was moved."""

    def states(self, table: Table, folds: Sequence[Fold[Any, Any]]) -> tuple[Any, ...]: ...

    def over_states(
        self,
        function: Callable[..., Any],
        sides: Sequence[tuple[Table, Sequence[Fold[Any, Any]]]],
    ) -> Any: ...

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

    States kept beside a dataset are used; what is missing is read once. States are compared where
    they are, on a worker: only distances reach this process. ``score`` names a column of numbers,
    as a model's scores or errors, whose change is attributed to the columns that drifted
    (:mod:`dsm_dask.monitoring.importance`); that takes a second scan of both sides.
    """
    methods.check(method, threshold)  # before any row is read
    mark = engine.mark()
    sides = reference, current
    names = wanted([_columns(side) for side in sides], columns)
    if score is not None:
        _check_score(sides, score)
    outlines = [_outline(side, [n for n in names if n in set(_columns(side))]) for side in sides]
    tables = [
        (side, drift_states(side.schema, list(known.columns)))
        for side, known in zip(sides, outlines, strict=True)
        if not isinstance(side, Sketches)
    ]
    work = MeasureColumns(
        tuple(codec.encode(one) for one in outlines),
        tuple(not isinstance(side, Sketches) for side in sides),
        tuple(names),
        score,
    )
    measured, bins = engine.over_states(work, tables) if tables else work()
    before, after = outlines
    found = compare(
        before, after, columns, method=method, threshold=threshold, share=share, measured=measured
    )
    if score is not None and not (isinstance(reference, Sketches) or isinstance(current, Sketches)):
        made = importance(reference, current, found, bins, score, engine=engine)
        found = dataclasses.replace(found, importance=made)
    titles = [getattr(side, "name", side.uri) for side in sides]  # a dataset says its version
    return dataclasses.replace(
        found, reference=titles[0], current=titles[1], io=mark.io, skipped=mark.skipped
    )


@dataclasses.dataclass(frozen=True)
class MeasureColumns:
    """All distances of columns, and their bins for a score, if there is one. ``sides``: saved
    sketches; or outlines of what is ``scanned``, whose states are given when it is called. As
    bytes, since pickling would change some of their values."""

    sides: tuple[bytes, ...]
    scanned: tuple[bool, ...]
    names: tuple[str, ...]
    score: str | None

    def __call__(
        self, *states: Sequence[Any]
    ) -> tuple[dict[str, Measured | None], dict[str, Bins | None]]:
        given = iter(states)
        sides: list[Sketches] = [codec.decode(side) for side in self.sides]
        for place, side in enumerate(sides):
            if self.scanned[place]:
                folds = drift_states(side.schema, list(side.columns))
                sides[place] = side.holding(folds, next(given), _KINDS)
        measured = measure_columns(sides[0], sides[1], self.names)
        known = [name for name, one in measured.items() if one is not None]
        score = self.score
        return measured, {} if score is None else {n: score_bins(n, score, sides) for n in known}


_KINDS = {**FOLDS, **EMBEDDING_FOLDS}


def _check_score(sides: Sequence[Table | Sketches], score: str) -> None:
    for side in sides:
        if isinstance(side, Sketches):
            raise UsageError(
                "A saved reference has no rows to attribute a change of scores to.",
                where=side.uri,
                valid="Give datasets or files, or leave out --score.",
            )
        check_score(side, score)


def drift_states(schema: pa.Schema, names: Sequence[str]) -> list[Fold[Any, Any]]:
    """The Folds whose states drift needs of these columns: their sketches, and of embeddings
    some more."""
    vectors = [name for name in names if is_vector(schema.field(name).type)]
    more = [kind(name) for name in vectors for kind in EMBEDDING_FOLDS]
    return [*sketch_folds(schema, names), *more]


def sketch_for_drift(
    side: Table | Sketches, columns: Sequence[str] | None = None, *, engine: Engine
) -> Sketches:
    """The sketches of a table with the states of its embeddings: what to save as a reference.
    Sketches are narrowed to the columns."""
    made = _outline(side, columns)
    if isinstance(side, Sketches):
        return made
    folds = drift_states(side.schema, list(made.columns))
    return made.holding(folds, engine.states(side, folds), _KINDS)


def _outline(side: Table | Sketches, columns: Sequence[str] | None) -> Sketches:
    if not isinstance(side, Sketches):
        return outline(side, columns)
    kept = side.columns if columns is None else {n: side.columns[n] for n in columns}
    return dataclasses.replace(side, columns=kept)


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
