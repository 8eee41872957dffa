"""Rows of Parquet files as fragments that nobody has committed yet: linked, or copied in."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.dataset import links
from dsm_dask.dataset.commit import ObjectRecord, checksum, checksum_of
from dsm_dask.dataset.lance_calls import Relayed
from dsm_dask.dataset.version import Dataset
from dsm_dask.engine import Engine
from dsm_dask.errors import SchemaError
from dsm_dask.sources.file_part import FilePart
from dsm_dask.sources.footer import in_tasks
from dsm_dask.sources.parquet import ParquetPartition, ParquetTable
from dsm_dask.sources.schema import conform


@dataclasses.dataclass(frozen=True)
class Target:
    """Where data files go: the root, or the tree of a branch."""

    root: str
    folder: str
    prefix: str
    """Of ``folder`` below ``root``, with a slash at its end."""
    lance_fields: tuple[tuple[str, int], ...] = ()
    schema: pa.Schema | None = None
    """Of the managed columns, when there is a dataset already."""

    @classmethod
    def of(cls, base: Dataset) -> Target:
        prefix = f"tree/{base.branch}/" if base.branch else ""
        folder = storage.join(base.uri, prefix) if prefix else base.uri
        fields = tuple((field.name(), field.id()) for field in base.lance.lance_schema.fields())
        return cls(base.uri, folder, prefix, fields, base.lance.schema)


@dataclasses.dataclass(frozen=True)
class Fragments:
    """What workers have written and nobody has committed yet."""

    lance: list[Any]
    schema: pa.Schema
    objects: tuple[ObjectRecord, ...]
    list_id: str

    @property
    def rows(self) -> int:
        return sum(fragment.physical_rows for fragment in self.lance)


def write_fragments(target: Target, table: ParquetTable, engine: Engine, copy: bool) -> Fragments:
    """Link or copy a table's rows, and record the files that they come from.

    Partitions that were skipped are not recorded: appending their files later brings them.
    """
    if copy:
        table = dataclasses.replace(table, schema=storable(table.schema, target.root))
        fragments, objects, parts = _copy(target, table, engine)
        source_list = links.LinkList.of(dataclasses.replace(table, parts=parts))
        schema = target.schema or table.schema
    else:
        source_list = links.LinkList.of(table)
        fragments, objects = _link(target, source_list, engine)
        schema = pa.schema([pa.field(links.LINK, pa.bool_())])
    data = source_list.encode()
    storage.write(links.list_uri(target.root, source_list.id), data)
    record = checksum_of(data, f"_dsm/links/{source_list.id}.arrow")
    return Fragments(fragments, schema, (record, *objects), source_list.id)


def storable(schema: pa.Schema, uri: str) -> pa.Schema:
    """The schema for a copy; raises SchemaError for a column that Lance has no type for.

    Dictionaries get 32-bit indices: those of several files together may outgrow a smaller one.
    """
    from lance.schema import LanceSchema

    fields = []
    for field in schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = pa.dictionary(pa.int32(), kind.value_type, kind.ordered)
        fields.append(field.with_type(kind))
        try:
            if "`" in field.name:
                raise ValueError("Lance would store the column, and not find it again.")
            LanceSchema.from_pyarrow(pa.schema([fields[-1]]))
        except (OSError, ValueError, RuntimeError) as error:
            raise SchemaError(
                f"Column {field.name!r} of type {field.type} cannot be copied into {uri}.",
                where=uri,
                valid="Link the files instead, or convert the column.",
            ) from error
    return pa.schema(fields)


def _link(
    target: Target, source_list: links.LinkList, engine: Engine
) -> tuple[list[Any], list[ObjectRecord]]:
    from lance.fragment import DataFile, FragmentMetadata

    names = [source_list.file_name(index) for index in range(len(source_list.parts))]
    rows = [part.rows for part in source_list.parts]
    groups = zip(in_tasks(names), in_tasks(rows), strict=True)
    work = [_LinkFiles(target.folder, some, counts) for some, counts in groups]
    written = [
        pair for found in engine.map(_LinkFiles.run, work, label="Linking") for pair in found
    ]
    field = dict(target.lance_fields).get(links.LINK, 0)
    major, minor = (int(number) for number in links.FILE_VERSION.split("."))
    fragments = [
        FragmentMetadata(
            id=0, files=[DataFile(name, [field], [0], major, minor, size)], physical_rows=count
        )
        for name, (size, _), count in zip(names, written, rows, strict=True)
    ]
    records = [
        ObjectRecord(f"{target.prefix}data/{name}", size, digest)
        for name, (size, digest) in zip(names, written, strict=True)
    ]
    return fragments, records


@dataclasses.dataclass(frozen=True)
class _LinkFiles:
    folder: str
    names: tuple[str, ...]
    rows: tuple[int, ...]

    def run(self) -> list[tuple[int, str]]:
        """Size and checksum of each file written."""
        sizes = links.write_link_files(self.folder, self.names, self.rows)
        digests = [checksum_of(links.link_file(count), "").xxh3 for count in self.rows]
        return list(zip(sizes, digests, strict=True))


def _copy(
    target: Target, table: ParquetTable, engine: Engine
) -> tuple[list[Any], list[ObjectRecord], tuple[FilePart, ...]]:
    from lance.fragment import FragmentMetadata

    writer = _CopyPartition(target.folder, target.prefix, target.schema or table.schema)
    written = engine.map_partitions(writer, table.partitions(), label="Copying")
    fragments = [FragmentMetadata.from_json(one.metadata) for one in written]
    records = [record for one in written for record in one.records]
    return fragments, records, tuple(part for one in written for part in one.parts)


@dataclasses.dataclass(frozen=True)
class _Copied:
    metadata: str
    records: list[ObjectRecord]
    parts: tuple[FilePart, ...]


@dataclasses.dataclass(frozen=True)
class _CopyPartition:
    folder: str
    prefix: str
    schema: pa.Schema

    def __call__(self, partition: ParquetPartition) -> _Copied:
        from lance.fragment import LanceFragment

        names = list(partition.schema.names)
        batches = Relayed(conform(batch, self.schema) for batch in partition.read(names))
        with batches.check(self.folder):
            written = LanceFragment.create(
                self.folder,
                pa.RecordBatchReader.from_batches(self.schema, batches),
                schema=self.schema,
                data_storage_version=links.FILE_VERSION,
                storage_options=storage.lance_options(self.folder),
            )
        records = []
        for file in written.files:
            path = f"data/{file.path}"
            records.append(checksum(storage.join(self.folder, path), self.prefix + path))
        storage.count(bytes_written=sum(record.size for record in records), requests=len(records))
        return _Copied(json.dumps(written.to_json()), records, partition.parts)
