"""Long tables of answers: a row for each answer, with an item, an annotator and a label.

The answers to an item may be anywhere in the table. Each partition leaves its rows in the folder of
the run, laid out by a hash of the item; a task for each share of the hashes sorts what all left for
it, and writes the answers of whole items. What follows are passes over these.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, storage
from dsm_dask.duplicates.keys import first_of_runs
from dsm_dask.duplicates.shares import side_by_side
from dsm_dask.engine import Engine
from dsm_dask.errors import BadRows
from dsm_dask.hashing import hash_rows
from dsm_dask.report.text import many
from dsm_dask.scores.annotators.answer_files import AnswerFile, write_answers
from dsm_dask.scores.annotators.answers import Answers
from dsm_dask.scores.labels import Class, codes_of
from dsm_dask.table import Partition, Table

Int64 = npt.NDArray[np.int64]
Repeated = Literal["last", "error"]

ROWS = 1 << 20
"""Answers that a task brings together, about."""
MOST_SHARES = 1 << 12
FLUSH = 1 << 21
"""Rows that a partition holds before it writes them."""


@dataclasses.dataclass(frozen=True)
class AnswerColumns:
    """The columns of a long table, and whom and what they name."""

    item: str
    annotator: str
    label: str
    annotators: tuple[Class, ...]
    classes: tuple[Class, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.item, self.annotator, self.label)

    def read(self, batch: pa.RecordBatch) -> tuple[pa.Table, int]:
        """Items, annotators and labels (numbers; -1: no label) of the rows that have an item and an
        annotator; and how many have no item."""
        items = arrays.plain(batch.column(self.item))
        annotators = codes_of(batch, self.annotator, self.annotators)
        labels = codes_of(batch, self.label, self.classes)
        rows = pa.table(
            [items, pa.array(annotators), pa.array(labels.astype(np.int16))],
            names=["item", "annotator", "label"],
        )
        valid = arrays.validity(items)
        named = np.ones(len(items), np.bool_) if valid is None else valid
        kept = named & (annotators >= 0)
        return rows if kept.all() else rows.filter(pa.array(kept)), int((~named).sum())


@dataclasses.dataclass(frozen=True)
class Share:
    """The answers to the items of a share of the hashes, and what became of its rows. ``items`` is
    the URI of an Arrow file with the items, in the order of the answers."""

    answers: AnswerFile
    items: str
    unlabelled: int
    repeated: int
    changed: int


def bring_together(
    table: Table, columns: AnswerColumns, engine: Engine, work: str, repeated: Repeated = "last"
) -> tuple[list[Share], int]:
    """The answers of whole items, in files in ``work``; and how many rows name no item.

    Of several answers of an annotator to an item the last in the order of the table counts;
    ``repeated="error"`` raises BadRows for such that differ.
    """
    shares = min(MOST_SHARES, max(1, -(-table.rows // ROWS)))
    spread = engine.map_partitions(
        _Spread(columns, shares, work), table.partitions(), label="Reading answers"
    )
    uris = tuple(uri for written, _ in spread for uri in written)
    kind = arrays.plain_type(table.schema.field(columns.item).type)
    tasks = [_Gather(uris, number, work, repeated, kind) for number in range(shares)]
    found = engine.map(_Gather.run, tasks, label="Bringing answers together")
    return found, sum(nameless for _, nameless in spread)


@dataclasses.dataclass(frozen=True)
class _Spread:
    columns: AnswerColumns
    shares: int
    folder: str

    def __call__(self, partition: Partition) -> tuple[list[str], int]:
        found: list[str] = []
        held: list[pa.Table] = []
        nameless = 0
        for batch in partition.read(self.columns.columns):
            rows, more = self.columns.read(batch)
            nameless += more
            held.append(rows)
            if sum(len(one) for one in held) > FLUSH:
                found.append(self._write(partition, len(found), held))
                held = []
        if held:
            found.append(self._write(partition, len(found), held))
        return found, nameless

    def _write(self, partition: Partition, number: int, held: Sequence[pa.Table]) -> str:
        """An object: where each share begins and the last one ends (u64), then for each share its
        rows as an Arrow stream."""
        rows = pa.concat_tables(held).combine_chunks()
        share = _shares(hash_rows([rows.column("item")]), self.shares)
        order = np.argsort(share.astype(np.uint16), kind="stable")
        rows = rows if self.shares == 1 else rows.take(pa.array(order))
        ends = np.cumsum(np.bincount(share, minlength=self.shares)).tolist()
        parts = [
            _as_stream(rows.slice(first, end - first))
            for first, end in itertools.pairwise([0, *ends])
        ]
        head = (len(parts) + 1) * 8
        starts = head + np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        uri = storage.join(self.folder, f"rows-{partition.fingerprint}-{number:05d}")
        storage.write(uri, b"".join([starts.astype("<u8").tobytes(), *parts]), durable=False)
        return uri


def _shares(hashes: npt.NDArray[np.uint64], count: int) -> Int64:
    high = hashes[:, 1] >> np.uint64(32)
    return ((high * np.uint64(count)) >> np.uint64(32)).astype(np.int64)


def _as_stream(rows: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


@dataclasses.dataclass(frozen=True)
class _Gather:
    """One share of the items."""

    uris: tuple[str, ...]
    number: int
    folder: str
    repeated: Repeated
    kind: pa.DataType
    """Of the items."""

    label = "answers"

    def run(self) -> Share:
        streams = side_by_side(self._read, self.uris)
        rows = pa.concat_tables(streams).combine_chunks() if streams else self._none
        hashes = hash_rows([rows.column("item")])
        annotators = rows.column("annotator").to_numpy()
        low, high = np.ascontiguousarray(hashes[:, 0]), np.ascontiguousarray(hashes[:, 1])
        order = _order(high, low, annotators)
        low, high, annotators = low[order], high[order], annotators[order]
        labels = rows.column("label").to_numpy()[order]
        heads = first_of_runs(high, low)
        answers, repeated, changed = self._answers(rows, order, heads, annotators, labels, high)
        name = storage.join(self.folder, f"answers-{self.number:05d}")
        items = storage.join(self.folder, f"items-{self.number:05d}")
        values = rows.select(["item"]).take(pa.array(order[heads]))
        storage.write(items, _as_stream(values), durable=False)
        file = write_answers(name, answers)
        return Share(file, items, int((labels < 0).sum()), repeated, changed)

    @property
    def _none(self) -> pa.Table:
        kinds = {"item": self.kind, "annotator": pa.int32(), "label": pa.int16()}
        return pa.schema(kinds).empty_table()

    def _answers(
        self, rows: pa.Table, order: Int64, heads: Any, annotators: Any, labels: Any, high: Any
    ) -> tuple[Answers, int, int]:
        """The answers that count, and how many were repeated and changed."""
        item = np.cumsum(heads) - 1
        known = np.flatnonzero(labels >= 0)
        last = np.ones(len(known), np.bool_)
        last[:-1] = ~_same(item[known], annotators[known])
        again = np.flatnonzero(~last)
        changed = labels[known][again] != labels[known][again + 1]
        if changed.any() and self.repeated == "error":
            self._refuse(rows, order[known[again[changed]]])
        kept = known[last]
        counts = np.bincount(item[kept], minlength=int(heads.sum()))
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        found = Answers(starts, annotators[kept].astype(np.int32), labels[kept], high[heads])
        return found, len(again), int(changed.sum())

    def _refuse(self, rows: pa.Table, positions: Int64) -> None:
        items = rows.column("item").take(pa.array(positions[:5])).to_pylist()
        raise BadRows(
            f"{many(len(positions), 'answer')} given again by the same annotator, and others: of "
            f"the items {', '.join(map(repr, items))}{', ...' if len(positions) > 5 else ''}.",
            valid="One answer of each annotator to an item; or --repeated last.",
        )

    def _read(self, uri: str) -> pa.Table:
        (index,) = storage.read_ranges(uri, [(self.number * 8, self.number * 8 + 16)])
        first, last = np.frombuffer(index, "<u8").tolist()
        (data,) = storage.read_ranges(uri, [(first, last)])
        with pa.ipc.open_stream(data) as reader:
            return reader.read_all()


def _order(high: Any, low: Any, annotators: Any) -> Int64:
    """By hash, then annotator; equal ones stay as they are."""
    from dsm_dask.stats.kernels import argsort

    order = argsort(annotators.astype(np.uint64))
    order = order[argsort(high[order])]
    one, other = high[order], low[order]
    if ((one[1:] == one[:-1]) & (other[1:] != other[:-1])).any():  # next to unheard of
        found: Int64 = np.lexsort((annotators, low, high))
        return found
    return order


def _same(item: Int64, annotators: Any) -> npt.NDArray[np.bool_]:
    """Whether the next answer is of the same annotator to the same item."""
    found: npt.NDArray[np.bool_] = (item[1:] == item[:-1]) & (annotators[1:] == annotators[:-1])
    return found


def read_items(uri: str) -> pa.Array:
    """The items of a :class:`Share`."""
    with pa.ipc.open_stream(storage.read(uri)) as reader:
        column = reader.read_all().column("item")
    chunks: Iterator[pa.Array] = iter(column.chunks)
    return pa.concat_arrays(list(chunks)) if column.num_chunks else pa.nulls(0, column.type)
