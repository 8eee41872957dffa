"""Exact duplicates: rows that agree on every value of some columns.

Rows are compared by a 128-bit hash of their typed values (:mod:`dsm_dask.hashing`): null equals
null, and 1 differs from 1.0 and from "1". Workers write the hashes of each partition, sorted, to
the store (:mod:`dsm_dask.duplicates.keys`); other tasks group them, a range of hashes each. Of
equal rows the one with the smallest row id survives, so the survivors are the same however the
table is cut, and whatever is retried.
"""

from __future__ import annotations

import dataclasses
import heapq
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.dataset.commit import ObjectRecord, checksum_of
from dsm_dask.dataset.version import Dataset, refuse_overtaken
from dsm_dask.duplicates.conclude import done_before, drop_listed, write_no_decisions
from dsm_dask.duplicates.damage import TRIES, gave_up, read_or_name
from dsm_dask.duplicates.decisions import ChooseListed, DecisionWriter
from dsm_dask.duplicates.examples import Cluster, with_examples
from dsm_dask.duplicates.keys import (
    FIRST,
    KeyFile,
    WriteKeys,
    bucket_bits,
    first_of_runs,
    order_of,
    total,
)
from dsm_dask.duplicates.places import Places, check_places, decisions_folder, places
from dsm_dask.duplicates.result import Deduplicated
from dsm_dask.duplicates.shares import side_by_side
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.table import Table, check_columns

LARGEST = 10
"""Clusters described in a result."""


def dedup_exact(
    table: Table,
    on: str | Sequence[str],
    *,
    engine: Engine,
    drop: bool = False,
    out: str | None = None,
    scratch: str | None = None,
    message: str = "",
    dry_run: bool = False,
) -> Deduplicated:
    """Find rows of ``table`` that are equal on the columns ``on``; drop all but the first.

    ``drop`` commits a version without them (datasets only). ``out`` keeps a table of decisions
    (row_id, cluster, role, similarity, reason) as Parquet files in that folder. Plain files need a
    place for the shuffle: ``scratch``, else beside ``out``, else a temporary folder when all
    workers are on this machine.
    """
    columns = (on,) if isinstance(on, str) else tuple(on)
    _check(table, columns, drop, out)
    if drop and isinstance(table, Dataset):
        done = done_before(table, _spec(columns), columns, "exact", engine)
        if done is not None:
            return done
        refuse_overtaken(table, appends=True)
    run = uuid.uuid4().hex
    with places(table, out, scratch, engine, run, dry_run) as place:
        decisions = None if dry_run else decisions_folder(out, drop, place.run)
        files, groups = _grouped(table, columns, place, decisions, run, engine)
        if out is not None and decisions is not None and not any(g.decided for g in groups):
            write_no_decisions(decisions, run, "exact", ())
        found = Deduplicated(
            rows=total(files),
            clusters=sum(group.clusters for group in groups),
            duplicates=sum(group.duplicates for group in groups),
            on=columns,
            out=decisions if out is not None else None,
            largest=_largest(table, groups, columns, engine),
            key_bytes=sum(file.size for file in files),
        )
        if isinstance(table, Dataset):
            found = dataclasses.replace(
                found, dataset=table.uri, version=table.version if drop else None
            )
            if drop and found.duplicates and decisions is not None:
                decided = [group.decided for group in groups if group.decided is not None]
                return drop_listed(
                    table, found, ChooseListed(decisions, run), decided, _spec(columns), message,
                    engine,
                )  # fmt: skip
        return found


def _check(table: Table, columns: tuple[str, ...], drop: bool, out: str | None) -> None:
    if not columns:
        raise UsageError("Give at least one column.", valid="--on COLUMN")
    check_columns(table, columns)
    check_places(table, writes=drop, out=out)


# ---------------------------------------------------------------------------------------------
# Grouping


@dataclasses.dataclass(frozen=True)
class _Group:
    """What one bucket of hashes held."""

    clusters: int
    duplicates: int
    largest: tuple[tuple[int, int], ...]
    """(size, survivor's row id)."""
    decided: ObjectRecord | None = None
    """The file of decisions, as it was written."""
    damaged: tuple[str, ...] = ()
    """Key files that could not be used: when there are any, the rest is nothing."""


def _grouped(
    table: Table, columns: tuple[str, ...], place: Places, decisions: str | None, run: str,
    engine: Engine,
) -> tuple[list[KeyFile], list[_Group]]:  # fmt: skip
    """The key files, and the groups. A file that is damaged, or that someone removed meanwhile, is
    made again; groups that had been decided are decided alike."""
    known = storage.join(table.uri, "_dsm", "keys") if isinstance(table, Dataset) else None
    damaged: frozenset[str] = frozenset()
    for _ in range(TRIES):
        worker = WriteKeys(columns, storage.join(place.kept, "keys"), known, damaged)
        files = engine.map_partitions(worker, table.partitions(), label="Hashing")
        groups = _group(files, place.work, decisions, run, engine)
        wrong = sorted({uri for group in groups for uri in group.damaged})
        if not wrong:
            return files, groups
        damaged |= frozenset(wrong)
    raise gave_up(wrong)


