"""Consensus of a long table of answers: a table with a row for each item."""

from __future__ import annotations

import dataclasses
import io
import json
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dsm_dask import codec, storage
from dsm_dask.about import __version__
from dsm_dask.duplicates.places import check_empty, places
from dsm_dask.engine import Engine
from dsm_dask.errors import NotFound, UsageError
from dsm_dask.fold import Product, merge_all
from dsm_dask.scores.annotators.annotators import Annotators, agreement_of, assembled
from dsm_dask.scores.annotators.answer_files import AnswerFile, AnswerFiles, Listed, as_batch
from dsm_dask.scores.annotators.answer_table import (
    AnswerColumns,
    Repeated,
    Share,
    bring_together,
    read_items,
)
from dsm_dask.scores.annotators.answers import Wide, check_classes
from dsm_dask.scores.annotators.asked import Asked
from dsm_dask.scores.annotators.cohen import Weights
from dsm_dask.scores.annotators.consensus import Consensus, Kind, MethodName, kind_of, labels_as
from dsm_dask.scores.annotators.consensus_counts import CountConsensus, disagreement
from dsm_dask.scores.annotators.expectation import ITERATIONS, TOLERANCE_AN_ANSWER
from dsm_dask.scores.data_digest import data_digest
from dsm_dask.scores.labels import Class, LearnClasses
from dsm_dask.scores.scorer import Quantities
from dsm_dask.scores.stored_model import store
from dsm_dask.table import Table, check_columns

COLUMNS = ("consensus_label", "consensus_confidence", "annotator_disagreement", "answers")
"""What there is of each item, besides the item."""


def score_answers(
    table: Table,
    columns: Sequence[str],
    *,
    engine: Engine,
    method: MethodName = "dawid-skene",
    out: str | None = None,
    classes: tuple[Class, ...] | None = None,
    repeated: Repeated = "last",
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE_AN_ANSWER,
    weights: Weights = "none",
    ordered: bool = False,
    scratch: str | None = None,
    dry_run: bool = False,
) -> Annotators:
    """The consensus of each item of a long table; ``columns`` are those of item, annotator and
    label. With ``out``, Parquet files in that folder: ``items/`` has a row for each item (the item
    under its own name, then :data:`COLUMNS`; in no particular order), ``annotators/`` one for each
    annotator; ``_dsm.json`` tells of what data and how they were made. A folder that is not empty
    is an error, unless it holds what the same call on the same data wrote, or began to.

    A row without a label is no answer, but its item is in the table, without a consensus if it has
    no answer at all; rows without an item or an annotator are left out and counted. Of several
    answers of an annotator to one item the last in the order of the table counts
    (``repeated="error"``: raise BadRows when they differ).

    ``method`` is as in ``Consensus``, but for ``crowdlab``: there
    is no row of a model's probabilities here. ``iterations`` and ``tolerance`` (the gain an answer
    that ends them) are of the methods that iterate; ``weights`` and ``ordered`` as in ``Asked``.
    ``scratch`` is where plain files are shuffled.

    Raises UsageError, UnknownColumn, SchemaError before any work; BadRows for labels that are none
    of ``classes``.
    """
    item, annotator, label = _three(columns)
    if method == "crowdlab":
        raise UsageError(
            "crowdlab needs the probabilities of a model for each item, which answers do not have.",
            valid="dawid-skene, mace, glad or majority; or --annotators, a column for each.",
        )
    check_columns(table, columns)
    kind = kind_of(table, (label,))
    if classes is not None:
        check_classes(classes)
    scorer = Consensus(("-",), method, kind, classes, None, iterations, tolerance)
    asked = Asked(weights, ordered)
    asked.check(kind, classes)
    if item in COLUMNS:
        raise UsageError(f"The items are called {item!r}, as a column of the result.")
    made = _Made.by(table, columns, scorer, repeated)
    if out is not None and not made.is_in(out):
        check_empty(out)
    with places(table, out, scratch, engine, uuid.uuid4().hex, dry_run) as place:
        learned = _learn(table, annotator, label, classes, engine)
        named = AnswerColumns(item, annotator, label, *learned[:2])
        run = _Run(table, named, scorer, engine, made)
        found = run.all(storage.join(place.work, "answers"), repeated, asked, out, dry_run)
    left_out = {f"no {annotator}": learned[2], **found.left_out}
    return dataclasses.replace(found, left_out={k: n for k, n in left_out.items() if n})


@dataclasses.dataclass(frozen=True)
class _Made:
    """What tables of items and annotators are made of, and how."""

    data: str
    rows: str
    """A digest."""
    columns: tuple[str, ...]
    parameters: dict[str, Any]
    software: str = f"dsm-dask {__version__}"

    @classmethod
    def by(
        cls, table: Table, columns: Sequence[str], scorer: Consensus, repeated: Repeated
    ) -> _Made:
        parameters = {**scorer.parameters, "repeated": repeated}
        return cls(table.uri, data_digest(table, columns), tuple(columns), parameters)

    def encode(self) -> bytes:
        return json.dumps(dataclasses.asdict(self), sort_keys=True).encode()

    def is_in(self, out: str) -> bool:
        """Were the tables in this folder made so? Then they may be made again: they are the same
        bytes under the same names."""
        try:
            return storage.read(_note(out)) == self.encode()
        except NotFound:
            return False

    def tell(self, out: str) -> None:
        storage.write(_note(out), self.encode())


