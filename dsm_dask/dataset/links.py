"""Linked fragments: rows that stay in their source file.

A link list records the files of one ``create`` or ``append``: size, ETag and row groups of each
part, and the unified schema. Part *i* of list *L* is a Lance fragment whose only data file is
called ``link-L-i.lance`` and holds one constant column (a few hundred bytes, however many rows);
row *j* of the fragment is row *j* of the part. The name alone says where the rows are, so commits
that race, rebase or branch need not agree on anything else.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import io
import json
import re
import tempfile
import urllib.parse
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from dsm_dask import storage
from dsm_dask.errors import DatasetDamaged, NotFound
from dsm_dask.sources.file_part import FilePart
from dsm_dask.sources.parquet import ParquetTable

LINK = "_dsm_link"
"""The constant column of a linked fragment."""

_CHANGED = re.compile(r"^_dsm_changed_\d+_")

FILE_VERSION = "2.2"
"""Lance file format of everything that is written."""

_WRITERS = 16

_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"^link-([0-9a-f]{32})-(\d+)\.lance$")
_PART_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("file_size", pa.int64()),
        ("etag", pa.string()),
        ("footer_size", pa.int64()),
        ("first_group", pa.int32()),
        ("stop_group", pa.int32()),
        ("rows", pa.int64()),
        ("size", pa.int64()),
    ]
)


@dataclasses.dataclass(frozen=True)
class LinkList:
    """The source parts of one create or append."""

    id: str
    schema: pa.Schema
    parts: tuple[FilePart, ...]
    column_sizes: dict[str, int]

    @classmethod
    def of(cls, table: ParquetTable) -> LinkList:
        return cls(uuid.uuid4().hex, table.schema, table.parts, table.column_sizes())

    def file_name(self, index: int) -> str:
        return f"link-{self.id}-{index}.lance"

    def encode(self) -> bytes:
        """An Arrow IPC file: a row a part, the table's schema in the metadata."""
        columns = [[getattr(part, name) for part in self.parts] for name in _PART_SCHEMA.names]
        sizes = json.dumps(self.column_sizes).encode()
        metadata = {b"dsm.schema": self.schema.serialize().to_pybytes(), b"dsm.sizes": sizes}
        table = pa.Table.from_pydict(
            dict(zip(_PART_SCHEMA.names, columns, strict=True)),
            _PART_SCHEMA.with_metadata(metadata),
        )
        sink = io.BytesIO()
        with pa.ipc.new_file(sink, table.schema, options=_compressed()) as writer:
            writer.write_table(table)
        return sink.getvalue()

    @classmethod
    def decode(cls, id_: str, data: bytes) -> LinkList:
        with pa.ipc.open_file(pa.BufferReader(data)) as reader:
            table = reader.read_all()
        metadata = table.schema.metadata
        schema = pa.ipc.read_schema(pa.py_buffer(metadata[b"dsm.schema"]))
        parts = tuple(FilePart(**row) for row in table.to_pylist())
        return cls(id_, schema, parts, json.loads(metadata[b"dsm.sizes"]))


def _compressed() -> pa.ipc.IpcWriteOptions:
    return pa.ipc.IpcWriteOptions(compression="zstd")


def list_uri(root: str, id_: str) -> str:
    return storage.join(root, "_dsm", "links", id_ + ".arrow")


def load(root: str, id_: str) -> LinkList:
    """Read a link list; raises DatasetDamaged when it is gone or unreadable, or when a manifest has
    it somewhere else."""
    if not _ID.fullmatch(id_):
        raise DatasetDamaged(f"{id_!r} is not the name of a list of linked files.", where=root)
    uri = list_uri(root, id_)
    try:
        return LinkList.decode(id_, storage.read(uri))
    except (NotFound, pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetDamaged(
            f"The list of linked files {uri} is missing or unreadable.",
            where=uri,
            valid="`dsm verify` shows what else is damaged.",
        ) from error


def parse_name(file_name: str) -> tuple[str, int] | None:
    """List id and index of a link file, or None for any other file.

    >>> parse_name("link-0123456789abcdef0123456789abcdef-7.lance")
    ('0123456789abcdef0123456789abcdef', 7)
    """
    match = _NAME.match(file_name)
    return (match[1], int(match[2])) if match else None


def changed_name(column: str, number: int = 0) -> str:
    """What a linked column is called in the Lance schema once some of its cells were changed.

    The fragments with such cells hold the whole column under this name, in place of their source
    file's; all others still have it from their source. So the Lance schema itself never has half a
    column under a column's name. The number is raised when the column's type has become wider.

    Lance takes no dots in names, and its queries not all other signs.

    >>> column_of(changed_name("label")), column_of("score"), changed_name("a.b")
    ('label', 'score', '_dsm_changed_0_a%2Eb')
    """
    escaped = urllib.parse.quote(column, safe=" ").replace(".", "%2E")
    return f"_dsm_changed_{number}_{escaped}"


def column_of(lance_name: str) -> str:
    """The column that a name in the Lance schema stands for."""
    column = _CHANGED.sub("", lance_name)
    return column if column == lance_name else urllib.parse.unquote(column)


@functools.lru_cache(maxsize=1024)
def link_file(rows: int) -> bytes:
    """The bytes of a Lance file with ``rows`` nulls: the same for every part of that length."""
    from lance.file import LanceFileWriter

    schema = pa.schema([pa.field(LINK, pa.bool_())])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "link.lance")
        writer = LanceFileWriter(str(path), schema, version=FILE_VERSION)
        step = 1 << 20
        for start in range(0, rows, step):
            nulls = pa.nulls(min(step, rows - start), pa.bool_())
            writer.write_batch(pa.record_batch([nulls], schema=schema))
        writer.close()
        return path.read_bytes()


def write_link_files(folder: str, names: Sequence[str], rows: Sequence[int]) -> list[int]:
    """Store the link files of some parts below ``folder``, several at a time, since each takes a
    round trip to the store; their sizes in bytes."""
    made = [link_file(count) for count in rows]
    places = [storage.join(folder, "data", name) for name in names]
    context = contextvars.copy_context
    with ThreadPoolExecutor(_WRITERS) as pool:
        tasks = [
            pool.submit(context().run, storage.write, place, data)
            for place, data in zip(places, made, strict=True)
        ]
        for task in tasks:
            task.result()
    return [len(data) for data in made]
