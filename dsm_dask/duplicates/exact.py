"""Exact duplicates: rows that agree on every value of some columns.

Rows are compared by a 128-bit hash of their typed values (:mod:`dsm_dask.hashing`): null equals
null, and 1 differs from 1.0 and from "1". Workers write the hashes of each partition, sorted, to
the store (:mod:`dsm_dask.duplicates.keys`); other tasks group them, a range of hashes each. Of
equal rows the one with the smallest row id survives, so the survivors are the same however the
table is cut, and whatever is retried.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from dsm_dask import codec, storage
from dsm_dask.dataset.commit import Change, ObjectRecord, change_key, checksum_of, found_before
from dsm_dask.dataset.drop import drop_rows
from dsm_dask.dataset.version import Dataset, changes_of, open_for_writing, properties
from dsm_dask.duplicates.decisions import ChooseListed, DecisionWriter
from dsm_dask.duplicates.examples import Cluster, with_examples
from dsm_dask.duplicates.keys import FIRST, KeyFile, WriteKeys, bucket_bits, first_of_runs, total
from dsm_dask.engine import Engine
from dsm_dask.errors import UsageError
from dsm_dask.table import Table, check_columns

LARGEST = 10
"""Clusters described in a result."""


@dataclasses.dataclass(frozen=True)
class Deduplicated:
    """What was found, and, with ``drop``, committed."""

    rows: int
    clusters: int
    duplicates: int
    """Rows that repeat an earlier one."""
    on: tuple[str, ...]
    method: str = "exact"
    dataset: str | None = None
    version: int | None = None
    """The version without the duplicates, when they were dropped."""
    committed: bool = False
    out: str | None = None
    largest: tuple[Cluster, ...] = ()
    key_bytes: int = 0
    """Bytes of the key files: kept beside a dataset, and reused by the next run."""

    @property
    def kept(self) -> int:
        return self.rows - self.duplicates

    def to_dict(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        return {**found, "on": list(self.on), "kept": self.kept, "largest": list(found["largest"])}


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
    done = None
    if drop and isinstance(table, Dataset):
        table = open_for_writing(table)
        done = _done_before(table, columns, engine)
    if done is not None:
        return done
    run = uuid.uuid4().hex
    with _places(table, out, scratch, engine, run, dry_run) as (keys_folder, run_folder):
        files = engine.map_partitions(
            WriteKeys(columns, keys_folder), table.partitions(), label="Hashing"
        )
        decisions = None if dry_run else _decisions_folder(out, drop, run_folder)
        groups = _group(files, run_folder, decisions, run, engine)
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
                return _drop(table, found, ChooseListed(decisions, run), decided, message, engine)
        return found


def _check(table: Table, columns: tuple[str, ...], drop: bool, out: str | None) -> None:
    if not columns:
        raise UsageError("Give at least one column.", valid="--on COLUMN")
    check_columns(table, columns)
    if drop and not isinstance(table, Dataset):
        raise UsageError(
            f"Rows can be dropped from a dataset only; {table.uri} is plain files.",
            valid="Link them first with `dsm create DATASET SOURCE...`, or use --out.",
        )
    if out is not None and storage.listing(out):
        raise UsageError(
            f"The folder {out} is not empty.",
            where=out,
            valid="Decisions of different runs would mix: give --out a folder of its own.",
        )


def _decisions_folder(out: str | None, drop: bool, run_folder: str) -> str | None:
    if out is not None:
        return storage.normalise(out)
    return storage.join(run_folder, "decisions") if drop else None


@contextlib.contextmanager
def _places(
    table: Table, out: str | None, scratch: str | None, engine: Engine, run: str, dry_run: bool
) -> Iterator[tuple[str, str]]:
    """Folders for the keys and for this run; what is not worth keeping is removed at the end."""
    if isinstance(table, Dataset):
        base = storage.join(table.uri, "_dsm")
        runs = storage.join(base, "runs", run)
        try:
            yield storage.join(runs if dry_run else base, "keys"), runs
        finally:
            storage.delete(storage.join(runs, "keys.dsm"))
            if dry_run:
                storage.delete_folder(runs)
        return
    if scratch is None and out is None and not engine.is_local:
        raise UsageError(
            "Plain files need a folder for the shuffle that every worker can reach.",
            valid="Give --scratch URI or --out URI, or link the files as a dataset.",
        )
    with contextlib.ExitStack() as stack:
        if scratch is None and out is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dsm-"))
        else:
            folder = storage.join(scratch or storage.parent(str(out)), f"_dsm-{run}")
            stack.callback(storage.delete_folder, folder)
        yield storage.join(folder, "keys"), folder


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


def _group(
    files: Sequence[KeyFile], folder: str, decisions: str | None, run: str, engine: Engine
) -> list[_Group]:
    bits = bucket_bits(total(files))
    listed = storage.join(folder, "keys.dsm")
    rows = tuple((file.uri, file.firsts, file.rest, file.bits) for file in files)
    storage.write(listed, codec.encode(rows))
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
        files = [KeyFile(*row) for row in codec.decode(storage.read(self.listed))]
        parts = _side_by_side([(file, self.number, self.bits) for file in files])
        records = np.concatenate([np.empty(0, FIRST), *parts])
        if not len(records):
            return _Group(0, 0, ())
        records = records[np.lexsort((records["row"], records["low"], records["high"]))]
        starts = np.flatnonzero(first_of_runs(records["high"], records["low"]))
        sizes = np.add.reduceat(records["count"], starts).astype(np.int64)
        repeated = sizes > 1
        largest = heapq.nlargest(
            LARGEST,
            zip(sizes[repeated].tolist(), records["row"][starts][repeated].tolist(), strict=True),
            key=lambda pair: (pair[0], -pair[1]),
        )
        decided = None
        if self.decisions is not None and repeated.any():
            decided = self._decide(self.decisions, files, records, starts)
        return _Group(int(repeated.sum()), int((sizes - 1).sum()), tuple(largest), decided)

    def _decide(
        self,
        folder: str,
        files: Sequence[KeyFile],
        records: npt.NDArray[Any],
        starts: npt.NDArray[Any],
    ) -> ObjectRecord:
        writer = DecisionWriter("exact")
        group = np.zeros(len(records), np.int64)
        group[starts[1:]] = 1
        survivors = records["row"][starts]
        losing = np.ones(len(records), np.bool_)
        losing[starts] = False
        writer.add(records["row"][losing], survivors[np.cumsum(group)[losing]])
        keys = np.ascontiguousarray(records[["high", "low"]][starts])
        for file in files:
            rest = file.read(self.number, self.bits, rest=True)
            if len(rest):
                place = _position(keys, rest)
                writer.add(rest["row"].copy(), survivors[place])
        uri, data = storage.join(folder, f"{self.run_id}-{self.number:05d}.parquet"), writer.close()
        storage.write(uri, data)
        return checksum_of(data, uri)


def _side_by_side(reads: Sequence[tuple[KeyFile, int, int]]) -> list[npt.NDArray[Any]]:
    def read(file: KeyFile, bucket: int, bits: int) -> npt.NDArray[Any]:
        return file.read(bucket, bits, rest=False)

    with ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(copy_context().run, partial(read, *one)) for one in reads]
        return [task.result() for task in tasks]


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


def _done_before(dataset: Dataset, columns: tuple[str, ...], engine: Engine) -> Deduplicated | None:
    """What an earlier run of the same job on the same version committed, if there was one."""
    key = change_key("dedup", _spec(columns), dataset.ref)
    made = found_before(dataset, key, engine)
    if made is None:
        return None
    changed = changes_of(properties(made.lance, made.version))
    return Deduplicated(
        rows=dataset.rows,
        clusters=changed["clusters"],
        duplicates=changed["dropped"],
        on=columns,
        dataset=dataset.uri,
        version=made.version,
    )


def _drop(
    dataset: Dataset,
    found: Deduplicated,
    chosen: ChooseListed,
    decided: Sequence[ObjectRecord],
    message: str,
    engine: Engine,
) -> Deduplicated:
    spec = _spec(found.on)
    inside = dataset.uri + "/"
    records = [
        dataclasses.replace(record, path=record.path.removeprefix(inside))
        for record in decided
        if record.path.startswith(inside)
    ]
    change = Change(
        "dedup", spec, "", message, changed={"clusters": found.clusters}, objects=tuple(records)
    )
    written = drop_rows(dataset, chosen, change, engine=engine)
    return dataclasses.replace(found, version=written.version, committed=written.committed)
