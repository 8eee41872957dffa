"""What sorts of text a column holds."""

from __future__ import annotations

import dataclasses

import pyarrow as pa

from dsm_dask import codec
from dsm_dask.stats import column as columns
from dsm_dask.stats import values


@codec.state("stats.text_classes", 1)
@dataclasses.dataclass(frozen=True)
class TextCounts:
    """How many of ``count`` values (nulls are none) are ``empty``; ``blank``: only white space, but
    some; ``padded``: with white space before or after other text; ``numeric``: read as a number;
    ``non_ascii``: with a byte above 127; ``invalid_utf8``: no text in UTF-8. ``bytes`` and
    ``characters`` are totals. State and result of :class:`TextClasses`."""

    count: int = 0
    empty: int = 0
    blank: int = 0
    padded: int = 0
    numeric: int = 0
    non_ascii: int = 0
    invalid_utf8: int = 0
    bytes: int = 0
    characters: int = 0


@dataclasses.dataclass(frozen=True)
class TextClasses:
    """Classes of the values of a string or binary column. Exact.

    White space is what Unicode calls White_Space. A number is a sign or none, digits with one
    decimal point or none, and an exponent or none, all in ASCII, with white space around it or not:
    what most parsers of CSV take for a number. Characters are code points (in bytes that are not
    UTF-8: those that do not continue one). One pass over the bytes, compiled; each value of a
    dictionary is looked at once.

    >>> from dsm_dask.fold import run
    >>> found = run(TextClasses("x"), [pa.record_batch({"x": ["", " ", "-1.5e3 ", "né", None]})])
    >>> found.count, found.empty, found.blank, found.padded, found.numeric, found.non_ascii
    (4, 1, 1, 1, 1, 1)
    """

    takes_encoded = True

    column: str

    @staticmethod
    def accepts(dtype: pa.DataType) -> bool:
        return values.kind_of(dtype) in {"string", "binary"}

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def init(self) -> TextCounts:
        return TextCounts()

    def update(self, state: TextCounts, batch: pa.RecordBatch) -> TextCounts:
        found = columns.of(batch, self.column).texts
        return self.merge(state, TextCounts(*found.counts.tolist()))

    def merge(self, left: TextCounts, right: TextCounts) -> TextCounts:
        pairs = zip(dataclasses.astuple(left), dataclasses.astuple(right), strict=True)
        return TextCounts(*(a + b for a, b in pairs))

    def finish(self, state: TextCounts) -> TextCounts:
        return state