def _note(out: str) -> str:
    return storage.join(storage.normalise(out), "_dsm.json")


def _three(columns: Sequence[str]) -> tuple[str, str, str]:
    if len(columns) != 3 or len(set(columns)) != 3:
        raise UsageError(
            f"Answers are in three columns, not in {', '.join(map(repr, columns)) or 'none'}.",
            valid="--answers ITEM,ANNOTATOR,LABEL",
        )
    return columns[0], columns[1], columns[2]


def _learn(
    table: Table, annotator: str, label: str, classes: tuple[Class, ...] | None, engine: Engine
) -> tuple[tuple[Class, ...], tuple[Class, ...], int]:
    """Annotators, classes, and rows without an annotator."""
    folds = [LearnClasses(annotator)] + ([LearnClasses(label)] if classes is None else [])
    found = engine.fold(table, Product(tuple(folds)), label="Learning names").result
    if classes is None:
        classes = found[1].classes
        check_classes(classes)
    return found[0].classes, classes, found[0].nulls


@dataclasses.dataclass(frozen=True)
class _Run:
    table: Table
    columns: AnswerColumns
    scorer: Consensus
    engine: Engine
    made: _Made

    def all(
        self, work: str, repeated: Repeated, asked: Asked, out: str | None, dry_run: bool
    ) -> Annotators:
        engine, columns = self.engine, self.columns
        shares, nameless = bring_together(self.table, columns, engine, work, repeated)
        files = AnswerFiles(work, tuple(share.answers for share in shares))
        listed = Listed(len(columns.annotators), len(columns.classes))
        agreement = agreement_of(files, listed, columns.classes, asked, engine)
        quantities: Quantities = {"classes": list(columns.classes)}
        if self.scorer.method != "majority" and columns.classes:
            quantities = {**quantities, **self.scorer.fit(files, listed, engine)}
        model = self.scorer.model(quantities)
        uri = None if model is None else store(model, storage.join(work, "model"))
        folder = None if out is None or dry_run else storage.normalise(out)
        if folder is not None:
            self.made.tell(folder)
        fold = CountConsensus(listed, uri)
        tasks = [_Conclude(fold, columns, self.scorer.kind, share, folder) for share in shares]
        told = engine.map(_Conclude.run, tasks, label="Consensus")
        counts = merge_all(fold, [codec.decode(state) for state, _ in told])
        items = {key: value for _, values in told for key, value in values.items()}
        source = Wide(tuple(map(str, columns.annotators)), columns.classes)
        found = assembled(self.scorer, quantities, source, agreement, counts, items)
        found = dataclasses.replace(
            found,
            left_out={f"no {columns.item}": nameless, f"no {columns.label}": _sum(shares, 0)},
            repeated=_sum(shares, 1),
            changed=_sum(shares, 2),
            out=folder,
        )
        if folder is not None:
            _write(storage.join(folder, "annotators", "part-00000.parquet"), found.to_arrow())
        return found


def _sum(shares: Sequence[Share], what: int) -> int:
    return sum((share.unlabelled, share.repeated, share.changed)[what] for share in shares)


def _write(uri: str, rows: pa.Table) -> None:
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd")
    storage.write(uri, sink.getvalue())


@dataclasses.dataclass(frozen=True)
class _Conclude:
    """The consensus of the items of a share: written, counted, the most disputed ones by name."""

    fold: CountConsensus
    columns: AnswerColumns
    kind: Kind
    share: Share
    folder: str | None

    def run(self) -> tuple[bytes, dict[int, Any]]:
        file: AnswerFile = self.share.answers
        answers = file.load()
        batch = as_batch(answers)
        state = self.fold.update(self.fold.init(), batch)
        items = read_items(self.share.items)
        if self.folder is not None and (len(items) or file.uri.endswith("-00000")):
            labels, sure = self.fold.decided(answers, batch)
            split = disagreement(answers, self.fold.source.labels)
            label = Consensus(("-",), kind=self.kind).schema.types[0]
            made = [
                items,
                labels_as(labels, self.columns.classes, label),
                pa.array(sure.astype(np.float32), mask=np.isnan(sure)),
                pa.array(split.astype(np.float32), mask=np.isnan(split)),
                pa.array(np.diff(answers.starts).astype(np.int32)),
            ]
            part = f"part-{storage.name(file.uri).removeprefix('answers-')}.parquet"
            rows = pa.table(made, names=[self.columns.item, *COLUMNS])
            _write(storage.join(self.folder, "items", part), rows)
        order = np.argsort(answers.keys)
        keys = state.disputed.keys
        rows = order[np.searchsorted(answers.keys, keys, sorter=order)]
        values = [items[int(row)].as_py() for row in rows]
        return codec.encode(state), dict(zip(keys.tolist(), values, strict=True))
