"""Exact duplicates: rows that agree on every value of some columns.

Rows are compared by a 128-bit hash of their typed values (:mod:`dsm_dask.hashing`): null equals
null, and 1 differs from 1.0 and from "1". Workers write the hashes of each partition, by their
first bits, to the store (:mod:`dsm_dask.duplicates.keys`); other tasks group them, a range of
hashes each. Of equal rows the one with the smallest row id survives, so the survivors are the same
however the table is cut, and whatever is retried.
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
    Share,
    WriteKeys,
    bucket_bits,
    piece_bits,
    total,
)
from dsm_dask.duplicates.places import Places, check_places, decisions_folder, places
from dsm_dask.duplicates.result import Deduplicated
from dsm_dask.duplicates.shares import side_by_side
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.table import Table, check_columns

U64 = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

LARGEST = 10
"""Clusters described in a result."""
_NONE = np.empty(0, FIRST)


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
    columns = (on,) if isinstance(on, str) else tuple(dict.fromkeys(on))
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
            largest=_largest(table, files, groups, columns, engine),
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


DECIDED = 1 << 20
"""Decisions written at a time, about."""


@dataclasses.dataclass(frozen=True)
class _Most:
    """A large cluster: how many rows, the one that survives, and the number of its partition."""

    size: int
    row: int
    partition: int

    def __lt__(self, other: _Most) -> bool:
        return (self.size, -self.row) < (other.size, -other.row)


@dataclasses.dataclass(frozen=True)
class _Group:
    """What one bucket of hashes held."""

    clusters: int = 0
    duplicates: int = 0
    largest: tuple[_Most, ...] = ()
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
        return _Group(damaged=tuple(damaged)) if found is None else found

    def _run(self) -> _Group:
        from dsm_dask.duplicates.key_kernels import group

        files = [KeyFile(*row) for row in codec.decode(storage.read(self.listed))]
        damaged: list[str] = []
        read = side_by_side(
            lambda file: read_or_name(lambda: file.share(self.number, self.bits), damaged), files,
            waits=not all(storage.is_local(file.uri) for file in files),
        )  # fmt: skip
        if damaged:
            return _Group(damaged=tuple(damaged))
        shares = [share for share in read if share is not None]
        counts = [len(share.firsts) for share in shares]
        # as bytes: NumPy copies records field by field
        raw = [share.firsts.view(np.uint8) for share in shares]
        records = np.concatenate([np.empty(0, np.uint8), *raw]).view(FIRST)
        del raw
        shares = [dataclasses.replace(share, firsts=_NONE) for share in shares]
        bits, decide = piece_bits(len(records)), self.decisions is not None
        keys, least, places, sizes, rows, kept = group(records, self.bits, bits, decide)
        repeated = sizes > 1
        clusters = int(np.count_nonzero(repeated))
        if not clusters:
            return _Group()
        largest = _most(sizes[repeated], least[repeated], places[repeated], counts)
        del records, read, places
        decided = None
        if self.decisions is not None:
            own = np.split(keys, np.cumsum(counts)[:-1])
            decided = self._decide(self.decisions, (rows, kept), files, shares, own, least)
        return _Group(clusters, int(sizes.sum()) - len(sizes), largest, decided)

    def _decide(
        self,
        folder: str,
        found: tuple[U64, U64],
        files: Sequence[KeyFile],
        shares: Sequence[Share],
        keys: Sequence[npt.NDArray[np.int32]],
        least: U64,
    ) -> ObjectRecord:
        """Write the rows that lose, each with the one that is kept. ``keys`` are the numbers of the
        keys of the first rows of each file."""
        writer = DecisionWriter("exact")
        held = [found]
        for file, share, own in zip(files, shares, keys, strict=True):
            if sum(len(rows) for rows, _ in held) >= DECIDED:
                writer.add(*_joined(held))
                held = []
            numbers, rows = file.others(share)
            held.append((rows, least[own[numbers]]))
        writer.add(*_joined(held))
        uri, data = storage.join(folder, f"{self.run_id}-{self.number:05d}.parquet"), writer.close()
        storage.write(uri, data)  # durable: a commit refers to it
        return checksum_of(data, uri)


def _joined(pairs: Sequence[tuple[U64, U64]]) -> tuple[U64, U64]:
    empty = np.empty(0, np.uint64)
    rows, kept = zip((empty, empty), *pairs, strict=True)
    return np.concatenate(rows), np.concatenate(kept)


def _most(
    sizes: Ints, rows: U64, places: npt.NDArray[np.int32], counts: Sequence[int]
) -> tuple[_Most, ...]:
    """The largest clusters, of equal ones those of the smallest rows; ``places`` are those of their
    records, of which there are ``counts`` in each file."""
    if len(sizes) > LARGEST:
        least = np.partition(sizes, -LARGEST)[-LARGEST]
        tied = rows[sizes == least]
        last = np.partition(tied, min(LARGEST, len(tied)) - 1)[min(LARGEST, len(tied)) - 1]
        some = (sizes > least) | ((sizes == least) & (rows <= last))
        sizes, rows, places = sizes[some], rows[some], places[some]
    files = np.searchsorted(np.cumsum(counts), places, "right")
    told = zip(sizes.tolist(), rows.tolist(), files.tolist(), strict=True)
    return tuple(heapq.nlargest(LARGEST, (_Most(*one) for one in told)))


# ---------------------------------------------------------------------------------------------
# Results


def _largest(
    table: Table, files: Sequence[KeyFile], groups: Sequence[_Group], columns: Sequence[str],
    engine: Engine,
) -> tuple[Cluster, ...]:  # fmt: skip
    """Described by their survivors. Which partition one is in is known unless some were skipped."""
    best = heapq.nlargest(LARGEST, (one for group in groups for one in group.largest))
    partitions = table.partitions()
    if len(files) == len(partitions):
        partitions = [partitions[i] for i in sorted({one.partition for one in best})]
    clusters = [Cluster(one.size, one.row) for one in best]
    return with_examples(table, clusters, columns, engine, partitions)


def _spec(columns: Sequence[str]) -> dict[str, Any]:
    return {"on": list(columns), "method": "exact"}
