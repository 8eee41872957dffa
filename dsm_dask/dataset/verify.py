"""Is everything still there, and still what it was?"""

from __future__ import annotations

import dataclasses
from typing import Any

from dsm_dask import storage
from dsm_dask.dataset import class_names
from dsm_dask.dataset.commit import ObjectRecord, checksum, read_checksums
from dsm_dask.dataset.links import list_uri, load
from dsm_dask.dataset.version import Dataset, open_dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import DatasetDamaged, NotFound, SourceChanged


@dataclasses.dataclass(frozen=True)
class Damage:
    """One thing that is not as it was."""

    uri: str
    problem: str

    def to_dict(self) -> dict[str, str]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Verified:
    """What a check of one version found."""

    dataset: str
    version: int
    sources: int
    objects: int
    unrecorded: int
    """Objects without a checksum to compare with, since dsm did not write them: only whether they
    are there was looked at."""
    damaged: tuple[Damage, ...]

    @property
    def ok(self) -> bool:
        return not self.damaged

    def to_dict(self) -> dict[str, Any]:
        found = dataclasses.asdict(self)
        return {**found, "damaged": [item.to_dict() for item in self.damaged], "ok": self.ok}


def verify(data: str | Dataset, *, engine: Engine) -> Verified:
    """Compare every source file's size and ETag, and every object's checksum, with the record.

    Objects of the dataset (metadata, deletion vectors, managed columns) are read whole, by
    workers; source files are not read, their ETags are asked for. Of objects without a checksum
    only those that are gone are damage.
    """
    dataset = open_dataset(data)
    sources, lost = _sources(dataset)
    step = 64
    pairs = [(uri, size, etag) for uri, (size, etag) in sources.items()]
    source_checks = [_Sources(tuple(pairs[i : i + step])) for i in range(0, len(pairs), step)]
    records = read_checksums(dataset.uri)
    paths = sorted(_objects(dataset))
    known = [records[path] for path in paths if path in records]
    object_checks = [
        _Objects(dataset.uri, tuple(known[i : i + step])) for i in range(0, len(known), step)
    ]
    others = [path for path in paths if path not in records]
    other_checks = [
        _Unrecorded(dataset.uri, tuple(others[i : i + step])) for i in range(0, len(others), step)
    ]
    names = tuple(sorted(class_names.referred(dataset)))
    name_checks = [_ClassNames(dataset.uri, names)] if names else []
    checks = [*source_checks, *object_checks, *other_checks, *name_checks]
    found = engine.map(_check, checks, label="Verifying")
    return Verified(
        dataset=dataset.name,
        version=dataset.version,
        sources=len(sources),
        objects=len(paths) + len(names),
        unrecorded=len(others),
        damaged=tuple({d.uri: d for d in [*(d for g in found for d in g), *lost]}.values()),
    )


def _check(work: Any) -> list[Damage]:
    return work.run()  # type: ignore[no-any-return]


def _objects(dataset: Dataset) -> set[str]:
    """Paths of everything that this version consists of, below the root."""
    tracked = dataset.lance.tracked_files().read_all().to_pylist()
    found = set()
    for row in tracked:
        if row["version"] == dataset.version:
            place = str(row["base_uri"]).removeprefix(dataset.uri)  # it may lie below a "tree"
            inside = place.split("/tree/", 1)[1] if "/tree/" in place else ""
            found.add(f"tree/{inside}/{row['path']}" if inside else row["path"])
    lists = {list_uri("", list_id).lstrip("/") for list_id in dataset.source_lists}
    return found | lists


def _sources(dataset: Dataset) -> tuple[dict[str, tuple[int, str]], list[Damage]]:
    """Size and ETag of the source files that linked rows come from, and unreadable link lists."""
    lists, lost = {}, []
    for list_id in dict.fromkeys(list_id for list_id, _ in dataset.link_names):
        try:
            lists[list_id] = load(dataset.uri, list_id).parts
        except DatasetDamaged as error:
            lost.append(Damage(str(error.where), "the list of linked files is gone or unreadable"))
    parts = [lists[list_id][index] for list_id, index in dataset.link_names if list_id in lists]
    return {part.uri: (part.file_size, part.etag) for part in parts}, lost


@dataclasses.dataclass(frozen=True)
class _Sources:
    files: tuple[tuple[str, int, str], ...]

    def run(self) -> list[Damage]:
        return [damage for file in self.files if (damage := _source_damage(*file))]


def _source_damage(uri: str, size: int, etag: str) -> Damage | None:
    try:
        now = storage.info(uri)
    except NotFound:
        return Damage(uri, "the source file is gone")
    if now.size != size:
        return Damage(uri, f"the source file has {now.size} bytes, it had {size} when linked")
    if now.etag != etag:
        return Damage(uri, "the source file was overwritten after it was linked")
    return None


@dataclasses.dataclass(frozen=True)
class _Objects:
    root: str
    records: tuple[ObjectRecord, ...]

    def run(self) -> list[Damage]:
        return [damage for record in self.records if (damage := self._damage(record))]

    def _damage(self, record: ObjectRecord) -> Damage | None:
        uri = storage.join(self.root, record.path)
        try:
            now = checksum(uri, record.path)
        except (NotFound, SourceChanged):
            return Damage(uri, "the object is gone")
        if now.size != record.size:
            return Damage(uri, f"the object has {now.size} bytes, {record.size} were written")
        if now.xxh3 != record.xxh3:
            return Damage(uri, "the object's bytes are not those that were written")
        return None


@dataclasses.dataclass(frozen=True)
class _ClassNames:
    """Lists of names that are called by their digests."""

    root: str
    digests: tuple[str, ...]

    def run(self) -> list[Damage]:
        lost = [digest for digest in self.digests if class_names.kept(self.root, digest) is None]
        told = "the list of names of classes is gone, or not what was written"
        return [Damage(class_names.uri_of(self.root, digest), told) for digest in lost]


@dataclasses.dataclass(frozen=True)
class _Unrecorded:
    root: str
    paths: tuple[str, ...]

    def run(self) -> list[Damage]:
        uris = [storage.join(self.root, path) for path in self.paths]
        return [Damage(uri, "the object is gone") for uri in uris if not storage.exists(uri)]
