"""Create a dataset from Parquet files, and append to it: linked where they lie, or copied in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from dsm_dask import storage
from dsm_dask.dataset.commit import (
    Change,
    change_key,
    commit,
    find_key,
    found_before,
    stage_create,
)
from dsm_dask.dataset.fragments import Fragments, Target, write_fragments
from dsm_dask.dataset.lease import append_lease
from dsm_dask.dataset.partition import open_lance
from dsm_dask.dataset.refs import Ref
from dsm_dask.dataset.version import (
    Dataset,
    changes_of,
    is_dataset,
    newest,
    open_for_writing,
    properties,
)
from dsm_dask.engine import Engine, Mark
from dsm_dask.errors import CommitConflict, DatasetExists, SchemaError, SourceChanged, UsageError
from dsm_dask.sources.parquet import ParquetTable, find_files, open_files
from dsm_dask.sources.schema import unify


@dataclasses.dataclass(frozen=True)
class Written:
    """What a verb that commits did, or, with ``dry_run``, would do."""

    dataset: str
    version: int | None
    rows: int
    changed: dict[str, int]
    committed: bool
    """False when there was nothing to do, or it was a dry run."""
    plan: dict[str, Any] | None = None
    branch: str | None = None
    """The branch that the version is on."""

    def to_dict(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        found.update(found.pop("changed"))
        if self.plan is None:
            del found["plan"]
        return found


def create(
    uri: str,
    sources: str | Sequence[str],
    *,
    engine: Engine,
    copy: bool = False,
    message: str = "",
    dry_run: bool = False,
    resume: bool = False,
) -> Written:
    """Make a dataset of the rows of Parquet files: version 1.

    By default the files are linked: nothing of them is copied, a fragment of the dataset stands
    for each file (or run of row groups), and their sizes and ETags are kept, so that a file that
    changes later is noticed. With ``copy`` the rows are written into the dataset.

    Raises DatasetExists when there is one; with ``resume``, a dataset that the same call made
    (same sources, unchanged) is taken as done.
    """
    ref = Ref.parse(uri)
    if ref.name is not None:
        raise UsageError(f"{uri!r} names a version.", valid="Give the dataset's path alone.")
    exists = is_dataset(ref.uri)
    if exists and not resume:
        raise _exists(ref.uri)
    mark = engine.mark()
    table = open_files(
        _outside(ref.uri, find_files(sources)), map_=engine.map, uri=", ".join(_as_list(sources))
    )
    spec = {"sources": _as_list(sources), "copy": copy}
    change = Change("create", spec, change_key("create", spec, _fingerprint(table)), message)
    if exists:
        return _already_created(ref.uri, change.key)
    if dry_run:
        return Written(ref.uri, None, table.rows, {"added": table.rows}, False, plan(table, copy))
    storage.check_bucket(ref.uri)
    fragments = write_fragments(Target(ref.uri, ref.uri, ""), table, engine, copy)
    made = stage_create(
        ref.uri, fragments.schema, fragments.lance, _with_fragments(change, fragments, mark)
    )
    if made is None:
        if resume:
            return _already_created(ref.uri, change.key)
        raise _exists(ref.uri)
    return Written(ref.uri, made.version, fragments.rows, {"added": fragments.rows}, True)


def append(
    data: str | Dataset,
    sources: str | Sequence[str],
    *,
    engine: Engine,
    message: str = "",
    dry_run: bool = False,
) -> Written:
    """Add the rows of Parquet files as a new version.

    Files that were ever added to the dataset are left out, even if all their rows were dropped
    since, so that the same glob can be appended every week; a file that is there under another
    size or ETag is a SourceChanged. A linked dataset takes new columns (older rows read as null)
    and wider integers; a copied one takes the columns that it has. When there is nothing new,
    nothing is committed.
    """
    base = open_for_writing(data)
    fresh = _fresh(base, sources, engine)
    spec = {"sources": _as_list(sources), "copy": not base.is_linked}
    key = change_key("append", spec, f"{base.ref}:{_fingerprint(fresh)}")
    done = found_before(base, key, engine)
    if done is not None:
        added = changes_of(properties(done.lance, done.version))
        return Written(base.uri, done.version, done.rows, added, False, branch=base.branch)
    head = newest(base.uri, base.branch)
    if head.version != base.version:  # a job that goes on from an earlier version of its own
        return append(head, sources, engine=engine, message=message, dry_run=dry_run)
    if dry_run or not fresh.rows:
        steps = plan(fresh, not base.is_linked)
        counts = {"added": fresh.rows}
        return Written(
            base.uri, base.version, base.rows + fresh.rows, counts, False, steps, base.branch
        )
    _check_fits(base, fresh)
    return _append(base, fresh, Change("append", spec, key, message), engine)


def _append(base: Dataset, fresh: ParquetTable, change: Change, engine: Engine) -> Written:
    import lance

    mark = engine.mark()
    fragments = write_fragments(Target.of(base), fresh, engine, not base.is_linked)
    change = _with_fragments(change, fragments, mark, base.rows)
    with append_lease(base.uri) as still_mine:
        _refuse_doubled(base, fresh, change.key)
        still_mine()
        made = commit(base, lance.LanceOperation.Append(fragments.lance), change)
    return Written(base.uri, made.version, made.rows, change.changed, True, branch=base.branch)


def _with_fragments(change: Change, fragments: Fragments, mark: Mark, before: int = 0) -> Change:
    return dataclasses.replace(
        change,
        rows=before + fragments.rows,
        changed={"added": fragments.rows},
        io=mark.io,
        objects=fragments.objects,
        skipped=mark.skipped,
        sources=(fragments.list_id,),
    )


def plan(table: ParquetTable, copy: bool) -> dict[str, Any]:
    """What linking or copying a table would take."""
    return {
        "files": len({part.uri for part in table.parts}),
        "fragments": len(table.parts),
        "bytes_in_sources": sum(part.size for part in table.parts),
        "bytes_to_copy": sum(part.size for part in table.parts) if copy else 0,
    }


# ---------------------------------------------------------------------------------------------
# Checks before anything is written


def _outside(root: str, files: Sequence[storage.ObjectInfo]) -> list[storage.ObjectInfo]:
    """A glob may take in the dataset's own folder; its Parquet files are no sources."""
    return [file for file in files if not file.uri.startswith(root + "/")]


