"""Decisions: which rows to drop, why, and in favour of which, as Parquet in the store.

One file a bucket. Row groups hold neighbouring row ids, so that whoever drops rows of one fragment
reads only the row groups that may name them.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
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
    ]
)
"""``cluster`` is the row id of the row that is kept."""


class DecisionWriter:
    """Collects decisions about duplicates into a Parquet file; one row group a call."""

    def __init__(self, reason: str) -> None:
        self._reason = reason
        self._sink = io.BytesIO()
        self._writer = pq.ParquetWriter(self._sink, SCHEMA, compression="zstd")
        self.rows = 0

    def add(self, row_ids: npt.NDArray[np.uint64], clusters: npt.NDArray[np.uint64]) -> None:
        if not len(row_ids):
            return
        order = np.argsort(row_ids)
        count = len(order)
        columns = [
            pa.array(row_ids[order]),
            pa.array(clusters[order]),
            _constant("duplicate", count),
            pa.array(np.ones(count, np.float32)),
            _constant(self._reason, count),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
        self.rows += count

    def close(self) -> bytes:
        self._writer.close()
        return self._sink.getvalue()


def _constant(value: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), pa.array([value]))


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
    part = open_files([storage.info(uri)]).parts[0]  # a large file is cut into several
    part = dataclasses.replace(part, first_group=group, stop_group=group + 1)
    batches = list(part.read(pa.schema([SCHEMA.field("row_id")])))
    return np.concatenate([batch.column(0).to_numpy() for batch in batches])
