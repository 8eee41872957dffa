"""Sections of a band file: ascending records, read and checked by ranges of their first number.

The file's head has marks and sums of each section at fixed places, see
:mod:`dsm_dask.duplicates.band_files`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import xxhash

from dsm_dask import storage
from dsm_dask.duplicates.damage import check, reading

U64 = npt.NDArray[np.uint64]

HEAD = 18
"""Numbers of the head before those of the sections."""

KEY, DIGEST = 1, 3
"""Numbers in a record: band key and row packed into one; two of a digest and the row id."""

MARKS = {KEY: 512, DIGEST: 64}
"""Marks in the head, at most."""
_PLACE = {KEY: HEAD, DIGEST: HEAD + 2 * MARKS[KEY]}
START = (HEAD + 2 * sum(MARKS.values())) * 8
"""Bytes of the head."""
STEP = 1024
"""Records from one mark to the next, at least."""


@dataclasses.dataclass(frozen=True)
class Section:
    """Records of ``width`` u64, ascending by the first number: how many, and how many there are
    from one mark to the next."""

    width: int
    count: int
    step: int

    @staticmethod
    def of(records: U64) -> Section:
        """The description of ``records``, of shape (records, width)."""
        count, width = records.shape
        return Section(width, count, max(STEP, -(-count // MARKS[width])))

    @property
    def size(self) -> int:
        return self.count * self.width * 8

    def marks(self, head: U64) -> tuple[U64, U64]:
        """The places in a head for every ``step``-th first number, and for XXH3-64 of the records
        from each of these to the next."""
        at, marks = _PLACE[self.width], -(-self.count // self.step)
        sums_at = at + MARKS[self.width]
        return head[at : at + marks], head[sums_at : sums_at + marks]

    def mark(self, head: U64, records: U64) -> None:
        """Fill these places."""
        marks, sums = self.marks(head)
        marks[:], sums[:] = records[:: self.step, 0], _sums(records, self.step)

    def between(self, head: U64, uri: str, start: int, low: int, high: int) -> U64:
        """Records of an object, in which the section begins at byte ``start``, of which the first
        number is from ``low`` to ``high``, both included."""
        marks, _ = self.marks(head)
        first = max(0, int(np.searchsorted(marks, np.uint64(low))) - 1)
        last = int(np.searchsorted(marks, np.uint64(high), "right"))
        if first >= last:
            return np.empty((0, self.width), np.uint64)
        records = self._from_mark_to_mark(head, uri, start, first, last)
        begin = np.searchsorted(records[:, 0], np.uint64(low))
        end = np.searchsorted(records[:, 0], np.uint64(high), "right")
        return records[begin:end]

    def check(self, head: U64, uri: str, start: int) -> None:
        """Read all of it; raises DamagedFile when it is not what was written."""
        if self.count:
            self._from_mark_to_mark(head, uri, start, 0, len(self.marks(head)[0]))

    def checked(self, head: U64, uri: str, data: memoryview, first: int = 0) -> U64:
        """The records in ``data``, which begins at a mark."""
        records = np.frombuffer(data, "<u8").reshape(-1, self.width)
        sums = _sums(records, self.step)
        wanted = self.marks(head)[1][first : first + len(sums)]
        check(np.array_equal(sums, wanted), uri)
        return records

    def _from_mark_to_mark(self, head: U64, uri: str, start: int, first: int, last: int) -> U64:
        begin, end = first * self.step, min(self.count, last * self.step)
        record = self.width * 8
        with reading(uri):
            (data,) = storage.read_ranges(uri, [(start + begin * record, start + end * record)])
        return self.checked(head, uri, data, first)


def _sums(records: U64, step: int) -> U64:
    parts = (records[start : start + step] for start in range(0, len(records), step))
    return np.array([xxhash.xxh3_64_intdigest(part.data) for part in parts], "<u8")
