"""Column: one column of a batch, with what several statistics need of it computed once."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays
from dsm_dask.hashing import U64, hash_rows
from dsm_dask.stats import values

if TYPE_CHECKING:
    from dsm_dask.stats.text_scan import TextScan

Int64 = npt.NDArray[np.int64]
Places = npt.NDArray[Any]

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


@dataclasses.dataclass(frozen=True)
class Counted:
    """How often each distinct value of a batch occurs, and the values at some of the places."""

    counts: npt.NDArray[Any]
    at: Callable[[Places], pa.Array]


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
        uint64 or float64, with ``-0.0`` as ``0.0``; see :func:`dsm_dask.stats.values.present`."""
        from dsm_dask.stats import kernels

        array = self.plain
        if pa.types.is_decimal(array.type):
            array = array.cast(pa.float64())
        numbers, valid = arrays.fixed_width(array), arrays.validity(array)
        if numbers.dtype.kind == "f":
            some = np.empty(0, np.bool_) if valid is None else valid
            return kernels.present_floats(numbers, some)  # type: ignore[no-any-return]
        if valid is not None:
            numbers = kernels.present_integers(numbers, valid)
        return numbers if numbers.dtype == np.uint64 else numbers.astype(np.int64, copy=False)

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
    def texts(self) -> TextScan:
        """What one pass over the texts finds; over the distinct ones, where they come back."""
        from dsm_dask.stats import text_scan

        return text_scan.scan(*self._weighted)

    @functools.cached_property
    def counted(self) -> Counted:
        """The distinct values that are neither null nor NaN, and how often they occur."""
        if self._is_numeric:
            counts = np.diff(self.starts, append=len(self.ordered))
            return Counted(counts, self._numbers_at)
        if self.is_text and self._repeated is None:
            _, counts, firsts = self._groups
            return Counted(counts, lambda places: self._texts_at(firsts[places]))
        found, counts = self._repeated or self._plainly_counted
        return Counted(counts, lambda places: found.take(pa.array(places)))

    @functools.cached_property
    def hashes(self) -> U64:
        """A 64-bit hash of each distinct value that is neither null nor NaN."""
        from dsm_dask.stats import kernels

        if self._is_numeric:
            return kernels.mix(self.ordered[self.starts].view(np.uint64), np.uint64(_SEED))  # type: ignore[no-any-return]
        if self.is_text:
            return self.texts.hashes if self._repeated is not None else self._groups[0]
        array = self.stored
        if pa.types.is_dictionary(array.type):
            array = array.unique()
        array = values.without_missing(arrays.plain(array))
        return np.unique(hash_rows([array])[:, 0])

    def bounds(self) -> pa.Array | None:
        """[min, max] of a column of numbers, times or texts; None without any value."""
        if self._is_numeric:
            ordered = self.ordered
            return values.from_numpy(ordered[[0, -1]], self.type) if len(ordered) else None
        found = self.texts
        if found.first < 0:
            return None
        return self._weighted[0].take(pa.array([found.first, found.last]))

    @property
    def is_text(self) -> bool:
        """Strings and binaries, but for those of a fixed size."""
        return self.kind == "string" or (
            self.kind == "binary" and not pa.types.is_fixed_size_binary(self.type)
        )

    @functools.cached_property
    def type(self) -> pa.DataType:
        """The type of the values, without their encoding."""
        return arrays.plain_type(self.stored.type)

    def _numbers_at(self, places: Places) -> pa.Array:
        return values.from_numpy(self.ordered[self.starts[places]], self.type)

    def _texts_at(self, places: Places) -> pa.Array:
        """Of the texts that are not null."""
        texts, weights = self._weighted
        if texts.null_count:
            places = np.flatnonzero(weights)[places]
        return texts.take(pa.array(places))

    @functools.cached_property
    def _groups(self) -> tuple[U64, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        from dsm_dask.stats import kernels

        return kernels.group(self.texts.hashes)

    @functools.cached_property
    def _weighted(self) -> tuple[pa.Array, Int64]:
        """Texts, and how many rows hold each; those under nulls have no weight."""
        if self._repeated is not None:
            return self._repeated
        texts = self.plain
        valid = arrays.validity(texts)
        return texts, np.ones(len(texts), np.int64) if valid is None else valid.astype(np.int64)

    @functools.cached_property
    def _repeated(self) -> tuple[pa.Array, Int64] | None:
        """Distinct texts and their counts; None where most differ, and counting them so would not
        pay."""
        if pa.types.is_dictionary(self.stored.type):
            return _merged(*_code_counts(self.stored))
        sample = self.plain.slice(0, _SAMPLE)
        if len(self.plain) > _SAMPLE and len(sample.unique()) >= _SAMPLE // 4:
            return None
        return _plain_counts(self.plain.drop_null() if self.plain.null_count else self.plain)

    @functools.cached_property
    def _plainly_counted(self) -> tuple[pa.Array, Int64]:
        return _plain_counts(values.without_missing(self.plain))

    @property
    def _is_numeric(self) -> bool:
        return self.kind in {"integer", "float", "temporal"}


def _code_counts(array: pa.DictionaryArray) -> tuple[pa.Array, Int64]:
    """The entries of a dictionary that occur, and how often."""
    codes, valid = arrays.fixed_width(array.indices), arrays.validity(array.indices)
    counts = np.bincount(codes if valid is None else codes[valid])
    used = np.flatnonzero(counts)
    return arrays.plain(array.dictionary).take(pa.array(used)), counts[used]


def _plain_counts(array: pa.Array) -> tuple[pa.Array, Int64]:
    both = array.value_counts()
    return arrays.plain(both.field("values")), arrays.fixed_width(both.field("counts"))


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
