"""One job, one atomic commit: lineage, checksums, races and repeated runs.

Workers write objects with names that no other attempt has; the driver alone commits. A commit
carries in its transaction what made it (verb, arguments, parent, software, rows, bytes moved) and a
*key*: the same verb with the same arguments on the same version has the same key, so a run that is
repeated after its commit finds it and adds nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import xxhash

from dsm_dask import storage
from dsm_dask.about import __version__
from dsm_dask.dataset.lance_calls import lance_call
from dsm_dask.dataset.partition import open_lance
from dsm_dask.dataset.version import Dataset, is_dataset, newest, properties
from dsm_dask.engine import Engine
from dsm_dask.errors import CommitConflict
from dsm_dask.storage import IO
from dsm_dask.task import Skipped


@dataclasses.dataclass(frozen=True)
class ObjectRecord:
    """An object of the dataset as it was written: path below the root, bytes, XXH3-128."""

    path: str
    size: int
    xxh3: str


@dataclasses.dataclass(frozen=True)
class Change:
    """What a commit is for, besides the Lance operation."""

    job: str
    """The verb."""
    spec: dict[str, Any]
    """Its arguments, without secrets."""
    key: str
    message: str = ""
    rows: int = 0
    """Rows after the commit, as planned."""
    changed: dict[str, int] = dataclasses.field(default_factory=dict)
    """Counts for people: rows dropped, added, ..."""
    io: IO = dataclasses.field(default_factory=IO)
    objects: tuple[ObjectRecord, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    sources: tuple[str, ...] = ()
    """Link lists of the files that this commit adds."""
    restored: tuple[str, ...] | None = None
    """Link lists after a restore, instead of all so far."""


def change_key(job: str, spec: dict[str, Any], base: str) -> str:
    """A name for "this verb with these arguments on this version".

    >>> change_key("drop", {"where": "a < 1"}, "3") == change_key("drop", {"where": "a < 1"}, "3")
    True
    """
    text = json.dumps([job, spec, base], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def find_key(dataset: Dataset, key: str, *, since: int) -> Dataset | None:
    """The version after ``since`` on this branch that was committed with ``key``, if any."""
    latest = newest(dataset.uri, dataset.branch).lance
    for version in reversed(versions_since(latest, since)):
        if properties(latest, version).get("dsm.key") == key:
            return Dataset(
                dataset.uri, dataset.branch, open_lance(dataset.uri, dataset.branch, version)
            )
    return None


def versions_since(latest: Any, since: int) -> list[int]:
    """The versions after one, of those that ``gc`` has left."""
    if latest.version <= since:
        return []
    return sorted(v["version"] for v in latest.versions() if since < v["version"])


def refuse_unknown(base: Dataset, head: Dataset) -> None:
    """Raise CommitConflict when ``gc`` has taken a version since ``base``: nobody can tell whether
    what it changed bears on a commit to ``base``."""
    if len(versions_since(head.lance, base.version)) < head.version - base.version:
        raise lost_race(base)


def found_before(base: Dataset, key: str, engine: Engine) -> Dataset | None:
    """The commit of an earlier run of the same job; what it had skipped is told again."""
    done = find_key(base, key, since=base.version)
    if done is not None:
        engine.skipped.extend(skipped_by(properties(done.lance, done.version)))
    return done


def skipped_by(props: dict[str, str]) -> tuple[Skipped, ...]:
    """The partitions that a version was made without."""
    return tuple(Skipped(**one) for one in json.loads(props.get("dsm.skipped", "[]")))


def commit(base: Dataset, operation: Any, change: Change) -> Dataset:
    """Commit on top of ``base``; raises CommitConflict when another writer was first."""
    import lance
    from lance.commit import CommitConflictError

    done = find_key(base, change.key, since=base.version)
    if done is not None:
        return done
    run = uuid.uuid4().hex
    head = newest(base.uri, base.branch)
    refuse_unknown(base, head)
    lists = change.restored
    if lists is None:
        lists = tuple(dict.fromkeys([*base.source_lists, *head.source_lists, *change.sources]))
    written = _write_checksums(base.uri, run, change.objects)
    transaction = lance.Transaction(
        base.version,
        operation,
        transaction_properties=_properties(base.ref, change, run, lists, written),
    )
    try:
        with lance_call(base.name):
            committed = lance.LanceDataset.commit(base.lance, transaction)
    except CommitConflictError as error:
        done = find_key(base, change.key, since=base.version)
        if done is not None:
            return done
        raise lost_race(base, error) from error
    result = Dataset(base.uri, base.branch, committed)
    record_commit(result, transaction, run)
    return result


def stage_create(uri: str, schema: Any, fragments: list[Any], change: Change) -> Dataset | None:
    """Commit version 1; None when another writer made the dataset first."""
    import lance

    run = uuid.uuid4().hex
    written = _write_checksums(uri, run, change.objects)
    transaction = lance.Transaction(
        0,
        lance.LanceOperation.Overwrite(schema, fragments),
        transaction_properties=_properties("", change, run, change.sources, written),
    )
    try:
        # Without retries Lance does not turn a lost race into a second version.
        committed = lance.LanceDataset.commit(
            uri,
            transaction,
            enable_stable_row_ids=True,
            max_retries=0,
            storage_options=storage.lance_options(uri),
        )
    except OSError:
        if is_dataset(uri):
            return None
        with lance_call(uri):
            raise
    result = Dataset(uri, None, committed)
    record_commit(result, transaction, run)
    return result


def _properties(
    parent: str, change: Change, run: str, lists: Sequence[str], written: int
) -> dict[str, str]:
    found = {
        "lance.commit.message": change.message,
        "dsm.job": change.job,
        "dsm.spec": json.dumps(change.spec, sort_keys=True, default=str),
        "dsm.key": change.key,
        "dsm.run": run,
        "dsm.parent": parent,
        "dsm.software": f"dsm-dask {__version__}",
        "dsm.rows": str(change.rows),
        "dsm.changed": json.dumps(change.changed),
        "dsm.io": json.dumps(change.io.to_dict()),
        "dsm.lists": ",".join(lists),
        "dsm.bytes_written": str(written),
        "dsm.skipped": json.dumps([skip.to_dict() for skip in change.skipped])
        if change.skipped
        else "",
    }
    return {name: value for name, value in found.items() if value}


def lost_race(base: Dataset, error: Exception | None = None) -> CommitConflict:
    """Another writer was first: names the version that came after ``base``."""
    latest = newest(base.uri, base.branch).lance
    for version in versions_since(latest, base.version):
        props = properties(latest, version)
        winner = f"version {version}, by `{props.get('dsm.job', 'another tool')}`"
        told = props.get("lance.commit.message") or props.get("dsm.spec")
        winner += f" ({told})" if told else ""
        return CommitConflict(
            f"Another writer committed first: {winner}. Nothing of this run was written.",
            where=base.name,
            valid="Run the same command again; it starts from the new version.",
        )
    cause = error or "others commit all the time"
    return CommitConflict(f"The commit was refused: {cause}.", where=base.name)


# ---------------------------------------------------------------------------------------------
# Checksums


def checksum(uri: str, path: str) -> ObjectRecord:
    """Read an object back and take its checksum, 16 MB at a time."""
    size, step = storage.info(uri).size, 16 << 20
    ranges = [(start, min(start + step, size)) for start in range(0, size, step)]
    return _summed((storage.read_ranges(uri, [one])[0] for one in ranges), path)


def checksum_of(data: bytes, path: str) -> ObjectRecord:
    """The record of bytes that this process wrote itself."""
    return _summed([data], path)


def checksum_of_file(file: str, path: str) -> ObjectRecord:
    """The record of a file of this machine, before it is an object at ``path``."""
    with open(file, "rb") as opened:
        return _summed(iter(functools.partial(opened.read, 1 << 20), b""), path)


def _summed(blocks: Iterable[bytes | memoryview], path: str) -> ObjectRecord:
    digest, size = xxhash.xxh3_128(), 0
    for block in blocks:
        digest.update(block)
        size += len(block)
    return ObjectRecord(path, size, digest.hexdigest())


CHECKSUMS = "_dsm/checksums"


def checksums_folder(root: str) -> str:
    return storage.join(root, CHECKSUMS)


def _write_checksums(root: str, name: str, objects: Sequence[ObjectRecord]) -> int:
    """Store the records; bytes of the objects and of the records."""
    lines = [json.dumps([item.path, item.size, item.xxh3]) for item in objects]
    data = "".join(line + "\n" for line in lines).encode()
    if lines:
        storage.write(storage.join(checksums_folder(root), name + ".jsonl"), data)
    return len(data) + sum(item.size for item in objects)


def read_checksums(root: str) -> dict[str, ObjectRecord]:
    """Every recorded object of a dataset, by path."""
    found = {}
    for item in storage.listing(checksums_folder(root)):
        for line in storage.read(item.uri).decode().splitlines():
            record = ObjectRecord(*json.loads(line))
            found[record.path] = record
    return found


def manifest_name(version: int) -> str:
    """What Lance calls the manifest of a version: newer ones sort first."""
    return f"{2**64 - 1 - version:020d}.manifest"


def transaction_name(transaction: Any) -> str:
    """What Lance calls the file of a transaction."""
    return f"{transaction.read_version}-{transaction.uuid}.txn"


def record_commit(dataset: Dataset, transaction: Any, run: str) -> None:
    """Checksums of what the commit itself wrote: the manifest and the transaction."""
    folder = f"tree/{dataset.branch}/" if dataset.branch else ""
    paths = [
        f"{folder}_versions/{manifest_name(dataset.version)}",
        f"{folder}_transactions/{transaction_name(transaction)}",
    ]
    found = [storage.join(dataset.uri, path) for path in paths]
    records = [checksum(u, p) for u, p in zip(found, paths, strict=True) if storage.exists(u)]
    storage.count(bytes_written=sum(record.size for record in records), requests=len(records))
    _write_checksums(dataset.uri, run + "-commit", records)