def _fresh(base: Dataset, sources: str | Sequence[str], engine: Engine) -> ParquetTable:
    """The files that were never added."""
    known = base.known_files
    files = _outside(base.uri, find_files(sources))
    for file in files:
        if file.uri in known and known[file.uri] != (file.size, file.etag):
            raise SourceChanged(
                f"{file.uri} is in the dataset already, but has changed since.",
                where=file.uri,
                valid="Give new data a new file name; `dsm verify` lists what changed.",
            )
    new = [file for file in files if file.uri not in known]
    return open_files(new, map_=engine.map, uri=", ".join(_as_list(sources)))


def _refuse_doubled(base: Dataset, fresh: ParquetTable, key: str) -> None:
    """Raise CommitConflict when somebody else appended some of these files meanwhile."""
    head = newest(base.uri, base.branch)
    if head.version == base.version or find_key(base, key, since=base.version) is not None:
        return
    known = head.known_files
    doubled = [part.uri for part in fresh.parts if part.uri in known]
    if doubled:
        raise CommitConflict(
            f"{doubled[0]} was appended by another writer meanwhile (up to version "
            f"{head.version}). Nothing of this run was written.",
            where=base.name,
            valid="Run the same command again: it takes only the files that are still missing.",
        )


def _check_fits(base: Dataset, table: ParquetTable) -> None:
    together = unify([(base.name, base.schema), (table.uri, table.schema)])
    if base.is_linked:
        computed = set(base.schema.names) - set(base.linked_schema.names)
        clash = computed & set(table.schema.names)
        if clash:
            raise SchemaError(
                f"Column {sorted(clash)[0]!r} of {table.uri} is a computed column of {base.name}.",
                valid="Rename one of them.",
            )
        return
    for field in together:
        if field.name not in base.schema.names or base.schema.field(field.name).type != field.type:
            raise SchemaError(
                f"Column {field.name!r} ({field.type}) of {table.uri} does not fit {base.name}.",
                valid="A copied dataset takes the columns and types that it has.",
            )


def _already_created(uri: str, key: str) -> Written:
    first = open_lance(uri, None, 1)
    if properties(first, 1).get("dsm.key") != key:
        raise _exists(uri)
    made = Dataset(uri, None, first)
    return Written(uri, 1, made.rows, {"added": made.rows}, False)


def _exists(uri: str) -> DatasetExists:
    return DatasetExists(
        f"There is a dataset at {uri} already.",
        where=uri,
        valid="Add rows with `dsm append`, or create under another name.",
    )


def _fingerprint(table: ParquetTable) -> str:
    return change_key("sources", {}, "".join(part.fingerprint for part in table.parts))


def _as_list(sources: str | Sequence[str]) -> list[str]:
    return [sources] if isinstance(sources, str) else list(sources)
