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
from dsm_dask.sources.parquet import SUFFIXES, open_files

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
        self._writer = pq.ParquetWriter(self._sink, SCHEMA, compression="zstd")
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
        order, count = np.argsort(row_ids), len(row_ids)
        roles = np.full(count, DUPLICATE, np.int8) if roles is None else roles
        alike = np.ones(count, np.float32) if similarity is None else similarity
        table = np.zeros(count, np.int64) if tables is None else tables
        columns = [
            pa.array(row_ids[order]),
            pa.array(clusters[order]),
            pa.DictionaryArray.from_arrays(roles[order].astype(np.int8), pa.array(ROLES)),
            pa.array(alike[order], from_pandas=True),
            pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), pa.array([self._reason])),
            self._names(table[order]),
        ]
        table = pa.Table.from_arrays(columns, schema=SCHEMA)
        self._writer.write_table(table, row_group_size=GROUP)
        self.rows += count

    def _names(self, tables: npt.NDArray[Any]) -> pa.DictionaryArray:
        here = tables == 0
        places = pa.array(np.where(here, 0, tables - 1).astype(np.int8), mask=here)
        return pa.DictionaryArray.from_arrays(places, pa.array(self._against, pa.string()))

    def close(self) -> bytes:
        self._writer.close()
        return self._sink.getvalue()


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
        listed = self.between(int(row_ids.min()), int(row_ids.max()))
        return offsets[np.isin(row_ids, listed)]

    def between(self, first: int, last: int) -> npt.NDArray[np.uint64]:
        """Row ids listed from ``first`` to ``last``, read from the row groups that may have any."""
        found = [np.empty(0, np.uint64)]
        for uri, groups in _row_groups(self.folder, self.run, storage.current_options()):
            wanted = [index for index, low, high in groups if low <= last and high >= first]
            found += [_row_ids(uri, index) for index in wanted]
        ids = np.concatenate(found)
        return ids[(ids >= first) & (ids <= last)]


@functools.lru_cache(maxsize=4)
def _row_groups(
    folder: str, run: str, options: storage.Options
) -> tuple[tuple[str, tuple[tuple[int, int, int], ...]], ...]:
    """Files of a folder with the least and greatest row id of each row group; read once."""
    del options  # part of the cache key: the same folder may be another place
    found = []
    for file in storage.find(folder, SUFFIXES):
        if not storage.name(file.uri).startswith(run):
            continue
        metadata = pq.read_metadata(io.BytesIO(storage.read(file.uri)))
        groups = []
        for index in range(metadata.num_row_groups):
            statistics = metadata.row_group(index).column(0).statistics
            groups.append((index, statistics.min, statistics.max))
        found.append((file.uri, tuple(groups)))
    return tuple(found)


@functools.lru_cache(maxsize=64)
def _row_ids(uri: str, group: int) -> npt.NDArray[np.uint64]:
    """Row ids of the duplicates in a row group."""
    found = _read_group(uri, group, ("row_id", "role"))
    losing = pc.equal(found.column("role").cast(pa.string()), ROLES[DUPLICATE])
    ids: npt.NDArray[np.uint64] = found.column("row_id").filter(losing).to_numpy()
    return ids


@functools.lru_cache(maxsize=64)
def _rows(uri: str, group: int) -> pa.Table:
    return _read_group(uri, group, tuple(SCHEMA.names))


def _read_group(uri: str, group: int, columns: tuple[str, ...]) -> pa.Table:
    part = open_files([storage.info(uri)]).parts[0]  # a large file is cut into several
    part = dataclasses.replace(part, first_group=group, stop_group=group + 1)
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    return pa.Table.from_batches(part.read(schema), schema)


def listed_between(folder: str, run: str, first: int, last: int) -> pa.Table:
    """All that decisions in a folder say of the rows from ``first`` to ``last``, in any order."""
    found = [SCHEMA.empty_table()]
    for uri, groups in _row_groups(folder, run, storage.current_options()):
        wanted = [index for index, low, high in groups if low <= last and high >= first]
        found += [_rows(uri, index) for index in wanted]
    rows = pa.concat_tables(found).unify_dictionaries()
    ids = rows.column("row_id")
    near = pc.and_(
        pc.greater_equal(ids, pa.scalar(first, pa.uint64())),
        pc.less_equal(ids, pa.scalar(last, pa.uint64())),
    )
    return rows.filter(near).combine_chunks()
