"""Keys: which rows repeat the values of some columns, by the key files of exact deduplication.

Memory is bounded as it is there: a task holds the hashes of one range. Rows where a column of the
key is null (or NaN) have no key, as in SQL.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsm_dask import codec, storage
from dsm_dask.arrays import plain
from dsm_dask.dataset.version import Dataset
from dsm_dask.duplicates.buckets import bucket_bits
from dsm_dask.duplicates.damage import TRIES, gave_up, read_or_name
from dsm_dask.duplicates.key_files import KeyFile, total
from dsm_dask.duplicates.keys import WriteKeys, first_of_runs
from dsm_dask.engine import Engine
from dsm_dask.errors import AccessDenied, CannotWrite, UsageError
from dsm_dask.table import ROW_ID, Partition, Table
from dsm_dask.validation.findings import Example
from dsm_dask.validation.violations import shown


@dataclasses.dataclass(frozen=True)
class Repeats:
    """Rows that repeat an earlier one: how many, by number of the partition, and the first."""

    count: int
    partitions: dict[int, int]
    examples: tuple[Example, ...]


def find_repeats(
    table: Table,
    key: Sequence[str],
    examples: int,
    *,
    engine: Engine,
    scratch: str | None = None,
) -> Repeats:
    """The rows of which the values of ``key`` occur earlier in the table, too. Exact.

    Key files are kept beside a dataset. Of plain files, and of datasets that may only be read, they
    are in ``scratch`` for the time being; without it in a temporary folder, if all workers are on
    this machine, or :class:`~dsm_dask.errors.UsageError` is raised.
    """
    columns, partitions = tuple(key), table.partitions()
    keyed = [_Keyed(partition, columns) for partition in partitions]
    with _folder(table, engine, scratch) as (folder, listed):
        files, found = _grouped(keyed, WriteKeys(columns, (folder,)), listed, examples, engine)
    numbers = {partition.fingerprint: i for i, partition in enumerate(keyed)}
    places = [numbers[fingerprint] for fingerprint, _ in files]
    counts: Counter[int] = Counter()
    for bucket in found:
        counts.update({places[i]: n for i, n in bucket.counts})
    firsts = sorted((places[i], row) for bucket in found for i, row in bucket.first)[:examples]
    told = _values(table, firsts, columns, engine)
    return Repeats(counts.total(), dict(sorted(counts.items())), told)


def _grouped(
    keyed: Sequence[_Keyed], write: WriteKeys, listed: str, examples: int, engine: Engine
) -> tuple[list[tuple[str, KeyFile]], list[_Group]]:
    """The key file of each partition, and the groups. A file that is damaged is made again."""
    wrong: list[str] = []
    for _ in range(TRIES):
        write = dataclasses.replace(write, damaged=write.damaged | frozenset(wrong))
        files = engine.map_partitions(_Numbered(write), keyed, label="Hashing")
        rows = tuple(dataclasses.astuple(file) for _, file in files)
        storage.write(listed, codec.encode(rows))
        bits = bucket_bits(total([file for _, file in files]))
        work = [_Bucket(listed, number, bits, examples) for number in range(2**bits)]
        found = engine.map(_Bucket.run, work, label="Grouping")
        wrong = sorted({uri for bucket in found for uri in bucket.damaged})
        if not wrong:
            return files, found
    raise gave_up(wrong)


@dataclasses.dataclass(frozen=True)
class _Numbered:
    """Keys of a partition, and whose they are: one that failed may have been left out."""

    write: WriteKeys

    def __call__(self, partition: Partition) -> tuple[str, KeyFile]:
        return partition.fingerprint, self.write(partition)


@dataclasses.dataclass(frozen=True)
class _Keyed:
    """The rows of a partition that have a key."""

    partition: Partition
    key: tuple[str, ...]

    @property
    def rows(self) -> int:
        return self.partition.rows

    @property
    def size(self) -> int:
        return self.partition.size

    @property
    def fingerprint(self) -> str:
        return f"keyed-{self.partition.fingerprint}"

    def values_fingerprint(self, columns: Sequence[str]) -> str:
        return self.partition.values_fingerprint(columns)

    @property
    def label(self) -> str:
        return self.partition.label

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for batch in self.partition.read(columns):
            kept = None
            for name in self.key:
                valid = pc.is_valid(plain(batch.column(name)))
                if pa.types.is_floating(plain(batch.column(name)).type):
                    valid = pc.and_(valid, pc.invert(pc.is_nan(plain(batch.column(name))))
                                    .fill_null(False))  # fmt: skip
                kept = valid if kept is None else pc.and_(kept, valid)
            yield batch if kept is None or pc.all(kept).as_py() is not False else _rows(batch, kept)


def _rows(batch: pa.RecordBatch, kept: pa.Array) -> pa.RecordBatch:
    """Some rows of a batch, without encodings: Arrow does not filter views. Hashes are alike."""
    columns = [plain(column).filter(kept) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


@contextlib.contextmanager
def _folder(table: Table, engine: Engine, scratch: str | None) -> Iterator[tuple[str, str]]:
    """Where the keys are, and a file for their list."""
    run = uuid.uuid4().hex
    refused: Exception | None = None
    if isinstance(table, Dataset):
        base = storage.join(table.uri, "_dsm")
        listed = storage.join(base, "runs", run, "keys.dsm")
        try:
            storage.write(listed, b"")  # find out before the work begins
        except (AccessDenied, CannotWrite) as error:
            refused = error
        else:
            try:
                yield storage.join(base, "keys"), listed
            finally:
                storage.delete(listed)
            return
    if scratch is None and not engine.is_local:
        reason = "may only be read here" if refused else "is plain files"
        raise UsageError(
            f"To look for duplicate keys, workers need a folder to write to: {table.uri} {reason}.",
            where=table.uri,
            valid="Give --scratch URI that all of them can reach, or leave unique and keys out of "
            "the schema.",
        ) from refused
    with contextlib.ExitStack() as stack:
        if scratch is None:
            folder = stack.enter_context(storage.temporary_folder())
        else:
            folder = storage.join(scratch, f"_dsm-{run}")
            stack.callback(storage.delete_folder, folder)
        yield storage.join(folder, "keys"), storage.join(folder, "keys.dsm")


@dataclasses.dataclass(frozen=True)
class _Group:
    """Repeating rows of one range of hashes: (file, count) and the first (file, row id)."""

    counts: tuple[tuple[int, int], ...]
    first: tuple[tuple[int, int], ...]
    damaged: tuple[str, ...] = ()
    """Key files that could not be used: when there are any, the rest is nothing."""


@dataclasses.dataclass(frozen=True)
class _Bucket:
    """All keys of which the hash begins with some bits."""

    listed: str
    number: int
    bits: int
    examples: int

    def run(self) -> _Group:
        damaged: list[str] = []
        found = read_or_name(self._run, damaged)
        return _Group((), (), tuple(damaged)) if found is None else found

    def _run(self) -> _Group:
        files = [KeyFile(*row) for row in codec.decode(storage.read(self.listed))]
        shares = [file.share(self.number, self.bits) for file in files]
        parts = [share.firsts for share in shares]
        origin = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        if not len(origin):
            return _Group((), ())
        records = np.concatenate(parts)
        order = np.lexsort((records["row"], origin, records["low"], records["high"]))
        records, origin = records[order], origin[order]
        original = first_of_runs(records["high"], records["low"])
        repeats = records["count"].astype(np.int64) - original
        counts = np.bincount(origin, repeats, len(files)).astype(np.int64)
        first: list[tuple[int, int]] = []
        for i in np.flatnonzero(counts).tolist():
            if len(first) >= self.examples:
                break
            again = records["row"][(origin == i) & ~original]
            _, rest = files[i].others(shares[i])
            rows = np.sort(np.concatenate([again, rest]))[: self.examples - len(first)]
            first += [(i, row) for row in rows.tolist()]
        return _Group(
            tuple((i, int(counts[i])) for i in np.flatnonzero(counts).tolist()), tuple(first)
        )


# ---------------------------------------------------------------------------------------------
# Values


def _values(
    table: Table, rows: Sequence[tuple[int, int]], columns: tuple[str, ...], engine: Engine
) -> tuple[Example, ...]:
    """The rows with their values, fetched by workers."""
    if not rows:
        return ()
    partitions = table.partitions()
    holding = [partitions[i] for i in sorted({i for i, _ in rows})]
    fetch = _Fetch(columns, tuple(row for _, row in rows))
    found = engine.map_partitions(fetch, holding, label="Fetching examples")
    return tuple(example for part in found for example in part)


@dataclasses.dataclass(frozen=True)
class _Fetch:
    columns: tuple[str, ...]
    row_ids: tuple[int, ...]

    def __call__(self, partition: Partition) -> list[Example]:
        wanted = pa.array(self.row_ids, pa.uint64())
        found = []
        for batch in partition.read([*self.columns, ROW_ID]):
            hits: Any = pc.indices_nonzero(pc.is_in(batch.column(ROW_ID), wanted)).to_pylist()
            for i in hits:
                cells = {name: shown(batch.column(name)[i]) for name in self.columns}
                value = cells if len(self.columns) > 1 else next(iter(cells.values()))
                found.append(Example(batch.column(ROW_ID)[i].as_py(), value))
        return found
