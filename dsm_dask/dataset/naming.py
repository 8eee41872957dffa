"""Tags, branches and restoring: names for versions, and going back to one."""

from __future__ import annotations

import dataclasses
from typing import Any

from dsm_dask.dataset.commit import Change, change_key, commit
from dsm_dask.dataset.lance_calls import lance_call
from dsm_dask.dataset.refs import Ref, check_name
from dsm_dask.dataset.version import Dataset, is_dataset, newest, open_dataset, open_for_writing
from dsm_dask.dataset.write import Written
from dsm_dask.errors import CommitConflict, RefExists, UnknownVersion, nearest


@dataclasses.dataclass(frozen=True)
class Named:
    """A tag or branch and the version it names."""

    dataset: str
    name: str
    version: int
    kind: str
    branch: str | None = None
    """The branch that the version is on."""

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def tag(data: str | Dataset, name: str, *, force: bool = False) -> Named:
    """Name a version. Naming the same version again is no error; another one is RefExists.

    With ``force`` an existing tag is moved.
    """
    check_name(name, "tag")
    dataset = open_dataset(data)
    if name in dataset.lance.branches.list():
        raise RefExists(f"{name!r} is the name of a branch.", where=dataset.name)
    tags = dataset.lance.tags
    where = (dataset.branch, dataset.version)
    try:
        tags.create(name, where)
    except (OSError, ValueError):
        known = tags.list().get(name)
        if known is None:
            with lance_call(dataset.uri):
                raise
        if (known["branch"], known["version"]) != where:
            if not force:
                raise _taken(dataset, name, known["version"]) from None
            tags.update(name, where)
    return Named(dataset.uri, name, dataset.version, "tag", dataset.branch)


def check_tag(data: str, name: str | None) -> None:
    """Raise InvalidName or RefExists before a verb begins, rather than after its commit."""
    if name is None:
        return
    check_name(name, "tag")
    ref = Ref.parse(data)
    if not is_dataset(ref.uri):
        return
    dataset = open_dataset(ref)
    known = dataset.lance.tags.list().get(name)
    if known is not None and (known["branch"], known["version"]) != (
        dataset.branch,
        dataset.version,
    ):
        raise _taken(dataset, name, known["version"])


def tag_result(data: str, version: int | None, name: str | None) -> None:
    """Tag the version that a verb ended at, whether it or an earlier run committed it."""
    if name is None or version is None:
        return
    ref = Ref.parse(data)
    tag(str(ref.at(version, open_dataset(ref).branch)), name)


def _taken(dataset: Dataset, name: str, version: int) -> RefExists:
    return RefExists(
        f"Tag {name!r} names version {version} already.",
        where=dataset.name,
        valid="Choose another name, or move it with `dsm tag --force`.",
    )


def delete_tag(data: str, name: str) -> Named:
    """Take a tag away; the version stays."""
    dataset = open_dataset(Ref.parse(data).uri)
    known = dataset.lance.tags.list()
    if name not in known:
        raise UnknownVersion(f"There is no tag {name!r}.", where=data, valid=nearest(name, known))
    dataset.lance.tags.delete(name)
    return Named(dataset.uri, name, known[name]["version"], "tag", known[name]["branch"])


def branch(data: str | Dataset, name: str) -> Named:
    """Start a branch at a version: a line of versions of its own, sharing all stored rows.

    A branch of this name that began at the same version is no error.
    """
    check_name(name, "branch")
    dataset = open_dataset(data)
    known = dataset.lance.branches.list().get(name)
    fork = (dataset.branch, dataset.version)
    if known is not None and (known["parent_branch"], known["parent_version"]) == fork:
        return Named(dataset.uri, name, dataset.version, "branch", name)
    if known is not None or name in dataset.lance.tags.list():
        raise RefExists(f"{name!r} is the name of a branch or tag already.", where=dataset.name)
    with lance_call(dataset.uri):
        made = dataset.lance.create_branch(name, (dataset.branch, dataset.version))
    return Named(dataset.uri, name, made.version, "branch", name)


def restore(data: str, version: str, *, message: str = "", dry_run: bool = False) -> Written:
    """Make the rows and columns of an older version current, as a new version on top."""
    import lance

    head = open_for_writing(data)
    target = open_dataset(Ref(head.uri, _on_branch(head, version)))
    if target.branch != head.branch:
        raise UnknownVersion(
            f"{version!r} is on branch {target.branch or 'main'}, not {head.branch or 'main'}.",
            where=head.name,
            valid="Restore takes an earlier version of the same branch.",
        )
    counts = {"restored": target.version}
    if dry_run:
        return Written(head.uri, head.version, target.rows, counts, False, branch=head.branch)
    spec = {"version": target.version}
    change = Change(
        "restore", spec, change_key("restore", spec, head.ref), message, target.rows, counts,
        restored=target.source_lists,
    )  # fmt: skip
    meanwhile = newest(head.uri, head.branch)
    if meanwhile.version != head.version:
        raise CommitConflict(
            f"Version {meanwhile.version} was committed meanwhile; nothing was restored.",
            where=head.name,
            valid="Look at it, and run the same command again.",
        )
    made = commit(head, lance.LanceOperation.Restore(target.version), change)
    return Written(head.uri, made.version, made.rows, counts, True, branch=head.branch)


def _on_branch(head: Dataset, version: str) -> str:
    return f"{head.branch}:{version}" if head.branch and version.isdigit() else version
