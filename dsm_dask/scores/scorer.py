"""What a score is: new columns that depend on the same things.

Some scores depend on their row alone (the entropy of its probabilities), some on the whole table as
well (whether a label is an issue depends on thresholds for each class). What the whole table gives
is computed first, by Folds, as a few numbers: the :data:`Quantities`. They are what tells whether
scores of earlier rows are still right after rows were appended. So columns that depend on them, and
columns that do not, belong to different scorers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa

from dsm_dask.engine import Engine
from dsm_dask.table import Table

Quantities = Mapping[str, Any]
"""Plain data (numbers, strings, lists, NumPy arrays) that :mod:`dsm_dask.codec` takes; a few
kilobytes. What is under a name with an underscore before it (where workers have left something) is
given to :meth:`Scorer.apply`, but says nothing about whether scores are still right."""


class Scorer(Protocol):
    """A frozen, picklable dataclass. One of which :meth:`prepare` reads other columns than
    :meth:`apply` does has an attribute ``sources``: all that its scores depend on. One of which
    :meth:`prepare` is expensive may have a method ``data_digest(table) -> str`` of all that its
    quantities depend on in a table: as long as this is the same, it is not prepared again."""

    @property
    def name(self) -> str:
        """Such as ``uncertainty``."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that :meth:`apply` looks at."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The columns that it makes; all may be null."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """The method and all that was asked for, as in JSON: the same for the same scores."""
        ...

    def prepare(self, table: Table, engine: Engine, work: str) -> Quantities:
        """What the scores depend on besides their row, from the whole table; empty when nothing.

        ``work`` is the URI of a folder for what workers have to leave for each other; it is removed
        when all rows are scored.
        """
        ...

    def apply(self, batch: pa.RecordBatch, quantities: Quantities) -> pa.RecordBatch:
        """As many rows as ``batch``, with the columns of :attr:`schema`."""
        ...


class RowScorer:
    """A part of scorers whose scores of a row depend on the row alone."""

    def prepare(self, table: Table, engine: Engine, work: str) -> Quantities:
        """Nothing."""
        del table, engine, work
        return {}
