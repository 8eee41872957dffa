"""Answers that were read once and are passed over many times: as files in the folder of a run.

An expectation-maximisation reads all answers in every iteration; two bytes an answer and nine an
item, where there are up to 256 annotators and classes, is what it has to fetch then. The files are
a :class:`~dsm_dask.table.Table`, so that an iteration is a Fold like any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsm_dask import arrays, codec, storage
from dsm_dask.scores.annotators.answers import Answers, ReadsAnswers
from dsm_dask.table import Partition

SCHEMA = pa.schema(
    [
        pa.field("annotators", pa.large_list(pa.int32())),
        pa.field("labels", pa.large_list(pa.int16())),
        pa.field("key", pa.uint64()),
    ]
)

FLUSH = 1 << 21
"""Answers in a file, about."""


@dataclasses.dataclass(frozen=True)
class AnswerFile:
    """A partition of answers: a file that :func:`write_answers` wrote."""

    uri: str
    items: int
    answers: int
    size: int

    @property
    def rows(self) -> int:
        return self.items

    @property
    def fingerprint(self) -> str:
        return self.uri

    @property
    def label(self) -> str:
        return self.uri

    def values_fingerprint(self, columns: Sequence[str]) -> str:
        return ""

    def load(self) -> Answers:
        counts, annotators, labels, keys = codec.decode(storage.read(self.uri))
        starts = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        return Answers(starts, annotators.astype(np.int32), labels.astype(np.int16), keys)

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield as_batch(self.load()).select(list(columns))


@dataclasses.dataclass(frozen=True)
class AnswerFiles:
    """Answers in files, as a table."""

    uri: str
    files: tuple[AnswerFile, ...]

    @property
    def schema(self) -> pa.Schema:
        return SCHEMA

    @property
    def rows(self) -> int:
        return sum(file.items for file in self.files)

    @property
    def answers(self) -> int:
        return sum(file.answers for file in self.files)

    def partitions(self) -> Sequence[Partition]:
        return self.files

    def column_sizes(self) -> dict[str, int]:
        return dict.fromkeys(SCHEMA.names, sum(file.size for file in self.files) // len(SCHEMA))


@codec.state("scores.listed_answers", 1)
@dataclasses.dataclass(frozen=True)
class Listed:
    """Answers as :data:`SCHEMA` has them: lists of numbers."""

    annotators: int
    labels: int

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(SCHEMA.names)

    def read(self, batch: pa.RecordBatch) -> Answers:
        column = batch.column("annotators")
        starts = column.offsets.to_numpy()
        first, last = int(starts[0]), int(starts[-1])
        annotators, labels = (
            arrays.fixed_width(batch.column(name).values)[
                int(batch.column(name).offsets[0].as_py()) :
            ][: last - first]
            for name in ("annotators", "labels")
        )
        keys = arrays.fixed_width(batch.column("key"))
        return Answers(starts - first, annotators, labels, keys)


def as_batch(answers: Answers) -> pa.RecordBatch:
    """Answers with the columns of :data:`SCHEMA`.

    >>> keys = np.array([7, 8], np.uint64)
    >>> some = Answers(np.array([0, 2, 2]), np.array([0, 1], np.int32), np.zeros(2, np.int16), keys)
    >>> as_batch(some).to_pydict()
    {'annotators': [[0, 1], []], 'labels': [[0, 0], []], 'key': [7, 8]}
    """
    lists = [
        pa.LargeListArray.from_arrays(pa.array(answers.starts), pa.array(values))
        for values in (answers.annotators, answers.labels)
    ]
    return pa.record_batch([*lists, pa.array(answers.keys)], schema=SCHEMA)


def write_answers(uri: str, answers: Answers) -> AnswerFile:
    """Store answers, with a checksum, in as few bytes a number as the largest one needs."""
    parts = (np.diff(answers.starts), answers.annotators, answers.labels)
    data = codec.encode((*map(_narrow, parts), answers.keys))
    storage.write(uri, data, durable=False)
    return AnswerFile(uri, answers.items, len(answers.labels), len(data))


def _narrow(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """
    >>> _narrow(np.array([3, 300])).dtype, _narrow(np.array([], np.int32)).dtype
    (dtype('uint16'), dtype('uint8'))
    """
    return numbers.astype(np.min_scalar_type(numbers.max() if len(numbers) else 0))


@dataclasses.dataclass(frozen=True)
class WriteAnswers:
    """Write the answers of a partition as files in ``folder``."""

    source: ReadsAnswers
    folder: str

    def __call__(self, partition: Partition) -> list[AnswerFile]:
        found: list[AnswerFile] = []
        held: list[Answers] = []
        for batch in partition.read(self.source.columns):
            held.append(self.source.read(batch))
            if sum(len(one.labels) for one in held) > FLUSH:
                found.append(self._write(partition, len(found), held))
                held = []
        if held:
            found.append(self._write(partition, len(found), held))
        return found

    def _write(self, partition: Partition, number: int, held: Sequence[Answers]) -> AnswerFile:
        uri = storage.join(self.folder, f"answers-{partition.fingerprint}-{number:05d}")
        return write_answers(uri, joined(held))


def joined(parts: Sequence[Answers]) -> Answers:
    """The items of several, one after another."""
    ends = np.cumsum([0, *(one.starts[-1] for one in parts)])
    starts: Any = np.concatenate(
        [np.zeros(1, np.int64)]
        + [one.starts[1:] + end for one, end in zip(parts, ends, strict=False)]
    )
    return Answers(
        starts,
        np.concatenate([np.empty(0, np.int32), *(one.annotators for one in parts)]),
        np.concatenate([np.empty(0, np.int16), *(one.labels for one in parts)]),
        np.concatenate([np.empty(0, np.uint64), *(one.keys for one in parts)]),
    )
