"""Column: one column of a batch, with what several statistics need of it computed once."""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.hashing import U64, hash_rows
from dsm_dask.stats import values

Int64 = npt.NDArray[np.int64]

_SAMPLE = 1024
_SEED = 0x5851F42D4C957F2D
_latest = threading.local()


def of(batch: pa.RecordBatch, name: str) -> Column:
    """The column of a batch. Asked again for the same one, it is the same object: the statistics
    of a column are updated one after another."""
    known = getattr(_latest, "known", None)
    if known is None or known[0] is not batch or known[1] != name:
        known = _latest.known = (batch, name, Column(batch.column(name)))
    return known[2]


class Column:
    """Lazy views of the values of a column; none of them may be changed."""

    def __init__(self, array: pa.Array) -> None:
        self.stored = array

    @functools.cached_property
    def plain(self) -> pa.Array:
        """The values without their encoding."""
        return arrays.plain(self.stored)

    @functools.cached_property
    def kind(self) -> str:
        """See :func:`dsm_dask.stats.values.kind_of`."""
        return values.kind_of(self.stored.type)

    @functools.cached_property
    def numbers(self) -> npt.NDArray[Any]:
        """The values that are neither null nor NaN, of a numeric or temporal column, as int64,
        uint64 or float64; see :func:`dsm_dask.stats.values.present`."""
        found = values.present(self.plain)
        if found.dtype == np.uint64:
            return found
        return found.astype(np.float64 if found.dtype.kind == "f" else np.int64, copy=False)

    @functools.cached_property
    def ordered(self) -> npt.NDArray[Any]:
        """:attr:`numbers`, sorted."""
        from dsm_dask.stats import kernels

        return kernels.sort(self.numbers)

    @functools.cached_property
    def starts(self) -> Int64:
        """Where each distinct number begins in :attr:`ordered`."""
        from dsm_dask.stats import kernels

        return kernels.run_starts(self.ordered)  # type: ignore[no-any-return]

    @functools.cached_property
    def value_counts(self) -> tuple[pa.Array, Int64] | None:
        """Distinct values and how often they occur, without nulls and NaN; None for texts and
        binaries most of which differ, where :attr:`text_runs` are the faster way."""
        if self._is_numeric:
            counts = np.diff(self.starts, append=len(self.ordered))
            return values.from_numpy(self.ordered[self.starts], self.plain.type), counts
        if self._is_text and not self._is_repetitive:
            return None
        coded = pa.types.is_dictionary(self.stored.type) and self._is_text
        array = self.stored.drop_null() if coded else values.without_missing(self.plain)
        both = array.value_counts()
        found, counts = both.field("values"), arrays.fixed_width(both.field("counts"))
        return _merged(arrays.plain(found), counts) if coded else (found, counts)

    @functools.cached_property
    def hashes(self) -> U64:
        """A 64-bit hash of each distinct value that is neither null nor NaN."""
        from dsm_dask.stats import kernels

        if self._is_numeric:
            return kernels.mix(self.ordered[self.starts].view(np.uint64), np.uint64(_SEED))  # type: ignore[no-any-return]
        if self._is_text:
            counted = self.value_counts
            if counted is not None:
                return _text_hashes(counted[0])
            ordered, starts = self.text_runs
            return ordered[starts]
        array = self.stored
        if pa.types.is_dictionary(array.type):
            array = array.unique()
        array = values.without_missing(arrays.plain(array))
        return np.unique(hash_rows([array])[:, 0])

    @functools.cached_property
    def text_hashes(self) -> U64:
        """A hash of each of :attr:`present`."""
        return _text_hashes(self.present)

    @functools.cached_property
    def text_runs(self) -> tuple[U64, Int64]:
        """:attr:`text_hashes` sorted, and where each distinct one begins."""
        from dsm_dask.stats import kernels

        ordered = kernels.sort(self.text_hashes)
        return ordered, kernels.run_starts(ordered)

    @functools.cached_property
    def present(self) -> pa.Array:
        """The values that are not null, of a column of texts or binaries."""
        return self.plain.drop_null() if self.plain.null_count else self.plain

    @property
    def _is_numeric(self) -> bool:
        return self.kind in {"integer", "float", "temporal"}

    @property
    def _is_text(self) -> bool:
        return self.kind == "string" or (
            self.kind == "binary" and not pa.types.is_fixed_size_binary(self.plain.type)
        )

    @functools.cached_property
    def _is_repetitive(self) -> bool:
        """Guessed from the first rows: counting distinct values pays only when they come back."""
        if pa.types.is_dictionary(self.stored.type):
            return True
        sample = self.present.slice(0, _SAMPLE)
        return len(self.present) <= _SAMPLE or len(sample.unique()) < _SAMPLE // 4


def _merged(found: pa.Array, counts: Int64) -> tuple[pa.Array, Int64]:
    """A dictionary may hold a value twice, or null."""
    if len(found.unique()) == len(found) and not found.null_count:
        return found, counts
    table = pa.table({"value": found, "count": counts}).filter(found.is_valid())
    summed = table.group_by("value", use_threads=False).aggregate([("count", "sum")])
    summed = summed.combine_chunks()
    return (
        pa.concat_arrays(summed["value"].chunks or [found.slice(0, 0)]),
        summed["count_sum"].to_numpy(),
    )


def _text_hashes(array: pa.Array) -> U64:
    from dsm_dask.stats import kernels

    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offsets, data = array.buffers()
    if offsets is None or not len(array):
        return np.empty(0, np.uint64)
    kind = np.dtype(np.int64 if wide else np.int32)
    starts = np.frombuffer(offsets, kind, len(array) + 1, array.offset * kind.itemsize)
    raw = np.frombuffer(b"" if data is None else data, np.uint8)
    return kernels.hash_bytes(raw, starts, np.uint64(_SEED))  # type: ignore[no-any-return]
