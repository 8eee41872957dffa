"""Shingles: the overlapping runs of words or characters that a text is compared by.

``word:5`` takes every five words in a row. Words are what white space separates, as
:meth:`str.split` sees it; Chinese, Japanese or Thai is written without spaces, so there a "word" is
a sentence or more: use characters. ``char:24`` takes every 24 code points in a row, white space
included. A text that is shorter than a shingle has one shingle, all of it; a text without a word
(or without a character) has none.

Columns of strings and of binaries are taken. Bytes that are not UTF-8 are kept as they are: in a
word they are bytes like others, among characters each counts as one.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask.arrays import plain, plain_type, validity
from dsm_dask.errors import SchemaError, UsageError
from dsm_dask.stats.values import kind_of
from dsm_dask.table import Table

U64 = npt.NDArray[np.uint64]
Int64 = npt.NDArray[np.int64]
Buffers = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_]]


@dataclasses.dataclass(frozen=True)
class Shingles:
    """``size`` units in a row.

    >>> Shingles.parse("char:24")
    Shingles(unit='char', size=24)
    >>> two = Shingles.parse("word:2").sets(pa.array(["a b c", "a  b", "c", "", None]))
    >>> two[1].tolist()
    [2, 1, 1, 0, 0]
    """

    unit: Literal["word", "char"] = "word"
    size: int = 5

    @staticmethod
    def parse(text: str) -> Shingles:
        """Read ``word:N`` or ``char:N``; raises UsageError."""
        unit, _, size = text.partition(":")
        if unit in ("word", "char") and size.isdecimal() and 1 <= int(size) <= 1000:
            return Shingles("word" if unit == "word" else "char", int(size))
        raise UsageError(
            f"{text!r} is not a kind of shingle.", valid="word:N or char:N, N from 1 to 1000."
        )

    def __str__(self) -> str:
        return f"{self.unit}:{self.size}"

    @property
    def code(self) -> int:
        """What the compiled loops call the unit."""
        return 0 if self.unit == "word" else 1

    def sets(self, texts: pa.Array) -> tuple[U64, Int64]:
        """The different shingle hashes of each text, ascending, one text after the other, and how
        many each has (none for null)."""
        return self.sets_of(buffers(texts), np.arange(len(texts)))

    def sets_of(self, texts: Buffers, rows: Int64) -> tuple[U64, Int64]:
        """The same for some rows of a column's :func:`buffers`."""
        from dsm_dask.duplicates import text_kernels

        data, offsets, valid = texts
        size = int((offsets[rows + 1] - offsets[rows]).sum())
        room = (size if self.code else size // 2 + len(rows) + 1) + text_kernels.BLOCK
        found: tuple[U64, Int64] = text_kernels.shingle_sets(
            data, offsets, valid, rows, self.code, self.size, room
        )
        return found


def check_text(table: Table, column: str) -> None:
    """Raise SchemaError when a column holds no text."""
    dtype = plain_type(table.schema.field(column).type)
    if kind_of(dtype) not in {"string", "binary", "null"}:
        raise SchemaError(
            f"Column {column!r} is of type {dtype}, not text.",
            where=table.uri,
            valid="Give a column of strings or binaries, or compare values with --method exact.",
        )


def buffers(texts: pa.Array) -> Buffers:
    """Bytes, offsets (rows + 1) and validity (empty when no row is null) of a column of texts."""
    texts = plain(texts)
    if pa.types.is_null(texts.type):
        texts = texts.cast(pa.string())
    if pa.types.is_fixed_size_binary(texts.type):
        texts = texts.cast(pa.large_binary())
    wide = pa.types.is_large_string(texts.type) or pa.types.is_large_binary(texts.type)
    kind: Any = np.dtype(np.int64 if wide else np.int32)
    valid = validity(texts)
    _, raw, data = texts.buffers()
    none = np.empty(0, np.bool_)
    if raw is None or not len(texts):
        return np.empty(0, np.uint8), np.zeros(len(texts) + 1, np.int64), none
    offsets = np.frombuffer(raw, kind, len(texts) + 1, texts.offset * kind.itemsize)
    held = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return held, offsets.astype(np.int64), none if valid is None else np.ascontiguousarray(valid)
