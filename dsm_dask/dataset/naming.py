"""Tags, branches and restoring: names for versions, and going back to one."""

from __future__ import annotations

import dataclasses
from typing import Any

from dsm_dask.dataset.commit import Change, change_key, commit
from dsm_dask.dataset.refs import Ref, check_name
from dsm_dask.dataset.version import Dataset, open_dataset
from dsm_dask.dataset.write import Written
from dsm_dask.errors import RefExists, UnknownVersion, nearest


@dataclasses.dataclass(frozen=True)
class Named:
    """A tag or branch and the version it names."""

    dataset: str
    name: str
    version: int
    kind: str

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def tag(data: str | Dataset, name: str, *, force: bool = False) -> Named:
    """Name a version. Naming the same version again is no error; another one is RefExists.

    With ``force`` an existing tag is moved.
    """
    check_name(name, "tag")
    dataset = open_dataset(data)
    tags = dataset.lance.tags
    where = (dataset.branch, dataset.version)
    try:
        tags.create(name, where)
    except (OSError, ValueError):
        known = tags.list().get(name)
        if known is None:
            raise
        if (known["branch"], known["version"]) != where:
            if not force:
                raise RefExists(
                    f"Tag {name!r} names version {known['version']} already.",
                    where=dataset.name,
                    valid="Choose another name, or move it with --force.",
                ) from None
            tags.update(name, where)
    return Named(dataset.uri, name, dataset.version, "tag")


def tag_written(data: str, written: Written, name: str | None) -> None:
    """Tag what a verb has just committed; nothing happens without a name or a commit."""
    if name and written.committed:
        branch_name = open_dataset(data).branch
        version = f"{branch_name}:{written.version}" if branch_name else str(written.version)
        tag(f"{written.dataset}@{version}", name)


def delete_tag(data: str, name: str) -> Named:
    """Take a tag away; the version stays."""
    dataset = open_dataset(Ref.parse(data).uri)
    known = dataset.lance.tags.list()
    if name not in known:
        raise UnknownVersion(f"There is no tag {name!r}.", where=data, valid=nearest(name, known))
    dataset.lance.tags.delete(name)
    return Named(dataset.uri, name, known[name]["version"], "tag")


def branch(data: str | Dataset, name: str) -> Named:
    """Start a branch at a version: a line of versions of its own, sharing all stored rows."""
    check_name(name, "branch")
    dataset = open_dataset(data)
    if name in dataset.lance.branches.list() or name in dataset.lance.tags.list():
        raise RefExists(f"{name!r} is the name of a branch or tag already.", where=dataset.name)
    made = dataset.lance.create_branch(name, (dataset.branch, dataset.version))
    return Named(dataset.uri, name, made.version, "branch")


def restore(data: str, version: str, *, message: str = "", dry_run: bool = False) -> Written:
    """Make the rows and columns of an older version current, as a new version on top."""
    import lance

    head = open_dataset(data)
    target = open_dataset(Ref(head.uri, _on_branch(head, version)))
    if target.branch != head.branch:
        raise UnknownVersion(
            f"{version!r} is on branch {target.branch or 'main'}, not {head.branch or 'main'}.",
            where=head.name,
            valid="Restore takes an earlier version of the same branch.",
        )
    counts = {"restored": target.version}
    if dry_run:
        return Written(head.uri, head.version, target.rows, counts, False)
    spec = {"version": target.version}
    change = Change(
        "restore", spec, change_key("restore", spec, head.ref), message, target.rows, counts
    )
    made = commit(head, lance.LanceOperation.Restore(target.version), change)
    return Written(head.uri, made.version, made.rows, counts, True)


def _on_branch(head: Dataset, version: str) -> str:
    return f"{head.branch}:{version}" if head.branch and version.isdigit() else version
