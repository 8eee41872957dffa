"""Decisions: which rows to drop, why, and in favour of which, as Parquet in the store.

One file a bucket. Row groups hold neighbouring row ids, so that whoever drops rows of one fragment
reads only the row groups that may name them.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsm_dask import storage
from dsm_dask.dataset.partition import DatasetPartition, Fragment, live_rows
from dsm_dask.duplicates.shares import side_by_side
from dsm_dask.sources.file_part import FilePart
from dsm_dask.sources.footer import as_file, read_footer
from dsm_dask.sources.parquet import SUFFIXES

SCHEMA = pa.schema(
    [
        pa.field("row_id", pa.uint64(), nullable=False),
        pa.field("cluster", pa.uint64(), nullable=False),
        pa.field("role", pa.dictionary(pa.int8(), pa.string())),
        pa.field("similarity", pa.float32()),
        pa.field("reason", pa.dictionary(pa.int8(), pa.string())),
        pa.field("against", pa.dictionary(pa.int8(), pa.string())),
    ]
)
"""``cluster`` is the row id of the row that is kept; ``role`` is ``duplicate``, or ``kept`` (exact
does not list those rows); ``similarity`` is that of the strongest of the pairs that connect the row
to its cluster, null when it was not measured; ``against`` names the other table that the kept row
is in, null when it is a row of the data."""

GROUP = 1 << 16
"""Rows in a row group, at most."""

_NUMBERS = ("row_id", "cluster")
_ENCODING: dict[str, Any] = {
    "compression": "none",
    "use_dictionary": [name for name in SCHEMA.names if name not in _NUMBERS],
    "column_encoding": dict.fromkeys(_NUMBERS, "DELTA_BINARY_PACKED"),
    "write_statistics": ["row_id", "role"],
}
"""Row ids as the differences of neighbours: less than half the size of what Zstandard makes of
them, in a sixth of the time. The other columns are next to nothing."""

_ROWS_AND_ROLES = [SCHEMA.get_field_index(name) for name in ("row_id", "role")]
DUPLICATE, KEPT = 0, 1
ROLES = ("duplicate", "kept")


class DecisionWriter:
    """Collects decisions about duplicates into a Parquet file; one row group a call.

    ``against`` are the names of the other tables, numbered from 1.
    """

    def __init__(self, reason: str, against: Sequence[str] = ()) -> None:
        self._reason = reason
        self._against = against
        self._sink = io.BytesIO()
        self._writer = pq.ParquetWriter(self._sink, SCHEMA, **_ENCODING)
        self.rows = 0

    def add(
        self,
        row_ids: npt.NDArray[np.uint64],
        clusters: npt.NDArray[np.uint64],
        *,
        roles: npt.NDArray[np.int8] | None = None,
        similarity: npt.NDArray[np.float32] | None = None,
        tables: npt.NDArray[Any] | None = None,
    ) -> None:
        """Rows, the kept row of each, and its table (0 is the data). By default all rows are
        duplicates of similarity 1 of rows of the data. NaN is a similarity that is not known."""
        if not len(row_ids):
            return
        from dsm_dask.stats.kernels import argsort, sort_pairs

        count = len(row_ids)
        if roles is None and similarity is None and tables is None:
            row_ids, clusters = sort_pairs(row_ids, clusters)
        else:
            order = argsort(row_ids)
            row_ids, clusters = row_ids[order], clusters[order]
            roles, similarity, tables = (
                _at(roles, order),
                _at(similarity, order),
                _at(tables, order),
            )
        roles = np.full(count, DUPLICATE, np.int8) if roles is None else roles
        alike = np.ones(count, np.float32) if similarity is None else similarity
        columns = [
            pa.array(row_ids),
            pa.array(clusters),
            pa.DictionaryArray.from_arrays(roles.astype(np.int8), pa.array(ROLES)),
            pa.array(alike, from_pandas=True),
            pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), pa.array([self._reason])),
            self._names(tables, count),
        ]
        table = pa.Table.from_arrays(columns, schema=SCHEMA)
        self._writer.write_table(table, row_group_size=GROUP)
        self.rows += count

    def _names(self, tables: npt.NDArray[Any] | None, count: int) -> pa.DictionaryArray:
        if tables is None:
            places = pa.nulls(count, pa.int8())
        else:
            here = tables == 0
            places = pa.array(np.where(here, 0, tables - 1).astype(np.int8), mask=here)
        return pa.DictionaryArray.from_arrays(places, pa.array(self._against, pa.string()))

    def close(self) -> bytes:
        self._writer.close()
        return self._sink.getvalue()


def _at(values: npt.NDArray[Any] | None, order: npt.NDArray[np.int64]) -> npt.NDArray[Any] | None:
    return None if values is None else values[order]


@dataclasses.dataclass(frozen=True)
class ChooseListed:
    """The rows that decisions in a folder name (see :class:`dsm_dask.dataset.drop.Chooser`)."""

    folder: str
    run: str
    """Files of other runs in the same folder do not count; their names begin differently."""

    def offsets(self, partition: DatasetPartition, fragment: Fragment) -> npt.NDArray[Any]:
        offsets, row_ids = live_rows(partition, fragment)
        if not len(row_ids):
            return offsets
        first, last = int(row_ids.min()), int(row_ids.max())
        return offsets[_is_in(row_ids, self.between(first, last), first, last)]

    def between(self, first: int, last: int) -> npt.NDArray[np.uint64]:
        """Row ids listed from ``first`` to ``last``, read from the row groups that may have any."""
        found = [np.empty(0, np.uint64)]
        for part, groups in _row_groups(self.folder, self.run, storage.current_options()):
            for index, low, high, mixed in groups:
                if low <= last and high >= first:
                    ids = _row_ids(part, index, mixed)
                    begin, stop = np.searchsorted(ids, np.array([first, last], np.uint64))
                    stop += stop < len(ids) and ids[stop] == last
                    found.append(ids[begin:stop])
        return np.concatenate(found)


def _is_in(
    rows: npt.NDArray[np.uint64], listed: npt.NDArray[np.uint64], first: int, last: int
) -> npt.NDArray[np.bool_]:
    """Whether each row is listed; both are from ``first`` to ``last``."""
    if last - first > 16 * (len(rows) + len(listed)):
        return np.isin(rows, listed)
    table = np.zeros(last - first + 1, np.bool_)
    table[listed - np.uint64(first)] = True
    found: npt.NDArray[np.bool_] = table[rows - np.uint64(first)]
    return found


_Group = tuple[int, int, int, bool]
"""Of a row group its number, its least and greatest row id, and whether other rows than duplicates
may be among them."""


@functools.lru_cache(maxsize=4)
def _row_groups(
    folder: str, run: str, options: storage.Options
) -> tuple[tuple[FilePart, tuple[_Group, ...]], ...]:
    """Files of a folder and their row groups; read once."""
    del options  # part of the cache key: the same folder may be another place
    files = [file for file in storage.find(folder, SUFFIXES) if _is_of(run, file.uri)]
    return tuple(side_by_side(_read_row_groups, files))


def _is_of(run: str, uri: str) -> bool:
    return storage.name(uri).startswith(run)


def _read_row_groups(file: storage.ObjectInfo) -> tuple[FilePart, tuple[_Group, ...]]:
    whole = read_footer(file)
    (tail,) = storage.read_ranges(file.uri, [(file.size - whole.footer_size, file.size)], file.etag)
    metadata = pq.read_metadata(io.BytesIO(as_file(bytes(tail))))
    groups = []
    for index in range(metadata.num_row_groups):
        rows, roles = (metadata.row_group(index).column(k).statistics for k in _ROWS_AND_ROLES)
        mixed = roles is None or {roles.min, roles.max} != {ROLES[DUPLICATE]}
        groups.append((index, rows.min, rows.max, mixed))
    count = metadata.num_row_groups
    sizes = (file.uri, file.size, file.etag, whole.footer_size)
    return FilePart(*sizes, 0, count, metadata.num_rows, file.size), tuple(groups)


@functools.lru_cache(maxsize=64)
def _row_ids(part: FilePart, group: int, mixed: bool) -> npt.NDArray[np.uint64]:
    """Row ids of the duplicates in a row group, ascending."""
    found = [np.empty(0, np.uint64)]
    if not mixed:
        batches = _read_group(part, group, ("row_id",)).to_batches()
        return np.concatenate([*found, *(batch.column(0).to_numpy() for batch in batches)])
    for batch in _read_group(part, group, ("row_id", "role")).to_batches():
        role = batch.column(1)
        code = role.dictionary.index(pa.scalar(ROLES[DUPLICATE])).as_py()
        found.append(batch.column(0).to_numpy()[role.indices.to_numpy() == code])
    return np.concatenate(found)


@functools.lru_cache(maxsize=64)
def _rows(part: FilePart, group: int) -> pa.Table:
    return _read_group(part, group, tuple(SCHEMA.names))


def _read_group(part: FilePart, group: int, columns: tuple[str, ...]) -> pa.Table:
    part = dataclasses.replace(part, first_group=group, stop_group=group + 1)
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    return pa.Table.from_batches(part.read(schema), schema)


def listed_between(folder: str, run: str, first: int, last: int) -> pa.Table:
    """All that decisions in a folder say of the rows from ``first`` to ``last``, in any order."""
    found = [SCHEMA.empty_table()]
    for part, groups in _row_groups(folder, run, storage.current_options()):
        wanted = [index for index, low, high, _ in groups if low <= last and high >= first]
        found += [_rows(part, index) for index in wanted]
    rows = pa.concat_tables(found).unify_dictionaries()
    ids = rows.column("row_id")
    near = pc.and_(
        pc.greater_equal(ids, pa.scalar(first, pa.uint64())),
        pc.less_equal(ids, pa.scalar(last, pa.uint64())),
    )
    return rows.filter(near).combine_chunks()