def _group(
    files: Sequence[KeyFile], folder: str, decisions: str | None, run: str, engine: Engine
) -> list[_Group]:
    bits = bucket_bits(total(files))
    listed = storage.join(folder, "keys.dsm")
    rows = tuple((file.uri, file.firsts, file.rest, file.bits) for file in files)
    storage.write(listed, codec.encode(rows), durable=False)
    work = [_Bucket(listed, number, bits, decisions, run) for number in range(2**bits)]
    return engine.map(_Bucket.run, work, label="Grouping")


@dataclasses.dataclass(frozen=True)
class _Bucket:
    """All rows of which the hash begins with some bits."""

    listed: str
    number: int
    bits: int
    decisions: str | None
    run_id: str

    def run(self) -> _Group:
        damaged: list[str] = []
        found = read_or_name(self._run, damaged)
        return _Group(0, 0, (), damaged=tuple(damaged)) if found is None else found

    def _run(self) -> _Group:
        files = [KeyFile(*row) for row in codec.decode(storage.read(self.listed))]
        damaged: list[str] = []
        read = side_by_side(
            lambda file: read_or_name(
                lambda: file.read(self.number, self.bits, rest=False), damaged
            ),
            files,
        )
        if damaged:
            return _Group(0, 0, (), damaged=tuple(damaged))
        records = np.concatenate([np.empty(0, FIRST), *(part for part in read if part is not None)])
        if not len(records):
            return _Group(0, 0, ())
        records = records[order_of(records["high"].copy(), records["low"].copy())]
        starts = np.flatnonzero(first_of_runs(records["high"], records["low"]))
        survivors = np.minimum.reduceat(records["row"], starts)
        sizes = np.add.reduceat(records["count"], starts).astype(np.int64)
        repeated = sizes > 1
        largest = _most(sizes[repeated], survivors[repeated])
        decided = None
        if self.decisions is not None and repeated.any():
            decided = self._decide(self.decisions, files, records, starts, survivors)
        return _Group(int(repeated.sum()), int((sizes - 1).sum()), tuple(largest), decided)

    def _decide(
        self,
        folder: str,
        files: Sequence[KeyFile],
        records: npt.NDArray[Any],
        starts: npt.NDArray[Any],
        survivors: npt.NDArray[Any],
    ) -> ObjectRecord:
        writer = DecisionWriter("exact")
        kept = np.repeat(survivors, np.diff(starts, append=len(records)))
        losing = records["row"] != kept
        writer.add(records["row"][losing], kept[losing])
        keys = np.ascontiguousarray(records[["high", "low"]][starts])
        for file in files:
            rest = file.read(self.number, self.bits, rest=True)
            if len(rest):
                place = _position(keys, rest)
                writer.add(rest["row"].copy(), survivors[place])
        uri, data = storage.join(folder, f"{self.run_id}-{self.number:05d}.parquet"), writer.close()
        storage.write(uri, data)
        return checksum_of(data, uri)


def _most(sizes: npt.NDArray[np.int64], rows: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Size and row of the largest clusters, of equal ones those of the smallest rows."""
    if len(sizes) > LARGEST:
        least = np.partition(sizes, -LARGEST)[-LARGEST]
        tied = rows[sizes == least]
        last = np.partition(tied, min(LARGEST, len(tied)) - 1)[min(LARGEST, len(tied)) - 1]
        some = (sizes > least) | ((sizes == least) & (rows <= last))
        sizes, rows = sizes[some], rows[some]
    pairs = zip(sizes.tolist(), rows.tolist(), strict=True)
    return heapq.nlargest(LARGEST, pairs, key=lambda pair: (pair[0], -pair[1]))


def _position(keys: npt.NDArray[Any], rest: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Where the hash of each record stands among sorted, distinct hashes."""
    high, low = keys["high"], keys["low"]
    place = np.searchsorted(high, rest["high"])
    while True:  # equal high halves are next to unheard of: a step or two at most
        wrong = (high[place] != rest["high"]) | (low[place] != rest["low"])
        if not wrong.any():
            return place
        place = place + wrong


# ---------------------------------------------------------------------------------------------
# Results


def _largest(
    table: Table, groups: Sequence[_Group], columns: Sequence[str], engine: Engine
) -> tuple[Cluster, ...]:
    pairs = [pair for group in groups for pair in group.largest]
    best = heapq.nlargest(LARGEST, pairs, key=lambda pair: (pair[0], -pair[1]))
    return with_examples(table, [Cluster(size, row) for size, row in best], columns, engine)


def _spec(columns: Sequence[str]) -> dict[str, Any]:
    return {"on": list(columns), "method": "exact"}
